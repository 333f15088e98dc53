"""The verifying side over HTTP: it asks after the commitment, verifies, and only then releases a message.

`graval.service.admission` strings the phases together; call that for a node. Times are the verifier's own.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from app.protocol.signing import Header, Purpose, Signer, body_digest, message_v1, nonce_v1
from graval.containers import NONCE_BYTES, Container, associated_data, message_key, seal
from graval.lock import prepare_lock
from graval.messages import ChaseRequest, DenseAnswer, DenseRequest, LockHeader, Message, SweepRequest
from graval.service.phases import (
    PROTOCOL,
    Begin,
    Chase,
    ChaseAnswer,
    Dense,
    DenseCommitment,
    DevicesAnswer,
    Done,
    Fill,
    Hello,
    HelloAnswer,
    MessageAnswer,
    OpenDense,
    OpenMessage,
    OpenSteps,
    OpenTiles,
    StepsAnswer,
    Sweep,
    SweepAnswer,
    TilesAnswer,
)
from graval.session import DeviceDescription, Session, WorkParameters
from graval.verifier import ProofRejectedError, choose_steps, choose_tiles, verify_chase, verify_dense, verify_sweep

Answer = TypeVar("Answer", bound=Message)
PHASE_SECONDS: Final = 120.0
DEVICES_SECONDS: Final = 5.0


@dataclass(frozen=True)
class OpenSession:
    """A session that both sides have agreed on."""

    session_id: str
    session: Session


@dataclass(frozen=True)
class Proved:
    """A phase that held: its (last) root, and the seconds from our question to its commitment."""

    root: bytes
    elapsed_seconds: float


@dataclass(frozen=True)
class ProofClient:
    """Calls one node. `random` must be a `secrets.SystemRandom` outside tests; `now` is in Unix seconds.

    All methods raise ProofRejectedError when the node refuses, does not answer, or its proof does not hold.
    """

    http: httpx.AsyncClient
    signer: Signer
    miner: str
    now: Callable[[], float]
    random: Random
    stopwatch: Callable[[], float] = time.monotonic
    #: The longest that any phase may take to answer.
    phase_seconds: float = PHASE_SECONDS

    async def begin(self, device: DeviceDescription, parameters: WorkParameters) -> OpenSession:
        """Agree on a session."""
        hello = await self._ask(Hello(device_uuid=device.uuid), HelloAnswer)
        nonce = self.random.randbytes(32)
        begin = Begin(device_uuid=device.uuid, session_id=hello.session_id, nonce=nonce, parameters=parameters)
        await self._ask(begin, Done)
        session = Session(device, parameters, nonce, hello.public_key, self.signer.ss58, self.miner)
        return OpenSession(hello.session_id, session)

    async def release(self, device: DeviceDescription) -> None:
        """End our session on a device, whose memory is then free for another verifier."""
        await self._ask(Hello(device_uuid=device.uuid), HelloAnswer)

    async def fill(self, opened: OpenSession) -> float:
        """Have the label matrix made; answers with the seconds that it took."""
        started = self.stopwatch()
        await self._ask(Fill(device_uuid=opened.session.device.uuid, session_id=opened.session_id), Done)
        return self.stopwatch() - started

    async def prove_sweep(self, opened: OpenSession, columns: int, rounds: int, tiles: int) -> Proved:
        """Commit mode; the last root is the work key of messages in this session."""
        session, uuid = opened.session, opened.session.device.uuid
        request = SweepRequest(start=self.random.randbytes(32), columns=columns, rounds=rounds)
        started = self.stopwatch()
        committed = await self._ask(Sweep(device_uuid=uuid, session_id=opened.session_id, request=request), SweepAnswer)
        elapsed = self.stopwatch() - started
        choices = choose_tiles(session.parameters, rounds, tiles, self.random)
        asked = OpenTiles(device_uuid=uuid, session_id=opened.session_id, choices=choices)
        answer = await self._ask(asked, TilesAnswer)
        await asyncio.to_thread(verify_sweep, session, request, committed.roots, choices, answer.openings)
        return Proved(committed.roots[-1], elapsed)

    async def prove_chase(self, opened: OpenSession, groups: int, steps: int, openings: int) -> Proved:
        """Random-access probes: all steps, then some of them opened."""
        session, uuid = opened.session, opened.session.device.uuid
        request = ChaseRequest(nonce=self.random.randbytes(32), groups=groups, steps=steps)
        started = self.stopwatch()
        committed = await self._ask(Chase(device_uuid=uuid, session_id=opened.session_id, request=request), ChaseAnswer)
        elapsed = self.stopwatch() - started
        choices = choose_steps(request, openings, self.random)
        asked = OpenSteps(device_uuid=uuid, session_id=opened.session_id, choices=choices)
        answer = await self._ask(asked, StepsAnswer)
        await asyncio.to_thread(verify_chase, session, request, committed.root, choices, answer.openings)
        return Proved(committed.root, elapsed)

    async def prove_dense(self, opened: OpenSession, inner: int, rows: int) -> Proved:
        """Dense product. Give it a session of its own: its operands depend on the seed alone, not on a later nonce."""
        session, uuid = opened.session, opened.session.device.uuid
        started = self.stopwatch()
        asked = Dense(device_uuid=uuid, session_id=opened.session_id, inner=inner)
        committed = await self._ask(asked, DenseCommitment)
        elapsed = self.stopwatch() - started
        picked = tuple(self.random.sample(range(inner), min(rows, inner)))
        request = DenseRequest(nonce=self.random.randbytes(32), rows=picked)
        question = OpenDense(device_uuid=uuid, session_id=opened.session_id, request=request)
        answer = await self._ask(question, DenseAnswer)
        await asyncio.to_thread(verify_dense, session, inner, committed.root, request, answer)
        return Proved(committed.root, elapsed)

    async def send(self, opened: OpenSession, work_key: bytes, text: str, lock: LockHeader | None = None) -> str:
        """Send a message that only this prover's key and work open; answers with what the prover read."""
        key = X25519PrivateKey.generate()
        session = opened.session
        sealed = seal(
            message_key(session, key, session.prover_public_key, work_key),
            self.random.randbytes(NONCE_BYTES),
            text.encode(),
            associated_data(session, opened.session_id),
        )
        body = OpenMessage(
            device_uuid=session.device.uuid,
            session_id=opened.session_id,
            public_key=key.public_key().public_bytes_raw(),
            container=Container(0, sealed).text(),
            lock=lock,
        )
        return (await self._ask(body, MessageAnswer)).plaintext

    async def send_locked(self, opened: OpenSession, columns: int, rounds: int, hidden_rows: int, text: str) -> str:
        """Lock mode: the message goes first, the work opens it."""
        header, work_key = await asyncio.to_thread(
            prepare_lock, opened.session, columns, rounds, hidden_rows, self.random
        )
        return await self.send(opened, work_key, text, header)

    async def _ask(self, body: Message, kind: type[Answer]) -> Answer:
        content = body.model_dump_json().encode()
        try:
            async with asyncio.timeout(self.phase_seconds):
                answer = await self.http.post(
                    "/prove", content=content, headers=self.headers(content), timeout=self.phase_seconds
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise ProofRejectedError(f"the node did not answer: {error!r}") from error
        return _read(answer, kind)

    def headers(self, content: bytes) -> dict[str, str]:
        """Signature of a validator to a miner over a body (spec graval 2.1)."""
        return self._headers(body_digest(content))

    def purpose_headers(self) -> dict[str, str]:
        """The same for a request without a body."""
        return self._headers(Purpose.GRAVAL.value)

    def _headers(self, payload: str) -> dict[str, str]:
        nonce = nonce_v1(self.now())
        message = message_v1((self.miner, self.signer.ss58), nonce, payload)
        return {
            Header.MINER.value: self.miner,
            Header.VALIDATOR.value: self.signer.ss58,
            Header.NONCE.value: nonce,
            Header.SIGNATURE.value: self.signer.sign(message),
        }


async def fetch_devices(
    http: httpx.AsyncClient, miner: Signer, now: Callable[[], float]
) -> tuple[DeviceDescription, ...]:
    """What the miner's own service says it has. Raises ProofRejectedError when it does not say, or speaks no ogv1."""
    headers = miner.management_headers(nonce_v1(now()), purpose=Purpose.GRAVAL)
    try:
        async with asyncio.timeout(DEVICES_SECONDS):
            answer = await http.get("/devices", headers=headers, timeout=DEVICES_SECONDS)
    except (httpx.HTTPError, TimeoutError) as error:
        raise ProofRejectedError(f"the node did not answer: {error!r}") from error
    found = _read(answer, DevicesAnswer)
    if PROTOCOL not in found.protocols:
        raise ProofRejectedError(f"the node speaks {', '.join(found.protocols)}, wanted {PROTOCOL}")
    return found.devices


def _read(answer: httpx.Response, kind: type[Answer]) -> Answer:
    if answer.status_code != httpx.codes.OK:
        raise ProofRejectedError(f"the node answered {answer.status_code}: {answer.text[:500]}")
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as error:
        raise ProofRejectedError(f"the node's answer is malformed: {error}") from error
