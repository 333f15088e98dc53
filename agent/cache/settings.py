"""Settings of the cache cleaner: the public one's environment variables, and ours (spec: agent-monitor 15.1)."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.cache.locking import LOCK_WAIT_SECONDS
from app.protocol.labels import CHUTES_NAMESPACE
from app.protocol.model_cache import DEFAULT_LIMITS, CacheLimits, CacheOverride, limits_of, protected_by


class CleanerSettings(BaseSettings):
    """Sizes are in GiB, as the public cleaner counts them. Lists are separated by commas."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    hf_home: Path = Path("/cache")
    civitai_home: Path | None = None
    #: The chute that is about to start: its cache is never touched.
    cleanup_exclude: str = ""
    #: Chutes that run or start on this node, as the job builder knows them; `*`: every chute is left alone.
    cleanup_protect: str = ""
    #: Whether to ask the node's own API server which chutes run. Without an answer nothing is deleted.
    cleanup_protect_running: bool = False
    #: Where chutes' pods are.
    namespace: str = CHUTES_NAMESPACE
    cache_max_age_days: int = Field(DEFAULT_LIMITS.max_age_days, ge=0)
    cache_max_size_gb: int = Field(DEFAULT_LIMITS.max_size_gb, ge=0)
    cache_overrides: dict[str, CacheOverride | int] = Field(default_factory=dict)
    node_name: str = ""
    dry_run: bool = False
    #: In an init container a partial success, or a cache that another cleaner works on, must not stop the chute: exit
    #: code 3 becomes 0.
    init_container: bool = False
    #: How long to wait for idle GPUs before cleaning; 0 does not wait.
    gpu_idle_seconds: float = Field(180, ge=0)
    #: How long to wait for another cleaner of the same cache; then this one leaves the work to it.
    lock_wait_seconds: float = Field(LOCK_WAIT_SECONDS, ge=0)

    @property
    def limits(self) -> CacheLimits:
        """This node's."""
        fleet = CacheLimits(self.cache_max_age_days, self.cache_max_size_gb)
        return limits_of(self.node_name, fleet, self.cache_overrides)

    @property
    def protected_chutes(self) -> frozenset[str]:
        """Chute ids whose directories are not touched."""
        return protected_by(self.cleanup_exclude) | protected_by(self.cleanup_protect)
