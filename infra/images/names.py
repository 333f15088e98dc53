"""Names of the fleet's images and which machine holds which: what components and hosts agree on.

Pure data: no file is read here and nothing is said about how an image is made (`catalogue` does).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ImageName(StrEnum):
    """One image; its value is the repository name in a reference. The comment names the programs in it."""

    POSTGRES = "postgres"
    REDIS = "redis"
    #: `python3 -m app.api`, `python3 -m app.storage` (migrations), `python3 -m app.cli.main` (operators).
    MINER_API = "miner-api"
    #: `python3 -m app.gepetto`.
    GEPETTO = "gepetto"
    #: `python3 -m app.observe`.
    MONITOR = "monitor"
    #: `python3 -m tracker`.
    TRACKER = "tracker"
    #: `python3 -m app.audit`.
    AUDIT = "audit"
    #: `python3 -m agent.watch`, `python3 -m agent.cleanup`.
    AGENT = "agent"
    #: `python3 -m agent.cache`.
    CACHE_CLEANER = "cache-cleaner"
    #: `python3 -m graval.service`.
    GRAVAL_BOOTSTRAP = "graval-bootstrap"
    #: nginx; its configuration is mounted at NGINX_CONFIGURATION.
    REGISTRY_PROXY = "registry-proxy"
    #: Debian's Prometheus.
    PROMETHEUS = "prometheus"
    #: Debian's node exporter.
    NODE_EXPORTER = "node-exporter"
    #: A SIMULATED chute (`python3 -m lab.chute`): labs only, served by the simulated validator's registry.
    LAB_CHUTE = "lab-chute"


class NodeRole(StrEnum):
    """What a machine is for."""

    CONTROL = "control"
    GPU = "gpu"


#: Where what app.protocol.registry_proxy_settings renders is mounted; the work folder it names must be writable.
NGINX_CONFIGURATION: Final = "/etc/headframe/nginx.conf"

_DELIVERED: Final[Mapping[NodeRole, tuple[ImageName, ...]]] = MappingProxyType(
    {
        NodeRole.CONTROL: (
            ImageName.POSTGRES,
            ImageName.REDIS,
            ImageName.MINER_API,
            ImageName.GEPETTO,
            ImageName.MONITOR,
            ImageName.TRACKER,
            ImageName.AUDIT,
        ),
        NodeRole.GPU: (
            ImageName.AGENT,
            ImageName.CACHE_CLEANER,
            ImageName.GRAVAL_BOOTSTRAP,
            ImageName.REGISTRY_PROXY,
        ),
    }
)
#: Every machine holds these too where the stack declares monitoring; a lab's always do.
_MONITORING: Final = (ImageName.PROMETHEUS, ImageName.NODE_EXPORTER)
#: Built for a lab and put on no machine: nodes pull it through their registry proxy, as they pull any chute.
_LAB_PULLED: Final = (ImageName.LAB_CHUTE,)


def images_for(role: NodeRole, *, lab: bool, monitoring: bool = False) -> tuple[ImageName, ...]:
    """The images that a machine of this role runs. `lab`: the stack allows simulated GPUs."""
    return _DELIVERED[role] + (_MONITORING if lab or monitoring else ())


def images_built(*, lab: bool, monitoring: bool = False) -> tuple[ImageName, ...]:
    """The images that a stack builds, each once. Without `lab` nothing simulated is among them."""
    everywhere = [image for role in NodeRole for image in images_for(role, lab=lab, monitoring=monitoring)]
    return tuple(dict.fromkeys([*everywhere, *(_LAB_PULLED if lab else ())]))
