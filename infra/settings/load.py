"""From a configuration to settings, or to the list of everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import ValidationError

from infra.settings import rules
from infra.settings.mistakes import Mistake, SettingsError, of_validation, remove_command
from infra.settings.secrets import (
    BACKUP_PRIVATE_KEY,
    GRAFANA_PASSWORD,
    HOTKEY_SEED,
    REGISTRY_PASSWORD,
    SECRET_KEYS,
    SSH_PRIVATE_KEY,
    FleetSecrets,
)
from infra.settings.source import ConfigSource
from infra.settings.tree import FleetSettings
from policies.rules.model import Finding


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """Valid settings, and what the rules only warn of."""

    settings: FleetSettings
    warnings: tuple[Finding, ...] = field(default=())


def load(source: ConfigSource) -> FleetConfig:
    """Read everything, then judge everything.

    Raises:
        SettingsError: with every mistake that was found, each with the command that fixes it.
    """
    mistakes = list(_misplaced_secrets(source))
    settings, more = _tree(source)
    mistakes += more
    mistakes += _missing_secrets(source, settings)
    broken, warnings = rules.check(settings) if settings is not None else (_judge_parts(source), [])
    mistakes += broken
    if mistakes or settings is None:
        raise SettingsError(mistakes)
    return FleetConfig(settings=settings, warnings=tuple(warnings))


def read_secrets(source: ConfigSource) -> FleetSecrets:
    """The secrets of a configuration that was loaded; only a running program can hold them.

    Raises:
        SettingsError: the SSH key or the hotkey's seed is missing.
    """
    key, seed = source.secret(SSH_PRIVATE_KEY), source.secret(HOTKEY_SEED)
    if key is None or seed is None:
        raise SettingsError(list(_missing_secrets(source, None)))
    return FleetSecrets(
        ssh_private_key=key,
        hotkey_seed=seed,
        registry_password=source.secret(REGISTRY_PASSWORD),
        backup_private_key=source.secret(BACKUP_PRIVATE_KEY),
        grafana_password=source.secret(GRAFANA_PASSWORD),
    )


def validate(values: dict[str, object]) -> list[Mistake]:
    """Mistakes of plain values alone: what an editor of a stack file wants to know."""
    try:
        return rules.check(FleetSettings.model_validate(values))[0]
    except ValidationError as error:
        return [*of_validation(error, FleetSettings), *rules.check_parts(values)]


def _tree(source: ConfigSource) -> tuple[FleetSettings | None, list[Mistake]]:
    wanted = source.keys() - frozenset(SECRET_KEYS)
    values = {key: source.plain(key) for key in wanted if not source.is_secret(key)}
    try:
        return FleetSettings.model_validate(values), []
    except ValidationError as error:
        hidden = {key for key in wanted if source.is_secret(key)}
        return None, [
            mistake for mistake in of_validation(error, FleetSettings) if mistake.path.split(".")[0] not in hidden
        ]


def _judge_parts(source: ConfigSource) -> list[Mistake]:
    """What the rules say of those machines that can be read, so that one typing error hides no other mistake."""
    readable = {key: source.plain(key) for key in source.keys() - frozenset(SECRET_KEYS) if not source.is_secret(key)}
    return rules.check_parts(readable)


def _misplaced_secrets(source: ConfigSource) -> Iterator[Mistake]:
    """One secret value makes its whole top-level key secret, and nothing would warn of a secret read in plain."""
    for key in sorted(source.keys()):
        if key not in SECRET_KEYS and source.is_secret(key):
            yield Mistake(key, "only flat secret keys may hold secrets", remove_command(key))
        elif key in SECRET_KEYS and not source.is_secret(key):
            what, command = SECRET_KEYS[key]
            yield Mistake(key, f"the {what} is stored in plain", command)


def _missing_secrets(source: ConfigSource, settings: FleetSettings | None) -> Iterator[Mistake]:
    needed = [SSH_PRIVATE_KEY, HOTKEY_SEED]
    if settings is not None and settings.kubernetes.registry_login is not None:
        needed.append(REGISTRY_PASSWORD)
    if settings is not None and settings.backup is not None:
        needed.append(BACKUP_PRIVATE_KEY)
    if settings is not None and settings.monitoring.grafana_in(lab=settings.allowances.simulated_gpus) is not None:
        needed.append(GRAFANA_PASSWORD)
    present = source.keys()
    for key in needed:
        if key not in present:
            what, command = SECRET_KEYS[key]
            yield Mistake(key, f"the {what} is missing", command)
