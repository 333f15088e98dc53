"""Takes a snapshot with whatever SDK this Python has and prints it: run in an environment of the older generation.

Usage: python -m tests.support.legacy_snapshot URL AFTER_BLOCK
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime

from tracker import files
from tracker.chain.connect import Endpoint, connect
from tracker.cost import as_json, read_costs
from tracker.scan import take_snapshot
from tracker.standing import read_standing
from tracker.walkback import walk_back


async def main(url: str, after_block: int) -> None:
    async with connect(Endpoint(url)) as reader:
        taken = await take_snapshot(reader, now=lambda: datetime.now(UTC))
        walk = await walk_back(reader, taken, after_block, concurrency=1)
        costs = await read_costs(reader, [1, 2, 6])
        standing = await read_standing(reader, 3, await reader.finalized())
        owners = await reader.coldkeys([standing.neurons[0].hotkey], await reader.finalized())
        document = {
            "sdk": reader.sdk,
            "slot": await reader.slot_milliseconds(),
            "snapshot": json.loads(files.encode(taken)),
            "counts": walk.counts(),
            "costs": [as_json(cost) for cost in costs.costs],
            "missing": costs.missing,
            "emission": [neuron.emission_rao for neuron in standing.neurons],
            "owner": owners[0],
        }
    print(json.dumps(document))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
