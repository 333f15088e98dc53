"""The choice of a back end by what is configured. Nothing here takes the CPU for a GPU by itself."""

from collections.abc import Callable, Sequence
from enum import StrEnum

from graval.backends.base import Backend, BackendUnavailableError
from graval.backends.official import OfficialBackend
from graval.backends.simulated import SimulatedBackend, SimulatedModel, simulated_devices
from graval.official.miner import OfficialMiner


class BackendName(StrEnum):
    """As an operator writes it. `auto` is CUDA: where none is, the service says so and does not start."""

    AUTO = "auto"
    CUDA = "cuda"
    GRAVAL = "graval"
    SIMULATED = "simulated"


def open_backend(
    name: BackendName,
    model: SimulatedModel | None,
    device_ids: Sequence[str],
    open_cuda: Callable[[], Backend],
    official: OfficialMiner | None = None,
) -> Backend:
    """The back end of `ogv1` to serve with. Raises BackendUnavailableError, as `open_cuda` does where no GPU works."""
    if name is not BackendName.SIMULATED:
        if model is not None:
            raise BackendUnavailableError(
                f"GRAVAL_SIMULATED_MODEL is set and GRAVAL_BACKEND is {name.value}: make that simulated, or unset it"
            )
        if name is BackendName.GRAVAL and official is not None:
            return OfficialBackend(official)
        return open_cuda()
    if model is None or not device_ids:
        raise BackendUnavailableError(
            "the simulated back end needs GRAVAL_SIMULATED_MODEL (JSON, its name beginning with SIMULATED) and the ids "
            "of the devices in NVIDIA_VISIBLE_DEVICES"
        )
    return SimulatedBackend(simulated_devices(model, device_ids))
