"""Which test files go to which process of a parallel run (`pytest -n 2 --dist loadfile`).

A file stays in one process. Files that need the same scarce thing of this machine stay in one process too, and so run
one after the other; everything else must be able to run beside anything.
"""

from __future__ import annotations

from typing import Final

from xdist.scheduler import LoadFileScheduling

#: Beginnings of paths -> what they share.
SHARED: Final = {
    # They converge this very machine, whose lock on itself lets others wait for a minute at most.
    "tests/service/infra/hosts/": "this machine's lock",
    "tests/service/infra/provider/": "this machine's lock",
    # One makes the environment of the public client, the other uses it where it is there.
    "tests/service/app/api/test_conformance.py": "the public client",
    "tests/service/app/cli/test_public_client.py": "the public client",
}


def scope_of(file: str) -> str:
    """The unit of work that a test file belongs to."""
    return next((shared for beginning, shared in SHARED.items() if file.startswith(beginning)), file)


class SharedScheduling(LoadFileScheduling):  # type: ignore[misc] # pytest-xdist ships no types
    """Whole files, in the order of collection, those that share something in one unit."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(super()._split_scope(nodeid))
