"""Bodies of `POST /prove` in the open protocol, one for each phase, and the answers. No logic (spec graval 6)."""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from graval.messages import (
    ChaseChoice,
    ChaseOpening,
    ChaseRequest,
    DenseRequest,
    Digest,
    LockHeader,
    Message,
    SweepRequest,
    TileChoice,
    TileOpening,
)
from graval.session import DeviceDescription, WorkParameters

PROTOCOL: Final = "ogv1"
#: What the official library speaks.
PUBLIC_PROTOCOL: Final = "graval"


class _Phase(Message):
    protocol: Literal["ogv1"] = PROTOCOL
    device_uuid: str


class Hello(_Phase):
    """First: the prover makes a key of the session, before any nonce exists."""

    phase: Literal["hello"] = "hello"


class Begin(_Phase):
    """Second: the verifier's nonce and the size of the work."""

    phase: Literal["begin"] = "begin"
    session_id: str
    nonce: Digest
    parameters: WorkParameters


class Fill(_Phase):
    """Make the label matrix. Its answer carries no proof: only the verifier's clock is of use."""

    phase: Literal["fill"] = "fill"
    session_id: str


class Sweep(_Phase):
    """Commit mode: run a sweep phase."""

    phase: Literal["sweep"] = "sweep"
    session_id: str
    request: SweepRequest


class OpenTiles(_Phase):
    """Commit mode: open tiles of the sweep."""

    phase: Literal["open"] = "open"
    session_id: str
    choices: tuple[TileChoice, ...]


class Chase(_Phase):
    """Random-access probes: run all steps."""

    phase: Literal["chase"] = "chase"
    session_id: str
    request: ChaseRequest


class OpenSteps(_Phase):
    """Random-access probes: open steps of the log."""

    phase: Literal["open_steps"] = "open_steps"
    session_id: str
    choices: tuple[ChaseChoice, ...]


class Dense(_Phase):
    """Dense product: commit to all of its rows."""

    phase: Literal["dense"] = "dense"
    session_id: str
    inner: int


class OpenDense(_Phase):
    """Dense product: the verifier's nonce, which came after the commitment, and the rows to open."""

    phase: Literal["open_dense"] = "open_dense"
    session_id: str
    request: DenseRequest


class OpenMessage(_Phase):
    """Open a container: with the work of a lock header, or without one with the last root of the sweep."""

    phase: Literal["message"] = "message"
    session_id: str
    public_key: Digest
    container: str
    lock: LockHeader | None = None


Phase = Annotated[
    Hello | Begin | Fill | Sweep | OpenTiles | Chase | OpenSteps | Dense | OpenDense | OpenMessage,
    Field(discriminator="phase"),
]
PHASE: Final[TypeAdapter[Phase]] = TypeAdapter(Phase)


class HelloAnswer(Message):
    """The session that the phases name from here on."""

    session_id: str
    public_key: Digest


class SweepAnswer(Message):
    """Roots of all rounds."""

    roots: tuple[Digest, ...]


class TilesAnswer(Message):
    """Paths of the tiles asked for."""

    openings: tuple[TileOpening, ...]


class ChaseAnswer(Message):
    """Root over the logs of all groups."""

    root: Digest


class StepsAnswer(Message):
    """Leaves around the steps asked for."""

    openings: tuple[ChaseOpening, ...]


class DenseCommitment(Message):
    """Root over the rows of the product; `OpenDense` is answered with `DenseAnswer`."""

    root: Digest


class MessageAnswer(Message):
    """What the container held."""

    plaintext: str


class Done(Message):
    """Nothing more to say."""


class DevicesAnswer(Message):
    """Devices in index order, and the protocols that `/prove` speaks."""

    devices: tuple[DeviceDescription, ...]
    protocols: tuple[str, ...] = (PROTOCOL,)
