"""The simulated validator asks GPUs for their proof: at registration over HTTP, at a launch in one round trip.

The proof is real, the protocol is `ogv1`; whether a GPU did the work is another matter: devices whose name says
SIMULATED are asked for little, work on a CPU, and every record says so.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from random import SystemRandom
from typing import Final

import httpx
from pydantic import ValidationError

from app.protocol.signing import Signer
from graval.backends.simulated import is_simulated
from graval.calibration import AdmissionPlan, admission_plan, small_plan
from graval.containers import ContainerRefusedError
from graval.service.admission import verify_node
from graval.service.client import ProofClient
from graval.service.launch import LaunchOffer, LaunchPlan, prepare_launch
from graval.service.phases import PROTOCOL
from graval.session import DeviceDescription, ParameterRefusedError
from lab.symmetric import decrypt
from lab.validator.state import Json

ROUNDS: Final = 16
HIDDEN_ROWS: Final = 64


class NotProvedError(ValueError):
    """An offer or an answer of a launch that is not accepted; the message goes to the pod."""


class GravalProver:
    """The validator's side of GraVal, for bare nodes and their launches. Its key signs questions to nodes."""

    def __init__(self, signer: Signer, *, clock: Callable[[], float] = time.time) -> None:
        self.signer = signer
        self._clock = clock
        self._random = SystemRandom()

    async def prove(self, miner: str, gpus: list[Json]) -> str | None:
        """Ask a node's bootstrap service for the proof of all its GPUs; a problem as text, else None."""
        try:
            devices = [DeviceDescription.model_validate(gpu) for gpu in gpus]
        except ValidationError as error:
            return f"a description is incomplete: {error.errors(include_input=False)[0]['loc']}"
        (host, port), *others = {(gpu.get("verification_host"), gpu.get("verification_port")) for gpu in gpus}
        if others:
            return "the GPUs of one server have several addresses"
        async with httpx.AsyncClient(base_url=f"http://{host}:{port}", trust_env=False) as http:
            client = ProofClient(http, self.signer, miner, self._clock, self._random)
            try:
                verdicts = await verify_node(client, devices, _plan)
            except ValueError as error:
                return str(error)
        problems = [f"{verdict.device.uuid}: {verdict.problem}" for verdict in verdicts if verdict.problem]
        return "; ".join(problems) or None

    async def challenge(self, miner: str, nodes: list[Json], offers: object, key: str) -> Json:
        """Lock a key for one GPU of a pod, chosen at random; only the work opens it.

        Raises:
            NotProvedError: an offer is missing, malformed, or for a device that is not as registered.
        """
        node = self._random.choice(nodes)
        offer = _offer(offers, str(node["uuid"]))
        if offer.device.digest() != DeviceDescription.model_validate(node).digest():
            raise NotProvedError(f"GPU {node['uuid']} is not described as it was registered")
        plan = _plan(offer.device)
        is_small = is_simulated(offer.device)
        launch = LaunchPlan(
            plan.parameters, plan.bandwidth.columns, 2 if is_small else ROUNDS, 4 if is_small else HIDDEN_ROWS
        )
        try:
            made = await asyncio.to_thread(prepare_launch, offer, launch, self.signer.ss58, miner, key, self._random)
        except (ParameterRefusedError, ContainerRefusedError) as error:
            raise NotProvedError(str(error)) from error
        return {"uuid": node["uuid"], "ciphertext": made.container, "challenge": made.model_dump(mode="json")}


def new_key() -> str:
    """A launch's symmetric key, as hex text."""
    return secrets.token_hex(16)


def check_answer(key: str, body: Json, expected: str) -> None:
    """Whether whoever answers could open the key.

    Raises:
        NotProvedError: the answer does not show it.
    """
    try:
        iv, response = bytes.fromhex(str(body.get("iv"))), str(body.get("response"))
        found = decrypt(key, iv, response)
    except ValueError as error:
        raise NotProvedError("the response does not open under the launch's key") from error
    if not secrets.compare_digest(found, expected):
        raise NotProvedError("the response is wrong")


def verification_of(node: Json) -> str:
    """What a record says of how a GPU was verified."""
    return f"{PROTOCOL}, SIMULATED device" if str(node.get("name")).startswith("SIMULATED") else PROTOCOL


def _plan(device: DeviceDescription) -> AdmissionPlan:
    return small_plan() if is_simulated(device) else admission_plan(device)


def _offer(offers: object, uuid: str) -> LaunchOffer:
    if not isinstance(offers, list):
        raise NotProvedError("this validator wants `graval_offers`: one for each GPU of the pod")
    try:
        found = [LaunchOffer.model_validate(offer) for offer in offers]
    except ValidationError as error:
        raise NotProvedError(f"an offer is malformed: {error.errors(include_input=False)[0]['loc']}") from error
    chosen = next((offer for offer in found if offer.device.uuid == uuid), None)
    if chosen is None:
        raise NotProvedError(f"GPU {uuid} made no offer")
    return chosen
