"""The only reader of Pulumi config: one frozen tree, every mistake reported at once, secrets apart."""

from infra.settings.gpu_runtime import GpuRuntimeSettings
from infra.settings.load import FleetConfig, load, read_secrets
from infra.settings.mistakes import Mistake, SettingsError
from infra.settings.secrets import FleetSecrets
from infra.settings.source import ConfigSource, PulumiConfigSource
from infra.settings.tree import (
    AllowanceSettings,
    BackupSettings,
    BareGpuNode,
    ControlSettings,
    Delivery,
    FleetSettings,
    GpuNode,
    NodeState,
    TeeGpuNode,
)

__all__ = [
    "AllowanceSettings",
    "BackupSettings",
    "BareGpuNode",
    "ConfigSource",
    "ControlSettings",
    "Delivery",
    "FleetConfig",
    "FleetSecrets",
    "FleetSettings",
    "GpuNode",
    "GpuRuntimeSettings",
    "Mistake",
    "NodeState",
    "PulumiConfigSource",
    "SettingsError",
    "TeeGpuNode",
    "load",
    "read_secrets",
]
