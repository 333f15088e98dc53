"""Reads plans and results out of pyinfra's State."""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra.api.host import Host
from pyinfra.api.operation import OperationMeta
from pyinfra.api.state import State

from infra.spec import Plan, PlannedOperation


def operations_of(state: State, host: Host) -> Iterator[tuple[str, OperationMeta]]:
    """Name and state of every operation, in order."""
    for op_hash in state.get_op_order():
        (name,) = state.op_meta[op_hash].names
        yield name, state.ops[host][op_hash].operation_meta


def plan_of(state: State, host: Host, refused_because: tuple[str, ...] = ()) -> Plan:
    """What would change, judged against the machine as it is now; `refused_because` goes into it as it is."""
    planned = (
        PlannedOperation(name=name, would_change=operation.will_change)
        for name, operation in operations_of(state, host)
    )
    return Plan(operations=tuple(planned), refused_because=refused_because)


def names_of_changes(state: State, host: Host) -> tuple[str, ...]:
    """What a finished run changed."""
    return tuple(name for name, operation in operations_of(state, host) if operation.did_change())


def failed_operation(state: State, host: Host) -> tuple[str | None, str]:
    """Name and output of the operation that failed, or (None, "") where none did."""
    for name, operation in operations_of(state, host):
        if operation.is_complete() and operation.did_error():
            return name, "\n".join([*operation.stdout_lines, *operation.stderr_lines])
    return None, ""
