"""The public C interface of the closed miner library through ctypes (spec graval 1.3). Runs in the child only.

Results that the library says are ours are freed through its own handle; structures that it owns are copied and left.
"""

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ERROR_BYTES: Final = 1024
DIGEST_BYTES: Final = 32
#: More hashes than this is no work product: 2^20 matrices would be 64 MB of answer.
MAXIMUM_HASHES: Final = 1 << 20


class OfficialError(RuntimeError):
    """The library said no; the message says to what."""


class WorkProduct(ctypes.Structure):
    """What a device has proved: 32 bytes."""

    _fields_ = (
        ("final_matrix", ctypes.POINTER(ctypes.c_float)),
        ("intermediate_hashes", ctypes.POINTER(ctypes.POINTER(ctypes.c_uint8))),
        ("num_matrices", ctypes.c_size_t),
        ("total_iterations", ctypes.c_size_t),
    )


class DeviceInfo(ctypes.Structure):
    """A device: 192 bytes, of which the last handles are the library's own business."""

    _fields_ = (
        ("name", ctypes.c_char * 64),
        ("uuid", ctypes.c_char * 33),
        ("memory", ctypes.c_size_t),
        ("processors", ctypes.c_size_t),
        ("clock_rate", ctypes.c_double),
        ("max_threads_per_processor", ctypes.c_uint),
        ("work_product", ctypes.POINTER(WorkProduct)),
        ("context", ctypes.c_void_p),
        ("queue", ctypes.c_void_p),
        ("program", ctypes.c_void_p),
        ("tanh_kernel", ctypes.c_void_p),
        ("downsample_kernel", ctypes.c_void_p),
        ("opencl_initialized", ctypes.c_bool),
    )


class Ciphertext(ctypes.Structure):
    """A sealed text: 40 bytes."""

    _fields_ = (
        ("length", ctypes.c_size_t),
        ("seed", ctypes.c_ulong),
        ("ciphertext", ctypes.POINTER(ctypes.c_uint8)),
        ("initialization_vector", ctypes.c_uint8 * 16),
    )


@dataclass(frozen=True)
class Sealed:
    """A ciphertext for one device, as it came."""

    seed: int
    vector: bytes
    data: bytes


class MinerLibrary:
    """The library, loaded and initialised. Every method raises OfficialError; calls block for as long as they take."""

    def __init__(self, path: Path) -> None:
        """Raises OfficialError when it does not load, lacks a symbol, or finds no device."""
        try:
            self._library = ctypes.CDLL(str(path))
            self._bind()
        except (OSError, AttributeError) as error:
            raise OfficialError(f"{path} is not the official miner library: {error}") from error
        self.device_count = int(self._library.initialize_node())
        if self.device_count == 0:
            raise OfficialError("the official library finds no device; it needs an OpenCL driver for each GPU")
        self._generated: tuple[int, int] | None = None

    def _bind(self) -> None:
        library, text, number = self._library, ctypes.c_char_p, ctypes.c_uint
        library.initialize_node.restype = number
        library.generate_challenge_matrices.argtypes = (ctypes.c_ulong, ctypes.c_ulong)
        library.generate_challenge_matrices.restype = number
        library.miner_decrypt.argtypes = (ctypes.POINTER(Ciphertext), number)
        library.miner_decrypt.restype = ctypes.c_void_p
        library.miner_device_info_challenge.argtypes = (text,)
        library.miner_device_info_challenge.restype = ctypes.c_void_p
        library.gather_device_info.argtypes = (number, text)
        library.gather_device_info.restype = ctypes.POINTER(DeviceInfo)
        library.shutdown_node.restype = None
        library.free.argtypes = (ctypes.c_void_p,)
        library.free.restype = None

    def device(self, index: int) -> DeviceInfo:
        """A device's description; its memory belongs to the library."""
        reason = ctypes.create_string_buffer(ERROR_BYTES)
        found = self._library.gather_device_info(index, reason)
        if not found:
            raise OfficialError(f"device {index}: {reason.value.decode(errors='replace') or 'no description'}")
        info: DeviceInfo = found.contents
        return info

    def prove(self, seed: int, iterations: int) -> None:
        """Do the work on all devices, unless exactly this was done last."""
        if self._generated == (seed, iterations):
            return
        self._generated = None
        if not self._library.generate_challenge_matrices(seed, iterations):
            raise OfficialError("the library could not do the work; is 95 % of every GPU's memory free?")
        self._generated = (seed, iterations)

    def work_product(self, index: int) -> dict[str, object]:
        """What a device has proved, hashes in hex."""
        info = self.device(index)
        if not info.work_product:
            raise OfficialError(f"device {index} has no work product")
        product = info.work_product.contents
        count = product.num_matrices * product.total_iterations
        if not 0 < count <= MAXIMUM_HASHES:
            raise OfficialError(f"device {index} claims {count} hashes, accepted are 1 to {MAXIMUM_HASHES}")
        hashes = [ctypes.string_at(product.intermediate_hashes[at], DIGEST_BYTES).hex() for at in range(count)]
        return {
            "intermediate_hashes": hashes,
            "num_matrices": product.num_matrices,
            "total_iterations": product.total_iterations,
        }

    def decrypt(self, index: int, sealed: Sealed) -> str:
        """Open a text; the work for its seed must be the last that was done."""
        if self._generated is None or self._generated[0] != sealed.seed:
            raise OfficialError("the work for this seed was not done")
        if len(sealed.vector) != 16:
            raise OfficialError(f"initialisation vector of {len(sealed.vector)} bytes, expected 16")
        data = (ctypes.c_uint8 * len(sealed.data)).from_buffer_copy(sealed.data)
        ciphertext = Ciphertext(len(sealed.data), sealed.seed, data)
        ciphertext.initialization_vector[:] = list(sealed.vector)
        return self._take(self._library.miner_decrypt(ctypes.byref(ciphertext), index), "the text does not open")

    def device_challenge(self, challenge: str) -> str:
        """Answer to a device challenge, 64 hex digits."""
        answer = self._library.miner_device_info_challenge(challenge.encode("ascii"))
        return self._take(answer, "the library refused the device challenge")

    def close(self) -> None:
        """End the library's work on all devices."""
        self._library.shutdown_node()

    def _take(self, pointer: int | None, refusal: str) -> str:
        """Copy a text that the library gave away, and free it."""
        if not pointer:
            raise OfficialError(refusal)
        try:
            return ctypes.string_at(pointer).decode()
        except UnicodeDecodeError as error:
            raise OfficialError("the library answered with something that is no text") from error
        finally:
            self._library.free(pointer)
