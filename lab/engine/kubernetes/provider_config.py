"""Changes of the provider itself: which of them mean another cluster, so that all in it is replaced. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lab.engine.kubernetes.kubeconfig import KubeconfigError, active_cluster, parse_kubeconfig
from lab.engine.kubernetes.manifests import Manifest
from lab.engine.kubernetes.values import Properties, Unknown, plain

_IDENTIFIER: Final = "clusterIdentifier"
#: The options that say which cluster it is.
_WHERE: Final = ("kubeconfig", "context", "cluster")


@dataclass(frozen=True)
class ConfigDifference:
    """Changed options, and those of them that mean another cluster."""

    names: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()


def config_difference(olds: Properties, news: Properties) -> ConfigDifference:
    """What a change of the provider's options means.

    With the same `clusterIdentifier` before and after nothing is ever replaced; a changed one replaces. Without one the
    cluster entry of the kubeconfig counts, so a renewed login replaces nothing. An unknown kubeconfig may be another's.
    """
    before, after = _plain(olds), _plain(news)
    names = tuple(key for key in sorted({*before, *after}) if before.get(key) != after.get(key))
    if not names:
        return ConfigDifference()
    replaces: tuple[str, ...] = ()
    if _IDENTIFIER in names and _IDENTIFIER in before.keys() & after.keys():
        replaces = (_IDENTIFIER,)
    unknown = next((key for key in _WHERE if isinstance(after.get(key), Unknown)), None)
    if unknown is not None:
        names, replaces = (unknown,), (*replaces, unknown)
    elif _is_other_cluster(before, after):
        replaces = (*replaces, *(key for key in _WHERE if key in names))
    if after.get(_IDENTIFIER) and before.get(_IDENTIFIER) == after[_IDENTIFIER]:
        replaces = ()
    return ConfigDifference(names, replaces)


def _plain(options: Properties) -> dict[str, object]:
    return {key: plain(value) for key, value in options.items()}


def _is_other_cluster(before: Properties, after: Properties) -> bool:
    old, new = _cluster(before), _cluster(after)
    return old is not None and new is not None and old != new


def _cluster(options: Properties) -> Manifest | None:
    kubeconfig, context, cluster = (options.get(key) for key in _WHERE)
    if not isinstance(kubeconfig, str):
        return None
    try:
        config = parse_kubeconfig(kubeconfig)
    except KubeconfigError:
        return None
    return active_cluster(
        config, context if isinstance(context, str) else "", cluster if isinstance(cluster, str) else ""
    )
