"""Results of runtime calls as plain values; fields that are left out encode as zero. Knows no wire."""

from __future__ import annotations

from typing import Final

from lab.chain.chain import Chain
from lab.chain.subnets import Subnet

_SELECTABLE: Final = """
netuid name symbol identity network_registered_at owner_hotkey owner_coldkey block tempo last_step
blocks_since_last_step subnet_emission alpha_in alpha_out tao_in alpha_out_emission alpha_in_emission
tao_in_emission pending_alpha_emission pending_root_emission subnet_volume moving_price rho kappa
min_allowed_weights max_weights_limit weights_version weights_rate_limit activity_cutoff max_validators num_uids
max_uids burn difficulty registration_allowed pow_registration_allowed immunity_period min_difficulty
max_difficulty min_burn max_burn adjustment_alpha adjustment_interval target_regs_per_interval
max_regs_per_block serving_rate_limit commit_reveal_weights_enabled commit_reveal_period liquid_alpha_enabled
alpha_high alpha_low bonds_moving_avg hotkeys coldkeys identities axons active validator_permit pruning_score
last_update emission dividends incentives consensus trust rank block_at_registration alpha_stake tao_stake
total_stake tao_dividends_per_hotkey alpha_dividends_per_hotkey validators commitments
""".split()  # noqa: SIM905 - a list of hundred names in its order
_EMPTY: Final[dict[str, object]] = {"identity": None, "moving_price": {"bits": 0}, "validators": [], "commitments": []}


class UnknownCallError(LookupError):
    """The simulated node has no answer for this runtime call."""


