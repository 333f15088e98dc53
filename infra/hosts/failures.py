"""What can go wrong on a machine, in the words that the operator will read."""

from __future__ import annotations


class RunnerError(Exception):
    """A run ended early.

    Args:
        message: what was seen, what was wanted and what fixes it; short.
        operation: the operation that failed, if one did.
        output: what the machine printed.
    """

    def __init__(self, message: str, *, operation: str | None = None, output: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.output = output


class CannotConnectError(RunnerError):
    """No SSH session: nothing was changed."""


class OperationFailedError(RunnerError):
    """The machine was reached and did not do what it was told; earlier operations stand."""
