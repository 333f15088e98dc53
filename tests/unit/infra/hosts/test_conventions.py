"""Rules that every deploy keeps, read from the sources: named operations, no trap of pyinfra's."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import infra.hosts

ROOT = Path(infra.hosts.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
#: Never idempotent, or judged wrongly in a plan.
TRAPS = {"shell", "script", "script_template", "daemon_reload", "reboot", "wait"}


def calls(path: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Calls of the form `module.function(...)`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
        ):
            yield node.func.value.id, node.func.attr, node


def imported_operations(path: Path) -> set[str]:
    """Names under which a file knows modules of operations."""
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module in {"pyinfra.operations", "infra.hosts.operations"}
        for alias in node.names
    }


@pytest.mark.parametrize("path", sorted((ROOT / "deploys").glob("*.py")), ids=lambda path: path.name)
def test_every_operation_has_a_name(path: Path) -> None:
    modules = imported_operations(path)
    unnamed = [
        f"{module}.{function}, line {call.lineno}"
        for module, function, call in calls(path)
        if module in modules and function not in {"digest_of"} and "name" not in {word.arg for word in call.keywords}
    ]
    assert unnamed == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_trap_of_pyinfra_is_used(path: Path) -> None:
    modules = imported_operations(path)
    assert [f"{module}.{name}" for module, name, _ in calls(path) if module in modules and name in TRAPS] == []
    assert "_if=" not in path.read_text()


def test_gevent_is_patched_once_and_first() -> None:
    patching = [path for path in SOURCES if "patch_all" in path.read_text()]
    assert [path.name for path in patching] == ["__main__.py"]
    statements = [node for node in ast.parse(patching[0].read_text()).body if not isinstance(node, ast.Expr)]
    first = statements[0]
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "gevent"
