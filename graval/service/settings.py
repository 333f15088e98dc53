"""Settings of the bootstrap service, from the environment: the public job's two variables and a few of ours."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

import graval
from app.protocol.ports import ClusterPort
from graval.backends.choice import BackendName
from graval.backends.simulated import SimulatedModel


class BootstrapSettings(BaseSettings):
    """Read once at start; a missing or malformed value ends the program with its name."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", populate_by_name=True, hide_input_in_errors=True)

    miner: str = Field(alias="MINER_HOTKEY_SS58", min_length=1)
    whitelist: Annotated[frozenset[str], NoDecode] = Field(alias="VALIDATOR_WHITELIST", min_length=1)
    port: int = Field(int(ClusterPort.HTTP), alias="GRAVAL_PORT", ge=1, le=65535)
    backend: BackendName = Field(BackendName.AUTO, alias="GRAVAL_BACKEND")
    #: Our CUDA library. `make cuda-library` puts it into this package, and an image that is built afterwards has it.
    library: Path = Field(Path(graval.__file__).parent / "lib" / "libogv.so", alias="GRAVAL_LIBRARY")
    #: The official miner library that the user installed, for bodies of the public protocol; unset, they get 501.
    official_library: Path | None = Field(None, alias="GRAVAL_OFFICIAL_LIBRARY")
    #: SHA-256 of a release that the user trusts beside the known one.
    official_sha256: str | None = Field(None, alias="GRAVAL_OFFICIAL_SHA256", pattern="^[0-9a-f]{64}$")
    #: JSON of what each simulated device says of itself; only with the back end `simulated`.
    simulated_model: SimulatedModel | None = Field(None, alias="GRAVAL_SIMULATED_MODEL")
    #: The most bytes that a simulated device's matrix may take.
    simulated_fill_bytes: int = Field(64 << 20, alias="GRAVAL_SIMULATED_FILL_BYTES", ge=1, le=8 << 30)
    #: Ids as the device plugin gives them to the pod.
    device_ids: Annotated[tuple[str, ...], NoDecode] = Field((), alias="NVIDIA_VISIBLE_DEVICES")
    challenge_folder: Path = Field(Path("/usr"), alias="GRAVAL_CHALLENGE_FOLDER")

    @field_validator("whitelist", "device_ids", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """Comma-separated, as the public job writes it."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
