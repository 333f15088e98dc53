"""Settings of the machine's kernel that a fleet needs raised, and put back when the last fleet is gone."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Final

#: Least values. Forwarding lets hosts reach package archives; each host's systemd and kubelet watch many files.
NEEDED: Final = {"net/ipv4/ip_forward": 1, "fs/inotify/max_user_instances": 4096, "fs/inotify/max_user_watches": 524288}
_RECORD: Final = Path("/run/headframe/kernel-settings.json")


def raise_settings(needed: dict[str, int], settings: Path = Path("/proc/sys"), record: Path = _RECORD) -> None:
    """Raise what is too low, remembering what it was. A value already high enough is not touched."""
    before: dict[str, int] = json.loads(record.read_text()) if record.exists() else {}
    for name, least in needed.items():
        value = int((settings / name).read_text())
        if value < least:
            before.setdefault(name, value)
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(json.dumps(before))  # before the change: a run killed between the two can be undone
            (settings / name).write_text(f"{least}\n")


def restore_settings(settings: Path = Path("/proc/sys"), record: Path = _RECORD) -> None:
    """Put back what `raise_settings` changed."""
    if not record.exists():
        return
    for name, value in json.loads(record.read_text()).items():
        (settings / name).write_text(f"{value}\n")
    record.unlink()
    with contextlib.suppress(OSError):  # somebody else keeps something there
        record.parent.rmdir()
