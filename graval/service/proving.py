"""Sessions of the proving side: one for each verifier and device, phases in order. No HTTP."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from graval.containers import Container, associated_data, message_key, unseal
from graval.messages import Message
from graval.reference import ProtocolOrderError, ReferenceProver
from graval.service.phases import (
    Begin,
    Done,
    Hello,
    HelloAnswer,
    MessageAnswer,
    OpenMessage,
    OpenTiles,
    Phase,
    Sweep,
    SweepAnswer,
    TilesAnswer,
)
from graval.session import DeviceDescription, ParameterRefusedError, Session, WorkLimits


@dataclass
class _Held:
    session_id: str
    key: X25519PrivateKey = field(repr=False)
    prover: ReferenceProver | None = None
    last_root: bytes | None = None

    def begun(self) -> ReferenceProver:
        if self.prover is None:
            raise ProtocolOrderError("the session has no nonce yet: send phase `begin` first")
        return self.prover


class ProvingSessions:
    """What one node proves. A verifier sees only sessions of his own; a new `hello` ends his last one for the device.

    Not safe for concurrent calls: the service lets in one at a time.
    """

    def __init__(self, devices: tuple[DeviceDescription, ...], miner: str, limits: WorkLimits) -> None:
        self.devices = {device.uuid: device for device in devices}
        self._miner = miner
        self._limits = limits
        self._held: dict[tuple[str, str], _Held] = {}

    def answer(self, verifier: str, phase: Phase, fresh_id: str) -> Message:
        """Do what a phase asks.

        Raises:
            ProtocolOrderError: out of order, unknown session or device.
            ParameterRefusedError, LockRefusedError, ContainerRefusedError: as the prover and the containers do.
        """
        if phase.device_uuid not in self.devices:
            raise ProtocolOrderError(f"this node has no device {phase.device_uuid!r}; GET /devices lists them")
        if isinstance(phase, Hello):
            held = _Held(fresh_id, X25519PrivateKey.generate())
            self._held[verifier, phase.device_uuid] = held
            return HelloAnswer(session_id=fresh_id, public_key=held.key.public_key().public_bytes_raw())
        found = self._held.get((verifier, phase.device_uuid))
        if found is None or found.session_id != phase.session_id:
            raise ProtocolOrderError("no such session: send phase `hello` first")
        return self._in_session(verifier, found, phase)

    def _in_session(self, verifier: str, held: _Held, phase: Begin | Sweep | OpenTiles | OpenMessage) -> Message:
        if isinstance(phase, Begin):
            self._begin(verifier, held, phase)
            return Done()
        prover = held.begun()
        if isinstance(phase, Sweep):
            roots = prover.sweep(phase.request)
            held.last_root = roots[-1]
            return SweepAnswer(roots=roots)
        if isinstance(phase, OpenTiles):
            return TilesAnswer(openings=prover.open_tiles(phase.choices))
        return self._open(held, prover, phase)

    def _begin(self, verifier: str, held: _Held, phase: Begin) -> None:
        if held.prover is not None:
            raise ProtocolOrderError("the session has its nonce already: send phase `hello` for another session")
        session = Session(
            device=self.devices[phase.device_uuid],
            parameters=phase.parameters,
            nonce=phase.nonce,
            prover_public_key=held.key.public_key().public_bytes_raw(),
            verifier_identity=verifier,
            miner_identity=self._miner,
        )
        held.prover = ReferenceProver(session, self._limits)

    def _open(self, held: _Held, prover: ReferenceProver, phase: OpenMessage) -> MessageAnswer:
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
