"""A snapshot's fingerprint: the same in every process, and another for every input that a decision may look at."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from app.gepetto.world.snapshot import Snapshot
from app.gepetto.world.views import Failure, JobView
from tests.support.gepetto import make_chute, make_deployment, make_server, make_snapshot

SERVER = make_server(cached_chutes={"b": 1, "a": 2}, cached_images=frozenset({"x", "y", "z"}), labels={"k": "v"})
CHUTE = make_chute(gpu_types=frozenset({"pro_6000", "h200", "b200", "h100"}))
WORLD = make_snapshot(
    (SERVER,), (CHUTE,), (make_deployment("d", SERVER, CHUTE, 1),),
    jobs=(JobView("job", CHUTE.id, 1, 2.0, 3.0, excluded=frozenset({"5A", "5B"})),),
    failures=(Failure(SERVER.id, CHUTE.id, 1, 5.0),),
)  # fmt: skip


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_it_is_the_same_in_a_process_whose_sets_have_another_order(hash_seed: str) -> None:
    program = "from tests.unit.app.gepetto.test_snapshot import WORLD; print(WORLD.digest())"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    found = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    assert found.stdout.strip() == WORLD.digest()


@pytest.mark.parametrize(
    "other",
    [
        replace(WORLD, now=WORLD.now + 1),
        replace(WORLD, seed=1),
        replace(WORLD, servers=(replace(SERVER, free_mask=1),)),
        replace(WORLD, servers=(replace(SERVER, cached_chutes={"a": 2}),)),
        replace(WORLD, chutes=(replace(CHUTE, gpu_types=frozenset({"h200"})),)),
        replace(WORLD, deployments=()),
        replace(WORLD, jobs=()),
        replace(WORLD, failures=()),
    ],
    ids=["moment", "seed", "GPUs", "cache", "types", "copies", "jobs", "failures"],
)
def test_it_is_another_for_every_input_of_a_decision(other: Snapshot) -> None:
    assert other.digest() != WORLD.digest()
