"""Rules over what the chain says of the miner. An unknown chain is told as a warning and stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policies.rules import catalogue
from policies.rules.model import Finding, Level


@dataclass(frozen=True, kw_only=True)
class ChainView:
    """One read of the chain for one subnet. `uids` None: the chain could not be read."""

    hotkey_ss58: str
    netuid: int
    #: UIDs of this hotkey on the subnet.
    uids: tuple[int, ...] | None = None
    #: UIDs of other hotkeys of the same coldkey there.
    other_uids: tuple[int, ...] = ()
    #: Announced address, 0.0.0.0 where there is none.
    axon_address: str | None = None


def uid_single(view: ChainView) -> Iterator[Finding]:
    """Exactly one UID for the hotkey, and none for another hotkey of the same coldkey."""
    rule, subject = catalogue.UID_SINGLE, f"hotkey {view.hotkey_ss58}"
    if view.uids is None:
        yield rule.finding(subject, "the chain could not be read", "run it again later", level=Level.ADVISORY)
        return
    if len(view.uids) != 1:
        seen = f"{len(view.uids)} UIDs on subnet {view.netuid}"
        yield rule.finding(subject, seen, "register it once with btcli subnet register")
    if view.other_uids:
        listed = ", ".join(str(uid) for uid in view.other_uids)
        yield rule.finding(subject, f"its coldkey also holds UID {listed}", "mine with one hotkey only")


def axon_silent(view: ChainView) -> Iterator[Finding]:
    """The chain announces no address for the miner."""
    if view.axon_address not in (None, "0.0.0.0", ""):
        yield catalogue.AXON_SILENT.finding(
            f"hotkey {view.hotkey_ss58}", f"the chain announces {view.axon_address}", "announce 0.0.0.0 instead"
        )
