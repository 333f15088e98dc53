"""Mode 1, the other form: one pure function. It wraps the default and drops swaps in the evening."""

from headframe.strategy import Configuration, Intent, Memory, Snapshot, Swap
from headframe.strategy import decide as default


def decide(snapshot: Snapshot, config: Configuration, memory: Memory) -> tuple[tuple[Intent, ...], Memory]:
    intents, memory = default(snapshot, config, memory)
    hour = int(snapshot.now // 3600) % 24
    if 18 <= hour < 21:
        intents = tuple(intent for intent in intents if not isinstance(intent, Swap))
    return intents, memory
