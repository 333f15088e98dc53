"""What `headframe init` looks at while it asks: host keys, machines, published checksums. Changes nothing anywhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import subprocess
from dataclasses import dataclass, field
from typing import Final, Protocol

import httpx
from pydantic import SecretStr

from infra.charts import served_digest
from infra.provider.children import Children
from infra.spec import ErrorEvent, Event, FactsEvent, HostFacts, HostRole, HostSpec, Verb

_SCAN_SECONDS: Final = 8
_LOOK_SECONDS: Final = 60.0
_DOWNLOAD_SECONDS: Final = 10.0
_KINDS: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


@dataclass(frozen=True)
class Machine:
    """How a machine is reached."""

    name: str
    host: str
    port: int
    user: str
    host_key: str
    private_key: str = field(repr=False)


class Probe(Protocol):
    """Looks; answers None where nothing was seen."""

    def host_key(self, host: str, port: int) -> str | None:
        """Public host key, type and base64. Whoever answers there may be anybody: a person compares it."""
        ...

    def facts(self, machine: Machine) -> tuple[HostFacts | None, str]:
        """What the machine is, or None and why it could not be entered."""
        ...

    def k3s_checksum(self, version: str) -> str | None:
        """SHA-256 of the release's binary, as its publisher lists it."""
        ...

    def chart_digest(self, repository: str, chart: str, version: str) -> str | None:
        """SHA-256 of the chart that the repository serves now."""
        ...


class RealProbe:
    """Looks over the network."""

    def host_key(self, host: str, port: int) -> str | None:
        command = ["ssh-keyscan", "-T", str(_SCAN_SECONDS), "-p", str(port), host]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * _SCAN_SECONDS)
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        found = dict(line.split()[1:3] for line in done.stdout.splitlines() if len(line.split()) >= 3)
        return next((f"{kind} {found[kind]}" for kind in _KINDS if kind in found), None)

    def facts(self, machine: Machine) -> tuple[HostFacts | None, str]:
        spec = HostSpec(
            name=machine.name, host=machine.host, port=machine.port, user=machine.user, host_key=machine.host_key,
            role=HostRole.CONTROL, private_key=SecretStr(machine.private_key),
        )  # fmt: skip
        return asyncio.run(_look(spec))

    def k3s_checksum(self, version: str) -> str | None:
        release = version.replace("+", "%2B")
        url = f"https://github.com/k3s-io/k3s/releases/download/{release}/sha256sum-amd64.txt"
        try:
            answer = httpx.get(url, timeout=_DOWNLOAD_SECONDS, follow_redirects=True).raise_for_status()
        except httpx.HTTPError:
            return None
        return checksum_in(answer.text)

    def chart_digest(self, repository: str, chart: str, version: str) -> str | None:
        return served_digest(repository, chart, version)


def checksum_in(listing: str) -> str | None:
    """The checksum of `k3s` in a release's list."""
    lines = (line.split() for line in listing.splitlines())
    return next((words[0] for words in lines if len(words) == 2 and words[1].lstrip("*") == "k3s"), None)


def fingerprint(host_key: str) -> str:
    """As `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(base64.b64decode(host_key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


async def _look(spec: HostSpec) -> tuple[HostFacts | None, str]:
    seen: list[Event] = []

    async def take(event: Event) -> None:
        seen.append(event)

    try:
        ended = await Children(at_once=1).run(Verb.FACTS, spec, take, _LOOK_SECONDS)
    except TimeoutError:
        return None, f"it says nothing within {_LOOK_SECONDS:.0f} s"
    facts = next((event.facts for event in seen if isinstance(event, FactsEvent)), None)
    error = next((event.message for event in seen if isinstance(event, ErrorEvent)), None)
    return facts, error or (ended.stderr[-300:] if facts is None else "")
