"""Runs a command as a container would: another user, no capability, every file system read-only but for one volume.

Made of the kernel's namespaces alone, so it needs no container runtime; where they are not allowed, `refusal` says so.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

USER_ID: Final = 65_532
_SEAL: Final = """
set -eu
volume=$1; user=$2; shift 2
mount --bind "$volume" "$volume"
awk '{print $5}' /proc/self/mountinfo | while read -r point; do
  case "$point" in
    "$volume"|/proc|/proc/*|/sys|/sys/*|/dev|/dev/*) ;;
    *) mount -o remount,bind,ro "$point" 2>/dev/null || true ;;
  esac
done
exec unshare --user --map-user="$user" --map-group="$user" -- "$@"
"""


def sealed(volume: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs a command so; `volume` stays writable."""
    outer = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private"]
    return [*outer, "sh", "-c", _SEAL, "sealed", str(volume), str(USER_ID), *command]


def refusal(volume: Path, elsewhere: Path) -> str | None:
    """Why a command cannot be sealed here; None where it can, which is tried out."""
    tried = f'test "$(id -u)" = {USER_ID} && touch "{volume}/in" && ! touch "{elsewhere}/out" 2>/dev/null'
    ran = subprocess.run(sealed(volume, ["sh", "-c", tried]), capture_output=True, text=True, timeout=30, check=False)
    return None if ran.returncode == 0 else ran.stderr.strip() or "a file outside the volume could be written"
