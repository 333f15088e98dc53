"""How still a machine is: a process that does nothing but sleep a millisecond, and how late it is woken.

On a busy machine figures of latency are the machine's. This one says so beside them: what an idle process waits for,
a monitor waits for too.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from types import TracebackType
from typing import Self

_SLEEP_SECONDS = 0.001


class Stillness:
    """Use with `with`; read `longest_ms` afterwards."""

    longest_ms = 0.0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-S", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said, _ = self._process.communicate("end\n", timeout=30)
        self.longest_ms = float(said)


def watch() -> None:
    """Until standard input says something; then the longest delay, in milliseconds."""
    told = threading.Thread(target=sys.stdin.readline, daemon=True)
    told.start()
    longest, last = 0.0, time.perf_counter()
    while told.is_alive():
        time.sleep(_SLEEP_SECONDS)
        now = time.perf_counter()
        longest, last = max(longest, now - last - _SLEEP_SECONDS), now
    print(longest * 1000)


if __name__ == "__main__":
    watch()
