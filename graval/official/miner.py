"""The closed library from outside: where it is, whether it is the known one, and questions to its process.

The process is started with a handful of variables and no secrets; it is packed code with a writable code segment.
"""

import base64
import contextlib
import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Collection, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from graval.backends.base import BackendUnavailableError
from graval.session import DeviceDescription

#: SHA-256 of `libgraval-miner.so` of version 0.2.6, the last one published.
KNOWN_LIBRARIES: Final = frozenset({"5bdc75341138a24dc02725f00a1be1404f9029979aaa1f9a2a3e040661d08a4d"})
FILE_NAME: Final = "libgraval-miner.so"
QUESTION_SECONDS: Final = 60.0
PROOF_SECONDS: Final = 900.0
ANSWER_BYTES: Final = 256 << 20
END_SECONDS: Final = 10.0
_PASSED_VARIABLES: Final = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "OCL_ICD_VENDORS", "OCL_ICD_FILENAMES", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "CUDA_VISIBLE_DEVICES",
)  # fmt: skip


Answer = TypeVar("Answer")


class OfficialRefusedError(ValueError):
    """The library refused the question, in its words."""


class OfficialProof(BaseModel):
    """Hashes of one device's work, in the public shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    intermediate_hashes: tuple[str, ...]
    num_matrices: int
    total_iterations: int


class _Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ready: bool = False
    fatal: str | None = None
    error: str | None = None
    answer: object = Field(default=None)


_DEVICES: Final = TypeAdapter(tuple[DeviceDescription, ...])
_PROOFS: Final = TypeAdapter(tuple[OfficialProof, ...])
_TEXT: Final = TypeAdapter(str)


def locate(configured: Path | None, import_path: Sequence[str]) -> Path:
    """The library as configured, else inside the public package where it is installed on the import path.

    That package has the name of ours, so it is looked for as a folder and never imported. Raises
    BackendUnavailableError.
    """
    if configured is None:
        places = (Path(entry, "graval", "lib", FILE_NAME) for entry in import_path)
        configured = next((path for path in places if path.is_file()), None)
    if configured is None or not configured.is_file():
        raise BackendUnavailableError(
            f"the official library is not at {configured or 'any known place'}: set GRAVAL_OFFICIAL_LIBRARY to the "
            f"{FILE_NAME} that you installed; it is not part of this software"
        )
    return configured


def check_digest(path: Path, trusted: Collection[str]) -> None:
    """Raises BackendUnavailableError for a file whose SHA-256 is not among the trusted."""
    seen = hashlib.sha256(path.read_bytes()).hexdigest()
    if seen not in trusted:
        raise BackendUnavailableError(
            f"{path} has SHA-256 {seen}, which is not a known release: if it is one that you trust, set "
            "GRAVAL_OFFICIAL_SHA256 to it"
        )


class OfficialMiner:
    """The library in its process, started when first asked and again after it died. One question at a time."""

    def __init__(self, path: Path, trusted: Collection[str] = KNOWN_LIBRARIES) -> None:
        """Raises BackendUnavailableError for an unknown file."""
        check_digest(path, trusted)
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None

    def devices(self) -> tuple[DeviceDescription, ...]:
        """Devices in index order. Raises as `ask` does."""
        return self._ask(_DEVICES, {"ask": "devices"})

    def prove(self, seed: int, iterations: int) -> tuple[OfficialProof, ...]:
        """Do the work on all devices; a proof for each, in index order. Blocks for minutes."""
        question = {"ask": "prove", "seed": seed, "iterations": iterations}
        return self._ask(_PROOFS, question, PROOF_SECONDS)

    def decrypt(self, device: int, seed: int, sealed: bytes) -> str:
        """Open a text: 16 bytes of initialisation vector, then the ciphertext."""
        encoded = base64.b64encode(sealed).decode("ascii")
        return self._ask(_TEXT, {"ask": "decrypt", "device": device, "seed": seed, "sealed": encoded})

    def device_challenge(self, challenge: str) -> str:
        """Answer to a device challenge."""
        return self._ask(_TEXT, {"ask": "device_challenge", "challenge": challenge})

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_SECONDS)
            self._process.kill()
            self._process.wait(END_SECONDS)
        self._process = self._connection = None

    def _ask(self, kind: TypeAdapter[Answer], question: object, seconds: float = QUESTION_SECONDS) -> Answer:
        """Raises OfficialRefusedError in the library's words, BackendUnavailableError when its process is lost."""
        connection = self._connection or self._start()
        try:
            connection.send_bytes(json.dumps(question).encode())
            reply = _receive(connection, seconds)
            if reply.error is not None:
                raise OfficialRefusedError(reply.error)
            return kind.validate_python(reply.answer)
        except (EOFError, OSError, TimeoutError, ValidationError) as error:
            self._kill()
            raise BackendUnavailableError(f"the official library's process was lost: {error!r}") from error

    def _start(self) -> Connection:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "graval.official.child", str(theirs.fileno()), str(self._path)],
                pass_fds=(theirs.fileno(),),
                env={name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ},
                stdin=subprocess.DEVNULL,
            )
        self._connection = Connection(ours.detach())
        try:
            reply = _receive(self._connection, QUESTION_SECONDS)
        except (EOFError, OSError, TimeoutError, ValidationError) as error:
            self._kill()
            raise BackendUnavailableError(f"the official library's process did not start: {error!r}") from error
        if reply.fatal is not None:
            self.close()
            raise BackendUnavailableError(reply.fatal)
        return self._connection

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
        self.close()


def _receive(connection: Connection, seconds: float) -> _Reply:
    if not connection.poll(seconds):
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    return _Reply.model_validate_json(connection.recv_bytes(ANSWER_BYTES))