class Answers:
    """Runtime calls at one block."""

    def __init__(self, chain: Chain, block: int) -> None:
        self._block = block
        self._live = [subnet for _, subnet in sorted(chain.state(block).items()) if subnet.exists]

    def give(self, name: str, data: bytes) -> object:
        """The result of one call.

        Raises:
            UnknownCallError: there is no answer for this name.
        """
        method = name.split("_", 1)[1]
        netuid = int.from_bytes(data[:2], "little")
        subnet = next((one for one in self._live if one.netuid == netuid), None)
        every = {
            "get_all_metagraphs": self.metagraph,
            "get_subnets_info_v2": self.info,
            "get_all_dynamic_info": self.dynamic,
        }
        single = {
            "get_metagraph": self.metagraph,
            "get_mechagraph": self.metagraph,
            "get_subnet_info_v2": self.info,
            "get_dynamic_info": self.dynamic,
            "get_subnet_hyperparams_v2": self.hyperparameters,
        }
        if method in every:
            return [every[method](one) for one in self._live]
        if method in single:
            return single[method](subnet) if subnet else None
        if method in ("get_selective_metagraph", "get_selective_mechagraph"):
            at = 3 if method == "get_selective_mechagraph" else 2
            return self.selected(subnet, data[at:]) if subnet else None
        if method in ("get_neurons_lite", "get_neurons"):
            return [self.neuron(subnet, uid) for uid in range(len(subnet.hotkeys))] if subnet else []
        raise UnknownCallError(name)

    def metagraph(self, subnet: Subnet) -> dict[str, object]:
        """Everything about one subnet's neurons."""
        count = len(subnet.hotkeys)
        total = sum(subnet.emission) or 1
        share = [65535 * one // total for one in subnet.emission]
        axon = {"block": 0, "version": 0, "ip": 0, "port": 0, "ip_type": 4, "protocol": 4}
        zero = [0] * count
        shared = dict.fromkeys(("incentives", "consensus", "trust", "rank"), share)
        empty = dict.fromkeys(
            ("pruning_score", "dividends", "tao_stake", "collateral_locked", "collateral_min", "collateral_earned"),
            zero,
        )
        return {
            **self._header(subnet),
            **shared,
            **empty,
            "num_uids": count,
            "hotkeys": subnet.hotkeys,
            "coldkeys": subnet.coldkeys,
            "identities": [None] * count,
            "axons": [axon] * count,
            "active": [True] * count,
            "validator_permit": subnet.permits,
            "last_update": [self._block - 50 - uid for uid in range(count)],
            "emission": subnet.emission,
            "block_at_registration": subnet.registered,
            "alpha_stake": [10**9 * (uid % 50) for uid in range(count)],
            "total_stake": [10**9 * (uid % 50) for uid in range(count)],
            "tao_dividends_per_hotkey": [(hotkey, 0) for hotkey in subnet.hotkeys],
            "alpha_dividends_per_hotkey": [(hotkey, 0) for hotkey in subnet.hotkeys],
        }

    def _header(self, subnet: Subnet) -> dict[str, object]:
        return {
            **self.dynamic(subnet),
            "name": list(subnet.name.encode()),
            "symbol": list(subnet.symbol.encode()),
            "block": self._block,
            "max_uids": subnet.max_uids,
            "burn": subnet.burn_at(self._block),
            "registration_allowed": subnet.registration_allowed,
            "immunity_period": subnet.immunity_blocks,
            "min_burn": subnet.min_burn_rao,
            "max_burn": subnet.max_burn_rao,
            "max_validators": 64,
        }

    def selected(self, subnet: Subnet, packed: bytes) -> dict[str, object]:
        """The fields that a packed list of indices asks for."""
        short = packed[0] & 3 == 0
        count, at = (packed[0] >> 2, 1) if short else (int.from_bytes(packed[:2], "little") >> 2, 2)
        wanted = {int.from_bytes(packed[at + 2 * i : at + 2 * i + 2], "little") for i in range(count)}
        graph = self.metagraph(subnet)
        names = [_SELECTABLE[index] for index in wanted if index < len(_SELECTABLE)]
        values = {name: graph.get(name, _EMPTY.get(name, 0)) for name in names}
        return {name: value for name, value in values.items() if value is not None} | {"netuid": subnet.netuid}

    def neuron(self, subnet: Subnet, uid: int) -> dict[str, object]:
        """One neuron in its short form."""
        return {
            "hotkey": subnet.hotkeys[uid],
            "coldkey": subnet.coldkeys[uid],
            "uid": uid,
            "netuid": subnet.netuid,
            "active": True,
            "stake": [(subnet.coldkeys[uid], 10**9 * (uid % 50))],
            "emission": subnet.emission[uid],
            "validator_permit": subnet.permits[uid],
            "last_update": self._block - 50 - uid,
        }

    def info(self, subnet: Subnet) -> dict[str, object]:
        """One subnet's settings."""
        return {
            "netuid": subnet.netuid,
            "rho": 10,
            "kappa": 32767,
            "difficulty": 10**7,
            "immunity_period": subnet.immunity_blocks,
            "max_allowed_validators": 64,
            "max_weights_limit": 65535,
            "subnetwork_n": len(subnet.hotkeys),
            "max_allowed_uids": subnet.max_uids,
            "blocks_since_last_step": self._block % subnet.tempo,
            "tempo": subnet.tempo,
            "burn": subnet.burn_at(self._block),
            "owner": subnet.owner_coldkey,
        }

    def dynamic(self, subnet: Subnet) -> dict[str, object]:
        """One subnet's market."""
        return {
            "netuid": subnet.netuid,
            "owner_hotkey": subnet.owner_hotkey,
            "owner_coldkey": subnet.owner_coldkey,
            "subnet_name": list(subnet.name.encode()),
            "token_symbol": list(subnet.symbol.encode()),
            "tempo": subnet.tempo,
            "last_step": self._block - self._block % subnet.tempo,
            "blocks_since_last_step": self._block % subnet.tempo,
            "alpha_in": 10**15,
            "alpha_out": 10**15,
            "tao_in": 10**13 * (1 + subnet.netuid % 9),
            "network_registered_at": subnet.registered_at,
        }

    def hyperparameters(self, subnet: Subnet) -> dict[str, object]:
        """One subnet's hyperparameters."""
        return {
            "rho": 10,
            "kappa": 32767,
            "immunity_period": subnet.immunity_blocks,
            "max_weights_limit": 65535,
            "tempo": subnet.tempo,
            "registration_allowed": subnet.registration_allowed,
            "min_burn": subnet.min_burn_rao,
            "max_burn": subnet.max_burn_rao,
            "max_validators": 64,
            "max_regs_per_block": 1,
        }
