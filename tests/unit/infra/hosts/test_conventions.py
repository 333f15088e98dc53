"""Rules that every deploy keeps, read from the sources: named operations, no trap of pyinfra's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import infra.hosts

ROOT = Path(infra.hosts.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
#: Never idempotent, or judged wrongly in a plan.
TRAPS = {"shell", "script", "script_template", "daemon_reload", "reboot", "wait"}


def calls(path: Path) -> Iterator[tuple[str, str, ast.Call]]:
    """Calls of the form `module.function(...)` in a file."""
    return calls_in(ast.parse(path.read_text()))


def calls_in(tree: ast.AST) -> Iterator[tuple[str, str, ast.Call]]:
    """The same in a part of one."""
    for node in ast.walk(tree):
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


#: Operations that no test can let drift on a booted machine, with the reason.
NO_DRIFT_THERE = {
    "system | modules loaded": "hosts share this machine's kernel, whose modules are not ours to unload",
    "nvidia | InfiniBand loaded": "the same, and the kernel has no such module",
    "nvidia | InfiniBand at boot": "goes with its module",
    "nvidia | fabric manager is of the driver's version": "judges alone, and is tested as a refusal",
}
#: Deploys whose operations hold no declared state.
NOT_DECLARED = {"acts.py", "leave.py"}


def texts(node: ast.AST) -> str:
    """A string or f-string as a pattern: what is filled in may be anything."""
    if isinstance(node, ast.Constant):
        return re.escape(str(node.value))
    assert isinstance(node, ast.JoinedStr)
    return "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in node.values)


def declared_operations() -> Iterator[str]:
    """Pattern of the full name of each operation that a deploy declares for a machine that stays."""
    for path in sorted((ROOT / "deploys").glob("*.py")):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        deploys = {
            str(ast.literal_eval(mark.args[0]))
            for function in functions
            for mark in function.decorator_list
            if isinstance(mark, ast.Call)
        }
        for function in functions:
            if path.name in NOT_DECLARED or function.name.startswith("no_"):
                continue
            for module, _, call in calls_in(function):
                names = [word.value for word in call.keywords if word.arg == "name"]
                if module in imported_operations(path) and names:
                    (deploy,) = deploys
                    yield f"{deploy} \\| {texts(names[0])}"


def plain(pattern: str) -> str:
    return re.sub(r"\\(.)", r"\1", pattern)


def test_every_operation_is_let_drift_or_brought_in_on_a_booted_machine() -> None:
    said = {
        plain(texts(node))
        for path in (Path(__file__).parents[4] / "tests/host/infra/hosts").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    }
    operations = set(declared_operations())
    assert len(operations) > 40
    untested = {name for name in operations if not any(re.fullmatch(name, text) for text in said)}
    assert {plain(name) for name in untested} == set(NO_DRIFT_THERE)
