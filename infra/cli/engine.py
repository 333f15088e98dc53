"""Runs `pulumi` for the commands here, in the clone, with the environment that this project wants (D7, D8)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

CLONE: Final = Path(__file__).resolve().parents[2]
_TIMEOUT_SECONDS: Final = 600.0
#: How long an engine that was told to end may take to write its state and give back its lock.
_END_SECONDS: Final = 60.0
_BY_SIGNAL: Final = 128
#: The engine's word in the file of a stack whose secrets a passphrase opens.
OWN_PASSPHRASE: Final = "encryptionsalt:"  # noqa: S105 a word of a file
_SHOW_SECRETS: Final = "--show-secrets"
_NOT_ON_PATH: Final = "pulumi is not on PATH: install it, or `eval $(make env)` for the lab's"


class EngineError(RuntimeError):
    """`pulumi` ended badly. The text holds what it said, which never contains a decrypted secret."""


def passphrase(environment: Mapping[str, str]) -> str | None:
    """What opens the secrets of a stack that has a passphrase; None where the environment does not say it.

    Raises:
        OSError: the file that it names cannot be read.
    """
    if named := environment.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        return Path(named).read_text()
    return environment.get("PULUMI_CONFIG_PASSPHRASE")


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
        with self._started(command, piped=True) as process:
            try:
                output, diagnostics = process.communicate(stdin, timeout=_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                _end(process)
                raise EngineError(f"pulumi {arguments[0]} took more than {_TIMEOUT_SECONDS:.0f} s") from None
            except KeyboardInterrupt:
                _let_end(process)
                raise
        if process.returncode:
            # Diagnostics of previews and updates come on standard output, as decrypted secrets would.
            said = f"{'' if _SHOW_SECRETS in arguments else output}\n{diagnostics}".strip()
            raise EngineError(f"pulumi {' '.join(arguments[:2])} ended with {process.returncode}:\n{said}")
        return output

    def visibly(self, *arguments: str) -> int:
        """Run with this terminal; the exit status.

        An interrupt is the engine's alone: it finishes what it began on machines and gives back the stack's lock, for
        as long as that takes; a second one makes it end at once.

        Raises:
            EngineError: there is no `pulumi`.
        """
        stack = ["--stack", self.stack] if self.stack else []
        with self._started(["pulumi", *arguments, *stack], piped=False) as process:
            while True:
                try:
                    status = process.wait()
                except KeyboardInterrupt:
                    continue  # the terminal has told the engine too
                return status if status >= 0 else _BY_SIGNAL - status

    def _started(self, command: Sequence[str], *, piped: bool) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE if piped else None
        try:
            return subprocess.Popen(
                command, cwd=self.folder, env=dict(self.environment), text=True, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except FileNotFoundError:
            raise EngineError(_NOT_ON_PATH) from None

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


def _end(process: subprocess.Popen[str]) -> None:
    """Tell it to end as a terminal would, and insist only where it does not: a killed engine leaves its lock."""
    process.send_signal(signal.SIGINT)
    _let_end(process)


def _let_end(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=_END_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()
