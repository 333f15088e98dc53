"""Options of a `helm.sh/v3:Release`: their defaults, and the helm command lines they make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from lab.engine.kubernetes.manifests import Manifest, items, number, pluck, text
from lab.engine.kubernetes.values import Properties, Secret, plain

DEFAULT_TIMEOUT_SECONDS: Final = 300
_FLAGS: Final = (
    "allowNullValues atomic cleanupOnFail createNamespace dependencyUpdate devel disableCRDHooks "
    "disableOpenapiValidation disableWebhooks forceUpdate lint recreatePods renderSubchartNotes replace resetValues "
    "reuseValues skipAwait skipCrds verify waitForJobs"
)
_TEXTS: Final = "chart description keyring name namespace postrender version"
_REPOSITORY: Final = "caFile certFile keyFile password repo username"
_OPTIONAL: Final = ("maxHistory",)
#: Options of both commands, and of one of them, with the helm flag.
_COMMON: Final = {
    "atomic": "--atomic",
    "devel": "--devel",
    "dependencyUpdate": "--dependency-update",
    "disableOpenapiValidation": "--disable-openapi-validation",
    "renderSubchartNotes": "--render-subchart-notes",
    "skipCrds": "--skip-crds",
    "verify": "--verify",
}
_INSTALL: Final = {"createNamespace": "--create-namespace", "disableWebhooks": "--no-hooks", "replace": "--replace"}
_UPGRADE: Final = {
    "cleanupOnFail": "--cleanup-on-fail",
    "disableCRDHooks": "--no-hooks",
    "forceUpdate": "--force",
    "recreatePods": "--recreate-pods",
    "resetValues": "--reset-values",
    "reuseValues": "--reuse-values",
}


class ReleaseError(Exception):
    """The options cannot be served."""


def completed(news: Properties, default_namespace: str) -> Properties:
    """All options with their defaults; what is no option is dropped. Unknown values and secrets stay.

    Raises:
        ReleaseError: a values file cannot be read.
    """
    result: Properties = {key: news.get(key, False) for key in _FLAGS.split()}
    result |= {key: news.get(key, "") for key in _TEXTS.split()}
    result |= {key: news[key] for key in _OPTIONAL if news.get(key) is not None}
    result["namespace"] = news.get("namespace") or default_namespace
    result["timeout"] = news.get("timeout", 0 if news.get("skipAwait") is True else DEFAULT_TIMEOUT_SECONDS)
    repository = news.get("repositoryOpts")
    if isinstance(repository, dict):
        result["repositoryOpts"] = {key: repository.get(key, "") for key in _REPOSITORY.split()}
    elif repository is not None:
        result["repositoryOpts"] = repository
    result["values"] = _values(news)
    if news.get("verify") is True and not result["keyring"]:
        result["keyring"] = str(Path.home() / ".gnupg" / "pubring.gpg")
    return result


def _values(news: Properties) -> object:
    """The values of the files and those given in place, which win."""
    given = news.get("values", {})
    merged: Manifest = {}
    for asset in items(plain(news.get("valueYamlFiles"))):
        merged = merged_values(merged, _loaded(asset))
    if not merged or not isinstance(given, dict):
        return merged if given is None else given
    return merged_values(merged, given)


def _loaded(asset: object) -> Manifest:
    source = text(asset, "text")
    try:
        loaded = yaml.safe_load(source or Path(text(asset, "path")).read_text())
    except (yaml.YAMLError, OSError) as error:
        raise ReleaseError(f"a file of valueYamlFiles cannot be read: {error}") from None
    return loaded if isinstance(loaded, dict) else {}


def merged_values(base: Mapping[str, object], over: Mapping[str, object]) -> Manifest:
    """Values as Helm merges them: maps key by key, everything else replaced."""
    result = dict(base)
    for key, value in over.items():
        before = result.get(key)
        inner = value.value if isinstance(value, Secret) else value
        result[key] = merged_values(before, inner) if isinstance(before, dict) and isinstance(inner, dict) else value
    return result


@dataclass(frozen=True)
class Release:
    """The options of one release, all known and in plain."""

    options: Manifest

    @property
    def name(self) -> str:
        return text(self.options, "name")

    @property
    def namespace(self) -> str:
        return text(self.options, "namespace")

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def waits(self) -> bool:
        return self.options.get("skipAwait") is not True

    @property
    def timeout_seconds(self) -> int:
        return number(self.options, "timeout") or DEFAULT_TIMEOUT_SECONDS

    @property
    def values(self) -> Manifest:
        found = self.options.get("values")
        return found if isinstance(found, dict) else {}

    def install(self) -> list[str]:
        """Arguments of `helm install`, without values file and kubeconfig."""
        return ["install", self.name, *self.chart(), *self._flags(_INSTALL), *self._waiting()]

    def upgrade(self) -> list[str]:
        history = ["--history-max", str(number(self.options, "maxHistory"))]
        return ["upgrade", self.name, *self.chart(), *self._flags(_UPGRADE), *self._waiting(), *history]

    def uninstall(self) -> list[str]:
        is_atomic = self.options.get("atomic") is True
        waiting = ["--wait", "--timeout", f"{self.timeout_seconds}s"] if self.waits or is_atomic else []
        return ["uninstall", self.name, "--namespace", self.namespace, *waiting]

    def show(self) -> list[str]:
        """Arguments that print the chart's own description."""
        devel = ["--devel"] if self.options.get("devel") is True else []
        verify = ["--verify"] if self.options.get("verify") is True else []
        return ["show", "chart", *self.chart(), *devel, *verify]

    def chart(self) -> list[str]:
        """Arguments that say which chart.

        Raises:
            ReleaseError: the repository wants a password, which helm takes as an argument alone.
        """
        repository, chart = text(self.options, "repositoryOpts", "repo"), text(self.options, "chart")
        if pluck(self.options, "repositoryOpts", "password"):
            raise ReleaseError("a repository password would show in the process list; the stand-in does not serve it")
        is_url = "://" in repository
        where = f"{repository}/{chart}" if repository and not is_url and "/" not in chart else chart
        pairs = {
            "--repo": repository if is_url and not chart.startswith("oci://") else "",
            "--version": text(self.options, "version"),
            "--keyring": text(self.options, "keyring"),
            "--ca-file": text(self.options, "repositoryOpts", "caFile"),
            "--cert-file": text(self.options, "repositoryOpts", "certFile"),
            "--key-file": text(self.options, "repositoryOpts", "keyFile"),
        }
        return [where, *(part for pair in pairs.items() if pair[1] for part in pair)]

    def _flags(self, own: Mapping[str, str]) -> list[str]:
        flags = [flag for key, flag in {**_COMMON, **own}.items() if self.options.get(key) is True]
        pairs = {
            "--description": text(self.options, "description"),
            "--post-renderer": text(self.options, "postrender"),
        }
        return [*flags, *(part for pair in pairs.items() if pair[1] for part in pair)]

    def _waiting(self) -> list[str]:
        jobs = ["--wait-for-jobs"] if self.options.get("waitForJobs") is True else []
        waiting = ["--wait", *jobs] if self.waits else []
        return [*waiting, "--namespace", self.namespace, "--timeout", f"{self.timeout_seconds}s"]
