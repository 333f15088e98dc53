"""Sessions of the proving side: one for each verifier and device, phases in order. No HTTP."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from graval.backends.base import Backend, ProtocolOrderError, Prover
from graval.containers import Container, associated_data, message_key, unseal
from graval.messages import Message
from graval.service.phases import (
    Begin,
    Chase,
    ChaseAnswer,
    Dense,
    DenseCommitment,
    Done,
    Fill,
    Hello,
    HelloAnswer,
    MessageAnswer,
    OpenDense,
    OpenMessage,
    OpenSteps,
    OpenTiles,
    Phase,
    StepsAnswer,
    Sweep,
    SweepAnswer,
    TilesAnswer,
)
from graval.session import ParameterRefusedError, Session, WorkLimits

#: A session that nobody asks anything of gives its device free after this time.
IDLE_SECONDS: Final = 600.0


@dataclass
class _Held:
    session_id: str
    key: X25519PrivateKey = field(repr=False)
    used_at: float
    prover: Prover | None = None
    last_root: bytes | None = None

    def begun(self) -> Prover:
        if self.prover is None:
            raise ProtocolOrderError("the session has no nonce yet: send phase `begin` first")
        return self.prover

    def close(self) -> None:
        if self.prover is not None:
            self.prover.close()
            self.prover = None


class ProvingSessions:
    """What one node proves. A verifier sees only sessions of his own; a new `hello` ends his last one for the device.

    A device's memory holds one session at a time: while one is in use, another verifier's `begin` is refused.
    Not safe for concurrent calls about one device: the service lets in one at a time.
    """

    def __init__(self, backend: Backend, miner: str, limits: WorkLimits, now: Callable[[], float]) -> None:
        self.devices = {device.uuid: device for device in backend.devices()}
        self._backend = backend
        self._miner = miner
        self._limits = limits
        self._now = now
        self._held: dict[tuple[str, str], _Held] = {}

    def answer(self, verifier: str, phase: Phase, fresh_id: str) -> Message:
        """Do what a phase asks.

        Raises:
            ProtocolOrderError: out of order, unknown session or device, or a device that another verifier uses.
            ParameterRefusedError, LockRefusedError, ContainerRefusedError: as the prover and the containers do.
        """
        if phase.device_uuid not in self.devices:
            raise ProtocolOrderError(f"this node has no device {phase.device_uuid!r}; GET /devices lists them")
        if isinstance(phase, Hello):
            return self._hello(verifier, phase, fresh_id)
        found = self._held.get((verifier, phase.device_uuid))
        if found is None or found.session_id != phase.session_id:
            raise ProtocolOrderError("no such session: send phase `hello` first")
        try:
            return self._in_session(verifier, found, phase)
        finally:
            found.used_at = self._now()

    def close(self) -> None:
        """End every session."""
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _hello(self, verifier: str, phase: Hello, fresh_id: str) -> HelloAnswer:
        earlier = self._held.pop((verifier, phase.device_uuid), None)
        if earlier is not None:
            earlier.close()
        held = _Held(fresh_id, X25519PrivateKey.generate(), self._now())
        self._held[verifier, phase.device_uuid] = held
        return HelloAnswer(session_id=fresh_id, public_key=held.key.public_key().public_bytes_raw())

    def _in_session(self, verifier: str, held: _Held, phase: Phase) -> Message:  # noqa: PLR0911 - one return a phase
        match phase:
            case Begin():
                self._begin(verifier, held, phase)
                return Done()
            case Fill():
                held.begun().fill()
                return Done()
            case Sweep():
                roots = held.begun().sweep(phase.request)
                held.last_root = roots[-1]
                return SweepAnswer(roots=roots)
            case OpenTiles():
                return TilesAnswer(openings=held.begun().open_tiles(phase.choices))
            case Chase():
                return ChaseAnswer(root=held.begun().chase(phase.request))
            case OpenSteps():
                return StepsAnswer(openings=held.begun().open_steps(phase.choices))
            case Dense():
                return DenseCommitment(root=held.begun().commit_dense(phase.inner))
            case OpenDense():
                return held.begun().answer_dense(phase.request)
            case OpenMessage():
                return self._open(held, held.begun(), phase)
            case Hello():
                raise ProtocolOrderError("phase `hello` names no session")

    def _begin(self, verifier: str, held: _Held, phase: Begin) -> None:
        if held.prover is not None:
            raise ProtocolOrderError("the session has its nonce already: send phase `hello` for another session")
        self._free_device(verifier, phase.device_uuid)
        session = Session(
            device=self.devices[phase.device_uuid],
            parameters=phase.parameters,
            nonce=phase.nonce,
            prover_public_key=held.key.public_key().public_bytes_raw(),
            verifier_identity=verifier,
            miner_identity=self._miner,
        )
        held.prover = self._backend.prover(session, self._limits)

    def _free_device(self, verifier: str, device_uuid: str) -> None:
        """End other verifiers' sessions on a device that have idled; raises ProtocolOrderError for one in use."""
        for (other, uuid), held in list(self._held.items()):
            if uuid != device_uuid or other == verifier or held.prover is None:
                continue
            left = IDLE_SECONDS - (self._now() - held.used_at)
            if left > 0:
                raise ProtocolOrderError(f"another verifier's session holds the device; try again in {left:.0f} s")
            held.close()
            del self._held[other, uuid]

    def _open(self, held: _Held, prover: Prover, phase: OpenMessage) -> MessageAnswer:
        work_key = prover.open_lock(phase.lock) if phase.lock is not None else held.last_root
        if work_key is None:
            raise ProtocolOrderError("a message without a lock opens only after a sweep")
        key = message_key(prover.session, held.key, phase.public_key, work_key)
        sealed = Container.parse(phase.container).sealed
        plaintext = unseal(key, sealed, associated_data(prover.session, held.session_id))
        try:
            return MessageAnswer(plaintext=plaintext.decode())
        except UnicodeDecodeError as error:
            raise ParameterRefusedError("the message is no UTF-8 text") from error
