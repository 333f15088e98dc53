"""Our files in an image: whole packages, what they import of ours, and nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.images.catalogue import IMAGES
from infra.images.modules import program_files
from infra.images.names import ImageName
from tests.support.settings import CLONE

_MODULES = 6
Edges = frozenset[tuple[int, int]]
edges = st.frozensets(st.tuples(st.integers(0, _MODULES - 1), st.integers(0, _MODULES - 1)), max_size=10)


def write(clone: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = clone / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def graph(clone: Path, arrows: Edges) -> None:
    """Packages app.m0 ... app.m5; where an arrow says so, one imports another, in each of the ways there are."""
    ways = (
        "import app.m{0}.code",
        "from app.m{0} import code",
        "from app.m{0}.code import thing",
        "X = 'app.m{0}.code'",
    )
    write(clone, {"app/__init__.py": ""} | {f"app/m{number}/__init__.py": "" for number in range(_MODULES)})
    for number in range(_MODULES):
        lines = [ways[(source + target) % 4].format(target) for source, target in sorted(arrows) if source == number]
        write(clone, {f"app/m{number}/code.py": "\n".join(lines)})


def reached(arrows: Edges, start: int) -> set[int]:
    found, todo = set[int](), [start]
    while todo:
        if (node := todo.pop()) not in found:
            found.add(node)
            todo += [target for source, target in arrows if source == node]
    return found


@settings(max_examples=25, deadline=None)
@given(edges)
def test_exactly_what_a_package_reaches_by_imports_goes_in(arrows: Edges) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder)
        graph(clone, arrows)
        files = program_files(clone, ("app.m0",))
    code = {name for name in files if name.endswith("code.py")}
    assert code == {f"app/m{number}/code.py" for number in reached(arrows, 0)}
    assert {f"{Path(name).parent}/__init__.py" for name in code} | {"app/__init__.py"} == set(files) - code


def test_modules_named_in_strings_are_found_and_other_strings_are_not(tmp_path: Path) -> None:
    text = "run('app.other.main:create')\nprint('see app.third.main for more', 'app.missing.thing')\n"
    write(tmp_path, {"app/__init__.py": "", "app/one/__init__.py": text, "app/other/__init__.py": ""})
    write(tmp_path, {"app/other/main.py": "", "app/third/__init__.py": "", "app/third/main.py": ""})
    assert program_files(tmp_path, ("app.one",)) == (
        "app/__init__.py",
        "app/one/__init__.py",
        "app/other/__init__.py",
        "app/other/main.py",
    )


def test_data_goes_with_its_modules_and_tests_and_compiled_files_never(tmp_path: Path) -> None:
    write(tmp_path, {"app/__init__.py": "", "app/one/__init__.py": "import app.two.code", "app/one/page.html": ""})
    write(tmp_path, {"app/two/__init__.py": "", "app/two/code.py": "", "app/two/query.sql": "", "app/two/more.py": ""})
    write(tmp_path, {"app/one/tests/test_one.py": "", "app/one/__pycache__/x.pyc": "", "app/two/__pycache__/x.pyc": ""})
    assert program_files(tmp_path, ("app.one",)) == (
        "app/__init__.py",
        "app/one/__init__.py",
        "app/one/page.html",
        "app/two/__init__.py",
        "app/two/code.py",
        "app/two/query.sql",
    )


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"app/gone .*catalogue"):
        program_files(tmp_path, ("app.gone",))


def test_imports_relative_to_themselves_are_refused(tmp_path: Path) -> None:
    write(tmp_path, {"app/__init__.py": "", "app/one/__init__.py": "from . import two"})
    with pytest.raises(ValueError, match=r"__init__\.py:1 imports relative"):
        program_files(tmp_path, ("app.one",))


def test_nothing_of_the_lab_is_in_an_image_but_the_simulated_chute() -> None:
    for name, recipe in IMAGES.items():
        files = program_files(CLONE, recipe.program.packages) if recipe.program else ()
        foreign = {file for file in files if file.partition("/")[0] in {"lab", "tests", "infra", "policies"}}
        assert bool(foreign) == (name == ImageName.LAB_CHUTE), sorted(foreign)
        assert all(file.startswith("lab/") for file in foreign)
