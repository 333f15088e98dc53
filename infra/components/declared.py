"""What a machine declares, as properties of its component: policies see them before anything is created."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.settings.tree import AllowanceSettings
from policies.rules.declared import DeclaredNode


def properties(declared: DeclaredNode, allowances: AllowanceSettings) -> Mapping[str, Any]:
    """Declared facts as component properties: policies see them before anything is created."""
    return {
        "nodeName": declared.name,
        "role": declared.role,
        "publicIp": declared.address,
        "gpu": declared.gpu,
        "gpuCount": declared.gpu_count,
        "ramGib": declared.ram_gib,
        "cores": declared.cores,
        "hotkeySs58": declared.hotkey_ss58,
        "simulatedGpus": declared.simulated_gpus,
        "hostKey": declared.host_key,
        "reachedBySsh": declared.reached_by_ssh,
        **({"validators": list(declared.validators)} if declared.validators else {}),
        "allowances": {
            "networks": [str(network) for network in allowances.networks],
            "simulatedGpus": allowances.simulated_gpus,
            "smallControlHost": allowances.small_control_host,
            "operatingSystems": list(allowances.operating_systems),
            "varSnapMinimumGib": allowances.var_snap_minimum_gib,
            "varSnapAnywhere": allowances.var_snap_anywhere,
            "unprotectedData": allowances.unprotected_data,
        },
    }
