"""Configuration of one provider: what Configure hands over, and the variables of the environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lab.engine.kubernetes.values import Properties, Unknown, plain

#: Options of the official provider that the stand-in refuses instead of ignoring them.
_REFUSED: Final = ("renderYamlToDirectory", "alwaysRender")
_TRUE: Final = (True, "true", "1", "True")


@dataclass(frozen=True)
class Settings:
    """Options of one provider; names as in the official provider's schema.

    Attributes:
        kubeconfig: its text or a path; empty where there is none or it is not known yet.
        is_unknown: the kubeconfig will be known later.
    """

    kubeconfig: str = ""
    is_unknown: bool = False
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    config_map_mutable: bool = False
    secret_mutable: bool = False
    skip_update_unreachable: bool = False
    delete_unreachable: bool = False
    patch_force: bool = False
    upsert_existing: bool = False

    @classmethod
    def parse(cls, arguments: Properties, environment: Mapping[str, str]) -> Settings:
        """Settings from provider arguments; an option that is not among them is looked up as PULUMI_K8S_*."""
        values = {key: plain(value) for key, value in arguments.items()}

        def flag(key: str, variable: str) -> bool:
            return values.get(key, environment.get(f"PULUMI_K8S_{variable}")) in _TRUE

        def text(key: str) -> str:
            value = values.get(key)
            return value if isinstance(value, str) else ""

        return cls(
            kubeconfig=text("kubeconfig"),
            is_unknown=isinstance(values.get("kubeconfig"), Unknown),
            context=text("context"),
            cluster=text("cluster"),
            namespace=text("namespace"),
            config_map_mutable=flag("enableConfigMapMutable", "ENABLE_CONFIGMAP_MUTABLE"),
            secret_mutable=flag("enableSecretMutable", "ENABLE_SECRET_MUTABLE"),
            skip_update_unreachable=flag("skipUpdateUnreachable", "SKIP_UPDATE_UNREACHABLE"),
            delete_unreachable=flag("deleteUnreachable", "DELETE_UNREACHABLE"),
            patch_force=flag("enablePatchForce", "ENABLE_PATCH_FORCE"),
            upsert_existing=flag("upsertExistingObjects", "UPSERT_EXISTING_OBJECTS"),
        )


def refusals(arguments: Properties) -> dict[str, str]:
    """Options that the stand-in cannot serve, with the reason."""
    reason = "the stand-in of the kubernetes provider does not serve this option; use the official plugin"
    failures = {key: reason for key in _REFUSED if arguments.get(key)}
    if plain(arguments.get("enableServerSideApply")) in (False, "false"):
        failures["enableServerSideApply"] = reason
    return failures
