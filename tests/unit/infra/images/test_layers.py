"""What is taken from installed distributions before they become a layer."""

from __future__ import annotations

from pathlib import Path

from infra.images.layers import stripped

KEPT = {
    "one/__init__.py",
    "one/code.py",
    "one/testing.py",
    "one-1.dist-info/METADATA",
    "numpy/_core/tests/__init__.py",
    "numpy/_core/tests/_natype.py",
}
TAKEN = {
    "bin/one",
    ".lock",
    "one/tests/test_one.py",
    "one/tests/deeper/test_two.py",
    "one/code.c",
    "one/code.pyi",
    "one-1.dist-info/RECORD",
    "one-1.dist-info/INSTALLER",
    "numpy/_core/tests/test_array.py",
}


def test_tests_commands_and_records_go_and_what_programs_need_stays_readable(tmp_path: Path) -> None:
    for name in KEPT | TAKEN:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
        path.chmod(0o700)
    stripped(tmp_path)
    left = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path)) for path in left} == KEPT
    assert {path.stat().st_mode & 0o777 for path in left} == {0o644}
    assert not (tmp_path / "one" / "tests").exists()
