"""Image, command line, environment and ports of a chute's container, exactly as the validator compares them. Pure.

Spec: gepetto 17.1, 14.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.gepetto.kubernetes.plan import DeploymentPlan, JobPort, PodSettings
from app.protocol.ports import ChutePort
from app.protocol.registry_proxy import proxied_image
from app.protocol.wire import driver_gpu_id, version_tuple

DIRECT_REGISTRY: Final = "registry.chutes.ai"
#: From this virtual machine on: parallel downloads by xet.
XET_MACHINE: Final = (1, 3, 1)

_FIXED_ENVIRONMENT: Final = {
    "NCCL_P2P_DISABLE": "1",
    "NCCL_IB_DISABLE": "1",
    "NCCL_SHM_DISABLE": "0",
    "NCCL_NET_GDR_LEVEL": "0",
    "NCCL_DEBUG": "INFO",
    "NCCL_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_FAMILY": "AF_INET",
    "CHUTES_EXECUTION_CONTEXT": "REMOTE",
    "VLLM_DISABLE_TELEMETRY": "1",
    "HF_HOME": "/cache",
    "CIVITAI_HOME": "/cache/civitai",
}


def ports_of(plan: DeploymentPlan) -> list[JobPort]:
    """Every port of the pod in order: fixed ones, attestation, then the job's, each protocol and number once."""
    fixed = [JobPort("TCP", ChutePort.PRIMARY), JobPort("TCP", ChutePort.LOGGING)]
    if plan.has_attestation_port:
        fixed.append(JobPort("TCP", ChutePort.ATTESTATION))
    taken = set(fixed) | {JobPort("TCP", ChutePort.ATTESTATION)}
    extra = [port for port in dict.fromkeys(plan.job_ports) if port not in taken]
    return fixed + extra


def image_reference(plan: DeploymentPlan, settings: PodSettings) -> str:
    """Where the node pulls the image from: the registry itself on new virtual machines, else the proxy on the node."""
    minimum = settings.mtls_registry_min_version
    if minimum and plan.vm_version is not None and plan.vm_version >= version_tuple(minimum):
        return f"{DIRECT_REGISTRY}/{plan.image}"
    return proxied_image(plan.validator, plan.image, settings.registry_proxy_port)


def command(plan: DeploymentPlan, settings: PodSettings) -> list[str]:
    """The command line; the validator compares it exactly."""
    line = ["chutes", "run", plan.ref_str, "--port", str(int(ChutePort.PRIMARY))]
    if plan.token is None:
        line += ["--graval-seed", str(plan.seed)]
    return [*line, "--miner-ss58", settings.miner_ss58, "--validator-ss58", plan.validator]


def environment(plan: DeploymentPlan, node_ports: Mapping[tuple[str, int], int]) -> dict[str, str]:
    """Environment of the chute: exactly this, because the validator refuses names that it does not expect."""
    devices = ",".join(driver_gpu_id(gpu) for gpu in plan.gpu_ids)
    found = {"NVIDIA_VISIBLE_DEVICES": devices, "CHUTES_NVIDIA_DEVICES": devices, **_FIXED_ENVIRONMENT}
    fixed = {ChutePort.PRIMARY: "PRIMARY", ChutePort.LOGGING: "LOGGING", ChutePort.ATTESTATION: "ATTESTATION"}
    for index, port in enumerate(ports_of(plan)):
        is_fixed = index < 2 + plan.has_attestation_port
        name = fixed[ChutePort(port.port)] if is_fixed else f"{port.protocol}_{port.port}"
        found[f"CHUTES_PORT_{name}"] = str(node_ports[port.protocol, int(port.port)])
    if plan.token is not None:
        found |= {"CHUTES_LAUNCH_JWT": plan.token, "CHUTES_EXTERNAL_HOST": plan.server_address}
    if plan.tee and plan.vm_version is not None and plan.vm_version >= XET_MACHINE:
        found |= {"HF_XET_FIXED_DOWNLOAD_CONCURRENCY": "16", "TOKIO_WORKER_THREADS": "8"}
    elif plan.tee:
        found |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_ENABLE_HF_TRANSFER": "1"}
    return found
