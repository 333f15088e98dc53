"""A bootstrap service on a loopback port with made-up devices, and clients of it. Keys are thrown away."""

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import httpx

from app.protocol.signing import Signer
from graval.backends.base import Backend
from graval.backends.simulated import SimulatedBackend
from graval.official.miner import OfficialMiner
from graval.service.application import ServiceSettings, create_application
from graval.service.client import ProofClient
from tests.support.graval_sessions import made_up_device
from tests.support.serving import serving

DEVICES = (made_up_device(), made_up_device("f" * 32))


def made_up_signer(name: str) -> Signer:
    return Signer.from_seed(hashlib.sha256(f"throw-away key {name}".encode()).hexdigest())


MINER, VALIDATOR, OTHER_VALIDATOR, STRANGER = (
    made_up_signer(name) for name in ("miner", "validator", "other validator", "stranger")
)


def client_of(http: httpx.AsyncClient, signer: Signer = VALIDATOR, late_seconds: float = 0) -> ProofClient:
    return ProofClient(http, signer, MINER.ss58, lambda: time.time() - late_seconds, Random(1))


@asynccontextmanager
async def bootstrap_service(
    challenge_folder: Path,
    backend: Backend | None = None,
    now: Callable[[], float] = time.time,
    official: OfficialMiner | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    random = Random(2)
    settings = ServiceSettings(
        miner=MINER.ss58,
        whitelist=frozenset({VALIDATOR.ss58, OTHER_VALIDATOR.ss58, MINER.ss58}),
        backend=backend or SimulatedBackend(DEVICES),
        challenge_folder=challenge_folder,
        now=now,
        fresh_id=lambda: random.randbytes(16).hex(),
        official=official,
    )
    async with serving(create_application(settings)) as url, httpx.AsyncClient(base_url=url) as client:
        yield client
