"""What a back end must offer to the service: its devices, and a prover for one session of one of them. No logic."""

from collections.abc import Iterable
from typing import Protocol

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
from graval.session import DeviceDescription, Session, WorkLimits


class BackendUnavailableError(RuntimeError):
    """The back end cannot work here; the message says what is missing and what would bring it."""


class ProtocolOrderError(RuntimeError):
    """A question came before the commitment that it is about."""


class Prover(Protocol):
    """Proves one session. Not thread-safe. Every method raises ParameterRefusedError for sizes beyond the limits."""

    @property
    def session(self) -> Session:
        """What the proof is bound to."""
        ...

    def fill(self) -> None:
        """Make the label matrix: the phase that a verifier may time alone. Later phases do it if it was not asked."""
        ...

    def sweep(self, request: SweepRequest) -> tuple[bytes, ...]:
        """Roots of all rounds."""
        ...

    def open_tiles(self, choices: Iterable[TileChoice]) -> tuple[TileOpening, ...]:
        """Paths of tiles of the last sweep. Raises ProtocolOrderError before one."""
        ...

    def chase(self, request: ChaseRequest) -> bytes:
        """Root over the log of all steps."""
        ...

    def open_steps(self, choices: Iterable[ChaseChoice]) -> tuple[ChaseOpening, ...]:
        """Leaves around steps of the last chase. Raises ProtocolOrderError before one."""
        ...

    def commit_dense(self, inner: int) -> bytes:
        """Root over the rows of the dense product."""
        ...

    def answer_dense(self, request: DenseRequest) -> DenseAnswer:
        """Image of the random vector, and rows. Raises ProtocolOrderError before the commitment."""
        ...

    def open_lock(self, header: LockHeader) -> bytes:
        """The work key of a lock header. Raises LockRefusedError."""
        ...

    def close(self) -> None:
        """Give the memory back; the prover is of no use afterwards."""
        ...


class Backend(Protocol):
    """A way to do the work of protocol ogv1."""

    @property
    def name(self) -> str:
        """As the operator configures it."""
        ...

    def devices(self) -> tuple[DeviceDescription, ...]:
        """Devices in index order."""
        ...

    def prover(self, session: Session, limits: WorkLimits) -> Prover:
        """A prover for a session of one of the devices. Raises ParameterRefusedError, BackendUnavailableError."""
        ...

    def close(self) -> None:
        """End whatever was started, at once if need be; provers are of no use afterwards."""
        ...
