"""Our CUDA library as a back end: a process for each GPU, so that a driver that fails takes one proof with it."""

from pathlib import Path

from graval.cuda.library import CHUNK_BYTES, Library
from graval.cuda.nvml import GpuState, inspect
from graval.cuda.worker import Worker, WorkerProver
from graval.session import DeviceDescription, Session, WorkLimits


class CudaBackend:
    """All GPUs of this machine that the driver shows."""

    name = "cuda"

    def __init__(self, library_path: Path, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Raises BackendUnavailableError without library, driver or GPU."""
        library = Library(library_path)
        self._devices = tuple(library.describe(index) for index in range(library.device_count()))
        self._workers = {
            device.uuid: Worker(library_path, index, chunk_bytes) for index, device in enumerate(self._devices)
        }

    def inspect(self) -> tuple[GpuState, ...]:
        """Ask the driver whether anything stands in a proof's way; before the first proof, whose process would be seen.

        Raises:
            BackendUnavailableError: a GPU is cut into slices, used by others or lost, or the driver does not say.
        """
        return inspect(tuple(device.uuid for device in self._devices))

    def devices(self) -> tuple[DeviceDescription, ...]:
        """See `Backend`."""
        return self._devices

    def prover(self, session: Session, limits: WorkLimits) -> WorkerProver:
        """See `Backend`."""
        return WorkerProver(self._workers[session.device.uuid], session, limits)

    def close(self) -> None:
        """End the processes of all GPUs."""
        for worker in self._workers.values():
            worker.stop()
