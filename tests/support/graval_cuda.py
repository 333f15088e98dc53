"""The CUDA library and its emulation, built once for each state of the sources and kept in the cache."""

import hashlib
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

from graval.cuda.build import (
    SOURCES,
    compile_command,
    emulation_command,
    install_toolkit,
    run_compiler,
    toolkit_version,
)
from infra.images.tools import cache_folder
from lab.builds.cache import kept

_FATBIN_MAGIC = struct.pack("<I", 0xBA55ED50)


def _key(*parts: str) -> str:
    """Of sources and command, wherever the clone lies: another clone of the same state finds what this one built."""
    digest = hashlib.sha256("\0".join(parts).replace(str(SOURCES), "").encode())
    for source in sorted(SOURCES.iterdir()):
        digest.update(source.name.encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _kept(name: str, key: str, command: Callable[[Path], list[str]]) -> Path:
    return kept(cache_folder() / "builds" / f"{name}-{key}", f"{name}.so", lambda path: run_compiler(command(path)))


def emulated_library(*, narrow: bool = False) -> Path:
    """The device code on the CPU; narrow is what sm_75 multiplies with."""
    command = partial(emulation_command, narrow=narrow)
    return _kept("libogv-emulated", _key(*command(Path("x"))), command)


def cuda_library() -> Path:
    """The library for every target, as an image would carry it."""

    def command(path: Path) -> list[str]:
        toolkit = cache_folder() / f"cuda-toolkit-{toolkit_version()}"
        return compile_command(install_toolkit(cache_folder() / "uv" / "bin" / "uv", toolkit), path)

    return _kept("libogv", _key(toolkit_version(), *compile_command(Path("/"), Path("x"))), command)


def architectures(library: Path) -> list[tuple[str, int]]:
    """Kind (`ptx` or `sm`) and number of every piece of device code in a library, read from its fat binaries."""
    data, found, at = library.read_bytes(), list[tuple[str, int]](), 0
    while (at := data.find(_FATBIN_MAGIC, at)) >= 0:
        _, _, header, size = struct.unpack_from("<IHHQ", data, at)
        entry, end = at + header, at + header + size
        while entry < end:
            kind, _, entry_header, payload = struct.unpack_from("<HHIQ", data, entry)
            found.append(("ptx" if kind == 1 else "sm", struct.unpack_from("<I", data, entry + 28)[0]))
            entry += entry_header + payload
        at = end
    return found
