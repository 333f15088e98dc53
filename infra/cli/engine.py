"""Runs `pulumi` for the commands here, in the clone, with the environment that this project wants (D7, D8)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

CLONE: Final = Path(__file__).resolve().parents[2]
_TIMEOUT_SECONDS: Final = 600.0


class EngineError(RuntimeError):
    """`pulumi` ended badly. The text holds what it said, which never contains a decrypted secret."""


def engine_environment(base: Mapping[str, str], clone: Path = CLONE) -> dict[str, str]:
    """One dead node stops no other, and every preview and update runs the policy pack. The user's own settings win."""
    own = {
        "PULUMI_CONTINUE_ON_ERROR": "true",
        "PULUMI_OPTION_POLICY_PACK": str(clone / "policies" / "pack"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    return {**own, **base}


@dataclass(frozen=True)
class Engine:
    """The engine on one project. `stack` None means the selected stack."""

    folder: Path = CLONE
    stack: str | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: engine_environment(os.environ))

    def quietly(self, *arguments: str, stdin: str = "") -> str:
        """Standard output of one call.

        Raises:
            EngineError: it ended badly, or took too long.
        """
        stack = ["--stack", self.stack] if self.stack and arguments[0] != "whoami" else []
        command = ["pulumi", "--non-interactive", *arguments, *stack]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=dict(self.environment), input=stdin, capture_output=True, text=True,
                check=False, timeout=_TIMEOUT_SECONDS,
            )  # fmt: skip
        except FileNotFoundError:
            raise EngineError("pulumi is not on PATH: install it, or `eval $(make env)` for the lab's") from None
        except subprocess.TimeoutExpired:
            raise EngineError(f"pulumi {arguments[0]} took more than {_TIMEOUT_SECONDS:.0f} s") from None
        if done.returncode:
            # Diagnostics of previews and updates come on standard output.
            said = f"{done.stdout}\n{done.stderr}".strip()
            raise EngineError(f"pulumi {' '.join(arguments[:2])} ended with {done.returncode}:\n{said}")
        return done.stdout

    def visibly(self, *arguments: str) -> int:
        """Run with this terminal; the exit status."""
        stack = ["--stack", self.stack] if self.stack else []
        command = ["pulumi", *arguments, *stack]
        return subprocess.run(command, cwd=self.folder, env=dict(self.environment), check=False).returncode

    def json(self, *arguments: str) -> Any:
        """Standard output of one call, parsed."""
        return json.loads(self.quietly(*arguments))

    def stack_name(self) -> str:
        """Name of the stack that calls are about.

        Raises:
            EngineError: none is selected.
        """
        if self.stack:
            return self.stack
        return self.quietly("stack", "--show-name").strip()

    def backend_url(self) -> str:
        """Where the state is, for example `file:///home/me/state`."""
        return str(self.json("whoami", "--json")["url"])
