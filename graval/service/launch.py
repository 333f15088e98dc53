"""A launch in one round trip: the pod offers a session, the validator locks a key, the pod's GPU earns it.

Both sides, without HTTP: offer and challenge travel in whatever the validator and the pod say to each other at a
launch (spec graval 2.6, 4.8). The validator takes the time between its challenge and the answer by its own clock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from graval.backends.base import Backend
from graval.containers import NONCE_BYTES, Container, associated_data, message_key, seal
from graval.lock import prepare_lock
from graval.messages import Digest, LockHeader, Message
from graval.service.phases import Begin, Hello, HelloAnswer, MessageAnswer, OpenMessage
from graval.service.proving import ProvingSessions
from graval.session import DeviceDescription, Session, WorkLimits, WorkParameters


class LaunchOffer(Message):
    """From the pod: the device that will work, and the key of a session that no nonce exists for yet."""

    device: DeviceDescription
    session_id: str
    public_key: Digest


class LaunchChallenge(Message):
    """From the validator: everything that the device needs to earn the text inside `container`."""

    verifier: str
    nonce: Digest
    parameters: WorkParameters
    public_key: Digest
    container: str
    lock: LockHeader


@dataclass(frozen=True)
class LaunchPlan:
    """Size of a launch's work. Use 10 to 20 rounds and 64 hidden rows on hardware (spec graval 4.8)."""

    parameters: WorkParameters
    columns: int
    rounds: int
    hidden_rows: int


def prepare_launch(
    offer: LaunchOffer, plan: LaunchPlan, verifier: str, miner: str, text: str, random: Random
) -> LaunchChallenge:
    """The validator's side. CPU-bound for tenths of a second: call it in a thread.

    `random` must be a `secrets.SystemRandom` outside tests. Raises ParameterRefusedError, ContainerRefusedError.
    """
    nonce = random.randbytes(32)
    session = Session(offer.device, plan.parameters, nonce, offer.public_key, verifier, miner)
    lock, work_key = prepare_lock(session, plan.columns, plan.rounds, plan.hidden_rows, random)
    key = X25519PrivateKey.generate()
    sealed = seal(
        message_key(session, key, offer.public_key, work_key),
        random.randbytes(NONCE_BYTES),
        text.encode(),
        associated_data(session, offer.session_id),
    )
    return LaunchChallenge(
        verifier=verifier,
        nonce=nonce,
        parameters=plan.parameters,
        public_key=key.public_key().public_bytes_raw(),
        container=Container(0, sealed).text(),
        lock=lock,
    )


class PodProver:
    """The pod's side, for one device. Give the memory back with `close` before the workload starts."""

    def __init__(
        self, backend: Backend, device: DeviceDescription, miner: str, limits: WorkLimits, now: Callable[[], float]
    ) -> None:
        self._device = device
        self._sessions = ProvingSessions(backend, miner, limits, now)

    def offer(self, verifier: str, fresh_id: str) -> LaunchOffer:
        """What to send with the claim of a launch."""
        answer = self._sessions.answer(verifier, Hello(device_uuid=self._device.uuid), fresh_id)
        hello = HelloAnswer.model_validate(answer.model_dump())
        return LaunchOffer(device=self._device, session_id=hello.session_id, public_key=hello.public_key)

    def earn(self, offer: LaunchOffer, challenge: LaunchChallenge) -> str:
        """Do the work; answers with the text. Blocks for all of it.

        Raises:
            ParameterRefusedError, LockRefusedError, ContainerRefusedError, ProtocolOrderError: as a prover does.
        """
        uuid = self._device.uuid
        begin = Begin(
            device_uuid=uuid, session_id=offer.session_id, nonce=challenge.nonce, parameters=challenge.parameters
        )
        self._sessions.answer(challenge.verifier, begin, "")
        message = OpenMessage(
            device_uuid=uuid,
            session_id=offer.session_id,
            public_key=challenge.public_key,
            container=challenge.container,
            lock=challenge.lock,
        )
        answer = self._sessions.answer(challenge.verifier, message, "")
        return MessageAnswer.model_validate(answer.model_dump()).plaintext

    def close(self) -> None:
        """Give the device's memory back."""
        self._sessions.close()
