"""The JSON-RPC methods of the simulated node as plain calls. Faults and the socket live in node.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lab.chain.answers import Answers, UnknownCallError
from lab.chain.chain import Chain
from lab.chain.scale import compact
from lab.chain.storage import Storage

PAGE_LIMIT: Final = 1000
STATES_KEPT_WHEN_PRUNED: Final = 256
_ALIASES: Final = {
    "state_getStorageAt": "state_getStorage",
    "state_getKeysPagedAt": "state_getKeysPaged",
    "chain_getFinalisedHead": "chain_getFinalizedHead",
    "chain_getRuntimeVersion": "state_getRuntimeVersion",
    "chain_getBlockHashAt": "chain_getBlockHash",
    "chain_getHeadAt": "chain_getHead",
}


class RpcError(Exception):
    """An error that goes to the client as it stands."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.body = {"code": code, "message": message}


class Methods:
    """What the node answers, by the wire's method names."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.storage = Storage(chain)
        self.pruned = False

    def call(self, method: str, parameters: Sequence[object]) -> object:
        """Answer one request.

        Raises:
            RpcError: as a node would put it.
        """
        name = _ALIASES.get(method, method)
        handler = getattr(self, name, None)
        if handler is None or not name.startswith(("chain_", "state_", "system_", "rpc_")):
            raise RpcError(-32601, "Method not found")
        try:
            return handler(*parameters)
        except (TypeError, ValueError) as error:
            raise RpcError(-32602, f"Invalid params: {error}") from error

    def _number(self, block_hash: str | None) -> int:
        number = self.chain.head if block_hash is None else self.chain.number_of(block_hash)
        if number is None:
            raise RpcError(4003, f"Client error: UnknownBlock: Header was not found in the database: {block_hash}")
        return number

    def _state(self, block_hash: str | None) -> int:
        number = self._number(block_hash)
        if self.pruned and number < self.chain.head - STATES_KEPT_WHEN_PRUNED:
            raise RpcError(4003, f"Client error: UnknownBlock: State already discarded for {block_hash}")
        return number

    def system_chain(self) -> str:
        return "Simulated Bittensor"

    def system_name(self) -> str:
        return "simulated-subtensor-node"

    def system_version(self) -> str:
        return "simulated"

    def system_properties(self) -> dict[str, object]:
        return {"isEthereum": False, "ss58Format": 42, "tokenDecimals": 9, "tokenSymbol": "TAO"}

    def system_health(self) -> dict[str, object]:
        return {"peers": 8, "isSyncing": False, "shouldHavePeers": True}

    def rpc_methods(self) -> dict[str, object]:
        own = {name for name in dir(self) if name.startswith(("chain_", "state_", "system_", "rpc_"))}
        return {"methods": sorted(own | set(_ALIASES))}

    def chain_getBlockHash(self, number: int | str | None = None) -> str | None:  # noqa: N802 - names of the wire
        if number is None:
            return self.chain.hash_of(self.chain.head)
        value = int(number, 16) if isinstance(number, str) else number
        return self.chain.hash_of(value) if 0 <= value <= self.chain.head else None

    def chain_getHead(self) -> str:  # noqa: N802
        return self.chain.hash_of(self.chain.head)

    def chain_getFinalizedHead(self) -> str:  # noqa: N802
        return self.chain.hash_of(self.chain.finalized)

    def header(self, number: int) -> dict[str, object]:
        """A block's header; its roots are made up."""
        parent = self.chain.hash_of(number - 1) if number else "0x" + "00" * 32
        return {
            "parentHash": parent,
            "number": hex(number),
            "stateRoot": "0x" + "11" * 32,
            "extrinsicsRoot": "0x" + "22" * 32,
            "digest": {"logs": []},
        }

    def chain_getHeader(self, block_hash: str | None = None) -> dict[str, object] | None:  # noqa: N802
        number = self.chain.head if block_hash is None else self.chain.number_of(block_hash)
        return None if number is None else self.header(number)

    def chain_getBlock(self, block_hash: str | None = None) -> dict[str, object] | None:  # noqa: N802
        header = self.chain_getHeader(block_hash)
        return None if header is None else {"block": {"header": header, "extrinsics": []}, "justifications": None}

    def state_getRuntimeVersion(self, block_hash: str | None = None) -> dict[str, object]:  # noqa: N802
        runtime = self.chain.runtime(self._number(block_hash))
        return {
            "specName": runtime.spec_name,
            "implName": runtime.impl_name,
            "authoringVersion": 1,
            "specVersion": runtime.spec_version,
            "implVersion": 1,
            "apis": [],
            "transactionVersion": runtime.transaction_version,
            "systemVersion": 1,
            "stateVersion": 1,
        }

    def state_getMetadata(self, block_hash: str | None = None) -> str:  # noqa: N802
        return "0x" + self.chain.runtime(self._number(block_hash)).v14.hex()

    def state_getStorage(self, key: str, block_hash: str | None = None) -> str | None:  # noqa: N802
        value = self.storage.lookup(self._state(block_hash), bytes.fromhex(key[2:]))
        return None if value is None else "0x" + value.hex()

    def state_queryStorageAt(self, keys: list[str], block_hash: str | None = None) -> list[dict[str, object]]:  # noqa: N802
        block = self._state(block_hash)
        rows, _ = self.storage.at(block)
        moving = self.storage.moving(block)
        changes: list[list[str | None]] = []
        for key in keys:
            raw = bytes.fromhex(key[2:])
            value = rows.get(raw, moving.get(raw)) or self.storage.owner(block, raw)
            changes.append([key, None if value is None else "0x" + value.hex()])
        return [{"block": block_hash or self.chain.hash_of(block), "changes": changes}]

    def state_getKeysPaged(  # noqa: N802
        self, prefix: str | None, count: int, start_key: str | None = None, block_hash: str | None = None
    ) -> list[str]:
        if count > PAGE_LIMIT:
            raise RpcError(4002, f"count exceeds maximum value. value: {count}, max: {PAGE_LIMIT}")
        start = bytes.fromhex(start_key[2:]) if start_key else None
        found = self.storage.keys(self._state(block_hash), bytes.fromhex((prefix or "0x")[2:]), start, count)
        return ["0x" + key.hex() for key in found]

    def state_call(self, name: str, parameters: str = "0x", block_hash: str | None = None) -> str:
        block = self._state(block_hash)
        data = bytes.fromhex(parameters.removeprefix("0x"))
        # A runtime call on a block runs the code in that block's state.
        runtime = self.chain.runtime(block)
        if name == "Metadata_metadata_at_version":
            found = int.from_bytes(data[:4], "little") == 15
            return "0x01" + (compact(len(runtime.v15)) + runtime.v15).hex() if found else "0x00"
        if name == "Metadata_metadata_versions":
            return "0x" + (compact(2) + b"".join(version.to_bytes(4, "little") for version in (14, 15))).hex()
        try:
            if name not in runtime.apis:
                raise UnknownCallError(name)
            value = Answers(self.chain, block).give(name, data)
        except UnknownCallError as error:
            message = f"Client error: Execution failed: Other: Exported method {name} is not found"
            raise RpcError(4003, message) from error
        return "0x" + runtime.api_result(name, value).hex()
