"""The first command on a new GPU, run against the emulated device: what it prints, and when it says no."""

from pathlib import Path

import pytest

from graval.calibration import small_plan
from graval.cuda import check
from graval.cuda.check import main, sizes
from graval.cuda.library import Library
from graval.cuda.phases import QUICK, measure
from graval.cuda.prover import CudaProver
from graval.messages import ChaseRequest
from tests.support.graval_cuda import cuda_library, emulated_library

pytestmark = [pytest.mark.service, pytest.mark.timeout(1800)]


def test_it_compares_every_phase_and_then_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(library=emulated_library(), repeats=2, quick=True) == 0
    printed = capsys.readouterr().out
    assert "SIMULATED emulation" in printed
    assert "DIFFERENT" not in printed
    for phase in ("copy", "dense", "fill", "sweep round of 8", "sweep round of 32", "2 x 16 lanes", "1 x 1 lanes"):
        assert phase in printed
    assert "in host memory" in printed
    assert printed.count("made again") == 2
    assert "before: unknown" in printed


def test_a_cheat_is_set_beside_the_honest_prover_of_the_same_phase() -> None:
    library = Library(emulated_library())
    found = {one.name: one for one in measure(library, 0, small_plan(rows=512, inner=64), QUICK)}
    cheats = {name: one for name, one in found.items() if name.startswith("cheat: ")}
    fill, narrow = found["fill"], found["sweep round of 8 columns"]
    assert cheats["cheat: all rows made again for a round"].times == pytest.approx(fill.seconds / narrow.seconds)
    # One percent of 512 rows, in whole pieces of 128; five percent takes as many.
    in_host = cheats["cheat: 25.0% in host memory, sweep round of 8 columns"]
    assert in_host.times == pytest.approx(in_host.seconds / narrow.seconds)
    assert all(one.times is not None and one.times > 0 for one in cheats.values())
    assert not any(one.times for name, one in found.items() if name not in cheats)


def test_a_device_that_errs_is_named_and_nothing_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(prover: CudaProver, request: ChaseRequest) -> bytes:
        del prover, request
        return bytes(32)

    monkeypatch.setattr(CudaProver, "chase", wrong)
    # The full inner size takes most of the time, and the first test compares it.
    quick = {name: size for name, size in sizes().items() if size.inner < 4096}
    monkeypatch.setattr(check, "sizes", lambda: quick)
    assert main(library=emulated_library(), quick=True) == 1
    printed = capsys.readouterr().out
    assert printed.count("DIFFERENT") == len(quick) == 2
    assert "clock" not in printed


def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has an NVIDIA driver")
    assert main(library=cuda_library()) == 69
    assert "driver is absent or too old" in capsys.readouterr().out
