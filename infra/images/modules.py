"""Our own files in an image: whole packages and, by their imports, what those need of ours and nothing else.

Reads source text and never imports it, so that a changed line changes only the images that hold that line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

#: Top-level packages of this clone.
OURS: Final = frozenset({"agent", "app", "graval", "infra", "lab", "policies", "tests", "tracker"})
#: Programs also name modules in strings: "app.api.main:create" for uvicorn, names for import_module.
_NAMED: Final = re.compile(rf"(?:{'|'.join(sorted(OURS))})(?:\.\w+)+(?::\w+)?")
_LEFT_OUT: Final = frozenset({"__pycache__", "tests"})


def program_files(clone: Path, packages: tuple[str, ...]) -> tuple[str, ...]:
    """Files of `packages` and of every module of ours that they reach, relative to the clone, sorted.

    Raises:
        FileNotFoundError: a package is not in the clone.
    """
    found: set[Path] = set()
    todo: list[str] = []
    for package in packages:
        whole = list(_whole(clone, package))
        found.update(whole)
        todo += [_module(clone, path) for path in whole if path.suffix == ".py"]
    visited: set[str] = set()
    located: dict[str, Path | None] = {}
    while todo:
        module = todo.pop()
        if module in visited:
            continue
        visited.add(module)
        for path in _sources(clone, module, located):
            if path not in found:
                found.add(path)
                found.update(_beside(path))
            todo += _mentioned(path, path.stat().st_mtime_ns)
    return tuple(sorted(str(path.relative_to(clone)) for path in found))


def _whole(clone: Path, package: str) -> Iterator[Path]:
    """Every file below a package."""
    folder = clone / package.replace(".", "/")
    if not (folder / "__init__.py").exists():
        raise FileNotFoundError(f"{folder} is no package of this clone: correct infra/images/catalogue.py")
    for path in folder.rglob("*"):
        if path.is_file() and not _LEFT_OUT & set(path.relative_to(clone).parts):
            yield path


def _beside(source: Path) -> Iterator[Path]:
    """Data that lies beside a module."""
    return (path for path in source.parent.iterdir() if path.is_file() and path.suffix not in {".py", ".pyc"})


def _module(clone: Path, path: Path) -> str:
    parts = path.relative_to(clone).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _sources(clone: Path, name: str, located: dict[str, Path | None]) -> Iterator[Path]:
    """Files that importing `name` runs: its packages from the top, and itself where it is a module.

    `located` keeps what was looked for: a module is mentioned by a hundred others.
    """
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        mentioned = ".".join(parts[:depth])
        if mentioned not in located:
            located[mentioned] = _located(clone.joinpath(*parts[:depth]))
        path = located[mentioned]
        if path is None:
            return
        yield path


def _located(module: Path) -> Path | None:
    """The file of a package or module, None where it is neither."""
    for path in (module / "__init__.py", module.with_name(f"{module.name}.py")):
        if path.exists():
            return path
    return None


@lru_cache(maxsize=4096)
def _mentioned(path: Path, _changed_ns: int) -> tuple[str, ...]:
    """Names of ours that a source imports or names in a string; some name a thing in a module, which does no harm."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                raise ValueError(f"{path}:{node.lineno} imports relative to itself: write the whole name")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _NAMED.fullmatch(node.value):
            names.add(node.value.partition(":")[0])
    return tuple(sorted(name for name in names if name.partition(".")[0] in OURS))
