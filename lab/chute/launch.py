"""The pod's side of a launch: claim, verify, activate (spec: protocol 9)."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import httpx
import orjson
import stamina

from app.protocol.ports import ChutePort
from app.protocol.wire import bare_gpu_id
from graval.backends.made_up import model_of_product
from lab.chute.proof import NOBODY, PRODUCT_VARIABLE, Parties, SimulatedPodProof

TIMEOUT_SECONDS: Final = 30.0
ATTEMPTS: Final = 10


@dataclass(frozen=True)
class PodEnvironment:
    """What the control plane gives a pod (spec: protocol 18.3)."""

    token: str
    host: str
    gpu_ids: tuple[str, ...]
    ports: Mapping[str, int]
    #: The product that a lab's device plugin says its simulated GPUs are.
    product: str | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> PodEnvironment:
        """From environment variables.

        Raises:
            ValueError: one that a launch needs is absent.
        """
        wanted = ("CHUTES_LAUNCH_JWT", "CHUTES_EXTERNAL_HOST", "CHUTES_NVIDIA_DEVICES", "CHUTES_PORT_PRIMARY")
        missing = [name for name in wanted if not environment.get(name)]
        if missing:
            raise ValueError(f"the pod's environment lacks {', '.join(missing)}")
        ports = {
            name.removeprefix("CHUTES_PORT_"): int(value)
            for name, value in environment.items()
            if name.startswith("CHUTES_PORT_")
        }
        gpus = tuple(bare_gpu_id(gpu) for gpu in environment["CHUTES_NVIDIA_DEVICES"].split(","))
        product = environment.get(PRODUCT_VARIABLE) or None
        return cls(environment["CHUTES_LAUNCH_JWT"], environment["CHUTES_EXTERNAL_HOST"], gpus, ports, product)

    def claims(self) -> Mapping[str, object]:
        """The token's claims. A pod cannot check the signature; it only needs to know where to go."""
        part = self.token.split(".")[1]
        found: dict[str, object] = orjson.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return found

    def mappings(self) -> list[dict[str, object]]:
        """The port mappings that a claim reports."""
        fixed = {"PRIMARY": ChutePort.PRIMARY, "LOGGING": ChutePort.LOGGING, "ATTESTATION": ChutePort.ATTESTATION}
        found: list[dict[str, object]] = []
        for name, external in sorted(self.ports.items()):
            proto, _, number = name.rpartition("_")
            internal = int(fixed[name]) if name in fixed else int(number)
            found.append(
                {
                    "proto": "http" if name in fixed else proto.lower(),
                    "internal_port": internal,
                    "external_port": external,
                    "default": name in fixed,
                }
            )
        return found


@dataclass(frozen=True)
class Launched:
    """What came of a launch."""

    instance_id: str
    chute_id: str


async def launch(pod: PodEnvironment, http: httpx.AsyncClient, parties: Parties = NOBODY) -> Launched:
    """Claim, prove, verify and activate.

    Raises:
        httpx.HTTPStatusError: the validator refused a step; the token is then used up.
        ValueError: the validator locked a key that the simulated GPUs of this pod do not open.
    """
    claims = pod.claims()
    url = str(claims["url"])
    is_tee = claims.get("env_type") == "tee"
    headers = {"Authorization": pod.token}
    if is_tee:
        nonce = await _send(http, "GET", f"{url.split('/instances/', maxsplit=1)[0]}/instances/nonce", headers)
        headers |= {"X-Chutes-Nonce": str(nonce)}
    product = pod.product
    if product is None and not is_tee:
        product = await _told_product(http, url.split("/instances/", maxsplit=1)[0], pod.gpu_ids)
    url += "/tee" if is_tee else "/graval"
    body: dict[str, object] = {
        "gpus": [{"uuid": gpu} for gpu in pod.gpu_ids], "host": pod.host, "port_mappings": pod.mappings(),
        "simulated": True,
    }  # fmt: skip
    with SimulatedPodProof(pod.gpu_ids, product, parties) as proof:
        claimed = await _send(http, "POST", url, headers, body | proof.offers())
        answer: dict[str, object] = {} if is_tee else await asyncio.to_thread(proof.answer, claimed)
    verified = await _send(http, "PUT", url, headers, answer)
    if not isinstance(verified, dict):
        raise TypeError("the validator's answer to the verification is not an object")
    await activate(http, str(verified["activation_url"]), headers)
    return Launched(str(verified["instance_id"]), str(verified["chute_id"]))


async def _told_product(http: httpx.AsyncClient, validator: str, gpu_ids: Sequence[str]) -> str | None:
    """What a pod's simulated GPUs are, from the simulated validator that verified them: a pod asks for no GPU, so no
    device plugin can tell it. None where it does not know them, or is no simulated one."""
    answer = await http.get(f"{validator}/lab/state", timeout=TIMEOUT_SECONDS)
    if answer.status_code != httpx.codes.OK:
        return None
    nodes = orjson.loads(answer.content).get("nodes", {})
    names = {str(nodes.get(gpu, {}).get("name", "")) for gpu in gpu_ids}
    name = names.pop() if len(names) == 1 else ""
    try:
        model_of_product(name)
    except ValueError:
        return None
    return name


async def activate(http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> None:
    """Say that the model is loaded; up to ten tries on no answer and 5xx."""
    async for attempt in stamina.retry_context(on=_worth_a_retry, attempts=ATTEMPTS, wait_initial=0.2, wait_max=10):
        with attempt:
            await _send(http, "GET", url, headers)


def _worth_a_retry(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500
    return isinstance(error, httpx.TransportError)


async def _send(
    http: httpx.AsyncClient, method: str, url: str, headers: Mapping[str, str], body: object | None = None
) -> object:
    content = None if body is None else orjson.dumps(body)
    response = await http.request(
        method, url, headers={**headers, "Content-Type": "application/json"}, content=content, timeout=TIMEOUT_SECONDS
    )
    response.raise_for_status()
    found: object = orjson.loads(response.content)
    return found
