"""The Pulumi program in a process that has no pyinfra: only the host runner needs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.settings import CLONE

pytestmark = pytest.mark.service


def test_the_program_declares_everything_where_pyinfra_cannot_be_imported(tmp_path: Path) -> None:
    code = """
import sys
for name in ("pyinfra", "gevent", "paramiko"):
    sys.modules[name] = None
from pathlib import Path
from tests.support.program_run import run_program
from tests.support.settings import fleet
print(len(run_program(fleet(), Path(sys.argv[1])).resources))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=CLONE, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40
