"""Recording a SIMULATED validator over HTTP, and replaying what came of it (spec: gepetto 25.2)."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from app.gepetto.ingest.recording import RecordSettings, record_to
from app.gepetto.simulator import trace
from lab.validator.app import SimulatedValidator
from lab.validator.faults import Fault, FaultKind
from tests.support.control import VALIDATOR, entry_of, throwaway_seed

pytestmark = pytest.mark.service


async def test_samples_hold_what_changed_and_a_silent_validator_leaves_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl.gz"
    async with SimulatedValidator(VALIDATOR.ss58).listening() as validator:
        validator.state.add_chute("simulated-whisper")
        supported = orjson.dumps({"supported": [entry_of(validator).model_dump(mode="json")]}).decode()
        settings = RecordSettings.model_validate({"validators": supported, "miner_seed": throwaway_seed("miner")})
        assert await record_to(path, settings, samples=2, pause_seconds=0.01) == 3
        validator.faults.add(Fault("GET /miner/chutes/", FaultKind.REFUSE, status=403))
        assert await record_to(path, settings, samples=1) == 1
    kinds = [line["type"] for line in trace.read(path)]
    assert kinds == ["meta", "chute", "capacity", "meta"]
