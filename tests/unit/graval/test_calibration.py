"""What a device is asked for at its admission."""

import pytest

from graval.calibration import CAUTIOUS_CHAIN_LENGTH, MEASURED_BANDS, admission_plan, description_problem, small_plan
from graval.session import DeviceDescription, WorkLimits
from tests.support.graval_sessions import made_up_device


@pytest.mark.parametrize("memory_gb", [16, 24, 80, 192])
def test_the_fill_takes_95_percent_of_the_memory_in_whole_tiles_and_within_the_provers_limits(memory_gb: int) -> None:
    device = made_up_device().model_copy(update={"memory": memory_gb * 10**9})
    plan = admission_plan(device)
    WorkLimits().check(plan.parameters)
    assert 0.9499 <= plan.parameters.fill_bytes / device.memory <= 0.95
    for sweep in (plan.bandwidth, plan.compute):
        assert sweep.columns <= plan.parameters.columns
        assert sweep.rounds <= plan.parameters.rounds
    assert plan.chase_steps <= WorkLimits().chase_steps
    assert plan.chase_groups <= WorkLimits().chase_groups


def test_the_chain_length_is_the_models_and_cautious_for_an_unknown_one() -> None:
    known = made_up_device().model_copy(update={"name": "NVIDIA H100 80GB HBM3"})
    assert admission_plan(known).parameters.chain_length == 8
    assert admission_plan(made_up_device()).parameters.chain_length == CAUTIOUS_CHAIN_LENGTH


def test_no_band_is_claimed_that_nobody_measured() -> None:
    assert not MEASURED_BANDS
    assert not admission_plan(made_up_device()).bands
    assert not small_plan().bands


H100 = {
    "name": "NVIDIA H100 80GB HBM3", "memory": 85_520_809_984, "processors": 132, "clock_rate": 1_980_000,
    "max_threads_per_processor": 2048,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, None), ({"name": "A GPU of tomorrow", "processors": 1}, None),
        ({"processors": 84}, "84 processors, a h100_sxm has 132"), ({"memory": 48 * 10**9}, "48.0 GB of memory"),
        ({"clock_rate": 900_000}, "900 MHz"), ({"clock_rate": 3_000_000}, "3000 MHz"),
    ],
)  # fmt: skip
def test_a_description_that_is_not_of_the_model_it_names_is_told(
    changed: dict[str, object], problem: str | None
) -> None:
    found = description_problem(DeviceDescription(uuid="a" * 32, **(H100 | changed)))
    assert (found is None) == (problem is None)
    assert problem is None or problem in str(found)
