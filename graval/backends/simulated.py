"""Made-up devices whose work is done in NumPy on the CPU, for labs. Their names say SIMULATED, everywhere.

They claim the memory of the model that they imitate and hold a small part of it: the service's limit on the fill bounds
what a session may ask for, so a verifier must be told to ask for little. Nothing here says anything about a GPU.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import Field

from graval.reference import ReferenceProver
from graval.session import DeviceDescription, Session, WorkLimits

MARK: Final = "SIMULATED"


class SimulatedModel(DeviceDescription):
    """What every simulated device of a service says of itself; ids come from the device plugin."""

    uuid: str = Field(default="0" * 32, exclude=True)
    name: str = Field(pattern=rf"^{MARK} [ -~]+$", max_length=63)


def simulated_devices(model: SimulatedModel, device_ids: Sequence[str]) -> tuple[DeviceDescription, ...]:
    """A description for each id. A device plugin may shape ids as it likes: the uuid is a digest of the id."""
    return tuple(
        DeviceDescription(uuid=hashlib.sha256(device_id.encode()).hexdigest()[:32], **model.model_dump())
        for device_id in device_ids
    )


def is_simulated(device: DeviceDescription) -> bool:
    """Whether a description says that no such GPU exists."""
    return device.name.startswith(MARK)


@dataclass(frozen=True)
class SimulatedBackend:
    """The CPU reference under the names of made-up devices."""

    made_up: tuple[DeviceDescription, ...]
    name: str = "reference"

    def devices(self) -> tuple[DeviceDescription, ...]:
        """See `Backend`."""
        return self.made_up

    def prover(self, session: Session, limits: WorkLimits) -> ReferenceProver:
        """See `Backend`."""
        return ReferenceProver(session, limits)

    def close(self) -> None:
        """Nothing was started."""
