"""What is read from a cluster's objects during a bootstrap, and what is said of a proof."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.api.cluster import ClusterError
from app.api.graval_node import _failure, _is_ready, _state, backend_environment, device_info, plan_of, summary
from app.api.objects import JsonObject, node_port
from app.protocol import labels
from app.protocol.wire import bare_gpu_id
from graval.calibration import PhaseName, admission_plan, small_plan
from graval.service.admission import DeviceVerdict
from graval.session import DeviceDescription

REAL = DeviceDescription(
    uuid="0" * 32, name="NVIDIA H100 80GB HBM3", memory=80 * 10**9, processors=132, clock_rate=1_980_000,
    max_threads_per_processor=2048,
)  # fmt: skip
SIMULATED = REAL.model_copy(update={"name": "SIMULATED NVIDIA H100 80GB HBM3"})


def test_only_a_device_that_says_that_it_is_simulated_gets_the_small_proof() -> None:
    assert plan_of(SIMULATED) == small_plan()
    assert plan_of(REAL) == admission_plan(REAL)
    assert plan_of(REAL).parameters.fill_bytes > 0.94 * REAL.memory


def test_a_real_node_is_asked_for_cuda_and_a_simulated_one_only_where_it_is_allowed() -> None:
    assert backend_environment({}, allow_simulated=True) == {"GRAVAL_BACKEND": "auto"}
    product = {labels.NVIDIA_GPU_PRODUCT: "SIMULATED-NVIDIA-H100-80GB-HBM3"}
    allowed = backend_environment(product, allow_simulated=True)
    assert allowed["GRAVAL_BACKEND"] == "simulated"
    assert "SIMULATED NVIDIA H100" in allowed["GRAVAL_SIMULATED_MODEL"]
    with pytest.raises(ValueError, match="only a lab"):
        backend_environment(product, allow_simulated=False)


def test_what_is_stored_and_said_of_a_proof_tells_whether_a_gpu_was_proved() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    simulated = DeviceVerdict(SIMULATED, None, {PhaseName.FILL: 0.1234}, times_judged=False)
    real = DeviceVerdict(REAL, None, {PhaseName.FILL: 2.0, PhaseName.CHASE: 5.5}, times_judged=True)
    info = device_info(simulated, at)
    assert (info.uuid, info.name) == (bare_gpu_id(SIMULATED.uuid), SIMULATED.name)
    assert (info.model_extra or {})["proof"] == {
        "protocol": "ogv1", "simulated": True, "proved_at": "2026-01-01T00:00:00+00:00", "times_judged": False,
        "elapsed_seconds": {"fill": 0.123},
    }  # fmt: skip
    assert summary([real]) == "all 1 GPUs held their proof in 7.5 s"
    assert "1 of them SIMULATED, which proves no GPU; their times were not judged" in summary([real, simulated])


def test_a_pod_says_what_it_waits_for() -> None:
    waiting = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}]}
    assert _state({"status": waiting}) == "Pending ErrImagePull"
    assert _state({"status": {"phase": "Failed", "reason": "UnexpectedAdmissionError"}}) == (
        "Failed UnexpectedAdmissionError"
    )
    assert not _is_ready({"status": waiting})
    assert _is_ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})


def test_a_job_has_failed_when_it_says_so_or_is_gone() -> None:
    assert _failure({"status": {"conditions": [{"type": "Complete", "status": "True"}]}}) is None
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long"}
    assert _failure({"status": {"conditions": [failed]}}) == "DeadlineExceeded too long"
    assert _failure(None) == "somebody deleted its Job"


def test_a_service_without_a_node_port_is_told() -> None:
    assert node_port({"spec": {"ports": [{"nodePort": 31234}]}}) == 31234
    without: list[JsonObject] = [{}, {"spec": {"ports": []}}, {"spec": {"ports": [{"port": 8000}]}}]
    for service in without:
        with pytest.raises(ClusterError, match="no node port"):
            node_port(service)
