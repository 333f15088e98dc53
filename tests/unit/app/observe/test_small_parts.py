"""Small parts of the monitor: settings, stored health, bodies (spec: agent-monitor 22, C29, C33 to C35, C39)."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import RedisError

from app.observe.api.application import run_services
from app.observe.api.clusters import parse_time
from app.observe.api.dashboard import REDACTED, health_summary, redact
from app.observe.entries import decode_observed, encode_details, encode_entry, index_terms
from app.observe.intake import Spool
from app.observe.readings import ClusterState
from app.observe.settings import MonitorSettings, ObservationMode
from app.observe.store import iso_timestamp
from app.observe.view import decode_health
from app.protocol.channels import ResourceType, resource_field
from app.protocol.objects import (
    EventType,
    MalformedObjectError,
    ObjectEvent,
    compare_versions,
    event_body,
    events_body,
    parse_event,
    parse_events,
    parse_snapshot,
    snapshot_body,
)
from lab.services.redis import free_port
from tests.support.kubernetes_objects import job, node, parsed, pod, snapshot
from tests.support.observe import MemoryInventory, monitor_settings


@pytest.mark.parametrize(
    ("status", "phase"),
    [({"active": 1}, None), ({"succeeded": 1}, "Succeeded"), ({"failed": 1}, "Failed"), ({}, None)],
)
def test_the_phase_of_a_job_is_how_its_pod_ended(status: dict[str, int], phase: str | None) -> None:
    assert parsed(job("chute-d1") | {"status": status}).phase == phase


def test_c29_a_snapshot_survives_the_round_trip_with_its_bytes_untouched() -> None:
    body = snapshot([pod("a", 3, size=3000)], [job("j")], nodes=[node()])
    once = parse_snapshot(body)
    again = parse_snapshot(snapshot_body(item for items in once.objects.values() for item in items))
    assert again == once
    found = once.objects[ResourceType.POD][0]
    assert (found.name, found.resource_version, found.phase, found.node_name) == ("a", "3", "Running", "gpu-1")
    assert orjson.loads(found.body)["metadata"]["name"] == "a"


def test_events_survive_the_round_trip_and_gain_the_kind_that_lists_lack() -> None:
    bare = pod("a")
    del bare["kind"]
    event = ObjectEvent(EventType.ADDED, parsed(bare, ResourceType.POD))
    assert parse_event(event_body(event)).object.kind is ResourceType.POD
    assert [e.type for e in parse_events(events_body([event, event]))] == [EventType.ADDED] * 2
    with pytest.raises(MalformedObjectError):
        parse_events(b'{"events":[{"type":"ADDED"}]}')


@given(st.binary(max_size=200))
def test_t15_no_body_breaks_the_parsers(body: bytes) -> None:
    for parse in (parse_event, parse_events, parse_snapshot):
        with pytest.raises(MalformedObjectError):
            parse(body)


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [("9", "10", -1), ("10", "10", 0), ("11", "9", 1), ("a", "b", None), ("a", "a", 0), ("", "1", None)],
)
def test_versions_are_compared_as_numbers_or_not_at_all(left: str, right: str, order: int | None) -> None:
    assert compare_versions(left, right) == order


def test_c33_defaults_and_overrides_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINER_SS58", "5x")
    monkeypatch.setenv("MINER_SEED", "00")
    settings = MonitorSettings()
    assert (settings.heartbeat_interval, settings.redis_url) == (30, "redis://redis:6379")
    assert settings.observation_mode is ObservationMode.BOTH
    monkeypatch.setenv("HEARTBEAT_INTERVAL", "5")
    monkeypatch.setenv("OBSERVATION_MODE", "pull")
    assert (MonitorSettings().heartbeat_interval, MonitorSettings().observation_mode) == (5, ObservationMode.PULL)


async def test_c34_a_monitor_without_redis_does_not_start() -> None:
    with pytest.raises((RedisError, OSError)):
        async with run_services(monitor_settings(f"redis://127.0.0.1:{free_port()}"), MemoryInventory()):
            pass


def test_c35_fields_of_namespaced_and_cluster_scoped_objects() -> None:
    assert resource_field("chutes", "a") == "chutes:a"
    assert parsed(node("gpu-1")).field == "None:gpu-1"


def test_c39_stored_health_is_read_with_empty_texts_as_nothing_and_damage_as_unhealthy() -> None:
    assert decode_health("a", {}, None).state is ClusterState.ABSENT
    good = decode_health("a", {b"state": b"active", b"error_message": b""}, b"1000")
    assert (good.state, good.message, good.received_at) == (
        ClusterState.ACTIVE,
        None,
        datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    )
    assert decode_health("a", {b"state": b"?"}, None).state is ClusterState.UNHEALTHY


def test_times_are_written_with_six_digits_and_read_with_any() -> None:
    assert iso_timestamp(1_700_000_000_000) == "2023-11-14T22:13:20.000000+00:00"
    assert parse_time("2026-01-01T00:00:00") == datetime(2026, 1, 1, tzinfo=UTC)
    assert parse_time("2026-01-01T00:00:00Z") == datetime(2026, 1, 1, tzinfo=UTC)
    assert parse_time("soon") is parse_time(None) is None


def test_environment_values_are_redacted_wherever_they_stand() -> None:
    body = {
        "spec": {"containers": [{"env": [{"name": "T", "value": "x"}, {"name": "F", "valueFrom": {}}]}], "env": "x"}
    }
    clean = redact(body)
    assert clean["spec"]["containers"][0]["env"] == [{"name": "T", "value": REDACTED}, {"name": "F", "valueFrom": {}}]
    assert clean["spec"]["env"] == REDACTED


def test_states_are_counted_as_the_public_overview_counts_them() -> None:
    counted = health_summary([ClusterState.ACTIVE, ClusterState.STARTING, ClusterState.INACTIVE])
    assert counted["healthy_clusters"] == counted["starting_clusters"] == counted["offline_clusters"] == 1


def test_an_entry_is_read_as_it_was_written() -> None:
    body = pod("a", 7, node="gpu-1")
    body["metadata"]["labels"] = {"chutes/config-id": "c1"}
    item = parsed(body)
    terms = index_terms(item)
    assert set(terms) == {"name:pod:chutes:a", "label:chutes/config-id=c1", "node:gpu-1"}
    text = encode_entry(item.uid, "7", 5, "\t".join(terms), encode_details(item))
    found = decode_observed(text, "gpu-1", ResourceType.POD, item.uid)
    assert (found.name, found.uid, found.labels, found.is_unconfirmed) == ("a", item.uid, item.labels, True)


def test_a_big_body_goes_to_a_private_file_that_is_gone_afterwards() -> None:
    with Spool() as spool:
        for _ in range(40):
            spool.write(b"x" * 65_536)
        path = spool.path
        assert path is not None
        assert path.stat().st_mode & 0o777 == 0o600
        assert len(spool.read()) == spool.size == 40 * 65_536
    assert not path.exists()
