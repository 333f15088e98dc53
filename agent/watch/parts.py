"""What the agent's lifecycle is made of, what it tells, and how a start or a stop can fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from agent.watch.client import MonitorClient
from agent.watch.metrics import AgentMetrics
from agent.watch.state_file import StateFile
from app.protocol.monitoring import AgentState

_RETRY_FIRST_SECONDS: Final = 5.0


class AlreadyRunningError(RuntimeError):
    """A start while running: what runs is left alone."""


class StartError(RuntimeError):
    """A start did not reach the monitor. The agent goes on trying."""


class ForgottenError(RuntimeError):
    """The monitor does not know this server: the agent has stopped and forgotten the monitor."""


class NoMonitorError(RuntimeError):
    """A stop without a monitor to say it to."""


@dataclass(frozen=True)
class Status:
    """What `/monitor/status` tells."""

    cluster: str
    state: AgentState
    error_message: str | None
    last_heartbeat: datetime | None


@dataclass(frozen=True)
class LifecycleParts:
    """What the lifecycle works with; tests put in their own.

    Args:
        open_monitor: makes a client for an address.
        now: wall clock, Unix seconds.
    """

    cluster: str
    namespaces: tuple[str, ...]
    kubernetes: httpx.AsyncClient
    open_monitor: Callable[[str], MonitorClient]
    state_file: StateFile
    metrics: AgentMetrics
    now: Callable[[], float] = time.time
    heartbeat_seconds: float = 30
    sync_spacing_seconds: float = 10
    retry_first_seconds: float = _RETRY_FIRST_SECONDS
