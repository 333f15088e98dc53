"""The C interface of libogv.so through ctypes: types, statuses, one device's memory. No protocol.

Calls give up the interpreter's lock for as long as they take. The library loads on a machine without a driver; it then
says so when it is asked for devices.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from graval.backends.base import BackendUnavailableError
from graval.primitives import Int32Array, UInt64Array
from graval.session import DeviceDescription

ABI_VERSION: Final = 2
CHUNK_BYTES: Final = 1 << 30
_NO_DEVICE: Final = 100
_DRIVER_TOO_OLD: Final = 35


class DeviceError(RuntimeError):
    """The library refused or the device failed; the message is the library's own."""


class _DeviceInfo(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char * 64),
        ("uuid", ctypes.c_uint8 * 16),
        ("memory_bytes", ctypes.c_uint64),
        ("processors", ctypes.c_uint64),
        ("clock_khz", ctypes.c_uint64),
        ("max_threads", ctypes.c_uint64),
        ("major", ctypes.c_int32),
        ("minor", ctypes.c_int32),
        ("ecc", ctypes.c_int32),
        ("emulated", ctypes.c_int32),
    )


class _Timings(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_double) for name in ("fill", "sweep", "chase", "matmul"))


@dataclass(frozen=True)
class Timings:
    """Seconds of the last call of each kind by the device's clock: for operators, never for acceptance."""

    fill: float
    sweep: float
    chase: float
    matmul: float


@dataclass(frozen=True)
class RoundKeys:
    """What a round's operand and masks are made from, and its width."""

    operand: bytes
    masks: bytes
    columns: int


_POINTER = ctypes.c_void_p
_U32, _U64, _BYTES = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_char_p
_SIGNATURES: Final = {
    "ogv_device_count": (_POINTER,),
    "ogv_device_info": (_U32, _POINTER),
    "ogv_open": (_U32, _U64, _POINTER),
    "ogv_timings": (_POINTER, _POINTER),
    "ogv_fill": (_POINTER, _BYTES, _U64, _U32, _U32),
    "ogv_hold_in_host": (_POINTER, _U64),
    "ogv_host_bytes": (_POINTER, _POINTER),
    "ogv_sweep": (_POINTER, _BYTES, _BYTES, _U32, _U32, _U32, _POINTER, _U64),
    "ogv_open_tiles": (_POINTER, _BYTES, _BYTES, _U32, _U32, _U64, _U64, _POINTER),
    "ogv_lock_scan": (_POINTER, _BYTES, _BYTES, _U32, _BYTES, _BYTES, _U32, _POINTER, _POINTER),
    "ogv_chase": (_POINTER, _POINTER, _U32, _U32, _U64, _POINTER),
    "ogv_matmul_commit": (_POINTER, _BYTES, _BYTES, _U32, _POINTER),
    "ogv_matmul_image": (_POINTER, _POINTER, _POINTER),
    "ogv_matmul_row": (_POINTER, _U32, _POINTER),
    "ogv_copy": (_POINTER, _U64, _POINTER),
}


class Library:
    """The loaded library."""

    def __init__(self, path: Path) -> None:
        """Raises BackendUnavailableError when the file is absent, does not load, or has another version."""
        if not path.exists():
            raise BackendUnavailableError(
                f"there is no CUDA library at {path}: make cuda-library in a clone, then build the image again, or "
                "mount one and name it in GRAVAL_LIBRARY"
            )
        try:
            self._library = ctypes.CDLL(str(path))
            version = self._library.ogv_abi_version
        except (OSError, AttributeError) as error:
            raise BackendUnavailableError(
                f"{path} is no library of ours that loads ({error}); build it again: make cuda-library"
            ) from error
        version.restype = ctypes.c_uint32
        if version() != ABI_VERSION:
            raise BackendUnavailableError(
                f"{path} has interface {version()}, wanted {ABI_VERSION}; build it again: make cuda-library"
            )
        self._library.ogv_last_error.restype = ctypes.c_char_p
        self._library.ogv_close.argtypes = (_POINTER,)
        self._library.ogv_close.restype = None
        for name, types in _SIGNATURES.items():
            getattr(self._library, name).argtypes = types

    def call(self, name: str, *arguments: object) -> None:
        """Call a function that answers with a status. Raises DeviceError, with the library's words."""
        status: int = getattr(self._library, name)(*arguments)
        if status != 0:
            raise DeviceError(self._library.ogv_last_error().decode(errors="replace"))

    def device_count(self) -> int:
        """How many GPUs there are. Raises BackendUnavailableError without a driver or without a GPU."""
        count = ctypes.c_uint32()
        status: int = self._library.ogv_device_count(ctypes.byref(count))
        if status in (_DRIVER_TOO_OLD, _NO_DEVICE) or (status == 0 and count.value == 0):
            reason = "the NVIDIA driver is absent or too old" if status == _DRIVER_TOO_OLD else "there is no NVIDIA GPU"
            raise BackendUnavailableError(f"{reason} on this machine: nvidia-smi would list what there is")
        if status != 0:
            raise BackendUnavailableError(self._library.ogv_last_error().decode(errors="replace"))
        return count.value

    def describe(self, index: int) -> DeviceDescription:
        """A device in the six public fields. Raises DeviceError."""
        info = _DeviceInfo()
        self.call("ogv_device_info", index, ctypes.byref(info))
        return DeviceDescription(
            uuid=bytes(info.uuid).hex(),
            name=info.name.decode("ascii", errors="replace"),
            memory=info.memory_bytes,
            processors=info.processors,
            clock_rate=info.clock_khz,
            max_threads_per_processor=info.max_threads,
        )

    def open(self, index: int, chunk_bytes: int = CHUNK_BYTES) -> "Device":
        """Memory and streams of one device. Raises DeviceError."""
        handle = ctypes.c_void_p()
        self.call("ogv_open", index, chunk_bytes, ctypes.byref(handle))
        return Device(self, handle)

    def close_handle(self, handle: ctypes.c_void_p) -> None:
        """End what `open` began."""
        self._library.ogv_close(handle)


