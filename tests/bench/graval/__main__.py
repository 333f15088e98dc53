"""What a GPU proof costs both sides, on one core, in one run: `make bench ROOM=graval`."""

from __future__ import annotations

import os

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

if __name__ == "__main__":
    # Before NumPy is imported: BLAS reads them once.
    os.environ |= dict.fromkeys(_THREADS, "1")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from tests.bench.graval.costs import main

    main()
