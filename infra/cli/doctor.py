"""`headframe doctor`: is this machine, and is this stack, fit for `pulumi up`? Looks only; changes nothing."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from graval.cuda.build import LIBRARY
from infra.cli.stack_file import StackFileError, source_of
from infra.settings.load import load
from infra.settings.mistakes import Mistake, SettingsError
from infra.settings.secrets import SECRET_KEYS

_CONNECT_SECONDS: Final = 5.0


class Verdict(IntEnum):
    """The worst of all checks is the exit status."""

    OK = 0
    WARN = 1
    FAIL = 2


@dataclass(frozen=True)
class Check:
    """One thing that was looked at, and what repairs it."""

    name: str
    verdict: Verdict
    seen: str
    fix: str = ""


def worst(checks: Iterable[Check]) -> Verdict:
    """The exit status of all checks together."""
    return max((check.verdict for check in checks), default=Verdict.OK)


def as_json(checks: Sequence[Check]) -> str:
    """For programs."""
    entries = [{**asdict(check), "verdict": check.verdict.name.lower()} for check in checks]
    return json.dumps({"verdict": worst(checks).name.lower(), "checks": entries}, indent=2)


def tools(settings: dict[str, object], which: Callable[[str], str | None] = shutil.which) -> list[Check]:
    """Programs that an update needs on this machine."""
    images = settings.get("images")
    airgap = not isinstance(images, dict) or images.get("delivery", "airgap") == "airgap"
    needed = {"pulumi": Verdict.FAIL, "ssh": Verdict.WARN}
    if airgap:
        needed |= {"buildah": Verdict.FAIL, "mmdebstrap": Verdict.FAIL}
    found = []
    for program, verdict in needed.items():
        place = which(program)
        if place is None:
            fix = "https://www.pulumi.com/docs/install" if program == "pulumi" else f"apt install {program}"
            found.append(Check(f"program {program}", verdict, "not on PATH", fix))
        else:
            found.append(Check(f"program {program}", Verdict.OK, place))
    return found


def stack_settings(path: Path) -> list[Check]:
    """The stack file's own mistakes, each with its command: those that would end an update before it begins."""
    if not path.exists():
        return [Check("stack file", Verdict.FAIL, f"{path} is not there", "headframe init")]
    text = path.read_text()
    try:
        load(source_of(text))
    except StackFileError as error:
        return [Check("stack file", Verdict.FAIL, f"{path}: {error}", f"edit {path}")]
    except SettingsError as error:
        return [_mistake(found) for found in error.mistakes]
    return [Check("stack file", Verdict.OK, f"{path.name} is valid")]


def _mistake(found: Mistake) -> Check:
    kind = "secret" if found.path in SECRET_KEYS else "setting"
    return Check(f"{kind} {found.path}", Verdict.FAIL, found.wrong, found.command)


def gpu_proof(settings: dict[str, object], library: Path = LIBRARY) -> list[Check]:
    """Whether real GPUs of bare nodes can be proved: the image of the bootstrap service takes the library from here."""
    nodes = settings.get("gpu_nodes")
    entries = [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
    real = [
        str(node.get("name"))
        for node in entries
        if node.get("kind", "bare") == "bare" and not node.get("simulated_gpus")
    ]
    if not real:
        return []
    if library.exists():
        return [Check("CUDA library", Verdict.OK, str(library))]
    seen = f"not built, so no GPU of {', '.join(real)} can be proved"
    return [Check("CUDA library", Verdict.WARN, seen, "make cuda-library")]


async def machines(settings: dict[str, object]) -> list[Check]:
    """Whether every machine's SSH port answers. A machine that does not is a warning: it stops no other (D7). One whose
    port is none is the settings' mistake."""
    nodes = settings.get("gpu_nodes")
    every = [settings.get("control"), *(nodes if isinstance(nodes, list) else [])]
    entries = [entry for entry in every if isinstance(entry, dict) and isinstance(entry.get("ssh"), dict)]
    entries = [entry for entry in entries if str(entry["ssh"].get("port", 22)).isdigit()]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_port(entry)) for entry in entries]
    return [task.result() for task in tasks]


async def _port(entry: dict[str, object]) -> Check:
    ssh = entry["ssh"]
    assert isinstance(ssh, dict)  # noqa: S101 the caller chose such entries
    host, port = str(ssh.get("host") or entry.get("address")), int(ssh.get("port", 22))
    name = f"machine {entry.get('name')}"
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError) as error:
        reason = str(error) or f"no answer in {_CONNECT_SECONDS:.0f} s"
        return Check(name, Verdict.WARN, f"{host}:{port} does not answer: {reason}", f"ssh -p {port} {host}")
    writer.close()
    return Check(name, Verdict.OK, f"{host}:{port} answers")
