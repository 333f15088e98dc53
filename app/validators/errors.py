"""What can go wrong with a validator, as types that callers tell apart."""

from __future__ import annotations


class ValidatorError(Exception):
    """Base of all: the message says which validator, what was asked and what came back."""


class UnreachableError(ValidatorError):
    """No answer: refused, timed out or cut. The same call may work later; nothing is known about its effect."""


class RefusedError(ValidatorError):
    """An answer that is an error. `status` is the HTTP status, `detail` the validator's own words."""

    def __init__(self, what: str, status: int, detail: str) -> None:
        super().__init__(f"{what}: {status} {detail}".strip())
        self.status = status
        self.detail = detail


class ClockSkewError(RefusedError):
    """A 401 from a validator whose clock differs from ours by more than signatures allow."""

    def __init__(self, what: str, detail: str, skew_seconds: float) -> None:
        super().__init__(
            what,
            401,
            f"{detail}; this machine's clock is {abs(skew_seconds):.0f} s "
            f"{'ahead of' if skew_seconds > 0 else 'behind'} the validator's: check `timedatectl timesync-status`",
        )
        self.skew_seconds = skew_seconds


class ListingAbortedError(ValidatorError):
    """A streamed list ended early or empty without saying so: keep what is known (spec: protocol 8.1)."""
