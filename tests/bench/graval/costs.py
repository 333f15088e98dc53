"""Costs of both sides of a GPU proof.

The verifier's cost is measured. The prover's is measured for the CPU reference at a small size; what a GPU would have
to do is counted. Started by `__main__`, which keeps it on one core with one BLAS thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from random import Random
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table

from graval.calibration import admission_plan
from graval.dense import dense_operands
from graval.lock import prepare_lock
from graval.matmul import multiply_int8
from graval.messages import ChaseRequest, DenseRequest, SweepRequest
from graval.reference import ReferenceProver
from graval.session import DeviceDescription, Session, WorkLimits, WorkParameters
from graval.verifier import choose_steps, choose_tiles, verify_chase, verify_dense, verify_sweep

REPEATS = 5
TILES = 64
#: Integer instructions of one SHA-256 compression on a GPU, counted in compiled code (spec: graval 4.4).
OPERATIONS_IN_COMPRESSION = 1340
H100 = DeviceDescription(
    uuid="0" * 32, name="NVIDIA H100 80GB HBM3", memory=85_520_809_984, processors=132, clock_rate=1_980_000,
    max_threads_per_processor=1024,
)  # fmt: skip


def timed(work: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Median and spread (largest less smallest) of processor seconds."""
    seconds = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return median(seconds), max(seconds) - min(seconds)


def session_of(rows: int, rounds: int = 1) -> Session:
    """Full width, a small part of the memory: a tile's cost does not depend on how many there are."""
    parameters = WorkParameters(
        inner=4096, columns=1024, chain_length=8, rows=rows, rounds=rounds, tile_rows=16, lanes=256
    )
    return Session(H100, parameters, bytes(range(32)), b"\x11" * 32, "validator", "miner")


def sweeps(table: Table) -> None:
    session = session_of(TILES * 16)
    prover, request = ReferenceProver(session), SweepRequest(start=bytes(32), columns=1024, rounds=1)
    fill, _ = timed(prover.fill, 1)
    sweep, _ = timed(lambda: prover.sweep(request), 3)
    rows = session.parameters.rows
    table.add_row("reference prover, one row: fill, sweep", f"{fill / rows * 1e6:.0f}, {sweep / rows * 1e6:.0f} us", "")
    for rounds in (1, 100):
        verified(table, session_of(TILES * 16 if rounds == 1 else 256, rounds), rounds)


def verified(table: Table, session: Session, rounds: int) -> None:
    """The same number of tiles, of one round and of a whole phase: each round has an operand of its own to make."""
    prover, request = ReferenceProver(session), SweepRequest(start=bytes(32), columns=1024, rounds=rounds)
    roots = prover.sweep(request)
    choices = choose_tiles(session.parameters, rounds, TILES, Random(1))
    openings = prover.open_tiles(choices)
    verify, spread = timed(lambda: verify_sweep(session, request, roots, choices, openings))
    opened = len({choice.round for choice in choices})
    name = f"verify {TILES} tiles of {opened} rounds (n 4096, m 1024, R 8)"
    table.add_row(name, f"{verify:.2f} s (spread {spread:.2f})", "<= 0.5 s")


def probes(table: Table) -> None:
    session = session_of(1024)
    prover, request = ReferenceProver(session), ChaseRequest(nonce=bytes(32), groups=1, steps=64)
    chase, _ = timed(lambda: prover.chase(request), 1)
    root = prover.chase(request)
    choices = choose_steps(request, 4, Random(2))
    openings = prover.open_steps(choices)
    verify, _ = timed(lambda: verify_chase(session, request, root, choices, openings), 3)
    table.add_row("verify one chase step, 256 lanes", f"{verify / 4:.3f} s", f"prover {chase / 64 * 1e6:.0f} us")
    lock, spread = timed(lambda: prepare_lock(session, 1024, 1, 64, Random(3)), 3)
    table.add_row("lock one round, 64 hidden rows", f"{lock:.3f} s (spread {spread:.3f})", "")


def dense(table: Table, inner: int) -> None:
    session, limits = session_of(1024), WorkLimits()
    prover, request = ReferenceProver(session, limits), DenseRequest(nonce=bytes(32), rows=(0, inner - 1))
    started = time.process_time()
    root = prover.commit_dense(inner)
    commit = time.process_time() - started
    answer = prover.answer_dense(request)
    verify, _ = timed(lambda: verify_dense(session, inner, root, request, answer), 3)
    table.add_row(f"verify a dense product of {inner}", f"{verify:.2f} s", f"reference prover {commit:.1f} s")


def multiplication(table: Table) -> None:
    """The reference's exact product beside the BLAS that it rests on, at the same shape and at BLAS' best."""
    left, right = (matrix[:, :4096] for matrix in dense_operands(bytes(32), 4096))
    left, right = left[:1024], np.ascontiguousarray(right[:, :1024])
    operations = 2.0 * 1024 * 4096 * 1024
    exact, spread = timed(lambda: multiply_int8(left, right))
    floats = left.astype(np.float32), right.astype(np.float32)
    plain, _ = timed(lambda: floats[0] @ floats[1])
    square = np.ones((2048, 2048), dtype=np.float32)
    peak, _ = timed(lambda: square @ square)
    rates = [operations / exact / 1e9, operations / plain / 1e9, 2.0 * 2048**3 / peak / 1e9]
    table.add_row("exact int8 product 1024 x 4096 x 1024", f"{rates[0]:.1f} G/s (spread {spread:.3f} s)", "")
    table.add_row("  share of float32 BLAS, this shape", f"{rates[0] / rates[1]:.0%} of {rates[1]:.1f} GFLOP/s", "")
    table.add_row("  share of float32 BLAS, 2048 square", f"{rates[0] / rates[2]:.0%} of {rates[2]:.1f} GFLOP/s", "")


def counted(table: Table) -> None:
    """Operations of the compute sweep on an 80 GB card and of verifying 64 tiles of it: counted, no GPU ran."""
    plan = admission_plan(H100)
    parameters, sweep = plan.parameters, plan.compute
    compressions_in_row = parameters.inner // 32 * parameters.chain_length
    row = 2 * parameters.inner * sweep.columns
    label = compressions_in_row * OPERATIONS_IN_COMPRESSION
    prover = parameters.rows * (row * sweep.rounds + label)
    verifier = TILES * parameters.tile_rows * (row + label)
    table.add_row(
        f"operations, {sweep.rounds} rounds over 95 % of 80 GB (counted)",
        f"{prover:.2e} : {verifier:.2e} = {prover / verifier:.2e} : 1",
        ">= 1e6 : 1",
    )


def main() -> None:
    table = Table("what", "measured, one core", "aim", title="GPU proof; no GPU ran")
    settings = {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
    counted(table)
    sweeps(table)
    probes(table)
    for inner in (4096, 8192):
        dense(table, inner)
    multiplication(table)
    console = Console()
    console.print(table)
    console.print(f"BLAS settings: {settings}; NumPy {np.__version__}")


if __name__ == "__main__":
    main()
