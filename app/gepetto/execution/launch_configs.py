"""Launch configs that were asked for and not used, because a swap was given up after it had its token.

A validator counts each one that it gives, and its token lives for two hours (spec: gepetto 14.1): the next launch of
the same chute takes it. In memory alone, because tokens are never stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from app.gepetto.decision.intents import Launch
from app.protocol.instances import LaunchConfig

#: Far less than a token's life: the pod has to claim with it, after its image was pulled.
SPARE_SECONDS: Final = 900.0


class SpareConfigs:
    """At most one spare launch config for each version of a chute; none for jobs, which are raced for anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, LaunchConfig]] = {}

    def keep(self, intent: Launch, config: LaunchConfig) -> None:
        """Keep a config that no pod has seen."""
        now = self._clock()
        self._kept = {key: item for key, item in self._kept.items() if now - item[0] < SPARE_SECONDS}
        if intent.job_id is None:
            self._kept[intent.chute_id, intent.version] = (now, config)

    def take(self, intent: Launch) -> LaunchConfig | None:
        """Take the spare config of a launch's chute, once."""
        if intent.job_id is not None:
            return None
        at, config = self._kept.pop((intent.chute_id, intent.version), (float("-inf"), None))
        return config if self._clock() - at < SPARE_SECONDS else None
