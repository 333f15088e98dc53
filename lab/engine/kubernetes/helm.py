"""Runs the helm program. Values and kubeconfig go through private files, never through arguments."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import orjson

from lab.engine.kubernetes.kubeconfig import Access

HELM_VARIABLE: Final = "HEADFRAME_HELM"
_SHORT_TIMEOUT_SECONDS: Final = 120.0
_OVERTIME_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 10.0


class HelmError(Exception):
    """helm refused or failed; the text is its own, without decoration."""


class Helm:
    """The helm program for one cluster; without `access` only charts can be looked at."""

    def __init__(self, access: Access | None = None, environment: Mapping[str, str] = os.environ) -> None:
        self._access = access
        self._environment = environment

    async def run(
        self, arguments: Sequence[str], values: object = None, timeout_seconds: float = _SHORT_TIMEOUT_SECONDS
    ) -> str:
        """What helm prints.

        Args:
            values: chart values; None for a command without.
            timeout_seconds: the time that helm itself was given; it is stopped a minute later.

        Raises:
            HelmError: it failed, is not there, or took too long.
        """
        async with self._files(values) as flags:
            process = await asyncio.create_subprocess_exec(
                self._program(),
                *arguments,
                *flags,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env={key: value for key, value in self._environment.items() if key != "KUBECONFIG"},
            )
            try:
                async with asyncio.timeout(timeout_seconds + _OVERTIME_SECONDS):
                    printed, problems = await process.communicate()
            except TimeoutError:
                raise HelmError(f"helm {arguments[0]} took longer than {timeout_seconds:g} s") from None
            finally:
                await _stopped(process)
        if process.returncode:
            raise HelmError(clean_message(problems.decode(errors="replace")))
        return printed.decode(errors="replace")

    def _program(self) -> str:
        program = self._environment.get(HELM_VARIABLE) or shutil.which("helm", path=self._environment.get("PATH"))
        if program is None:
            raise HelmError(f"helm was not found: put it on PATH or name it in {HELM_VARIABLE}")
        return program

    @asynccontextmanager
    async def _files(self, values: object) -> AsyncIterator[list[str]]:
        """Flags that name private files, which are gone afterwards."""
        flags: list[str] = []
        with tempfile.TemporaryDirectory(prefix="helm-") as name:  # mode 0700
            contents = {"--kubeconfig": _kubeconfig(self._access) if self._access else None, "--values": values}
            for flag, content in contents.items():
                if content is None:
                    continue
                file = Path(name) / f"{flag.strip('-')}.yaml"
                file.touch(mode=0o600)
                file.write_bytes(orjson.dumps(content))  # JSON is YAML too
                flags += [flag, str(file)]
            yield flags


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """End a process that is still running, because its call was cancelled or took too long."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _kubeconfig(access: Access) -> dict[str, object]:
    def coded(pem: str) -> str:
        return base64.b64encode(pem.encode()).decode()

    cluster: dict[str, object] = {"server": access.server}
    if access.is_insecure:
        cluster["insecure-skip-tls-verify"] = True
    elif access.authority:
        cluster["certificate-authority-data"] = coded(access.authority)
    user = {
        "token": access.token,
        "client-certificate-data": coded(access.certificate),
        "client-key-data": coded(access.key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "me", "user": {key: value for key, value in user.items() if value}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }


def clean_message(printed: str) -> str:
    """The reason among what helm printed: without warnings, `Error:` and the name of the failed operation."""
    lines = [line for line in printed.splitlines() if line.strip() and not line.startswith(("WARNING", "W1", "I1"))]
    at = next((index for index, line in enumerate(lines) if line.startswith("Error:")), 0)
    message = "\n".join(lines[at:]) or "helm said nothing"
    return re.sub(r"^(Error: )?((INSTALLATION|UPGRADE) FAILED: )?", "", message)
