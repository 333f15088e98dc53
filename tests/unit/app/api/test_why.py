"""Reason codes as functions of rows: what an operator reads when something does not earn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.api.why import Code, why_chute, why_deployment, why_gpu, why_server
from app.storage.models import Chute, Deployment, Gpu, Server

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def chute(**changes: object) -> Chute:
    return Chute(**{"chute_id": "c", "name": "c", "supported_gpus": ["h100"], "ban_reason": None} | changes)


def gpu(**changes: object) -> Gpu:
    return Gpu(**{"gpu_id": "g", "verified": True, "deployment_id": None, "model_short_ref": "h100"} | changes)


def server(**changes: object) -> Server:
    return Server(**{"server_id": "s", "name": "node", "status": "Ready", "locked": False} | changes)


def deployment(**changes: object) -> Deployment:
    values = {
        "deployment_id": "d", "stub": False, "instance_id": "i", "verified_at": NOW, "active": True, "created_at": NOW,
    }  # fmt: skip
    return Deployment(**values | changes)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"verified": False}, Code.GPU_UNVERIFIED), ({"deployment_id": "d"}, Code.GPU_ALLOCATED),
        ({"model_short_ref": "b200"}, Code.NO_CHUTE_FITS), ({}, Code.GPU_IDLE),
    ],
)  # fmt: skip
def test_a_gpu_has_the_one_reason_that_describes_it_best(changes: dict[str, object], code: Code) -> None:
    assert why_gpu(gpu(**changes), [chute()]).code is code


def test_a_banned_chute_does_not_count_as_one_that_fits() -> None:
    assert why_gpu(gpu(), [chute(ban_reason="x")]).code is Code.NO_CHUTE_FITS


def test_a_server_says_everything_that_keeps_it_from_earning_and_how_to_go_on() -> None:
    found = why_server(server(locked=True, status="NotReady"), [], [])
    assert [reason.code for reason in found] == [
        Code.SERVER_LOCKED, Code.SERVER_NOT_READY, Code.SERVER_WITHOUT_GPUS
    ]  # fmt: skip
    assert found[0].fix == "unlock --name node"
    assert [reason.code for reason in why_server(server(), [gpu()], [chute()])] == [Code.GPU_IDLE]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stub": True}, Code.DEPLOYMENT_STUB), ({"instance_id": None}, Code.DEPLOYMENT_NOT_CLAIMED),
        ({"verified_at": None}, Code.DEPLOYMENT_UNVERIFIED), ({"active": False}, Code.DEPLOYMENT_INACTIVE),
        ({}, Code.DEPLOYMENT_ACTIVE),
    ],
)  # fmt: skip
def test_a_deployment_says_how_far_it_is(changes: dict[str, object], code: Code) -> None:
    assert [reason.code for reason in why_deployment(deployment(**changes), NOW)] == [code]


def test_a_deployment_that_takes_long_says_since_when() -> None:
    late = NOW + timedelta(minutes=45)
    found = why_deployment(deployment(active=False), late)
    assert found[-1].code is Code.DEPLOYMENT_SLOW
    assert "45 minutes" in found[-1].text
    assert why_deployment(deployment(), late)[-1].code is Code.DEPLOYMENT_ACTIVE


def test_a_chute_tells_its_ban_and_that_it_runs_nowhere() -> None:
    found = why_chute(chute(ban_reason="too slow"), [], NOW)
    assert [reason.code for reason in found] == [Code.CHUTE_BANNED, Code.CHUTE_NOT_DEPLOYED]
    assert "too slow" in found[0].text
    assert [reason.code for reason in why_chute(chute(), [deployment()], NOW)] == [Code.DEPLOYMENT_ACTIVE]
