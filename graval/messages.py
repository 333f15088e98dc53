"""What prover and verifier send each other during a proof. Bytes travel as lower-case hex in JSON. No logic."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from graval.primitives import DIGEST_BYTES


def _bytes_of(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str) and value == value.lower() and value.isascii() and not any(map(str.isspace, value)):
        return bytes.fromhex(value)
    raise ValueError("expected bytes as lower-case hex without spaces")


def _digest_of(value: object) -> bytes:
    digest = _bytes_of(value)
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"got {len(digest)} bytes, expected {DIGEST_BYTES}")
    return digest


_AS_HEX = PlainSerializer(bytes.hex, return_type=str, when_used="json")
_SCHEMA = WithJsonSchema({"type": "string", "pattern": "^([0-9a-f]{2})*$"})
HexBytes = Annotated[bytes, PlainValidator(_bytes_of), _AS_HEX, _SCHEMA]
Digest = Annotated[bytes, PlainValidator(_digest_of), _AS_HEX, _SCHEMA]


class Message(BaseModel):
    """A frozen message that knows all of its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SweepRequest(Message):
    """Start of a sweep phase: the verifier's fresh nonce is the state before the first round."""

    start: Digest
    columns: int
    rounds: int


class TileChoice(Message):
    """A tile of a round, rounds counted from 1."""

    round: int
    tile: int


class TileOpening(Message):
    """Path of one tile. The leaf does not travel: the verifier makes it himself."""

    round: int
    tile: int
    path: tuple[Digest, ...]


class ChaseRequest(Message):
    """Start of a chase phase."""

    nonce: Digest
    groups: int
    steps: int


class ChaseChoice(Message):
    """A step of a group, steps counted from 1."""

    group: int
    step: int


class ChaseLeaf(Message):
    """A leaf of the log of states."""

    index: int
    states: HexBytes
    path: tuple[Digest, ...]


class ChaseOpening(Message):
    """The leaves that hold the states before and after one step; one leaf, or two at its border."""

    group: int
    step: int
    leaves: tuple[ChaseLeaf, ...] = Field(min_length=1, max_length=2)


class DenseRequest(Message):
    """What the verifier sends once he has the commitment: his nonce for the vector, and the rows to open."""

    nonce: Digest
    rows: tuple[int, ...]


class DenseRow(Message):
    """One row of the product, int32 little-endian, and its path."""

    row: int
    product: HexBytes
    path: tuple[Digest, ...]


class DenseAnswer(Message):
    """Product with the random vector (64-bit little-endian residues) and the opened rows."""

    image: HexBytes
    rows: tuple[DenseRow, ...]


class LockedRound(Message):
    """Tags of hidden rows of one round, in random order."""

    salt: HexBytes
    tags: tuple[HexBytes, ...]


class LockHeader(Message):
    """Lock mode: what the prover needs to earn the work key."""

    start: Digest
    columns: int
    rounds: tuple[LockedRound, ...]
