"""The audit report's bytes and what goes into them (spec: protocol 16)."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
import pytest

from app.audit.chain import ChainCommitError, block_of, commitment_info
from app.audit.exporter import is_duplicate
from app.audit.prometheus import PrometheusError, read_start, read_usages, start_of
from app.audit.report import Bucket, ChuteUsage, build_report, uptime_message, usages
from app.storage.models import DeploymentAudit
from app.validators.errors import RefusedError, UnreachableError

NOW = datetime(2026, 1, 1, 12, 1, 30, tzinfo=UTC)
BUCKET = Bucket.last_full(NOW)


def sample(value: str, function: str = "run") -> dict[str, object]:
    labels = {"chute_id": "c1", "chutes_deployment_id": "d1", "function": function}
    return {"metric": labels, "values": [[0, value]]}


def test_a_bucket_is_the_last_full_hour() -> None:
    assert (BUCKET.start.isoformat(), BUCKET.end.isoformat()) == (
        "2026-01-01T11:00:00+00:00",
        "2026-01-01T12:00:00+00:00",
    )


def test_usages_join_by_labels_and_leave_out_what_served_nothing() -> None:
    found = usages([sample("1.5"), sample("0", "idle"), sample("2", "uncounted")], [sample("3"), sample("9", "idle")])
    assert found == (ChuteUsage("c1", "d1", "run", 1.5, 3), ChuteUsage("c1", "d1", "uncounted", 2.0, 0))
    assert usages([{"metric": None, "values": []}], []) == ()


def test_the_report_has_the_public_fields_in_the_public_order() -> None:
    row = DeploymentAudit(
        deployment_id="d1",
        validator="v",
        chute_id="c1",
        version="1",
        created_at=datetime(2026, 1, 1, 11, 5),  # noqa: DTZ001 - stored naive
    )
    report = json.loads(build_report("5x", BUCKET, "m", [ChuteUsage("c1", "d1", "run", 1.5, 3)], [row]))
    assert list(report) == [
        "miner_hotkey",
        "start_time",
        "end_time",
        "prometheus_message",
        "prometheus_metrics",
        "deployment_audit",
    ]
    assert report["deployment_audit"][0]["created_at"] == "2026-01-01T11:05:00"
    assert report["deployment_audit"][0]["deleted_at"] is None
    assert report["prometheus_metrics"][0] == {
        "chute_id": "c1",
        "deployment_id": "d1",
        "function": "run",
        "total_seconds": 1.5,
        "total_count": 3,
    }


@pytest.mark.parametrize(
    ("started", "words"),
    [(None, "unknown"), (BUCKET.start, "full hour"), (datetime(2026, 1, 1, 11, 59, tzinfo=UTC), "only 60 seconds")],
)
def test_the_message_says_what_prometheus_can_speak_for(started: datetime | None, words: str) -> None:
    assert words in uptime_message(started, BUCKET)


def test_the_start_is_that_of_the_servers_container() -> None:
    status = {
        "containerStatuses": [
            {"name": "prometheus-server", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
        ]
    }
    assert start_of({"items": [{"status": {}}, {"status": status}]}) == datetime(2026, 1, 1, tzinfo=UTC)
    assert start_of({}) is None


async def test_the_start_is_unknown_outside_a_cluster() -> None:
    assert await read_start("monitoring", {}) is None


async def test_prometheus_is_asked_for_one_instant_and_its_silence_is_an_error() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(dict(request.url.params))
        return httpx.Response(200, json={"data": {"result": [sample("2")]}})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        assert (await read_usages(http, "http://p", BUCKET))[0].total_count == 2
    assert {call["start"] == call["end"] == str(BUCKET.end.timestamp()) for call in asked} == {True}
    assert 'increase(invocation_total{status="200"}[1h])' in asked[1]["query"]
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(500))) as http:
        with pytest.raises(PrometheusError):
            await read_usages(http, "http://p", BUCKET)


def test_the_block_is_read_from_the_extrinsics_id() -> None:
    assert block_of("4711-3") == 4711
    for wrong in (None, "", "x-1"):
        with pytest.raises(ChainCommitError):
            block_of(wrong)
    assert commitment_info("ab") == {"fields": [[{"Sha256": "0xab"}]]}


def test_only_a_validators_words_about_a_duplicate_count_as_done() -> None:
    assert is_duplicate(RefusedError("POST", 500, "duplicate key value violates unique constraint"))
    assert not is_duplicate(RefusedError("POST", 500, "boom"))
    assert not is_duplicate(RefusedError("POST", 400, "duplicate"))
    assert not is_duplicate(UnreachableError("away"))
