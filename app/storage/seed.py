"""Development data: a small fleet that the console, the commands and the scheduler can show. Safe to run again.

The ids and names say that nothing of it is real.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.protocol import labels
from app.protocol.gpus import GPU_MODELS
from app.storage.models import Chute, Deployment, Gpu, Server

NAMESPACE: Final = uuid.UUID("8a3f6f5c-54a5-4c12-9a7e-5d1d4a3d2b10")
SERVERS: Final = (
    ("simulated-gpu-0", "h100_sxm", 8, 2.1),
    ("simulated-gpu-1", "h200", 8, 2.9),
    ("simulated-gpu-2", "4090", 4, 0.3),
)
CHUTES: Final = (
    ("simulated/llama-70b", 4, ("h100_sxm", "h200")),
    ("simulated/whisper", 1, ("4090", "h100_sxm", "h200")),
    ("simulated/sdxl", 1, ("4090",)),
)


def seed_id(text: str) -> str:
    """The same UUID for the same text, on every machine."""
    return str(uuid.uuid5(NAMESPACE, text))


def gpu_id(server: str, index: int) -> str:
    """A made-up device UUID, bare hex."""
    return hashlib.md5(f"{server}/{index}".encode(), usedforsecurity=False).hexdigest()


async def seed(session: AsyncSession, validator: str) -> None:
    """Insert or refresh the development data; the caller commits."""
    for name, gpu_count, refs in CHUTES:
        await session.merge(_chute(name, gpu_count, refs, validator))
    for index, (name, ref, count, cost) in enumerate(SERVERS):
        await session.merge(_server(name, ref, count, cost, validator, f"192.0.2.{10 + index}"))
    await session.flush()
    for index, (server, *_) in enumerate(SERVERS):
        chute = CHUTES[min(index, 1)]
        await _deployment(session, chute[0], server, validator)
    await session.flush()
    for index, (server, ref, count, _) in enumerate(SERVERS):
        taken = CHUTES[min(index, 1)][1]
        for number in range(count):
            await session.merge(_gpu(server, ref, number, validator, allocated=number < taken))
    await session.flush()


def _server(name: str, ref: str, count: int, cost: float, validator: str, address: str) -> Server:
    return Server(
        server_id=seed_id(name),
        validator=validator,
        name=name,
        ip_address=address,
        agent_api=f"http://{address}:32000",
        status="Ready",
        labels={labels.GPU_SHORT_REF: ref, labels.SIMULATED: "true", labels.TEE: "false"},
        gpu_count=count,
        cpu_per_gpu=4,
        memory_per_gpu=min(80, GPU_MODELS[ref].memory_gb),
        hourly_cost=cost,
        locked=False,
        is_tee=False,
    )


def _chute(name: str, gpu_count: int, refs: tuple[str, ...], validator: str) -> Chute:
    return Chute(
        chute_id=seed_id(name),
        validator=validator,
        name=name,
        image=f"{name}:0.1",
        code="",
        filename="",
        ref_str="chute:chute",
        version=seed_id(f"{name}/1"),
        supported_gpus=list(refs),
        gpu_count=gpu_count,
        chutes_version="0.3.61",
        preemptible=True,
        tee=False,
    )


async def _deployment(session: AsyncSession, chute: str, server: str, validator: str) -> None:
    deployment_id = seed_id(f"{chute}@{server}")
    if await session.get(Deployment, deployment_id) is None:
        session.add(
            Deployment(
                deployment_id=deployment_id,
                instance_id=seed_id(f"instance/{chute}@{server}"),
                config_id=seed_id(f"config/{chute}@{server}"),
                validator=validator,
                host=f"{server}.invalid",
                port=31000,
                chute_id=seed_id(chute),
                server_id=seed_id(server),
                version=seed_id(f"{chute}/1"),
                active=True,
                stub=False,
            )
        )
        await session.flush()


def _gpu(server: str, ref: str, number: int, validator: str, *, allocated: bool) -> Gpu:
    index = next(i for i, (name, *_) in enumerate(SERVERS) if name == server)
    model = GPU_MODELS[ref]
    device: dict[str, object] = {
        "uuid": gpu_id(server, number),
        "name": f"SIMULATED {ref}",
        "memory": model.memory_gb * 10**9,
        "clock_rate": float(model.clock_boost_mhz * 1000),
        "processors": model.multiprocessors,
    }
    return Gpu(
        gpu_id=gpu_id(server, number),
        validator=validator,
        server_id=seed_id(server),
        deployment_id=seed_id(f"{CHUTES[min(index, 1)][0]}@{server}") if allocated else None,
        device_info=device,
        model_short_ref=ref,
        verified=True,
    )
