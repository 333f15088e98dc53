"""What a subnet is made of: validators and miners, young and old, and what a seat pays back (spec: tracker 5.5).

Pure. Everything here is a fact of one block, or the difference of two, so it is exact; only the days to earn a seat
back are an estimate: emission and price of the moment, carried on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tracker.model import BLOCKS_PER_DAY, RAO_PER_TAO
from tracker.risk import Neuron, Standing

#: Ages in days up to which an occupancy counts as young.
YOUNG_DAYS: Final = (1, 7, 30)


@dataclass(frozen=True)
class Role:
    """The validators, or the miners, of a subnet and their share of its emission."""

    count: int
    emission_share: float


@dataclass(frozen=True)
class Makeup:
    """One subnet at one block.

    Args:
        young_emission: share of the emission that goes to occupancies younger than so many days, by `YOUNG_DAYS`: churn
            weighed by what it took over.
        miner_tao_per_day: what the median miner gets at the moving price; None where the price is unknown.
        days_to_earn_back: days of that which the price of a seat takes; None where the median miner gets nothing.
    """

    netuid: int
    block: int
    validators: Role
    miners: Role
    free_seats: int
    young_emission: dict[int, float]
    burn_rao: int
    miner_tao_per_day: float | None
    days_to_earn_back: float | None


@dataclass(frozen=True)
class RoleChange:
    """Validators, or miners, between two blocks: who came into the subnet, who left it, who changed over."""

    entered: int
    left: int
    from_other: int
    to_other: int


@dataclass(frozen=True)
class MakeupChange:
    """What happened to both roles between two blocks, as the two states show it."""

    after_block: int
    until_block: int
    validators: RoleChange
    miners: RoleChange


def makeup(standing: Standing) -> Makeup:
    """The make-up of one subnet."""
    total = sum(neuron.emission_rao for neuron in standing.neurons)
    validators = [neuron for neuron in standing.neurons if neuron.is_validator]
    miners = [neuron for neuron in standing.neurons if not neuron.is_validator]
    daily = _median_tao_per_day(standing, miners)
    return Makeup(
        netuid=standing.netuid,
        block=standing.block,
        validators=Role(len(validators), _share(validators, total)),
        miners=Role(len(miners), _share(miners, total)),
        free_seats=max(0, standing.max_uids - len(standing.neurons)),
        young_emission={days: _share(_younger(standing, days), total) for days in YOUNG_DAYS},
        burn_rao=standing.burn_rao,
        miner_tao_per_day=daily,
        days_to_earn_back=standing.burn_rao / RAO_PER_TAO / daily if daily else None,
    )


def makeup_change(before: Standing, after: Standing) -> MakeupChange:
    """How validators and miners changed between two blocks of one subnet; a neuron is known by hotkey and block."""
    return MakeupChange(
        after_block=before.block,
        until_block=after.block,
        validators=_role_change(before.neurons, after.neurons, validators=True),
        miners=_role_change(before.neurons, after.neurons, validators=False),
    )


def _role_change(before: Sequence[Neuron], after: Sequence[Neuron], *, validators: bool) -> RoleChange:
    old, new = _by_role(before, validators=validators), _by_role(after, validators=validators)
    everybody_before, everybody_after = _occupancies(before), _occupancies(after)
    return RoleChange(
        entered=len(new - everybody_before),
        left=len(old - everybody_after),
        from_other=len((new & everybody_before) - old),
        to_other=len((old & everybody_after) - new),
    )


def _by_role(neurons: Iterable[Neuron], *, validators: bool) -> set[tuple[str, int]]:
    return _occupancies(neuron for neuron in neurons if neuron.is_validator == validators)


def _occupancies(neurons: Iterable[Neuron]) -> set[tuple[str, int]]:
    return {(neuron.hotkey, neuron.registered) for neuron in neurons}


def _younger(standing: Standing, days: int) -> list[Neuron]:
    return [one for one in standing.neurons if standing.block - one.registered < days * BLOCKS_PER_DAY]


def _share(neurons: Iterable[Neuron], total: int) -> float:
    return sum(neuron.emission_rao for neuron in neurons) / total if total else 0.0


def _median_tao_per_day(standing: Standing, miners: Sequence[Neuron]) -> float | None:
    if not miners or standing.price_tao <= 0:
        return None
    alpha_per_epoch = median(neuron.emission_rao for neuron in miners) / RAO_PER_TAO
    return alpha_per_epoch * BLOCKS_PER_DAY / (standing.tempo_blocks + 1) * standing.price_tao
