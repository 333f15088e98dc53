"""Settings of the process from environment and files, under the public names (spec: gepetto 3). Read once, at start."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.gepetto.decision.configuration import Configuration
from app.gepetto.kubernetes.plan import PodSettings, PullPolicy
from app.protocol import labels
from app.protocol.model_cache import DEFAULT_LIMITS, CacheLimits, CacheOverride
from app.protocol.ports import ClusterPort


class GepettoSettings(BaseSettings):
    """Everything that the environment tells. Seeds and passwords never show in messages."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    postgresql: SecretStr
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    validators: str
    miner_ss58: str
    miner_seed: SecretStr
    chutes_namespace: str = labels.CHUTES_NAMESPACE
    nvidia_runtime: str = "nvidia"
    registry_proxy_port: int = 30500
    mtls_registry_min_version: str = "1.4.0"
    chute_shutdown_time_seconds: int = 180
    cache_max_age_days: int = DEFAULT_LIMITS.max_age_days
    cache_max_size_gb: int = DEFAULT_LIMITS.max_size_gb
    cache_overrides: dict[str, CacheOverride | int] = Field(default_factory=dict)
    cache_cleaner_image: str = "parachutes/cache-cleaner:latest"
    cache_cleaner_pull_policy: PullPolicy = PullPolicy.ALWAYS
    chute_image_pull_policy: PullPolicy = PullPolicy.ALWAYS
    gepetto_file: Path = Path("/app/gepetto.py")
    gepetto_config: Path = Path("/app/config/gepetto.yaml")
    gepetto_port: int = int(ClusterPort.HTTP)
    gepetto_fail_stop: bool = False
    gepetto_shadow: bool = False
    gepetto_live_clusters: bool = False
    #: One-time calls to validators that a taken-over database has not behind it.
    validator_migrations_enabled: bool = True
    #: Kubeconfigs are stored sealed. Off only where public programs read the same database.
    kubeconfig_sealed: bool = True

    def pods(self) -> PodSettings:
        """What all deployments share."""
        return PodSettings(
            miner_ss58=self.miner_ss58,
            namespace=self.chutes_namespace,
            runtime_class=self.nvidia_runtime,
            registry_proxy_port=self.registry_proxy_port,
            mtls_registry_min_version=self.mtls_registry_min_version,
            shutdown_seconds=self.chute_shutdown_time_seconds,
            cache_limits=CacheLimits(self.cache_max_age_days, self.cache_max_size_gb),
            cache_overrides=self.cache_overrides,
            cache_cleaner_image=self.cache_cleaner_image,
            cache_cleaner_pull_policy=self.cache_cleaner_pull_policy,
            chute_pull_policy=self.chute_image_pull_policy,
        )


def read_configuration(path: Path) -> Configuration:
    """The operator's YAML (ConfigMap `gepetto-config`), or the defaults where there is none.

    Raises:
        ValueError: the file is not a mapping or a value is out of its bounds; pydantic's message names it.
    """
    return parse_configuration(path.read_text(), str(path)) if path.exists() else Configuration()


def parse_configuration(text: str, name: str) -> Configuration:
    """The configuration that a YAML text says.

    Raises:
        ValueError: it is no YAML, not a mapping, or a value is out of its bounds.
    """
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is not YAML: {error}") from error
    if not isinstance(found, dict | None):
        raise ValueError(  # noqa: TRY004 - one error type for everything that a file can have wrong
            f"{name}: a mapping was wanted, got {type(found).__name__}"
        )
    return Configuration.model_validate(found or {})
