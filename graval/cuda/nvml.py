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
_ON_THE_CHIP: Final = ctypes.c_uint(0)
_OF_THE_PROCESSORS: Final = ctypes.c_uint(1)


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


@dataclass(frozen=True)
class Conditions:
    """What a measured time depends on beside the card; None where the driver does not say it of this card."""

    driver: str
    temperature_celsius: int | None
    power_milliwatts: int | None
    limit_milliwatts: int | None
    clock_mhz: int | None

    def __str__(self) -> str:
        """As results are written down with."""
        said = (
            (self.temperature_celsius, 1, "°C"),
            (self.power_milliwatts, 1000, "W drawn"),
            (self.limit_milliwatts, 1000, "W allowed"),
            (self.clock_mhz, 1, "MHz"),
        )
        known = [f"{value / divisor:.0f} {unit}" for value, divisor, unit in said if value is not None]
        return ", ".join([f"driver {self.driver}", *known])


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
        device = self._handle(uuid)
        return GpuState(uuid, self._has_mig(device), self._processes(device), self._driver())

    def conditions(self, uuid: str) -> Conditions:
        """Heat, power and clock now of a GPU by its 32 hex digits. Raises BackendUnavailableError."""
        device = self._handle(uuid)
        return Conditions(
            self._driver(),
            self._number("nvmlDeviceGetTemperature", device, _ON_THE_CHIP),
            self._number("nvmlDeviceGetPowerUsage", device),
            self._number("nvmlDeviceGetEnforcedPowerLimit", device),
            self._number("nvmlDeviceGetClockInfo", device, _OF_THE_PROCESSORS),
        )

    def close(self) -> None:
        """End the library's work."""
        self._call("nvmlShutdown")

    def _handle(self, uuid: str) -> ctypes.c_void_p:
        device = ctypes.c_void_p()
        self._call("nvmlDeviceGetHandleByUUID", driver_gpu_id(uuid).encode("ascii"), ctypes.byref(device))
        return device

    def _driver(self) -> str:
        version = ctypes.create_string_buffer(_TEXT_BYTES)
        self._call("nvmlSystemGetDriverVersion", version, ctypes.c_uint(_TEXT_BYTES))
        return version.value.decode(errors="replace")

    def _number(self, name: str, device: ctypes.c_void_p, *which: ctypes.c_uint) -> int | None:
        value = ctypes.c_uint()
        status = self._call(name, device, *which, ctypes.byref(value), accepted=(_NOT_SUPPORTED,))
        return value.value if status == 0 else None

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


def conditions(uuid: str, path: str = LIBRARY) -> Conditions | str:
    """What a time measured now depends on; in words, why nobody knows, where the library or the GPU says nothing."""
    try:
        library = Nvml(path)
        try:
            return library.conditions(uuid)
        finally:
            library.close()
    except BackendUnavailableError as error:
        return f"unknown: {error}"
