"""What kind of `gepetto.py` a file is (spec: gepetto 24.7 B), told from its syntax alone. Runs nothing."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

#: Methods of the public class that a subclass may override and that are honoured as hooks.
UPSTREAM_HOOKS: Final = (
    "optimal_scale_up_server",
    "optimal_scale_down_deployment",
    "preempting_deploy",
    "scale_chute",
    "_autoscale",
    "job_created",
    "run_job",
    "bounty_changed",
    "chute_created",
    "chute_updated",
    "rolling_update",
    "server_deleted",
    "gpu_deleted",
    "reconcile",
)
_OUR_BASES: Final = frozenset({"headframe.strategy", "app.compat.strategy"})


class FileMode(StrEnum):
    STRATEGY = "strategy"
    SUBCLASS = "subclass"
    FULL = "full"


@dataclass(frozen=True)
class Recognised:
    """A file's kind and the hooks that it replaces."""

    mode: FileMode
    hooks: tuple[str, ...]


class UnrecognisedError(ValueError):
    """The file is none of the three kinds, or is no Python; the message says what was looked for."""


def recognise(source: str) -> Recognised:
    """The kind of a file.

    Raises:
        UnrecognisedError: a syntax error, or nothing that any kind has.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise UnrecognisedError(f"not Python: {error}") from error
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    if "Strategy" in classes or "strategy" in _assigned_names(tree) or "decide" in functions:
        hooks = _methods(classes["Strategy"]) if "Strategy" in classes else ()
        return Recognised(FileMode.STRATEGY, hooks)
    if "Gepetto" in classes:
        methods = tuple(name for name in _methods(classes["Gepetto"]) if name in UPSTREAM_HOOKS)
        mode = FileMode.SUBCLASS if _derives_from_ours(tree, classes["Gepetto"]) else FileMode.FULL
        return Recognised(mode, methods)
    raise UnrecognisedError("it defines neither `strategy`, `Strategy`, `decide` nor a class `Gepetto`")


def _assigned_names(tree: ast.Module) -> set[str]:
    assignments = (node for node in tree.body if isinstance(node, ast.Assign))
    return {target.id for node in assignments for target in node.targets if isinstance(target, ast.Name)}


def _methods(node: ast.ClassDef) -> tuple[str, ...]:
    return tuple(item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))


def _derives_from_ours(tree: ast.Module, node: ast.ClassDef) -> bool:
    """Whether the class derives from a `Gepetto` that is imported from our package."""
    imported: set[str] = set()
    for item in tree.body:
        if isinstance(item, ast.ImportFrom) and item.module in _OUR_BASES:
            imported |= {alias.asname or alias.name for alias in item.names}
        if isinstance(item, ast.Import):
            imported |= {(alias.asname or alias.name).split(".")[0] for alias in item.names if alias.name in _OUR_BASES}
    bases = {ast.unparse(base).split(".")[0] for base in node.bases}
    return bool(bases & imported)
