"""Between agent and monitor: optional headers of ours, and the states of an agent (spec: agent-monitor 4.1, 20.4).

Public programs ignore the headers.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

#: Sent by our agents with every request: `headframe/<version>`. Such an agent never sends a partial snapshot.
AGENT_VERSION_HEADER: Final = "X-Agent-Version"
#: Sent by our monitor with the answer to a snapshot: what an agent may use, separated by commas.
FEATURES_HEADER: Final = "X-Monitor-Features"
#: Several events in one request: POST `/api/v1/clusters/{c}/events`.
BATCH_FEATURE: Final = "batch"
#: Heartbeats may carry digests of what the agent has told; the monitor asks for lists of the kinds that differ.
DIGEST_FEATURE: Final = "digest"
MONITOR_FEATURES: Final = f"{BATCH_FEATURE},{DIGEST_FEATURE}"
#: Sent by our agents with heartbeats while nothing waits to be sent (`app.protocol.digests`).
DIGEST_HEADER: Final = "X-Agent-Digest"
#: Sent by our monitor with the answer to such a heartbeat: kinds to send a list of, separated by commas.
RESYNC_HEADER: Final = "X-Monitor-Resync"
#: Events of one batch at most.
BATCH_EVENTS: Final = 200


class AgentState(StrEnum):
    """State of an agent's monitoring. `DEGRADED`: it knows its monitor and tries again; `ERROR`: restart the pod."""

    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    DEGRADED = "degraded"
    ERROR = "error"
