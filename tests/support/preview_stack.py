"""The program of this clone on a stack of its own, for previews by the real engine. No machine is there: loopback
refuses at once, unless a test starts an sshd."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from infra.cli.engine import Engine, engine_environment
from lab.engine.environment import engine_environment as lab_environment
from lab.engine.toolchain import Toolchain
from tests.support.settings import CLONE, fleet, gpu_node


@dataclass
class Stack:
    """One stack and its file."""

    engine: Engine
    file: Path

    def write(self, values: Mapping[str, Any]) -> None:
        """These settings, beside the secrets that are there."""
        kept = YAML(typ="safe").load(self.file.read_text()) if self.file.exists() else {}
        secrets = {key: item for key, item in kept.get("config", {}).items() if "secure" in str(item)}
        document = {**kept, "config": {**{f"headframe:{key}": item for key, item in values.items()}, **secrets}}
        text = io.StringIO()
        YAML(typ="safe").dump(document, text)
        self.file.write_text(text.getvalue())

    def preview(self, *, pack: bool) -> str:
        """What a preview says.

        Raises:
            infra.cli.engine.EngineError: it stopped.
        """
        environment = dict(self.engine.environment)
        if not pack:
            del environment["PULUMI_OPTION_POLICY_PACK"]
        return Engine(folder=CLONE, environment=environment).quietly("preview")

    @classmethod
    def initialise(cls, folder: Path, toolchain: Toolchain) -> Stack:
        """A stack `test` without settings; everything of it lies in the folder."""
        file, state = folder / "Pulumi.test.yaml", folder / "state"
        state.mkdir()
        environment = lab_environment(toolchain, state, {**os.environ, "VIRTUAL_ENV": str(CLONE / ".venv")})
        environment |= engine_environment({}) | {"PULUMI_STACK": "test", "PULUMI_OPTION_CONFIG_FILE": str(file)}
        environment["HEADFRAME_CACHE"] = str(folder / "cache")
        (folder / "Pulumi.yaml").write_text("name: headframe\nruntime: python\n")
        Engine(folder=folder, environment=environment).quietly("stack", "init", "test")
        return cls(Engine(folder=CLONE, environment=environment), file)


def local_fleet(**changes: Any) -> dict[str, Any]:
    """A control host and a GPU node at loopback addresses where nothing listens."""
    values = fleet(gpu_nodes=[gpu_node("gpu-0", "127.0.1.2")], allowances={"networks": ["127.0.0.0/8"]})
    values["control"]["address"] = "127.0.1.1"
    values["gpu_runtime"] = {"chart": "lab/gpus/chart"}
    for machine in (values["control"], *values["gpu_nodes"]):
        machine["ssh"] |= {"port": 9, "connect_timeout_seconds": 2}
    return values | changes
