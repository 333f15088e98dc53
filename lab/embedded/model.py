"""One SIMULATED GPU node as data: its address on the loopback network, and the GPUs that it pretends to have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from app.protocol import labels
from app.protocol.gpus import GPU_MODELS

_CPU_COUNT = 66
_RAM_KIB = 512 * 1024 * 1024


@dataclass(frozen=True)
class SimulatedNode:
    """A confidential node (D14): admitted by attestation, which a stand-in proxy answers.

    Args:
        name: node, cluster and server name.
        address: loopback address that is this node's alone.
        gpu: short reference of the GPU model.
        gpu_count: how many.
        hourly_cost_usd: what the operator says the machine costs.
    """

    name: str
    address: str
    gpu: str
    gpu_count: int = 2
    hourly_cost_usd: float = 2.0

    def devices(self) -> list[dict[str, object]]:
        """What the attestation proxy reports. Every name says SIMULATED."""
        model = GPU_MODELS[self.gpu]
        return [
            {
                "uuid": hashlib.sha256(f"{self.name} GPU {index}".encode()).hexdigest()[:32],
                "name": f"SIMULATED {self.gpu}",
                "memory": model.memory_gb * 10**9,
                "clock_rate": 1_980_000.0,
                "major": 9,
                "minor": 0,
                "processors": 132,
            }
            for index in range(self.gpu_count)
        ]

    def labels(self) -> dict[str, str]:
        """Labels of the Node object, as the GPU operator and the node's set-up leave them."""
        return {
            "kubernetes.io/hostname": self.name,
            labels.SIMULATED: "true",
            labels.EXTERNAL_IP: self.address,
            labels.TEE: "true",
            labels.NVIDIA_GPU_COUNT: str(self.gpu_count),
            labels.NVIDIA_GPU_MEMORY_MIB: str(GPU_MODELS[self.gpu].memory_gb * 1024),
            labels.NVIDIA_GPU_PRODUCT: f"SIMULATED-{self.gpu}",
        }

    def capacity(self) -> dict[str, str]:
        """Capacity of the Node object."""
        return {
            "cpu": str(_CPU_COUNT),
            "memory": f"{_RAM_KIB}Ki",
            "pods": "110",
            labels.NVIDIA_GPU_RESOURCE: str(self.gpu_count),
        }
