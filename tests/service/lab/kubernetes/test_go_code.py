"""The stand-in's own Go code passes its Go tests: settings, certificates, network policy rules."""

from __future__ import annotations

import os
import subprocess

import pytest

from lab.builds.golang import go_command
from lab.kubernetes.binary import MODULE_FOLDER

pytestmark = pytest.mark.service


def test_settings_certificates_and_policy_rules() -> None:
    # The flags of the build, so that its compiled packages are used again.
    command = [str(go_command()), "test", "-trimpath", "-vet=off", "./policy", "./settings", "./pki"]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}
    done = subprocess.run(
        command, cwd=MODULE_FOLDER, env=environment, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok  \t") == 3
