"""What a gap swallowed is found; what was not read whole proves nothing; what destroys is asked twice."""

from __future__ import annotations

from datetime import UTC, datetime

from app.protocol.chutes import ChuteRecord
from app.protocol.events import Event, Reason
from app.protocol.instances import InstanceRecord
from app.validators.listing import Listing
from app.validators.reconcile import Confirmation, KnownChute, KnownDeployment, missed_events

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def deployment(name: str = "d", **changes: object) -> KnownDeployment:
    values: dict[str, object] = {
        "deployment_id": name, "chute_id": "c", "validator": "v", "version": "1", "instance_id": None,
        "config_id": f"config-{name}", "verified_at": None, "active": False,
    }  # fmt: skip
    return KnownDeployment(**(values | changes))  # type: ignore[arg-type]


def instances(*items: dict[str, object]) -> Listing[InstanceRecord]:
    return Listing({str(i["instance_id"]): InstanceRecord.model_validate({"chute_id": "c", **i}) for i in items})


def chutes(**versions: str) -> Listing[ChuteRecord]:
    return Listing({name: ChuteRecord(chute_id=name, version=version) for name, version in versions.items()})


def missed(
    deployments: list[KnownDeployment] | None = None,
    known: list[KnownChute] | None = None,
    remote_instances: Listing[InstanceRecord] | None = None,
    remote_chutes: Listing[ChuteRecord] | None = None,
) -> list[Event]:
    return missed_events(
        validator="v", hotkey="me", deployments=deployments or [], chutes=known or [],
        remote_instances=remote_instances, remote_chutes=remote_chutes,
    )  # fmt: skip


def reasons(events: list[Event]) -> list[str]:
    return [event.reason.value for event in events]


def test_a_missed_creation_verification_and_activation_come_in_order() -> None:
    remote = instances({"instance_id": "i", "config_id": "config-d", "last_verified_at": NOW, "active": True})
    assert reasons(missed([deployment()], remote_instances=remote)) == [
        "instance_created", "instance_verified", "instance_activated",
    ]  # fmt: skip


def test_nothing_was_missed_when_both_sides_agree() -> None:
    remote = instances({"instance_id": "i", "config_id": "config-d", "last_verified_at": NOW, "active": True})
    local = deployment(instance_id="i", verified_at=NOW, active=True)
    assert missed([local], [KnownChute("c", "v", "1")], remote, chutes(c="1")) == []


def test_an_absent_active_changes_nothing() -> None:
    remote = instances({"instance_id": "i", "config_id": "config-d"})
    assert missed([deployment(instance_id="i")], remote_instances=remote) == []


def test_an_instance_that_is_gone_is_reported_and_a_launch_in_progress_is_not() -> None:
    events = missed([deployment(instance_id="i"), deployment("e")], remote_instances=instances())
    assert reasons(events) == ["instance_deleted"]


def test_lists_that_were_not_read_prove_nothing() -> None:
    assert missed([deployment(instance_id="i")], [KnownChute("c", "v", "1")]) == []


def test_an_unreadable_object_is_not_gone() -> None:
    remote: Listing[InstanceRecord] = Listing({}, frozenset({"i"}))
    assert missed([deployment(instance_id="i")], remote_instances=remote) == []


def test_another_validators_rows_are_left_alone() -> None:
    local = deployment(instance_id="i", validator="w")
    events = missed([local], [KnownChute("c", "w", "1")], instances(), chutes(n="1"))
    assert reasons(events) == ["chute_created"]


def test_new_changed_and_gone_chutes_are_reported_and_cpu_chutes_ignored() -> None:
    cpu = ChuteRecord.model_validate({"chute_id": "cpu", "version": "1", "node_selector": {"compute_type": "cpu"}})
    remote = Listing({**chutes(new="1", changed="2").items, "cpu": cpu})
    known = [KnownChute("changed", "v", "1"), KnownChute("gone", "v", "1")]
    assert reasons(missed(known=known, remote_chutes=remote)) == ["chute_created", "chute_updated", "chute_deleted"]


def test_destruction_needs_two_readings_and_nothing_is_told_twice() -> None:
    confirmation = Confirmation(300)
    events = missed([deployment(instance_id="i")], [], instances(), chutes(new="1"))
    assert reasons(confirmation.passes(events, 0)) == ["chute_created"]
    assert confirmation.is_waiting
    assert reasons(confirmation.passes(events, 5)) == ["instance_deleted"]
    assert not confirmation.is_waiting
    assert confirmation.passes(events, 10) == []
    assert reasons(confirmation.passes(events, 400)) == ["chute_created", "instance_deleted"]


def test_a_suspect_that_came_back_is_forgotten() -> None:
    confirmation = Confirmation(300)
    gone = missed([deployment(instance_id="i")], remote_instances=instances())
    assert confirmation.passes(gone, 0) == []
    assert confirmation.passes([], 5) == []
    assert confirmation.passes(gone, 10) == []
    assert gone[0].reason is Reason.INSTANCE_DELETED


def test_a_chute_of_jobs_alone_is_announced_as_one_so_that_nobody_deploys_it() -> None:
    def told(**fields: object) -> object:
        record = ChuteRecord.model_validate({"chute_id": "c", "version": "1"} | fields)
        created, updated = (
            missed(known=known, remote_chutes=Listing({"c": record})) for known in ([], [KnownChute("c", "v", "0")])
        )
        assert reasons(created + updated) == ["chute_created", "chute_updated"]
        assert created[0].raw["job_only"] == updated[0].raw["job_only"]
        return created[0].raw["job_only"]

    assert told(cords=[], jobs=[{"name": "train"}]) is True
    assert told(cords=[{"path": "/"}], jobs=[{"name": "train"}]) is False
    assert told() is False, "an older validator does not say"
