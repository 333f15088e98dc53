"""SSH keys of a fleet, generated into its state folder (mode 0600): the user's own, and one host key per host."""

from __future__ import annotations

from pathlib import Path

from lab.hosts.commands import run
from lab.hosts.models import LabHost


def key_pair(path: Path, comment: str) -> Path:
    """An Ed25519 key pair at `path` and `path`.pub, made if absent; the path of the private key."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
    path.chmod(0o600)
    return path


def public_key(private: Path) -> str:
    """The one-line public half of a pair."""
    return private.with_name(f"{private.name}.pub").read_text().strip()


def known_hosts(keys: dict[LabHost, Path]) -> str:
    """Content of a known_hosts file that names each host by address and by name."""
    lines = []
    for host, private in keys.items():
        kind, key, *_ = public_key(private).split()
        lines.append(f"{host.address},{host.name} {kind} {key}\n")
    return "".join(lines)