class Device:
    """One device with one matrix and one product. Every method raises DeviceError."""

    def __init__(self, library: Library, handle: ctypes.c_void_p) -> None:
        self._library = library
        self._handle = handle

    def close(self) -> None:
        """Give all memory back; nothing else may be called afterwards."""
        self._library.close_handle(self._handle)

    def timings(self) -> Timings:
        """By the device's clock."""
        found = _Timings()
        self._library.call("ogv_timings", self._handle, ctypes.byref(found))
        return Timings(found.fill, found.sweep, found.chase, found.matmul)

    def fill(self, seed: bytes, rows: int, inner: int, chain_length: int) -> None:
        """Make the label matrix."""
        self._library.call("ogv_fill", self._handle, seed, rows, inner, chain_length)

    def hold_in_host(self, rows: int) -> None:
        """For calibration: at the next fill the last rows, in whole pieces, lie in pinned memory of the host."""
        self._library.call("ogv_hold_in_host", self._handle, rows)

    def host_bytes(self) -> int:
        """How much of the matrix that was filled last lies in the host's memory."""
        held = ctypes.c_uint64()
        self._library.call("ogv_host_bytes", self._handle, ctypes.byref(held))
        return held.value

    def sweep(self, keys: RoundKeys, tile_rows: int, cut: int, nodes: int) -> tuple[tuple[bytes, ...], ...]:
        """Levels of a round's tree from level `cut`, which has `nodes` nodes, to the root."""
        levels = ctypes.create_string_buffer(32 * (2 * nodes - 1))
        arguments = (keys.operand, keys.masks, keys.columns, tile_rows, cut, levels, len(levels))
        self._library.call("ogv_sweep", self._handle, *arguments)
        digests, found = _digests(levels.raw), []
        while nodes:
            found.append(tuple(digests[:nodes]))
            digests, nodes = digests[nodes:], nodes // 2
        return tuple(found)

    def open_tiles(self, keys: RoundKeys, tile_rows: int, first: int, count: int) -> list[bytes]:
        """Leaves of some tiles of a round."""
        leaves = ctypes.create_string_buffer(32 * count)
        arguments = (keys.operand, keys.masks, keys.columns, tile_rows, first, count, leaves)
        self._library.call("ogv_open_tiles", self._handle, *arguments)
        return _digests(leaves.raw)

    def lock_scan(self, keys: RoundKeys, salt: bytes, tags: tuple[bytes, ...]) -> dict[bytes, bytes]:
        """Fingerprints by tag, for tags that some row has."""
        prints, found = ctypes.create_string_buffer(16 * len(tags)), ctypes.create_string_buffer(len(tags))
        arguments = (keys.operand, keys.masks, keys.columns, salt, b"".join(tags), len(tags), prints, found)
        self._library.call("ogv_lock_scan", self._handle, *arguments)
        return {tag: prints.raw[16 * at : 16 * at + 16] for at, tag in enumerate(tags) if found.raw[at]}

    def chase(self, states: UInt64Array, lanes: int, steps: int) -> list[bytes]:
        """Log of each group whose first state is a row of `states`."""
        words, groups = np.ascontiguousarray(states, dtype=np.uint64).copy(), len(states)
        log = ctypes.create_string_buffer(16 * groups * steps)
        self._library.call("ogv_chase", self._handle, words.ctypes.data, groups, lanes, steps, log)
        return [log.raw[16 * steps * group : 16 * steps * (group + 1)] for group in range(groups)]

    def matmul_commit(self, left_key: bytes, right_key: bytes, inner: int) -> list[bytes]:
        """Leaves of the dense product's rows."""
        leaves = ctypes.create_string_buffer(32 * inner)
        self._library.call("ogv_matmul_commit", self._handle, left_key, right_key, inner, leaves)
        return _digests(leaves.raw)

    def matmul_image(self, vector: UInt64Array) -> UInt64Array:
        """Product times a vector of residues modulo 2^61 - 1."""
        words, image = np.ascontiguousarray(vector, dtype=np.uint64), np.zeros(len(vector), dtype=np.uint64)
        self._library.call("ogv_matmul_image", self._handle, words.ctypes.data, image.ctypes.data)
        return image

    def copy_seconds(self, byte_count: int) -> float:
        """Seconds of one copy inside the device, by its clock: it reads and writes so many bytes."""
        seconds = ctypes.c_double()
        self._library.call("ogv_copy", self._handle, byte_count, ctypes.byref(seconds))
        return seconds.value

    def matmul_row(self, row: int, inner: int) -> Int32Array:
        """One row of the product."""
        product = np.zeros(inner, dtype=np.int32)
        self._library.call("ogv_matmul_row", self._handle, row, product.ctypes.data)
        return product


def _digests(data: bytes) -> list[bytes]:
    return [data[at : at + 32] for at in range(0, len(data), 32)]
