"""Runs `pulumi` on the lab's stack: this clone's toolchain, state and completed stack file; no secret in arguments."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ruamel.yaml import YAML

from infra.cli.engine import Engine
from lab.engine.environment import backend_folder, engine_environment
from lab.engine.toolchain import Toolchain
from lab.fleet.hotkey import hotkey_seed
from lab.fleet.stack import HOTKEY_SEED, PROJECT, SSH_PRIVATE_KEY, STACK, Generated, StackFile, completed

_TIMEOUT_SECONDS: Final = 300.0
CLONE: Final = Path(__file__).resolve().parents[2]


class EngineError(RuntimeError):
    """`pulumi` ended badly; its own output has been shown or is in the message."""


@dataclass(frozen=True)
class LabEngine:
    """The engine on the lab's stack.

    Args:
        toolchain: what runs the program.
        state: the clone's state folder.
    """

    toolchain: Toolchain
    state: Path

    @property
    def stack_file(self) -> Path:
        """The completed stack file."""
        return self._folder / f"Pulumi.{STACK}.yaml"

    @property
    def _folder(self) -> Path:
        return _stack_folder(self.state)

    @property
    def environment(self) -> dict[str, str]:
        """For `pulumi` and `headframe` in the clone: with it, plain commands mean the lab's stack."""
        own = {
            "PULUMI_STACK": STACK,
            "PULUMI_OPTION_CONFIG_FILE": str(self.stack_file),
            # The program, its provider and the host runner are this clone's own, whatever the shell has active.
            "VIRTUAL_ENV": str(CLONE / ".venv"),
        }
        environment = engine_environment(self.toolchain, self.state, os.environ) | own
        environment["PATH"] = (
            f"{self.toolchain.folder}{os.pathsep}{CLONE / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
        )
        return environment

    def select(self, generated: Generated, private_key: Path) -> None:
        """Make the stack if absent and write its file.

        Raises:
            EngineError: the engine refused.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # `stack init` has no option for the file that it writes: a folder of its own keeps it out of the clone.
        (self._folder / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        if not self.exists():
            self.stack_file.unlink(missing_ok=True)
            self.quietly("stack", "init", STACK, folder=self._folder)
        before = read_stack_file(self.stack_file) if self.stack_file.exists() else {}
        write_stack_file(self.stack_file, completed(committed_stack(), generated, before))
        self.quietly("config", "set", "--secret", SSH_PRIVATE_KEY, stdin=private_key.read_text())
        self.quietly("config", "set", "--secret", HOTKEY_SEED, stdin=hotkey_seed(self.state))

    def exists(self) -> bool:
        """Whether the stack is there."""
        return (backend_folder(self.state) / ".pulumi" / "stacks" / PROJECT / f"{STACK}.json").exists()

    def run(self, *arguments: str, log: Path | None = None) -> int:
        """Run `pulumi` in the clone with its output on this terminal, and in `log` where there is no terminal."""
        command = ["pulumi", *arguments]
        environment = self.environment
        if log is None or sys.stdout.isatty():
            return Engine(CLONE, environment=environment).visibly(*arguments)
        with (
            log.open("w") as copy,
            subprocess.Popen(
                command, cwd=CLONE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                copy.write(line)
        return process.returncode

    def quietly(self, *arguments: str, folder: Path = CLONE, stdin: str = "") -> str:
        """Standard output of `pulumi`.

        Raises:
            EngineError: with what it said.
        """
        done = subprocess.run(
            ["pulumi", "--non-interactive", *arguments],
            cwd=folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
        if done.returncode:
            raise EngineError(f"pulumi {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def forget_stack(state: Path) -> None:
    """Delete the stack and its file: the machines that it spoke of are gone. Needs no engine, and builds none."""
    shutil.rmtree(backend_folder(state), ignore_errors=True)
    shutil.rmtree(_stack_folder(state), ignore_errors=True)


def _stack_folder(state: Path) -> Path:
    return state / "stack"


def committed_stack() -> StackFile:
    """Content of `stacks/Pulumi.lab.yaml`."""
    return read_stack_file(CLONE / "stacks" / f"Pulumi.{STACK}.yaml")


def read_stack_file(path: Path) -> StackFile:
    """Content of a stack file."""
    content: StackFile = YAML(typ="safe").load(path.read_text()) or {}
    return content


def write_stack_file(path: Path, content: StackFile) -> None:
    """Write a stack file at once and for its owner alone."""
    text = io.StringIO()
    YAML(typ="safe").dump(content, text)
    partial = path.with_suffix(".partial")
    partial.write_text(text.getvalue())
    partial.chmod(0o600)
    partial.rename(path)
