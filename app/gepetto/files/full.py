"""Runs a complete public `gepetto.py` in this process, over our import names (spec: gepetto 24.7 B, mode 3)."""

from __future__ import annotations

import inspect
from pathlib import Path

import structlog

from app.compat import runtime
from app.gepetto.files.child import load_module

log = structlog.get_logger(__name__)


async def run_full(path: Path, facts: runtime.Runtime) -> None:
    """Load the file and run its `main()`, its `run()`, or its `Gepetto().run()`, whichever is there first.

    Raises:
        TypeError: it has none of them.
    """
    log.warning("a complete public file decides by itself; the small style is faster and safer: see docs/strategies")
    runtime.use(facts)
    module = load_module(path)
    entry = getattr(module, "main", None) or getattr(module, "run", None)
    if entry is None and hasattr(module, "Gepetto"):
        entry = getattr(module.Gepetto(), "run", None)
    if entry is None:
        raise TypeError(f"{path} has neither main(), run() nor Gepetto.run()")
    found = entry()
    if inspect.isawaitable(found):
        await found
