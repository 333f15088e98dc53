"""What the acceptance tests of the tracker ask of one generation of the SDK, as plain values in and out.

Imported by the tests themselves for the installed generation, and run as a process, one request a line on stdin, in an
environment of the other. Knows no test.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from tracker import files
from tracker.chain.connect import Endpoint, connect
from tracker.cli.main import run
from tracker.cost import read_costs
from tracker.cost_table import as_json
from tracker.errors import TrackerError
from tracker.history import block_at
from tracker.scan import ScanOptions, take_snapshot
from tracker.standing import read_holders, read_standing, read_subnet_standings
from tracker.walkback import walk_back

Answer = dict[str, Any]
#: Pauses between tries are short: nothing here has to recover by itself.
_QUICK: Final = ScanOptions(pause_seconds=0.01)


def _now() -> datetime:
    return datetime.now(UTC)


def _endpoint(asked: Answer) -> Endpoint:
    return Endpoint(asked["url"], fallbacks=asked.get("fallbacks"), archives=asked.get("archives"))


async def snapshot(asked: Answer) -> Answer:
    """A snapshot, as its file holds it."""
    options = ScanOptions(asked.get("chunk_keys", _QUICK.chunk_keys), pause_seconds=_QUICK.pause_seconds)
    async with connect(_endpoint(asked)) as reader:
        taken = await take_snapshot(reader, now=_now, options=options, number=asked.get("number"))
    found: Answer = json.loads(files.encode(taken))
    return found


async def walks(asked: Answer) -> Answer:
    """Registrations of several ranges, each after one block up to another."""
    found = []
    async with connect(_endpoint(asked)) as reader:
        for after, until in asked["ranges"]:
            newest = await take_snapshot(reader, now=_now, options=_QUICK, number=until)
            walk = await walk_back(reader, newest, after)
            rows = [
                (one.netuid, one.uid, one.block, one.hotkey, one.price_rao, one.replaced) for one in walk.registrations
            ]
            found.append({"registrations": rows, "shrunk": sorted(walk.shrunk)})
    return {"walks": found}


async def costs(asked: Answer) -> Answer:
    """Prices at the finalized head."""
    async with connect(_endpoint(asked)) as reader:
        found = await read_costs(reader, asked.get("netuids"))
    return {"costs": [as_json(cost) for cost in found.costs], "missing": list(found.missing)}


async def moments(asked: Answer) -> Answer:
    """The blocks of several moments."""
    async with connect(_endpoint(asked)) as reader:
        return {"blocks": [await block_at(reader, datetime.fromisoformat(text)) for text in asked["moments"]]}


async def past(asked: Answer) -> Answer:
    """Snapshots at several blocks, as their files hold them, over one connection."""
    async with connect(_endpoint(asked)) as reader:
        taken = [await take_snapshot(reader, now=_now, options=_QUICK, number=number) for number in asked["numbers"]]
    return {"snapshots": [json.loads(files.encode(one)) for one in taken]}


async def subnet(asked: Answer) -> Answer:
    """What standing, holders and the order of subnets are made from."""
    async with connect(_endpoint(asked)) as reader:
        at = await reader.finalized()
        standing = await read_standing(reader, asked["netuid"], at)
        holders = await read_holders(reader, standing, at)
        every = await read_subnet_standings(reader, at)
        return {
            "sdk": reader.sdk,
            "block": at.number,
            "slot_milliseconds": await reader.slot_milliseconds(),
            "neurons": [(one.hotkey, one.emission_rao, one.registered, one.is_validator) for one in standing.neurons],
            "settings": [standing.immunity_blocks, standing.max_uids, standing.burn_rao, standing.tempo_blocks],
            "price_tao": standing.price_tao,
            "holders": holders.by_seats.holders,
            "subnets": [(one.netuid, one.registered_at, one.price_tao) for one in every.subnets],
        }


async def command(asked: Answer) -> Answer:
    """The command line, with what it printed."""
    shown, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
        code = await asyncio.to_thread(run, asked["arguments"])
    return {"code": code, "out": shown.getvalue(), "err": said.getvalue()}


_OPERATIONS: Final[dict[str, Callable[[Answer], Awaitable[Answer]]]] = {
    "snapshot": snapshot,
    "walks": walks,
    "costs": costs,
    "moments": moments,
    "past": past,
    "subnet": subnet,
    "command": command,
}


def perform(asked: Answer) -> Answer:
    """Answer one request; an error of the tracker comes back by its name, its message and its wait."""
    for name, value in asked.get("environment", {}).items():
        os.environ[name] = value
    try:
        return {"answer": asyncio.run(_in_time(_OPERATIONS[asked["operation"]](asked)))}
    except TrackerError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except Exception:  # noqa: BLE001 - the test that asked must see it, and the next one must find this process
        return {"crash": traceback.format_exc()}


async def _in_time(call: Awaitable[Answer]) -> Answer:
    async with asyncio.timeout(150):
        return await call


def _measured() -> None:
    """Let this process count in coverage where it is measured and the environment has it."""
    if os.environ.get("COVERAGE_PROCESS_CONFIG") or os.environ.get("COVERAGE_PROCESS_START"):
        import coverage

        coverage.process_startup()


def main() -> None:
    """Answer requests until stdin ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what an SDK prints is no answer
    for line in sys.stdin:
        answers.write(json.dumps(perform(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    _measured()
    main()
