"""Wire models take what public validators send, of any age, and refuse what could do harm."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.protocol.chutes import ChuteRecord, ImageRecord, RollingUpdate
from app.protocol.events import (
    DEFAULT_DISK_GB,
    Event,
    JobCreated,
    Reason,
    Rejected,
    from_broadcast,
    from_envelope,
)
from app.protocol.instances import InstanceRecord, LaunchConfig
from app.protocol.servers import AddServer, DeviceInfo, registered_gpus
from app.protocol.wire import bare_gpu_id, driver_gpu_id, version_tuple

ME = "5me"
CHUTE = {"chute_id": "c", "version": "v", "node_selector": {"gpu_count": 2, "supported_gpus": ["h100"], "new": 1}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


def test_a_chute_of_the_newest_validator_has_no_code_and_that_is_fine() -> None:
    chute = ChuteRecord.model_validate(
        {**CHUTE, "later_field": {"x": 1}, "preemptible": None, "tee": None, "code": None}
    )
    assert (chute.code, chute.filename, chute.preemptible, chute.tee) == ("", "", True, False)
    assert (chute.gpu_refs, chute.gpu_count, chute.is_cpu_only) == (("h100",), 2, False)
    assert ChuteRecord.model_validate({**CHUTE, "node_selector": {"compute_type": "cpu"}}).is_cpu_only


@pytest.mark.parametrize(
    ("patch", "expected"), [(None, "me/img:1.0"), ("initial", "me/img:1.0"), ("p2", "me/img:1.0-p2")]
)
def test_an_image_reference_is_lower_case_with_the_patch_as_suffix(patch: str | None, expected: str) -> None:
    image = ImageRecord(image_id="i", username="Me", name="Img", tag="1.0", patch_version=patch)
    assert image.reference == expected


def test_naive_times_are_utc_and_offsets_are_kept() -> None:
    naive = InstanceRecord.model_validate({"instance_id": "i", "chute_id": "c", "created_at": "2026-01-01T00:00:00"})
    offset = InstanceRecord.model_validate(
        {"instance_id": "i", "chute_id": "c", "created_at": "2026-01-01T02:00:00.5+02:00"}
    )
    assert naive.created_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert offset.created_at == datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)
    assert naive.active is None


def test_a_launch_token_does_not_show() -> None:
    assert "secret" not in repr(LaunchConfig(token="secret", config_id="c"))


def test_gpu_ids_convert_both_ways() -> None:
    bare = "0123456789abcdef0123456789abcdef"
    driver = "GPU-01234567-89ab-cdef-0123-456789abcdef"
    assert driver_gpu_id(bare) == driver_gpu_id(driver) == driver
    assert bare_gpu_id(driver.replace("ab", "AB")) == bare


@pytest.mark.parametrize(("text", "expected"), [("1.4.0-rc1", (1, 4, 0)), ("v0.3.61", (0, 3, 61)), (None, (0, 0, 0))])
def test_versions_compare_by_their_first_three_numbers(text: str | None, expected: tuple[int, int, int]) -> None:
    assert version_tuple(text) == expected


def test_only_known_device_fields_are_registered_and_more_than_ten_are_refused() -> None:
    device = DeviceInfo.model_validate({"uuid": "GPU-AB", "name": "H100", "memory": 1, "clock_rate": 2, "odd": 3})
    (gpu,) = registered_gpus([device], "h100", "192.0.2.1", 30443)
    assert gpu.model_dump(exclude_none=True) == {
        "uuid": "ab", "name": "H100", "memory": 1, "clock_rate": 2.0, "device_index": 0, "gpu_identifier": "h100",
        "verification_host": "192.0.2.1", "verification_port": 30443,
    }  # fmt: skip
    assert device.model_dump(exclude_unset=True)["odd"] == 3
    with pytest.raises(ValueError, match="at most 10 GPUs"):
        registered_gpus([device] * 11, "h100", "h", 1)


def test_add_server_takes_exactly_the_documented_fields() -> None:
    body = {"name": "n", "validator": "v", "hourly_cost": 1.5, "gpu_short_ref": "h100"}
    assert AddServer.model_validate(body).agent_api is None
    for wrong in ({"name": "../x"}, {"hourly_cost": "nan"}, {"extra": 1}):
        with pytest.raises(ValidationError):
            AddServer.model_validate(body | wrong)


def test_job_events_accept_both_spellings_and_a_missing_disk() -> None:
    for key in ("exclude", "excluded"):
        event = from_broadcast(
            {"reason": "job_created", "data": {"job_id": "j", "chute_id": "c", key: ["a"]}}, validator="v", hotkey=ME
        )
        assert isinstance(event, Event)
        assert isinstance(event.data, JobCreated)
        assert (event.data.exclude, event.data.disk_gb) == (("a",), DEFAULT_DISK_GB)


def test_an_event_carries_its_connections_validator_whatever_it_says_itself() -> None:
    message = {"reason": "chute_created", "data": {"chute_id": "c", "version": "v", "validator": "forged", "odd": 1}}
    event = from_broadcast(message, validator="real", hotkey=ME)
    assert isinstance(event, Event)
    assert event.data.validator == "real"
    relayed = orjson.loads(event.envelope())
    assert relayed == {
        "event_type": "chute_created",
        "event_data": {"chute_id": "c", "version": "v", "validator": "real", "odd": 1},
    }
    again = from_envelope(event.envelope())
    assert isinstance(again, Event)
    assert again.reason is Reason.CHUTE_CREATED


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("text", "not an object"),
        ({"reason": "chute_created"}, "no data object"),
        ({"reason": "brand_new", "data": {}}, "unknown reason"),
        ({"reason": "server_deleted", "data": {"server_id": "s"}}, "a local reason"),
        ({"reason": "instance_deleted", "data": {"instance_id": "i", "miner_hotkey": "other"}}, "another miner's"),
        ({"reason": "instance_deleted", "data": {"instance_id": "../../x", "miner_hotkey": ME}}, "data.instance_id"),
        ({"reason": "chute_deleted", "data": {"chute_id": "c"}}, "data.version"),
        ({"reason": "job_created", "data": {"job_id": "j", "chute_id": "c", "exclude": 7}}, "data.exclude"),
        ({"reason": "bounty_change", "data": {"chute_id": "c", "name": "\ud800"}}, "cannot be written as JSON"),
        ({"reason": "bounty_change", "data": {"chute_id": "c", "more": 2**70}}, "cannot be written as JSON"),
        ({"reason": "\ud800", "data": {}}, "unknown reason"),
    ],
)
def test_what_is_not_understood_is_refused_with_a_reason(message: object, why: str) -> None:
    answer = from_broadcast(message, validator="v", hotkey=ME)
    assert isinstance(answer, Rejected)
    assert why in answer.why
    assert orjson.dumps({"why": answer.why, "reason": answer.reason})  # as it is kept for the operator


@given(JSON, st.sampled_from(list(Reason)))
def test_no_message_raises(data: object, reason: Reason) -> None:
    for message in (data, {"reason": reason.value, "data": data}):
        assert from_broadcast(message, validator="v", hotkey=ME) is not None


@given(st.binary(max_size=60))
def test_no_envelope_raises(message: bytes) -> None:
    assert isinstance(from_envelope(message), Rejected)


def test_null_maps_are_empty() -> None:
    assert RollingUpdate.model_validate({"chute_id": "c", "permitted": None}).permitted == {}
