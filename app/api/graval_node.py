"""GraVal on a bare node: start its bootstrap service, prove every GPU ourselves, and take everything down again.

The API's own proof comes before the validator's: a GPU that does not hold it is not advertised. Simulated GPUs are
refused unless the settings allow them, which only a lab's do (spec: graval 2.4, 4.10).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import SystemRandom
from typing import Final

import httpx
import structlog

from app.api.cluster import ClusterError, open_http
from app.api.objects import JsonObject, ObjectApi, node_port
from app.api.settings import Settings
from app.api.verification import GravalSession, NodeAccess, Say, VerificationError
from app.protocol import labels
from app.protocol.servers import DeviceInfo
from app.storage.models import Server
from graval.backends.choice import BackendName
from graval.backends.made_up import is_simulated_product, model_of_product
from graval.backends.simulated import is_simulated
from graval.calibration import AdmissionPlan, admission_plan, small_plan
from graval.manifests import NODE_LABEL, BootstrapPlan, bootstrap_objects
from graval.service.admission import DeviceVerdict, verify_node
from graval.service.client import ProofClient, fetch_devices
from graval.service.phases import PROTOCOL
from graval.session import DeviceDescription
from graval.verifier import ProofRejectedError

LOOK_SECONDS: Final = 0.5
DEVICE_ATTEMPTS: Final = 5
#: How many looks long a kubelet may go on counting a pod that the API has let go.
FREED_LOOKS: Final = 3
#: How long the bootstrap pod may take to end.
GONE_SECONDS: Final = 45.0
DEVICE_PAUSE_SECONDS: Final = 3.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class NodeBootstrap:
    """Runs the bootstrap service on nodes. `clock` is in Unix seconds."""

    settings: Settings
    clock: Callable[[], float]
    look_seconds: float = LOOK_SECONDS
    pause_seconds: float = DEVICE_PAUSE_SECONDS

    @asynccontextmanager
    async def running(self, server: Server, access: NodeAccess, say: Say) -> AsyncIterator[GravalSession]:
        """See `GravalBootstrap`."""
        plan = self._plan(server)
        manifests = bootstrap_objects(plan)
        selector = f"{NODE_LABEL}={server.name}"
        async with open_http(access.cluster, access.user) as http:
            objects = ObjectApi(http)
            await _refuse_busy(objects, plan)
            await objects.clear(manifests, plan.namespace, selector)  # of an earlier attempt that was killed
            try:
                service, *_ = [await objects.create(manifest) for manifest in manifests]
                port = node_port(service)
                await say(f"the bootstrap service gets port {port} of {server.ip_address}; its pod starts")
                await self._wait(objects, plan, selector)
                yield GravalSession(await self._proved(server, port, say), port)
            finally:
                await self._clear(objects, manifests, plan, selector)

    def _plan(self, server: Server) -> BootstrapPlan:
        settings = self.settings
        if settings.graval_bootstrap_image is None:
            raise VerificationError(
                "GRAVAL_BOOTSTRAP_IMAGE is not set: the API knows no image of the bootstrap service"
            )
        try:
            return BootstrapPlan(
                node=server.name,
                image=settings.graval_bootstrap_image,
                miner=settings.miner_ss58,
                whitelist=(*(entry.hotkey for entry in settings.validators.supported), settings.miner_ss58),
                gpu_count=server.gpu_count,
                cpu_per_gpu=server.cpu_per_gpu,
                memory_per_gpu_gib=server.memory_per_gpu,
                runtime_class=settings.nvidia_runtime or None,
                environment=backend_environment(server.labels, allow_simulated=settings.graval_simulated),
            )
        except ValueError as error:
            raise VerificationError(str(error)) from error

    async def _wait(self, objects: ObjectApi, plan: BootstrapPlan, selector: str) -> None:
        _, _, job = bootstrap_objects(plan)
        seconds, seen = self.settings.graval_bootstrap_timeout, "no pod"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    pods = await objects.pods(plan.namespace, selector)
                    if any(_is_ready(pod) for pod in pods):
                        return
                    seen = "; ".join(map(_state, pods)) or seen
                    if (failure := _failure(await objects.read(job))) is not None:
                        raise VerificationError(f"the bootstrap pod failed: {failure}; last seen: {seen}")
                    await asyncio.sleep(self.look_seconds)
        except TimeoutError:
            raise VerificationError(f"the bootstrap pod was not ready within {seconds:.0f} s: {seen}") from None

    async def _proved(self, server: Server, port: int, say: Say) -> list[DeviceInfo]:
        async with httpx.AsyncClient(base_url=f"http://{server.ip_address}:{port}", trust_env=False) as http:
            signer = self.settings.signer
            client = ProofClient(http, signer, signer.ss58, self.clock, SystemRandom())
            devices = await self._devices(http)
            await say(f"{len(devices)} GPUs listed, all of them prove themselves: {', '.join(_names(devices))}")
            try:
                verdicts = await verify_node(client, devices, plan_of)
            except ValueError as error:
                raise VerificationError(str(error)) from error
        problems = [f"{verdict.device.uuid}: {verdict.problem}" for verdict in verdicts if verdict.problem is not None]
        if problems:
            raise VerificationError(f"GPUs did not hold their proof: {'; '.join(problems)}")
        await say(summary(verdicts))
        return [device_info(verdict, datetime.fromtimestamp(self.clock(), UTC)) for verdict in verdicts]

    async def _devices(self, http: httpx.AsyncClient) -> tuple[DeviceDescription, ...]:
        """The pod's node port may take a moment after the pod is ready."""
        for attempt in range(DEVICE_ATTEMPTS):
            try:
                return await fetch_devices(http, self.settings.signer, self.clock)
            except ProofRejectedError as error:
                if attempt == DEVICE_ATTEMPTS - 1:
                    raise VerificationError(f"the bootstrap service gave no list of GPUs: {error}") from error
                await asyncio.sleep(self.pause_seconds)
        raise AssertionError("the last attempt raises")

    async def _clear(
        self, objects: ObjectApi, manifests: Sequence[JsonObject], plan: BootstrapPlan, selector: str
    ) -> None:
        """The job also ends by its own deadline; what is left is cleared at the next attempt."""
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await asyncio.shield(objects.clear(manifests, plan.namespace, selector))
                await self._gone(objects, plan, selector)
            except ClusterError as error:
                log.warning("a bootstrap service was not cleared", node=plan.node, error=str(error))

    async def _gone(self, objects: ObjectApi, plan: BootstrapPlan, selector: str) -> None:
        """Until its pod has ended it holds processors and memory, and the node would refuse a chute that starts."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                while await objects.pods(plan.namespace, selector):  # noqa: ASYNC110 - another process ends it
                    await asyncio.sleep(self.look_seconds)
                # The object goes a moment before its kubelet gives processors and memory back (seen: OutOfcpu).
                await asyncio.sleep(FREED_LOOKS * self.look_seconds)


def backend_environment(node_labels: Mapping[str, str], *, allow_simulated: bool) -> dict[str, str]:
    """Variables that choose the service's back end: CUDA, or made-up devices on a node that says so.

    Raises:
        ValueError: the node's GPUs are simulated and that is not allowed, or they are of no known model.
    """
    product = node_labels.get(labels.NVIDIA_GPU_PRODUCT, "")
    if not is_simulated_product(product):
        return {"GRAVAL_BACKEND": BackendName.AUTO.value}
    if not allow_simulated:
        raise ValueError(f"the node's GPUs are simulated ({product}); only a lab, with GRAVAL_SIMULATED, takes them")
    model = model_of_product(product)
    return {"GRAVAL_BACKEND": BackendName.SIMULATED.value, "GRAVAL_SIMULATED_MODEL": model.model_dump_json()}


def plan_of(device: DeviceDescription) -> AdmissionPlan:
    """The whole proof; for a device that says that it is simulated, a small one, which proves no GPU."""
    return small_plan() if is_simulated(device) else admission_plan(device)


def device_info(verdict: DeviceVerdict, at: datetime) -> DeviceInfo:
    """What is stored of a GPU: its description, and what was proved when."""
    proof = {
        "protocol": PROTOCOL,
        "simulated": is_simulated(verdict.device),
        "proved_at": at.isoformat(),
        "times_judged": verdict.times_judged,
        "elapsed_seconds": {name.value: round(seconds, 3) for name, seconds in verdict.elapsed_seconds.items()},
    }
    return DeviceInfo.model_validate(verdict.device.model_dump() | {"proof": proof})


def summary(verdicts: Sequence[DeviceVerdict]) -> str:
    """One line for the operator."""
    longest = max((sum(verdict.elapsed_seconds.values()) for verdict in verdicts), default=0.0)
    simulated = sum(1 for verdict in verdicts if is_simulated(verdict.device))
    kind = f", {simulated} of them SIMULATED, which proves no GPU" if simulated else ""
    judged = "" if all(verdict.times_judged for verdict in verdicts) else "; their times were not judged"
    return f"all {len(verdicts)} GPUs held their proof in {longest:.1f} s{kind}{judged}"


def _names(devices: Sequence[DeviceDescription]) -> list[str]:
    return sorted({device.name for device in devices})


async def _refuse_busy(objects: ObjectApi, plan: BootstrapPlan) -> None:
    """The proof needs all GPUs of the node."""
    pods = [pod for pod in await objects.pods(plan.namespace, f"{labels.CHUTE}=true") if not _has_ended(pod)]
    if pods:
        raise VerificationError(f"{len(pods)} chutes run on {plan.node}: undeploy them first, the proof needs all GPUs")


def _status(thing: Mapping[str, object] | None) -> Mapping[str, object]:
    status = thing.get("status") if thing is not None else None
    return status if isinstance(status, dict) else {}


def _items(status: Mapping[str, object], key: str) -> list[JsonObject]:
    found = status.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _has_ended(pod: JsonObject) -> bool:
    return _status(pod).get("phase") in ("Succeeded", "Failed")


def _is_ready(pod: JsonObject) -> bool:
    conditions = _items(_status(pod), "conditions")
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _state(pod: JsonObject) -> str:
    """Phase, and what its containers wait for."""
    waiting = [
        str(state["waiting"].get("reason"))
        for one in _items(_status(pod), "containerStatuses")
        if isinstance(state := one.get("state"), dict) and isinstance(state.get("waiting"), dict)
    ]
    words = [str(_status(pod).get("phase")), str(_status(pod).get("reason") or ""), *waiting]
    return " ".join(word for word in words if word)


def _failure(job: JsonObject | None) -> str | None:
    if job is None:
        return "somebody deleted its Job"
    for one in _items(_status(job), "conditions"):
        if one.get("type") == "Failed" and one.get("status") == "True":
            return f"{one.get('reason')} {one.get('message')}"
    return None
