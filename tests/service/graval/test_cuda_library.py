"""The CUDA library is built for every architecture and loads where no GPU is. None of its kernels ever ran on one."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from graval.backends.base import BackendUnavailableError
from graval.cuda.build import (
    TARGETS,
    BuildError,
    compile_command,
    install_toolkit,
    refuse_newer_libc,
    run_compiler,
    toolkit_version,
)
from graval.cuda.check import compare, sizes
from graval.cuda.library import Library
from infra.images.tools import cache_folder
from tests.support.graval_cuda import architectures, cuda_library

pytestmark = [pytest.mark.service, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def library() -> Path:
    return cuda_library()


def test_it_holds_code_for_every_target_and_one_portable_form(library: Path) -> None:
    pieces = Counter(architectures(library))
    numbers = Counter(int(target.rstrip("a")) for target in TARGETS)
    assert {number for kind, number in pieces if kind == "sm"} == set(numbers)
    # once for plain code, twice where code for exactly that architecture lies beside it
    assert all(pieces["sm", number] == count * pieces["sm", 75] for number, count in numbers.items())
    assert ("ptx", 75) in pieces


def test_it_needs_nothing_that_a_plain_system_does_not_have(library: Path) -> None:
    listed = subprocess.run(["ldd", library], capture_output=True, text=True, check=True, timeout=60).stdout
    names = {line.split()[0].split(".so")[0] for line in listed.splitlines()}
    assert names <= {"linux-vdso", "libc", "libm", "libpthread", "libdl", "librt"} | {
        name for name in names if name.startswith("/lib")
    }
    refuse_newer_libc(library)


def test_without_a_driver_it_loads_and_says_so(library: Path) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver")
    with pytest.raises(BackendUnavailableError, match=r"driver is absent or too old"):
        Library(library).device_count()


@pytest.mark.parametrize("size", sizes())
def test_every_kernel_on_a_gpu_gives_the_references_bits(library: Path, size: str) -> None:
    loaded = Library(library)
    try:
        count = loaded.device_count()
    except BackendUnavailableError as error:
        pytest.skip(f"no kernel runs here: {error}")
    different = [
        (index, one.name) for index in range(count) for one in compare(loaded, index, sizes()[size]) if not one.is_equal
    ]
    assert different == []


def test_two_builds_give_the_same_bytes(tmp_path: Path) -> None:
    home = install_toolkit(cache_folder() / "uv" / "bin" / "uv", cache_folder() / f"cuda-toolkit-{toolkit_version()}")
    built = [tmp_path / "one.so", tmp_path / "elsewhere" / "another.so"]
    built[1].parent.mkdir()
    for path in built:
        run_compiler(compile_command(home, path, ["75"]))
    assert built[0].read_bytes() == built[1].read_bytes()


def test_architectures_without_integer_matrix_units_are_refused_by_the_compiler(tmp_path: Path, library: Path) -> None:
    home = cache_folder() / f"cuda-toolkit-{toolkit_version()}"
    command = compile_command(install_toolkit(cache_folder() / "uv" / "bin" / "uv", home), tmp_path / "x.so", ["70"])
    with pytest.raises(BuildError, match="compute_70"):
        run_compiler(command)


def test_a_missing_or_foreign_library_is_named_with_the_command_that_builds_one(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.so"
    source = tmp_path / "foreign.c"
    source.write_text("int nothing(void) { return 0; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", foreign, source], check=True, timeout=60)
    for path in (tmp_path / "absent.so", foreign):
        with pytest.raises(BackendUnavailableError, match="make cuda-library"):
            Library(path)
    newer = tmp_path / "newer.so"
    source.write_text("unsigned ogv_abi_version(void) { return 9; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", newer, source], check=True, timeout=60)
    with pytest.raises(BackendUnavailableError, match="interface 9, wanted 2"):
        Library(newer)
