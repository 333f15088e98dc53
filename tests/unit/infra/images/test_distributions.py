"""Third-party distributions of an image: what its extra reaches in the lock, for the image's Python."""

from __future__ import annotations

import ast
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import canonicalize_name

from infra.images.catalogue import BASE, IMAGES
from infra.images.distributions import Environment, Lock, read_lock, requirements
from infra.images.modules import OURS
from infra.images.names import ImageName
from infra.images.recipe import python_inputs
from tests.support.settings import CLONE

PYTHON = Environment(python="3.11")
#: Third-party imports that an image does without, and why.
OPTIONAL = {
    (ImageName.GEPETTO, "matplotlib"): "the simulator's plots are made where a person looks at them",
    (ImageName.TRACKER, "bittensor_wallet"): "the older generation of the SDK",
    (ImageName.TRACKER, "async_substrate_interface"): "the older generation of the SDK",
}
arrows = st.frozensets(st.tuples(st.integers(0, 6), st.integers(1, 6)), max_size=12)


def package(name: str, needs: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    plain = {"name": name, "version": "1.0", "dependencies": needs, "wheels": [{"hash": f"sha256:{name}"}]}
    return plain | more


def project(*needs: dict[str, Any], extra: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"name": "headframe", "version": "0", "dependencies": needs, "optional-dependencies": {"x": extra}}


def names(content: list[dict[str, Any]], extra: str = "x") -> list[str]:
    return [one.name for one in Lock({"package": content}).closure(extra, PYTHON)]


@given(arrows)
def test_the_closure_is_what_the_extra_reaches_and_nothing_else(edges: frozenset[tuple[int, int]]) -> None:
    def needs(number: int) -> list[dict[str, Any]]:
        return [{"name": f"p{target}"} for source, target in sorted(edges) if source == number]

    content = [project(extra=tuple(needs(0))), *(package(f"p{number}", needs(number)) for number in range(1, 7))]
    found, todo = set[int](), [target for source, target in edges if source == 0]
    while todo:
        if (node := todo.pop()) not in found:
            found.add(node)
            todo += [target for source, target in edges if source == node]
    assert names(content) == sorted(f"p{number}" for number in found)


def test_conditions_are_judged_for_the_python_in_the_image() -> None:
    conditional = (
        {"name": "windows", "marker": "sys_platform == 'win32'"},
        {"name": "older", "marker": "python_full_version < '3.12'"},
        {"name": "newer", "marker": "python_full_version >= '3.12'"},
    )
    content = [project(extra=conditional), *(package(name, []) for name in ("windows", "older", "newer"))]
    assert names(content) == ["older"]


def test_of_two_locked_versions_the_one_for_this_python_is_taken() -> None:
    older, newer = ["python_full_version < '3.12'"], ["python_full_version >= '3.12'"]
    forks = [
        package("array", [], version="2.4") | {"resolution-markers": older},
        package("array", [], version="2.5") | {"resolution-markers": newer},
    ]
    (one,) = Lock({"package": [project({"name": "array"}), *forks]}).closure("x", PYTHON)
    assert one.version == "2.4"
    same = [package("array", [], version="2.4"), package("array", [], version="2.5")]
    with pytest.raises(ValueError, match=r"2 versions of array .*uv lock"):
        Lock({"package": [project({"name": "array"}), *same]}).closure("x", PYTHON)


def test_extras_of_distributions_are_followed() -> None:
    server = package("server", []) | {"optional-dependencies": {"fast": [{"name": "loop"}]}}
    content = [project(extra=({"name": "server", "extra": ["fast"]},)), server, package("loop", [])]
    assert names(content) == ["loop", "server"]


def test_an_unknown_extra_is_named() -> None:
    with pytest.raises(ValueError, match="no extra y"):
        names([project()], "y")


def test_requirements_take_the_locked_content_and_no_other() -> None:
    (one,) = Lock({"package": [project({"name": "a"}), package("a", [])]}).closure("x", PYTHON)
    assert requirements([one]) == "a==1.0 --hash=sha256:a\n"


def test_every_locked_distribution_has_a_wheel_and_only_gepetto_holds_linear_programs() -> None:
    lock = read_lock(CLONE / "uv.lock")
    holding = set()
    for name, recipe in IMAGES.items():
        for extra in recipe.program.extras if recipe.program else ():
            closure = lock.closure(extra, Environment(python=BASE.python))
            assert all(one.hashes for one in closure)
            if "scipy" in {one.name for one in closure}:
                holding.add(name)
    assert holding == {ImageName.GEPETTO}


def test_what_an_image_imports_of_third_parties_is_installed_in_it() -> None:
    providers = packages_distributions()
    lacking = set()
    for name, recipe in IMAGES.items():
        inputs = python_inputs(recipe, BASE, CLONE)
        installed = {one.name for _, added in inputs.layers for one in added}
        for module in third_party(inputs.files):
            if not installed & {canonicalize_name(one) for one in providers.get(module, [])}:
                lacking.add((ImageName(name), module))
    assert lacking <= set(OPTIONAL), lacking - set(OPTIONAL)


def third_party(files: tuple[str, ...]) -> set[str]:
    """Top-level names that sources import and that are neither ours nor Python's."""
    tops: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse((CLONE / file).read_text())) if file.endswith(".py") else ():
            if isinstance(node, ast.Import):
                tops.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                tops.add(node.module.partition(".")[0])
    return tops - OURS - set(sys.stdlib_module_names)


def test_the_lock_is_read_once_until_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "uv.lock"
    path.write_text('[[package]]\nname = "headframe"\ndependencies = []\n[package.optional-dependencies]\nx = []\n')
    assert read_lock(path) is read_lock(path)
    assert read_lock(path).closure("x", PYTHON) == ()
