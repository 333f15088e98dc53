"""What a run would do: the forecast of a preview, and drift by operation name (D2)."""

from __future__ import annotations

from infra.spec.model import Model

_NAMES_SHOWN = 12


class PlannedOperation(Model):
    """One host operation, named `deploy | what it holds true`."""

    name: str
    would_change: bool


class Plan(Model):
    """All operations of a host in their order, judged against the machine as it is now: a forecast."""

    operations: tuple[PlannedOperation, ...] = ()
    #: Why an apply would change nothing at all: the mandatory rules that the machine breaks, one sentence each.
    refused_because: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of the operations that would change something, in order."""
        return tuple(operation.name for operation in self.operations if operation.would_change)

    def summary(self) -> str:
        """One line for a preview: `would run 2 of 14: base | file /etc/motd, k3s | config`."""
        changes = self.changes
        if not changes:
            return f"would run 0 of {len(self.operations)} operations"
        shown = ", ".join(changes[:_NAMES_SHOWN])
        more = f", and {len(changes) - _NAMES_SHOWN} more" if len(changes) > _NAMES_SHOWN else ""
        return f"would run {len(changes)} of {len(self.operations)} operations: {shown}{more}"


class Drift(Model):
    """What Read saw: the operations whose wish the machine no longer meets (or never met)."""

    operations: tuple[str, ...] = ()

    @classmethod
    def of(cls, plan: Plan) -> Drift:
        return cls(operations=plan.changes)
