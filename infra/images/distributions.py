"""Third-party distributions of an image: the closure of one extra in uv.lock, with versions and hashes.

Pure but for reading the lock. An entry of the lock that an image does not reach cannot change that image's tag.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker

#: Name of this project in its lock.
PROJECT: Final = "headframe"
#: What the fleet's machines are. Wheels for others are never chosen.
MACHINE: Final = "x86_64"


@dataclass(frozen=True)
class Distribution:
    """One pinned distribution and the hashes of its wheels, as pip writes them (`sha256:...`)."""

    name: str
    version: str
    hashes: tuple[str, ...]

    @property
    def requirement(self) -> str:
        """The line of a requirements file that takes this content and no other."""
        return " ".join([f"{self.name}=={self.version}", *(f"--hash={value}" for value in self.hashes)])


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The Python that runs in the image, by which conditions in the lock are judged."""

    python: str

    def meets(self, condition: str | None) -> bool:
        """Whether a condition holds there; none always does."""
        return condition is None or _meets(condition, self.python)


@lru_cache(maxsize=1024)
def _meets(condition: str, python: str) -> bool:
    facts = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": MACHINE,
        "os_name": "posix",
        "platform_release": "",
        "platform_version": "",
        "extra": "",
    }
    return Marker(condition).evaluate(facts)


class Lock:
    """The content of a uv.lock."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._entries: dict[str, list[Mapping[str, Any]]] = {}
        for entry in content["package"]:
            self._entries.setdefault(entry["name"], []).append(entry)

    def closure(self, extra: str, environment: Environment) -> tuple[Distribution, ...]:
        """Everything that the project with `extra` needs in `environment`, by name; the project itself is not in it.

        Raises:
            ValueError: the project has no such extra, or the lock is ambiguous about a version.
        """
        (project,) = self._entries[PROJECT]
        if extra not in project["optional-dependencies"]:
            raise ValueError(f"uv.lock knows no extra {extra}: name one of pyproject.toml, or run uv lock")
        todo: list[Mapping[str, Any]] = [*project["dependencies"], *project["optional-dependencies"][extra]]
        visited: set[tuple[str, str]] = set()
        found: dict[str, Distribution] = {}
        while todo:
            wanted = todo.pop()
            if not environment.meets(wanted.get("marker")):
                continue
            entry = self._entry(wanted, environment)
            for part in ("", *wanted.get("extra", ())):
                if (entry["name"], part) not in visited:
                    visited.add((entry["name"], part))
                    todo += entry["optional-dependencies"][part] if part else entry.get("dependencies", ())
            found[entry["name"]] = _distribution(entry)
        return tuple(found[name] for name in sorted(found) if name != PROJECT)

    def _entry(self, wanted: Mapping[str, Any], environment: Environment) -> Mapping[str, Any]:
        fitting = list(_fitting(self._entries[wanted["name"]], wanted, environment))
        if len(fitting) != 1:
            raise ValueError(
                f"uv.lock offers {len(fitting)} versions of {wanted['name']} for Python {environment.python}, "
                "wanted one: run uv lock"
            )
        return fitting[0]


@lru_cache(maxsize=4)
def _parsed(path: Path, _changed_ns: int) -> Lock:
    return Lock(tomllib.loads(path.read_text()))


def read_lock(path: Path) -> Lock:
    """The lock at `path`, parsed once for all images of a preview."""
    return _parsed(path, path.stat().st_mtime_ns)


def requirements(distributions: Sequence[Distribution]) -> str:
    """A requirements file of exactly these."""
    return "".join(f"{one.requirement}\n" for one in distributions)


def _fitting(
    entries: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any], environment: Environment
) -> Iterator[Mapping[str, Any]]:
    for entry in entries:
        conditions = entry.get("resolution-markers", ())
        if "version" in wanted and wanted["version"] != entry["version"]:
            continue
        if not conditions or any(environment.meets(condition) for condition in conditions):
            yield entry


def _distribution(entry: Mapping[str, Any]) -> Distribution:
    hashes = tuple(sorted(wheel["hash"] for wheel in entry.get("wheels", ())))
    return Distribution(entry["name"], entry["version"], hashes)
