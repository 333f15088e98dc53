"""What NVIDIA's management library says of a GPU before the proof: MIG, other processes, driver (spec graval 4.12).

It helps an honest operator: a proof on a slice or beside a workload fails in ways that are hard to read. It proves
nothing to anybody else. Where the library is absent, nothing is looked for, and that is said.
"""

import ctypes
from dataclasses import dataclass
from typing import Final

from app.protocol.wire import driver_gpu_id
from graval.backends.base import BackendUnavailableError

LIBRARY: Final = "libnvidia-ml.so.1"
_NOT_SUPPORTED: Final = 3
_INSUFFICIENT_SIZE: Final = 7
_TEXT_BYTES: Final = 96


@dataclass(frozen=True)
class GpuState:
    """One GPU as its driver sees it now."""

    uuid: str
    has_mig: bool
    other_processes: int
    driver: str

    def problem(self) -> str | None:
        """Why a proof would fail, with the command that shows or changes it; None when nothing is in the way."""
        if self.has_mig:
            return f"{self.uuid} is cut into MIG slices: nvidia-smi -i {driver_gpu_id(self.uuid)} -mig 0"
        if self.other_processes:
            return f"{self.other_processes} processes use {self.uuid}, the proof needs it alone: nvidia-smi shows them"
        return None


class Nvml:
    """The library, initialised; `close` ends it."""

    def __init__(self, path: str = LIBRARY) -> None:
        """Raises BackendUnavailableError when it is absent or does not start."""
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            raise BackendUnavailableError(f"{path} does not load: {error}") from error
        self._call("nvmlInit_v2")

    def state(self, uuid: str) -> GpuState:
        """What is known of a GPU by its 32 hex digits. Raises BackendUnavailableError."""
        device = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByUUID", driver_gpu_id(uuid).encode("ascii"), ctypes.byref(device))
        driver = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call("nvmlSystemGetDriverVersion", driver, ctypes.c_uint(_TEXT_BYTES))
        return GpuState(uuid, self._has_mig(device), self._processes(device), driver.value.decode(errors="replace"))

    def close(self) -> None:
        """End the library's work."""
        self._call("nvmlShutdown")

    def _has_mig(self, device: ctypes.c_void_p) -> bool:
        current, pending = ctypes.c_uint(), ctypes.c_uint()
        arguments = (device, ctypes.byref(current), ctypes.byref(pending))
        status = self._call("nvmlDeviceGetMigMode", *arguments, accepted=(_NOT_SUPPORTED,))
        return status == 0 and current.value != 0

    def _processes(self, device: ctypes.c_void_p) -> int:
        """Asked with room for none: the count comes with the answer that there is not enough room."""
        count = ctypes.c_uint(0)
        name = "nvmlDeviceGetComputeRunningProcesses_v3"
        self._call(name, device, ctypes.byref(count), None, accepted=(_NOT_SUPPORTED, _INSUFFICIENT_SIZE))
        return count.value

    def _call(self, name: str, *arguments: object, accepted: tuple[int, ...] = ()) -> int:
        try:
            status: int = getattr(self._library, name)(*arguments)
        except AttributeError as error:
            raise BackendUnavailableError(
                f"the driver's management library has no {name}: update the driver"
            ) from error
        if status != 0 and status not in accepted:
            raise BackendUnavailableError(f"{name} answered {status}; nvidia-smi would say what is wrong")
        return status


def inspect(uuids: tuple[str, ...], path: str = LIBRARY) -> tuple[GpuState, ...]:
    """States of GPUs. Raises BackendUnavailableError for the first that is in no state for a proof."""
    library = Nvml(path)
    try:
        states = tuple(library.state(uuid) for uuid in uuids)
    finally:
        library.close()
    problem = next((problem for state in states if (problem := state.problem()) is not None), None)
    if problem is not None:
        raise BackendUnavailableError(problem)
    return states
