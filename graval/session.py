"""What a proof is bound to: device, parameters, identities, keys. Pure data and the range checks of both sides."""

import json
import struct
from dataclasses import dataclass
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field

from graval.primitives import DIGEST_BYTES, little_endian, tagged_hash

PARAMETERS_VERSION: Final = 1
_PACKED: Final = struct.Struct("<HIIIQIII")


class ParameterRefusedError(ValueError):
    """A parameter lies outside what this side is willing to work with."""


class DeviceDescription(BaseModel):
    """What a GPU says of itself: the six fields of the public device description (spec graval 1.3, 4.12)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    uuid: str = Field(pattern=r"^[0-9a-f]{32}$")
    name: str = Field(min_length=1, max_length=63, pattern=r"^[ -~]+$")
    memory: int = Field(ge=0, lt=1 << 63, description="bytes in total, as the driver reports them")
    processors: int = Field(ge=1, lt=1 << 32)
    clock_rate: float = Field(ge=0, lt=1e9, allow_inf_nan=False, description="kHz")
    max_threads_per_processor: int = Field(ge=1, lt=1 << 32)

    def digest(self) -> bytes:
        """Digest of the canonical description; the clock counts in whole kHz (spec graval 4.3)."""
        fields = {**self.model_dump(), "clock_rate": round(self.clock_rate)}
        canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return tagged_hash("dev", canonical.encode("ascii"))


class WorkParameters(BaseModel):
    """Size of the work. `columns` and `rounds` are the largest a sweep phase of the session may ask for.

    Letters of the spec (graval 4.3): inner n, columns m, chain_length R, tile_rows tile.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    inner: int = Field(description="bytes in a row of the label matrix")
    columns: int = Field(description="columns of the right-hand matrix of a sweep")
    chain_length: int = Field(description="SHA-256 compressions for each 32-byte cell")
    rows: int
    rounds: int
    tile_rows: int
    lanes: int = Field(description="random reads in each step of a chase")

    @property
    def tiles(self) -> int:
        """Leaves of one round's tree before padding."""
        return self.rows // self.tile_rows

    @property
    def cells(self) -> int:
        """32-byte cells of the whole label matrix."""
        return self.rows * (self.inner // DIGEST_BYTES)

    @property
    def fill_bytes(self) -> int:
        """Bytes of memory that the label matrix takes."""
        return self.rows * self.inner

    def pack(self) -> bytes:
        """The 34 bytes that enter the session seed (spec graval 4.3)."""
        return _PACKED.pack(
            PARAMETERS_VERSION,
            self.inner,
            self.columns,
            self.chain_length,
            self.rows,
            self.rounds,
            self.tile_rows,
            self.lanes,
        )

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Inverse of `pack`. Raises ParameterRefusedError for another length or version."""
        if len(packed) != _PACKED.size:
            raise ParameterRefusedError(f"parameters have {len(packed)} bytes, expected {_PACKED.size}")
        version, *values = _PACKED.unpack(packed)
        if version != PARAMETERS_VERSION:
            raise ParameterRefusedError(f"parameters have version {version}, this program speaks {PARAMETERS_VERSION}")
        return cls(**dict(zip(cls.model_fields, values, strict=True)))


@dataclass(frozen=True)
class WorkLimits:
    """The most a prover accepts, whoever asks; checked before anything is allocated (spec graval 4.11)."""

    inner: int = 4096
    columns: int = 1024
    chain_length: int = 256
    rounds: int = 512
    tile_rows: int = 64
    lanes: int = 1024
    fill_bytes: int = 1 << 40
    dense_inner: int = 16384
    chase_groups: int = 64
    chase_steps: int = 1 << 24
    #: Steps of all groups together: the log takes 16 bytes of the host's memory for each.
    logged_steps: int = 1 << 25
    openings: int = 4096
    #: Rows of a dense product travel whole.
    dense_rows: int = 64

    def check(self, parameters: WorkParameters) -> None:
        """Raises ParameterRefusedError that names the first field out of range, the value seen and the range."""
        for name in ("inner", "columns", "chain_length", "rounds", "tile_rows", "lanes"):
            self.check_count(name, getattr(parameters, name), getattr(self, name))
        if parameters.inner % DIGEST_BYTES:
            raise ParameterRefusedError(f"inner is {parameters.inner}, expected a multiple of {DIGEST_BYTES}")
        if parameters.rows < parameters.tile_rows or parameters.rows % parameters.tile_rows:
            raise ParameterRefusedError(f"rows is {parameters.rows}, expected a multiple of {parameters.tile_rows}")
        self.check_count("fill_bytes", parameters.fill_bytes, self.fill_bytes)

    @staticmethod
    def check_count(name: str, value: int, maximum: int) -> None:
        """Raises ParameterRefusedError unless 1 <= value <= maximum."""
        if not 1 <= value <= maximum:
            raise ParameterRefusedError(f"{name} is {value}, accepted are 1 to {maximum}")


@dataclass(frozen=True)
class Session:
    """One proof of one device for one verifier: everything that the seed binds."""

    device: DeviceDescription
    parameters: WorkParameters
    nonce: bytes
    prover_public_key: bytes
    verifier_identity: str
    miner_identity: str

    def __post_init__(self) -> None:
        """Raises ParameterRefusedError for a nonce or key of a wrong length."""
        for name, value in (("nonce", self.nonce), ("prover_public_key", self.prover_public_key)):
            if len(value) != DIGEST_BYTES:
                raise ParameterRefusedError(f"{name} has {len(value)} bytes, expected {DIGEST_BYTES}")

    def seed(self) -> bytes:
        """The session seed: work for another device, identity, key or nonce shares nothing with it."""
        return tagged_hash(
            "seed",
            self.nonce,
            self.device.digest(),
            self.prover_public_key,
            self.verifier_identity.encode(),
            self.miner_identity.encode(),
            self.parameters.pack(),
        )


def nonce_of_integer_seed(seed: int) -> bytes:
    """Nonce for the public interface, whose seeds are 63-bit integers (spec graval 4.3)."""
    if not 0 <= seed < 1 << 63:
        raise ParameterRefusedError(f"seed is {seed}, expected 0 to 2^63 - 1")
    return tagged_hash("compat", little_endian(seed, 8))
