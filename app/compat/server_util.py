"""Server helpers under their public names."""

from __future__ import annotations

import httpx

from app.compat.exceptions import AgentError
from app.compat.runtime import current
from app.protocol.signing import Purpose, nonce_v1


async def stop_server_monitoring(agent_url: str) -> None:
    """Ask a worker's agent to stop reporting.

    Raises:
        AgentError: it did not answer, or refused.
    """
    runtime = current()
    headers = runtime.signer.management_headers(nonce_v1(runtime.clock()), purpose=Purpose.MONITORING)
    try:
        async with httpx.AsyncClient(timeout=httpx.Timeout(30, connect=5)) as http:
            answer = await http.get(f"{agent_url}/monitor/stop", headers=headers)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise AgentError(f"{agent_url}: {type(error).__name__}") from error


async def clear_server_cache(cluster_name: str) -> None:
    """Our monitor forgets a cluster when its server's row goes; there is no cache to clear by hand."""
