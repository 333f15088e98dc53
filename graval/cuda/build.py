"""Build libogv.so: `python -m graval.cuda.build`, from a clone, with NVIDIA's compiler packages.

The compiler is the dependency group `cuda` of the project, in an environment of its own (250 MB). It needs g++, no GPU
and no driver. Everything is linked in but libc and libm. It is put where the image of the bootstrap service takes it
from; a library that asks for a newer libc than that image has is refused.
"""

import hashlib
import os
import re
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import cyclopts

ROOT: Final = Path(__file__).resolve().parents[2]
SOURCES: Final = ROOT / "graval" / "csrc"
#: Part of the package where it was built, and so of every image that holds the whole package.
LIBRARY: Final = ROOT / "graval" / "lib" / "libogv.so"
#: glibc of the images' base, and of every machine since Debian 12 and Ubuntu 23.04.
NEWEST_LIBC: Final = (2, 36)
#: Everything that the compiler accepts of spec graval 5.1; an `a` is code for exactly that architecture.
TARGETS: Final = (
    "75", "80", "86", "87", "88", "89", "90", "90a", "100", "100a", "103", "103a", "110", "110a", "120", "120a", "121",
)  # fmt: skip
#: For GPUs that come later: the driver compiles this one itself.
PORTABLE: Final = "75"
INSTALL_SECONDS: Final = 600
COMPILE_SECONDS: Final = 1800

cli = cyclopts.App(name="python -m graval.cuda.build", help="Build the CUDA library.")


class BuildError(RuntimeError):
    """A step of the build failed; the message is what the program said."""


def toolkit_version() -> str:
    """Version of nvcc that the project pins."""
    group: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["cuda"]
    return next(pin.partition("==")[2] for pin in group if pin.startswith("nvidia-cuda-nvcc=="))


def install_toolkit(uv: Path, environment: Path) -> Path:
    """NVIDIA's compiler as locked, in its own environment; answers with its home. Raises BuildError."""
    command = [str(uv), "sync", "--frozen", "--only-group", "cuda", "--no-install-project", "--project", str(ROOT)]
    _run(command, INSTALL_SECONDS, {"UV_PROJECT_ENVIRONMENT": str(environment)})
    found = sorted(environment.glob("lib/python*/site-packages/nvidia/cu*/bin/nvcc"))
    if not found:
        raise BuildError(f"the compiler packages in {environment} hold no nvcc")
    return found[0].parents[1]


def compile_command(home: Path, output: Path, targets: Sequence[str] = TARGETS) -> list[str]:
    """One call of nvcc for all targets. Symbols are stripped: they name temporary files, another one at every call."""
    code = [f"-gencode=arch=compute_{target},code=sm_{target}" for target in targets]
    code.append(f"-gencode=arch=compute_{PORTABLE},code=compute_{PORTABLE}")
    return [
        str(home / "bin" / "nvcc"), "-std=c++17", "-O3", "--threads", "2", *code, "-cudart", "static", "-shared",
        f"-L{home / 'lib'}", "-Xcompiler", "-fPIC,-static-libstdc++,-static-libgcc", "-Xlinker", "--strip-all",
        "-o", str(output), str(SOURCES / "library.cu"),
    ]  # fmt: skip


def emulation_command(output: Path, *, narrow: bool = False) -> list[str]:
    """The same device code for this machine's CPU, for tests (graval/csrc/emulation.h); narrow is what sm_75 has."""
    emulated = ["-DOGV_EMULATED", "-DOGV_EMULATED_NARROW"] if narrow else ["-DOGV_EMULATED"]
    return [
        "g++", "-std=c++17", "-x", "c++", *emulated, "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
        "-o", str(output), str(SOURCES / "library.cu"),
    ]  # fmt: skip


def run_compiler(command: Sequence[str]) -> None:
    """Raises BuildError with the compiler's words."""
    _run(command, COMPILE_SECONDS, {})


def needed_libc(library: Path) -> tuple[int, int]:
    """The oldest glibc that a library loads on, by the names of the symbol versions in it."""
    versions = re.findall(rb"\0GLIBC_(\d+)\.(\d+)[.\d]*(?=\0)", library.read_bytes())
    return max(((int(major), int(minor)) for major, minor in versions), default=(0, 0))


@cli.default
def build(
    *,
    output: Path = LIBRARY,
    uv: Path = Path("uv"),
    cache: Annotated[Path | None, cyclopts.Parameter(env_var="HEADFRAME_CACHE", help="~/.cache/headframe")] = None,
) -> None:
    """Install the compiler into the cache where it is not, then compile for all targets: a minute of two cores."""
    folder = (cache or Path.home() / ".cache" / "headframe").absolute()
    home = install_toolkit(uv, folder / f"cuda-toolkit-{toolkit_version()}")
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        run_compiler(compile_command(home, unfinished))
        refuse_newer_libc(unfinished)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    digest = hashlib.sha256(output.read_bytes()).hexdigest()
    print(f"{output}: {len(TARGETS)} architectures, nvcc {toolkit_version()}, SHA-256 {digest}")


def refuse_newer_libc(library: Path) -> None:
    """Raises BuildError for a library that the images' base would not load."""
    needed = needed_libc(library)
    if needed > NEWEST_LIBC:
        raise BuildError(
            f"this machine's g++ makes a library that needs glibc {needed[0]}.{needed[1]}, the image has "
            f"{NEWEST_LIBC[0]}.{NEWEST_LIBC[1]}: build it on Debian 12 and copy it to {LIBRARY}"
        )


def _run(command: Sequence[str], timeout_seconds: float, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        raise BuildError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    cli()
