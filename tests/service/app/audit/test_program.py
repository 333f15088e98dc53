"""One hour's audit from end to end: a database, a Prometheus and a validator that answer over HTTP (spec: protocol 16).

Only the chain is acted: there is none here that takes extrinsics.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Self

import bittensor
import orjson
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.audit import __main__ as program
from app.audit.__main__ import AuditSettings, export
from app.audit.chain import BittensorCommitter, ChainCommitError
from app.audit.exporter import AuditExporter
from app.audit.prometheus import PrometheusError
from app.audit.report import Bucket
from app.protocol.signing import Header
from app.storage.engine import create_engine
from app.storage.migrate import migrate
from tests.support.observe import SEED, SIGNER
from tests.support.serving import serving

pytestmark = pytest.mark.service
BUCKET = Bucket.last_full(datetime(2026, 1, 1, 12, 1, tzinfo=UTC))


@dataclass
class Outside:
    """A Prometheus that knows one function's hour, and a validator that takes reports."""

    prometheus_status: int = 200
    uploads: list[tuple[bytes, str]] = field(default_factory=list)

    async def query(self, request: Request) -> Response:
        labels = {"chutes_deployment_id": "d1", "chute_id": "c1", "function": "run"}
        value = "12.5" if "duration" in request.query_params["query"] else "3"
        result = [{"metric": labels, "values": [[BUCKET.end.timestamp(), value]]}]
        return JSONResponse({"status": "success", "data": {"result": result}}, self.prometheus_status)

    async def upload(self, request: Request) -> Response:
        self.uploads.append((await request.body(), request.headers[Header.BLOCK.value]))
        return JSONResponse({})


@pytest.fixture
async def outside(monkeypatch: pytest.MonkeyPatch, database_url: str) -> AsyncIterator[Outside]:
    """Both, and the environment that names them."""
    engine = create_engine(database_url)
    await migrate(engine)
    await engine.dispose()
    made = Outside()
    routes = [
        Route("/api/v1/query_range", made.query),
        Route("/audit/miner_data", made.upload, methods=["POST"]),
    ]
    async with serving(Starlette(routes=routes)) as url:
        validators = {"supported": [{"hotkey": SIGNER.ss58, "api": url, "socket": "ws://127.0.0.1:1"}]}
        for name, value in (
            ("MINER_SS58", SIGNER.ss58),
            ("MINER_SEED", SEED),
            ("VALIDATORS", orjson.dumps(validators).decode()),
            ("POSTGRESQL", database_url),
            ("PROMETHEUS_URL", url),
        ):
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def committed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Digests that the acted chain was given."""
    digests: list[str] = []

    async def commit(_: BittensorCommitter, digest: str) -> int:
        digests.append(digest)
        return 4711

    monkeypatch.setattr(BittensorCommitter, "commit", commit)
    return digests


async def test_the_validator_gets_the_report_whose_digest_was_committed(outside: Outside, committed: list[str]) -> None:
    assert await export(AuditSettings(), BUCKET)
    ((body, block),) = outside.uploads
    assert (committed, block) == ([hashlib.sha256(body).hexdigest()], "4711")
    assert b"d1" in body
    assert SEED.encode() not in body


async def test_a_prometheus_that_refuses_leaves_nothing_committed(outside: Outside, committed: list[str]) -> None:
    outside.prometheus_status = 500
    with pytest.raises(PrometheusError):
        await export(AuditSettings(), BUCKET)
    assert (outside.uploads, committed) == ([], [])


async def test_the_program_says_0_when_every_validator_has_it(outside: Outside, committed: list[str]) -> None:
    assert await program._main() == 0
    assert (len(outside.uploads), len(committed)) == (1, 1)


async def test_what_a_validator_missed_an_hour_ago_is_taken_up_again(
    outside: Outside, committed: list[str], database_url: str
) -> None:
    earlier = Bucket(BUCKET.start - timedelta(hours=1), BUCKET.start)
    assert await export(AuditSettings(), earlier)
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE audit_reports SET uploaded_at = NULL"))
    await engine.dispose()
    assert await export(AuditSettings(), BUCKET)
    first, newest, again = (body for body, _ in outside.uploads)
    assert (again, newest != first, len(committed)) == (first, True, 2)


async def test_an_earlier_hour_that_takes_too_long_does_not_fail_this_one(
    outside: Outside, committed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(_: AuditExporter, newest: Bucket) -> list[Bucket]:
        del newest
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(AuditExporter, "left_over", endless)
    monkeypatch.setattr(program, "_DEADLINE_SECONDS", 3.0)
    assert await program._main() == 0
    assert (len(outside.uploads), len(committed)) == (1, 1)


async def test_the_program_says_1_when_prometheus_does_not_answer(outside: Outside, committed: list[str]) -> None:
    outside.prometheus_status = 500
    assert await program._main() == 1


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (SimpleNamespace(success=True, extrinsic_id="815-2", message=""), 815),
        (SimpleNamespace(success=False, extrinsic_id=None, message="no funds"), "refused: no funds"),
        (bittensor.BittensorError("closed"), "set_commitment failed"),
    ],
)
async def test_a_commitment_is_signed_by_the_hotkey_alone(
    monkeypatch: pytest.MonkeyPatch, answer: object, wanted: int | str
) -> None:
    asked: list[dict[str, object]] = []

    class Client:
        def __init__(self, network: str) -> None:
            assert network == "ws://chain.invalid"

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def submit_call(self, _call: object, wallet: object, **options: object) -> object:
            asked.append({"wallet": wallet, **options})
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(bittensor, "Subtensor", Client)
    committer = BittensorCommitter("ws://chain.invalid", 64, SIGNER.keypair)
    if isinstance(wanted, int):
        assert await committer.commit("00" * 32) == wanted
    else:
        with pytest.raises(ChainCommitError, match=wanted):
            await committer.commit("00" * 32)
    wallet = asked[0]["wallet"]
    assert asked[0]["signer"] == "hotkey"
    assert wallet.hotkey is wallet.coldkey is wallet.coldkeypub is SIGNER.keypair  # type: ignore[attr-defined]
