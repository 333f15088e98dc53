"""Turns pyinfra's callbacks into progress events."""

from __future__ import annotations

from pyinfra.api.host import Host
from pyinfra.api.state import BaseStateCallback, State

from infra.hosts.emitter import Emitter
from infra.spec import OperationEvent, OperationState


class Progress(BaseStateCallback):
    """Says which operation begins and how it ended."""

    def __init__(self, emitter: Emitter, host: Host, total: int) -> None:
        self._emitter = emitter
        self._host = host
        self._total = total
        self._number = 0

    def operation_start(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        self._number += 1
        self._say(state, op_hash, OperationState.STARTED)

    def operation_host_error(  # type: ignore[override]
        self,
        state: State,
        host: Host,  # noqa: ARG002 pyinfra's signature
        op_hash: str,
        retry_count: int = 0,  # noqa: ARG002
        max_retries: int = 0,  # noqa: ARG002
    ) -> None:
        self._say(state, op_hash, OperationState.FAILED)

    def operation_end(self, state: State, op_hash: str) -> None:  # type: ignore[override]
        """Reached by successful operations only; here, unlike in `operation_host_success`, the outcome is known."""
        changed = state.ops[self._host][op_hash].operation_meta.did_change()
        self._say(state, op_hash, OperationState.CHANGED if changed else OperationState.UNCHANGED)

    def _say(self, state: State, op_hash: str, what: OperationState) -> None:
        (name,) = state.op_meta[op_hash].names
        self._emitter.emit(OperationEvent(number=self._number, total=self._total, name=name, state=what))
