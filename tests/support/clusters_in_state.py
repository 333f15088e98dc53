"""Resources of two clusters as an exported state lists them, in a project `tiny` with a stack `dev`."""

from __future__ import annotations

from typing import Any, Final

_PREFIX: Final = "urn:pulumi:dev::tiny::"
STACK: Final = f"{_PREFIX}pulumi:pulumi:Stack::tiny-dev"
PROVIDER: Final = f"{_PREFIX}pulumi:providers:kubernetes::gpu-0-cluster"
_OTHER_PROVIDER: Final = f"{_PREFIX}pulumi:providers:kubernetes::gpu-00-cluster"
NAMESPACE: Final = f"{_PREFIX}kubernetes:core/v1:Namespace::gpu-0-chutes"
AGENT: Final = f"{_PREFIX}kubernetes:apps/v1:Deployment::gpu-0-agent"
REGISTRATION: Final = f"{_PREFIX}headframe:index:Registration::gpu-0"
_REGISTRAR: Final = f"{_PREFIX}pulumi:providers:headframe::default"


def resources() -> list[dict[str, Any]]:
    """The stack, two clusters with their objects, and a registration that waits for the first one's agent."""
    return [
        {"urn": STACK, "type": "pulumi:pulumi:Stack", "custom": False},
        _provider(PROVIDER, "gpu-0"),
        _provider(_OTHER_PROVIDER, "gpu-00"),
        {"urn": _REGISTRAR, "type": "pulumi:providers:headframe", "custom": True, "id": "3"},
        _object(NAMESPACE, PROVIDER),
        _object(NAMESPACE.replace("gpu-0", "gpu-00"), _OTHER_PROVIDER),
        {**_object(AGENT, PROVIDER), "dependencies": [NAMESPACE], "protect": True},
        {
            "urn": REGISTRATION,
            "type": "headframe:index:Registration",
            "custom": True,
            "id": "gpu-0",
            "parent": STACK,
            "provider": f"{_REGISTRAR}::3",
            "dependencies": [STACK, AGENT],
            "propertyDependencies": {"node": [AGENT]},
            "deletedWith": AGENT,
        },
    ]


def _provider(urn: str, node: str) -> dict[str, Any]:
    return {
        "urn": urn,
        "type": "pulumi:providers:kubernetes",
        "custom": True,
        "id": node,
        "parent": STACK,
        "inputs": {"clusterIdentifier": node},
    }


def _object(urn: str, provider: str) -> dict[str, Any]:
    node = "gpu-0" if provider == PROVIDER else "gpu-00"
    name, kind = urn.rsplit("::", 1)[-1], urn.split("::")[2]
    return {"urn": urn, "type": kind, "custom": True, "id": name, "parent": STACK, "provider": f"{provider}::{node}"}
