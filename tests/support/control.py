"""A simulated validator and throw-away keys for tests of the control plane."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

import httpx

from app.protocol.servers import DeviceInfo, ServerRegistration, registered_gpus
from app.protocol.signing import Signer
from app.protocol.validators import ValidatorEntry
from app.validators.client import ValidatorClient
from app.validators.transport import Transport
from lab.validator.app import SimulatedValidator


def throwaway_seed(name: str) -> str:
    """The same seed for the same name; it exists only in tests."""
    return hashlib.sha256(f"headframe test key {name}".encode()).hexdigest()


def throwaway_signer(name: str) -> Signer:
    """The key of a throw-away seed."""
    return Signer.from_seed(throwaway_seed(name))


MINER = throwaway_signer("miner")
VALIDATOR = throwaway_signer("validator")
STRANGER = throwaway_signer("stranger")


def entry_of(validator: SimulatedValidator) -> ValidatorEntry:
    """How a miner's settings name this validator."""
    return ValidatorEntry(hotkey=validator.state.hotkey, api=validator.url, socket=validator.url)


def client_of(
    validator: SimulatedValidator, http: httpx.AsyncClient, *, clock: Callable[[], float] = time.time
) -> ValidatorClient:
    """A client of this validator, signing as the test's miner."""
    return ValidatorClient(Transport(entry_of(validator), MINER, http, clock=clock))


def registration(count: int = 2, *, name: str = "node-1", server_id: str = "server-1") -> ServerRegistration:
    """A server as a miner registers it at a validator."""
    devices = [DeviceInfo.model_validate(device(index)) for index in range(count)]
    gpus = registered_gpus(devices, "h100_sxm", "192.0.2.1", 30443)
    return ServerRegistration(host="192.0.2.1", id=server_id, name=name, gpus=gpus)


def device(index: int, ref: str = "h100_sxm") -> dict[str, object]:
    """A GPU as a worker would report it, for tests only."""
    return {
        "uuid": hashlib.sha256(f"gpu {index}".encode()).hexdigest()[:32],
        "name": f"SIMULATED {ref}",
        "memory": 80 * 10**9,
        "clock_rate": 1_980_000.0,
        "major": 9,
        "minor": 0,
        "processors": 132,
    }
