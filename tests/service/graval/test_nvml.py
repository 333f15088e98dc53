"""What stands in the way of a proof, by a stub of NVIDIA's management library. The real one was not at hand."""

import subprocess
from pathlib import Path

import pytest

from graval.backends.base import BackendUnavailableError
from graval.cuda.nvml import conditions, inspect

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("stub") / "libnvidia-ml.so.1"
    source = Path(__file__).parent / "stub" / "nvml.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", path, source], check=True, timeout=60)
    return str(path)


def test_gpus_that_nothing_stands_in_the_way_of_are_described(stub: str) -> None:
    well, old = inspect(("a" * 32, "d" * 32), stub)
    assert (well.has_mig, well.other_processes, well.driver) == (False, 0, "580.00")
    assert not old.has_mig


@pytest.mark.parametrize(
    ("first", "reason"),
    [("b", "MIG slices.* -mig 0"), ("c", "3 processes use"), ("e", "nvmlDeviceGetHandleByUUID answered 15")],
)
def test_a_gpu_that_is_cut_used_or_lost_is_named_with_what_shows_it(stub: str, first: str, reason: str) -> None:
    with pytest.raises(BackendUnavailableError, match=reason):
        inspect(("a" * 32, first * 32), stub)


def test_a_library_that_is_absent_or_too_old_is_named(stub: str, tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailableError, match="does not load"):
        inspect((), str(tmp_path / "absent.so"))
    old = tmp_path / "old.so"
    source = tmp_path / "old.c"
    source.write_text("int nothing(void) { return 0; }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", old, source], check=True, timeout=60)
    with pytest.raises(BackendUnavailableError, match="update the driver"):
        inspect((), str(old))


def test_what_a_time_depends_on_is_said_as_far_as_the_driver_knows_it(stub: str) -> None:
    assert str(conditions("a" * 32, stub)) == "driver 580.00, 41 °C, 123 W drawn, 700 W allowed, 1980 MHz"
    assert str(conditions("d" * 32, stub)) == "driver 580.00, 900 MHz"


def test_conditions_that_nobody_knows_stop_no_measurement(stub: str, tmp_path: Path) -> None:
    assert "answered 15" in str(conditions("e" * 32, stub))
    assert str(conditions("a" * 32, str(tmp_path / "absent.so"))).startswith("unknown: ")
