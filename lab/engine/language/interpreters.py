"""Which Python runs a program: decided from `runtime.options` of its project file and the files beside it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import json_format
from pulumi.runtime.proto.language_pb2 import ProgramInfo


class UnknownToolchainError(ValueError):
    """The project asks for a toolchain that this stand-in does not have."""


@dataclass(frozen=True)
class Environment:
    """A program's Python and how its packages are installed.

    Args:
        python: the interpreter.
        install: the command that brings the packages in line; empty where somebody else sees to them.
        folder: where `install` runs.
    """

    python: Path
    install: tuple[str, ...]
    folder: Path


def environment_of(info: ProgramInfo) -> Environment:
    """The environment of a program.

    `toolchain: uv` and a project with a uv.lock are brought in line by uv; `virtualenv` names a folder; without either
    the program runs where this stand-in runs.

    Raises:
        UnknownToolchainError: for `poetry` and whatever else is not `uv` or `pip`.
    """
    root = Path(info.root_directory)
    options: Mapping[str, str] = json_format.MessageToDict(info.options)
    toolchain = options.get("toolchain", "pip")
    if toolchain not in {"pip", "uv"}:
        raise UnknownToolchainError(
            f"runtime.options.toolchain is {toolchain!r}; the lab's language host has uv and pip"
        )
    folder = options.get("virtualenv") or (".venv" if toolchain == "uv" else None)
    python = root / folder / "bin" / "python" if folder else Path(sys.executable)
    return Environment(python, _install(toolchain, python, root, named=folder is not None), root)


def _install(toolchain: str, python: Path, root: Path, *, named: bool) -> tuple[str, ...]:
    if toolchain == "uv" or (root / "uv.lock").is_file():
        return ("uv", "sync", "--frozen")
    if named and (root / "requirements.txt").is_file():
        return (str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r", "requirements.txt")
    return ()
