"""`settings`, `validator_by_hotkey` and `Validator` under their public names."""

from __future__ import annotations

from app.compat.runtime import current
from app.protocol.validators import ValidatorEntry as Validator

__all__ = ["Validator", "settings", "validator_by_hotkey"]


class _Settings:
    """Attributes of the public settings object, read from the process's runtime when they are asked for."""

    @property
    def miner_ss58(self) -> str:
        return current().signer.ss58

    @property
    def validators(self) -> list[Validator]:
        return list(current().validators)

    @property
    def redis_url(self) -> str:
        return current().redis_url

    def __getattr__(self, name: str) -> object:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return current().options[name]
        except KeyError:
            raise AttributeError(f"the public settings have {name!r}, ours do not: see docs/strategies") from None


settings = _Settings()


def validator_by_hotkey(hotkey: str) -> Validator | None:
    """The configured validator of that hotkey."""
    return next((entry for entry in current().validators if entry.hotkey == hotkey), None)
