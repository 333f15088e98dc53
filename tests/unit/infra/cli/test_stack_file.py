"""Edits of stack files: comments stay, nothing else moves, and what breaks a rule is refused."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from infra.cli.stack_file import (
    StackFileError,
    add_node,
    nodes_of,
    remove_node,
    set_state,
    settings_of,
    stack_file,
    write,
)
from infra.settings.tree import NodeState
from tests.support.settings import CLONE, gpu_node

EXAMPLE = (CLONE / "stacks" / "Pulumi.example.yaml").read_text()


def changed_lines(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


def test_adding_a_node_changes_nothing_but_its_own_lines() -> None:
    after = add_node(EXAMPLE, gpu_node("gpu-7", "9.0.0.7"))
    changes = changed_lines(EXAMPLE, after)
    assert all(line.startswith("+") for line in changes)
    assert [node["name"] for node in nodes_of(after)] == ["gpu-0", "tee-0", "gpu-7"]


def test_a_node_that_breaks_a_rule_is_refused() -> None:
    with pytest.raises(StackFileError, match="gpu-ram-covers-vram"):
        add_node(EXAMPLE, gpu_node("gpu-7", "9.0.0.7", ram_gib=64))
    with pytest.raises(StackFileError, match=r"ssh\.host_key: it is missing"):
        add_node(EXAMPLE, gpu_node("gpu-7", "9.0.0.7", ssh={"user": "root"}))
    with pytest.raises(StackFileError, match="in the list already"):
        add_node(EXAMPLE, gpu_node("gpu-0", "9.0.0.7"))


def test_an_active_node_is_not_removed() -> None:
    with pytest.raises(StackFileError, match="headframe node drain gpu-0"):
        remove_node(EXAMPLE, "gpu-0")
    for state in (NodeState.DRAINED, NodeState.DEAD):
        drained = set_state(EXAMPLE, "gpu-0", state)
        assert [line.strip("+ ") for line in changed_lines(EXAMPLE, drained)] == [f"state: {state}"]
        assert [node["name"] for node in nodes_of(remove_node(drained, "gpu-0"))] == ["tee-0"]


def test_an_unknown_node_and_a_file_without_config_are_told() -> None:
    with pytest.raises(StackFileError, match="there is no node gpu-9; the list has: gpu-0, tee-0"):
        set_state(EXAMPLE, "gpu-9", NodeState.DRAINED)
    with pytest.raises(StackFileError, match="headframe init"):
        add_node("encryptionsalt: x\n", gpu_node("a", "9.0.0.1"))


def test_a_list_is_made_where_there_is_none() -> None:
    start = (
        EXAMPLE[: EXAMPLE.index("  # One entry for each GPU machine")] + EXAMPLE[EXAMPLE.index("  headframe:miner") :]
    )
    assert [node["name"] for node in nodes_of(add_node(start, gpu_node("gpu-7", "9.0.0.7")))] == ["gpu-7"]


def test_secrets_are_no_settings_and_stay_in_the_file() -> None:
    text = EXAMPLE + "  headframe:ssh_private_key:\n    secure: v1:abc\n"
    assert "ssh_private_key" not in settings_of(text)
    assert "secure: v1:abc" in add_node(text, gpu_node("gpu-7", "9.0.0.7"))


def test_the_file_is_the_one_that_the_engine_reads(tmp_path: Path) -> None:
    assert stack_file(tmp_path, "organization/headframe/prod", {}) == tmp_path / "stacks" / "Pulumi.prod.yaml"
    assert stack_file(tmp_path, "prod", {"PULUMI_OPTION_CONFIG_FILE": "/x/y.yaml"}) == Path("/x/y.yaml")
    path = tmp_path / "f.yaml"
    path.write_text("old")
    path.chmod(0o600)
    write(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o600)
