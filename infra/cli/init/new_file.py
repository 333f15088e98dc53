"""The new stack file: the commented example with the operator's answers in it. Pure: text in, text out."""

from __future__ import annotations

import io
from typing import Final

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from infra.cli.init.interview import Answers
from infra.cli.stack_file import PREFIX, round_trip, settings_of

_HEAD: Final = """\
# yaml-language-server: $schema=settings.schema.json
# Written by `headframe init`. Secrets are stored encrypted, apart from the tree; `headframe doctor` judges the whole.
"""


def is_configured(text: str) -> bool:
    """Whether a stack file holds settings already, besides secrets."""
    return bool(text.strip()) and bool(settings_of(text))


def composed(example: str, existing: str, answers: Answers) -> str:
    """The example with these answers; of the existing file its secrets and what the engine keeps in it."""
    yaml = round_trip()
    document = yaml.load(_without_head(example))
    kept = yaml.load(existing) if existing.strip() else {}
    config = document["config"]
    machine = config[f"{PREFIX}control"]
    machine.clear()
    machine.update(answers.control)
    config[f"{PREFIX}gpu_nodes"] = CommentedSeq([CommentedMap(node) for node in answers.gpu_nodes])
    config[f"{PREFIX}miner"] = CommentedMap({"hotkey_ss58": answers.hotkey_ss58})
    config[f"{PREFIX}access"]["operator_networks"] = _in_one_line(answers.operator_networks)
    runtime = config[f"{PREFIX}gpu_runtime"]
    runtime["digest"] = answers.chart_digest
    runtime.ca.items.pop("version", None)  # the example's remark on its placeholder
    config[f"{PREFIX}kubernetes"] = CommentedMap(answers.kubernetes)
    config.update({key: value for key, value in (kept.get("config") or {}).items() if not settings_of_key(key)})
    for key, value in kept.items():
        if key != "config":
            document[key] = value
    out = io.StringIO()
    yaml.dump(document, out)
    return _HEAD + out.getvalue()


def settings_of_key(key: str) -> bool:
    """Whether a key of `config` is a setting: what is not is a secret, or another program's."""
    return bool(settings_of(f"config: {{'{key}': x}}"))


def _without_head(example: str) -> str:
    lines = example.splitlines(keepends=True)
    first = next(index for index, line in enumerate(lines) if not line.startswith("#"))
    return "".join(lines[first:])


def _in_one_line(values: list[str]) -> CommentedSeq:
    sequence = CommentedSeq(values)
    sequence.fa.set_flow_style()
    return sequence
