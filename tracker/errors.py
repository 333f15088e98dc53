"""What can go wrong, each with the exit code of the command line (spec: tracker 4, 9)."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of `tracker`. A repeated snapshot of one block is no failure and exits 0."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    REFUSED_BY_POLICY = 4
    INCOMPLETE = 5
    STORAGE = 6
    NOT_ENOUGH_SNAPSHOTS = 7
    STATE_PRUNED = 8
    STALE = 9


class TrackerError(Exception):
    """A failure with a message for people."""

    code = ExitCode.FAILED


class ChainUnreachableError(TrackerError):
    """No endpoint answered."""

    code = ExitCode.UNREACHABLE


class RefusedByPolicyError(TrackerError):
    """The endpoint refuses traffic under a load policy; `retry_after_seconds` is what it asked for, if it said."""

    code = ExitCode.REFUSED_BY_POLICY

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class IncompleteSnapshotError(TrackerError):
    """Not every row could be read, or the block went away; nothing was written."""

    code = ExitCode.INCOMPLETE


class ResponseTooBigError(TrackerError):
    """The endpoint's response limit; smaller chunks help."""


class StatePrunedError(TrackerError):
    """The endpoint no longer has the state of that block."""

    code = ExitCode.STATE_PRUNED


class TransientChainError(TrackerError):
    """The node failed internally; the same call may pass later."""

    code = ExitCode.UNREACHABLE


class MissingItemError(TrackerError):
    """This runtime has no such storage item."""


class StorageError(TrackerError):
    """Files or the database could not be read or written."""

    code = ExitCode.STORAGE


class NotEnoughSnapshotsError(TrackerError):
    """A comparison needs at least two usable snapshots."""

    code = ExitCode.NOT_ENOUGH_SNAPSHOTS


class UnknownSubnetError(TrackerError):
    """There is no such subnet at that block."""
