"""A process for each GPU: whatever a driver does to it, the service lives and says what happened.

Parent and child speak over a private pipe; the child knows nothing but the library's path and its device's number.
"""

import multiprocessing
from collections.abc import Iterable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, TypeVar

from graval.backends.base import BackendUnavailableError, ProtocolOrderError
from graval.cuda.library import CHUNK_BYTES, DeviceError, Library
from graval.cuda.prover import CudaProver
from graval.lock import LockRefusedError
from graval.messages import (
    ChaseChoice,
    ChaseOpening,
    ChaseRequest,
    DenseAnswer,
    DenseRequest,
    LockHeader,
    SweepRequest,
    TileChoice,
    TileOpening,
)
from graval.session import ParameterRefusedError, Session, WorkLimits

#: Longer than any phase may take; a driver that hangs longer is killed with its process.
CALL_SECONDS: Final = 600.0
END_SECONDS: Final = 10.0
_REFUSALS: Final = (ParameterRefusedError, ProtocolOrderError, LockRefusedError)
_PHASES: Final = frozenset(
    {"fill", "sweep", "open_tiles", "chase", "open_steps", "commit_dense", "answer_dense", "open_lock"}
)
Result = TypeVar("Result")


def serve(connection: Connection, library_path: Path, index: int, chunk_bytes: int) -> None:
    """The child: one prover at a time, until the pipe ends."""
    library, prover = Library(library_path), None
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        try:
            if method in ("begin", "close") and prover is not None:
                prover.close()
                prover = None
            if method == "begin":
                prover = CudaProver(arguments[0], library.open(index, chunk_bytes), arguments[1])
            if method in _PHASES and prover is None:
                raise ProtocolOrderError("the GPU's process has no session: begin again")
            result = getattr(prover, method)(*arguments) if method in _PHASES else None
            connection.send((result, None))
        except _REFUSALS as error:
            connection.send((None, error))
        except (DeviceError, ArithmeticError) as error:
            connection.send((None, BackendUnavailableError(f"the GPU failed: {error}")))


class Worker:
    """The parent's end of one GPU's process, which is started when it is first needed and again after it died."""

    def __init__(self, library_path: Path, index: int, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._arguments = (library_path, index, chunk_bytes)
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    @property
    def process_id(self) -> int | None:
        """Of the child that runs now."""
        return self._process.pid if self._process is not None else None

    def call(self, kind: type[Result], method: str, *arguments: object) -> Result:
        """One method of the prover, with an answer of this kind. Raises what it raises, and BackendUnavailableError."""
        connection = self._start() if self._connection is None else self._connection
        try:
            connection.send((method, arguments))
            if not connection.poll(CALL_SECONDS):
                self._kill()
                raise BackendUnavailableError(f"the GPU did not answer {method} in {CALL_SECONDS:.0f} s")
            result, error = connection.recv()
        except (EOFError, OSError) as lost:
            self._kill()
            raise BackendUnavailableError(f"the GPU's process ended during {method}; begin again") from lost
        if error is not None:
            raise error
        if not isinstance(result, kind):
            raise BackendUnavailableError(f"the GPU's process answered {method} with {type(result).__name__}")
        return result

    def stop(self) -> None:
        """Let the child end, which it does when its pipe does; kill it if it is still at work after a while."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.join(END_SECONDS)
        self._kill()

    def _kill(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.join(END_SECONDS)
        self._process = self._connection = None

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(target=serve, args=(other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        return self._connection


class WorkerProver:
    """A prover whose work is done by a GPU's process."""

    def __init__(self, worker: Worker, session: Session, limits: WorkLimits) -> None:
        """Raises ParameterRefusedError, BackendUnavailableError."""
        self._worker = worker
        self._session = session
        worker.call(type(None), "begin", session, limits)

    @property
    def session(self) -> Session:
        """See `Prover`, as for all methods."""
        return self._session

    def fill(self) -> None:
        """Make the label matrix."""
        self._worker.call(type(None), "fill")

    def sweep(self, request: SweepRequest) -> tuple[bytes, ...]:
        """Roots of all rounds."""
        return self._worker.call(tuple, "sweep", request)

    def open_tiles(self, choices: Iterable[TileChoice]) -> tuple[TileOpening, ...]:
        """Paths of tiles."""
        return self._worker.call(tuple, "open_tiles", tuple(choices))

    def chase(self, request: ChaseRequest) -> bytes:
        """Root over the log."""
        return self._worker.call(bytes, "chase", request)

    def open_steps(self, choices: Iterable[ChaseChoice]) -> tuple[ChaseOpening, ...]:
        """Leaves around steps."""
        return self._worker.call(tuple, "open_steps", tuple(choices))

    def commit_dense(self, inner: int) -> bytes:
        """Root over the rows of the product."""
        return self._worker.call(bytes, "commit_dense", inner)

    def answer_dense(self, request: DenseRequest) -> DenseAnswer:
        """Image and rows."""
        return self._worker.call(DenseAnswer, "answer_dense", request)

    def open_lock(self, header: LockHeader) -> bytes:
        """The work key."""
        return self._worker.call(bytes, "open_lock", header)

    def close(self) -> None:
        """Give the device's memory back."""
        self._worker.call(type(None), "close")
