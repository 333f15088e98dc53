"""What an agent hands out as its node's kubeconfig: it came over plain HTTP, so it must name that very machine.

Otherwise whoever stands between could have the miner's rights, and its launch tokens, sent to a cluster of their own
(spec: protocol 23.2, 24).
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from app.api.kubeconfig import Kubeconfig, KubeconfigError

_RESOLVE_SECONDS: Final = 5.0


async def must_name_its_machine(kubeconfig: Kubeconfig, agent_url: str) -> None:
    """Every API server of it is where the agent is: the same host, or one with an address in common.

    Raises:
        KubeconfigError: one is elsewhere.
    """
    machine = urlsplit(agent_url).hostname or ""
    for entry in kubeconfig.clusters:
        host = urlsplit(entry.cluster.server).hostname or ""
        if host != machine and not await _addresses(host) & await _addresses(machine):
            raise KubeconfigError(
                f"its kubeconfig points to {host or 'no host'} and the agent is at {machine}: correct "
                "`server` in the node's Secret default/miner-kubeconfig, or name the node's own address as its agent's"
            )


async def _addresses(host: str) -> frozenset[str]:
    """All addresses of a host; none of one that is not known. Every loopback address is this very machine's."""
    try:
        async with asyncio.timeout(_RESOLVE_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return frozenset()
    addresses = (ip_address(str(entry[4][0]).partition("%")[0]) for entry in found)
    return frozenset("loopback" if address.is_loopback else str(address) for address in addresses)
