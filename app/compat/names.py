"""The table of import names (spec: gepetto 24.7), and the finder that serves them. Written from the table alone."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Final

#: Public module name -> our module that holds its names. A package without names of its own maps to the empty text.
TABLE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "headframe": "",
        "headframe.strategy": "app.compat.strategy",
        "chutes_miner": "",
        "chutes_miner.api": "",
        "chutes_miner.api.k8s": "app.compat.k8s",
        "chutes_miner.api.k8s.operator": "app.compat.k8s",
        "chutes_miner.api.server": "",
        "chutes_miner.api.server.util": "app.compat.server_util",
        "chutes_miner.api.config": "app.compat.config",
        "chutes_miner.api.redis_pubsub": "app.compat.redis_pubsub",
        "chutes_miner.api.database": "app.compat.database",
        "chutes_miner.api.exceptions": "app.compat.exceptions",
        "chutes_miner.validator_migrations": "app.compat.validator_migrations",
        "chutes_common": "",
        "chutes_common.auth": "app.compat.auth",
        "chutes_common.settings": "app.compat.config",
        "chutes_common.schemas": "app.compat.schemas",
        "chutes_common.schemas.orms": "app.compat.schemas",
        "chutes_common.schemas.chute": "app.compat.schemas",
        "chutes_common.schemas.server": "app.compat.schemas",
        "chutes_common.schemas.gpu": "app.compat.schemas",
        "chutes_common.schemas.deployment": "app.compat.schemas",
        "chutes_common.exceptions": "app.compat.exceptions",
    }
)


class _Loader(importlib.abc.Loader):
    def __init__(self, ours: str) -> None:
        self._ours = ours

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module: ModuleType) -> None:
        if self._ours:
            source = importlib.import_module(self._ours)
            module.__dict__.update({key: value for key, value in vars(source).items() if not key.startswith("__")})
            module.__doc__ = source.__doc__


class CompatFinder(importlib.abc.MetaPathFinder):
    """Serves the table's names; asked last, so that an installed package of the same name is found first."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> importlib.machinery.ModuleSpec | None:
        ours = TABLE.get(fullname)
        if ours is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(ours), is_package=True)


def install() -> None:
    """Make the names importable in this process; a second call changes nothing."""
    if not any(isinstance(finder, CompatFinder) for finder in sys.meta_path):
        sys.meta_path.append(CompatFinder())
