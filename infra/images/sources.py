"""Where Debian packages come from: this machine's own apt configuration, or a mirror that the settings name."""

from __future__ import annotations

import subprocess
from typing import Final

_KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TIMEOUT_SECONDS: Final = 60


def sources_list(suite: str, mirror: str | None) -> str:
    """Content of a sources.list for `suite`.

    Raises:
        RuntimeError: no mirror is given and this machine's apt knows no archive of the suite.
    """
    if mirror is not None:
        return f"deb [signed-by={_KEYRING}] {mirror.rstrip('/')} {suite} main\n"
    output = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages"],
        capture_output=True, text=True, check=True, timeout=_TIMEOUT_SECONDS,
    ).stdout  # fmt: skip
    return parsed(suite, output)


def parsed(suite: str, index_targets: str) -> str:
    """The archives of one suite and its updates, of all that apt knows."""
    lines = []
    for line in index_targets.splitlines():
        uri, release, component = line.split()
        if release == suite or release.startswith(f"{suite}-"):
            lines.append(f"deb [signed-by={_KEYRING}] {uri.rstrip('/')} {release} {component}\n")
    if not lines:
        raise RuntimeError(
            f"apt on this machine knows no archive of Debian {suite}, from which images are made. "
            "Name one: pulumi config set --path images.mirror https://deb.debian.org/debian"
        )
    return "".join(dict.fromkeys(lines))
