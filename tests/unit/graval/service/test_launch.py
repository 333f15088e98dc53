"""A launch in one round trip: only the device that did the work, in the session that it offered, reads the key."""

from random import Random

import pytest

from graval.backends.base import ProtocolOrderError
from graval.backends.simulated import SimulatedBackend
from graval.containers import ContainerRefusedError
from graval.lock import LockRefusedError
from graval.service.launch import LaunchChallenge, LaunchOffer, LaunchPlan, PodProver, prepare_launch
from graval.session import ParameterRefusedError, WorkLimits
from tests.support.graval_sessions import made_up_device, small_parameters

DEVICE, OTHER = made_up_device(), made_up_device("f" * 32)
PLAN = LaunchPlan(small_parameters(), columns=8, rounds=2, hidden_rows=3)
VALIDATOR, MINER, KEY = "5validator", "5miner", "00112233445566778899aabbccddeeff"


def pod(limits: WorkLimits | None = None) -> PodProver:
    return PodProver(SimulatedBackend((DEVICE, OTHER)), DEVICE, MINER, limits or WorkLimits(), lambda: 0.0)


def challenge_for(offer: LaunchOffer, plan: LaunchPlan = PLAN) -> LaunchChallenge:
    return prepare_launch(offer, plan, VALIDATOR, MINER, KEY, Random(3))


def test_the_pod_earns_the_key_and_the_messages_survive_json() -> None:
    prover = pod()
    offer = LaunchOffer.model_validate_json(prover.offer(VALIDATOR, "session 1").model_dump_json())
    challenge = LaunchChallenge.model_validate_json(challenge_for(offer).model_dump_json())
    assert KEY not in challenge.model_dump_json()
    assert prover.earn(offer, challenge) == KEY
    prover.close()
    with pytest.raises(ProtocolOrderError, match="no such session"):
        prover.earn(offer, challenge)


def test_a_challenge_for_another_key_device_or_session_opens_nowhere() -> None:
    prover = pod()
    offer = prover.offer(VALIDATOR, "session 1")
    for changed in (
        offer.model_copy(update={"device": OTHER}),
        offer.model_copy(update={"public_key": pod().offer(VALIDATOR, "x").public_key}),
    ):
        with pytest.raises(LockRefusedError, match="match no row"):
            prover.earn(offer, challenge_for(changed))
        offer = prover.offer(VALIDATOR, "session 1")
    elsewhere = offer.model_copy(update={"session_id": "session 2"})
    with pytest.raises(ContainerRefusedError, match="does not open"):
        prover.earn(offer, challenge_for(elsewhere))


def test_a_challenge_beyond_the_pods_limits_is_refused_before_any_work() -> None:
    prover = pod(WorkLimits(fill_bytes=1024))
    offer = prover.offer(VALIDATOR, "session 1")
    with pytest.raises(ParameterRefusedError, match="fill_bytes is 2048"):
        prover.earn(offer, challenge_for(offer))
