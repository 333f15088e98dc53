"""`headframe up --only api,gepetto`: which resources of the stack a part's name means. Pure; runs nothing.

Takes names of programs and the chart tags of the public playbooks. Everything else of the stack stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

#: A host takes the images of its programs, so that a changed one reaches it; an unchanged host stays as it is.
_HOSTS: Final = "headframe:index:Host::*"
#: Part -> patterns of the ends of URNs, as Pulumi's --target takes them (`*` matches within a name).
PARTS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "api": ("::image-miner-api", _HOSTS, "::api"),
        "gepetto": ("::image-gepetto", _HOSTS, "::gepetto", "::gepetto-config", "::gepetto-code"),
        "monitor": ("::image-monitor", _HOSTS, "::monitor"),
        "tracker": ("::image-tracker", _HOSTS, "::tracker"),
        "audit": ("::image-audit", _HOSTS, "::audit-exporter"),
        "postgres": ("::image-postgres", _HOSTS, "::postgres"),
        "redis": ("::image-redis", _HOSTS, "::redis"),
        "agent": ("::image-agent", _HOSTS, "::*-agent"),
        "registry-proxy": ("::image-registry-proxy", _HOSTS, "::*-registry-proxy", "::*-registry-proxy-configuration"),
        "cache-cleaner": ("::image-cache-cleaner", _HOSTS, "::*-cache-cleaner"),
        "failed-chutes": ("::image-agent", _HOSTS, "::*-failed-chute-cleanup"),
        "gpu-runtime": ("::*-gpu-runtime",),
        "monitoring": (
            "::image-prometheus",
            "::image-node-exporter",
            _HOSTS,
            "::*-node-exporter",
            "::prometheus",
            "::prometheus-configuration",
            "::prometheus-nodes",
            "::*-prometheus",
            "::*-prometheus-configuration",
            "::grafana",
            "::grafana-*",
        ),
        "registration": ("::*-registration",),
    }
)
#: Tags of the public playbooks -> parts.
TAGS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "miner-charts": ("api", "gepetto", "monitor", "postgres", "redis"),
        "miner-gpu-charts": ("agent", "registry-proxy", "cache-cleaner", "failed-chutes", "gpu-runtime"),
        "monitoring-charts": ("monitoring",),
        "add-nodes": ("registration",),
    }
)


class UnknownPartError(LookupError):
    """A name that is neither a part nor a tag."""


def targets(names: Iterable[str]) -> list[str]:
    """URN patterns for `pulumi up --target`, each once, in the order of the names.

    Raises:
        UnknownPartError: names the parts and tags that there are.
    """
    found: dict[str, None] = {}
    for name in names:
        parts = TAGS.get(name, (name,))
        for part in parts:
            if part not in PARTS:
                known = ", ".join([*PARTS, *TAGS])
                raise UnknownPartError(f"no part {part!r}; there are: {known}. A whole update is: headframe up")
            found |= dict.fromkeys(f"**{pattern}" for pattern in PARTS[part])
    return list(found)


def arguments(only: Iterable[str], *, preview: bool, yes: bool) -> list[str]:
    """Arguments of `pulumi`.

    Raises:
        UnknownPartError: as `targets`.
    """
    selected = targets(only)
    command = ["preview"] if preview else ["up", *(["--yes"] if yes else [])]
    for target in selected:
        command += ["--target", target]
    return command
