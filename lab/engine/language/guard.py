"""Makes a command die with the process that started it, then becomes it: guard.py PARENT SIGNAL COMMAND...

Runs as a script with bare Python (`-I -S`) in a few milliseconds. Linux only; elsewhere the command just runs.
"""

from __future__ import annotations

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, number, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != int(parent):  # it ended before the call above
            raise SystemExit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
