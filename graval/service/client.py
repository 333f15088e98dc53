"""The verifying side over HTTP: it asks after the commitment, verifies, and only then releases a message."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import ValidationError

from app.protocol.signing import Header, Signer, body_digest, message_v1, nonce_v1
from graval.containers import NONCE_BYTES, Container, associated_data, message_key, seal
from graval.lock import prepare_lock
from graval.messages import LockHeader, Message, SweepRequest
from graval.service.phases import (
    Begin,
    Done,
    Hello,
    HelloAnswer,
    MessageAnswer,
    OpenMessage,
    OpenTiles,
    Sweep,
    SweepAnswer,
    TilesAnswer,
)
from graval.session import DeviceDescription, Session, WorkParameters
from graval.verifier import ProofRejectedError, choose_tiles, verify_sweep

Answer = TypeVar("Answer", bound=Message)
PHASE_SECONDS: Final = 120.0


@dataclass(frozen=True)
class OpenSession:
    """A session that both sides have agreed on."""

    session_id: str
    session: Session


@dataclass(frozen=True)
class ProofClient:
    """Calls one node. `random` must be a `secrets.SystemRandom` outside tests; `now` is in Unix seconds."""

    http: httpx.AsyncClient
    signer: Signer
    miner: str
    now: Callable[[], float]
    random: Random

    async def begin(self, device: DeviceDescription, parameters: WorkParameters) -> OpenSession:
        """Agree on a session. Raises ProofRejectedError, as all methods do when the node refuses or does not answer."""
        hello = await self._ask(Hello(device_uuid=device.uuid), HelloAnswer)
        nonce = self.random.randbytes(32)
        begin = Begin(device_uuid=device.uuid, session_id=hello.session_id, nonce=nonce, parameters=parameters)
        await self._ask(begin, Done)
        session = Session(device, parameters, nonce, hello.public_key, self.signer.ss58, self.miner)
        return OpenSession(hello.session_id, session)

    async def prove_sweep(self, opened: OpenSession, columns: int, rounds: int, tiles: int) -> bytes:
        """Commit mode; answers with the last root, the work key of messages in this session."""
        session = opened.session
        uuid = session.device.uuid
        request = SweepRequest(start=self.random.randbytes(32), columns=columns, rounds=rounds)
        committed = await self._ask(Sweep(device_uuid=uuid, session_id=opened.session_id, request=request), SweepAnswer)
        choices = choose_tiles(session.parameters, rounds, tiles, self.random)
        asked = OpenTiles(device_uuid=uuid, session_id=opened.session_id, choices=choices)
        answer = await self._ask(asked, TilesAnswer)
        await asyncio.to_thread(verify_sweep, session, request, committed.roots, choices, answer.openings)
        return committed.roots[-1]

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
            async with asyncio.timeout(PHASE_SECONDS):
                answer = await self.http.post(
                    "/prove", content=content, headers=self.headers(content), timeout=PHASE_SECONDS
                )
        except (httpx.HTTPError, TimeoutError) as error:
            raise ProofRejectedError(f"the node did not answer: {error!r}") from error
        if answer.status_code != httpx.codes.OK:
            raise ProofRejectedError(f"the node answered {answer.status_code}: {answer.text[:500]}")
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            raise ProofRejectedError(f"the node's answer is malformed: {error}") from error

    def headers(self, content: bytes) -> dict[str, str]:
        """Signature of a validator to a miner over a body (spec graval 2.1)."""
        nonce = nonce_v1(self.now())
        message = message_v1((self.miner, self.signer.ss58), nonce, body_digest(content))
        return {
            Header.MINER.value: self.miner,
            Header.VALIDATOR.value: self.signer.ss58,
            Header.NONCE.value: nonce,
            Header.SIGNATURE.value: self.signer.sign(message),
        }
