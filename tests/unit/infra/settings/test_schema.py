"""The JSON schema beside the stack files is the one that the models give, and the files keep to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from infra.settings.schema import SCHEMA_FILE, rendered, stack_file_schema
from tests.support.settings import CLONE

FILES = sorted((CLONE / "stacks").glob("Pulumi.*.yaml"))


def test_the_schema_file_is_current() -> None:
    assert SCHEMA_FILE.read_text() == rendered(), "run: .venv/bin/python -m infra.settings.schema"


def test_the_example_file_keeps_to_the_schema() -> None:
    document = YAML(typ="safe").load((CLONE / "stacks" / "Pulumi.example.yaml").read_text())
    assert list(Draft202012Validator(stack_file_schema()).iter_errors(document)) == []


def test_the_lab_file_lacks_only_what_the_machines_bring() -> None:
    document = YAML(typ="safe").load((CLONE / "stacks" / "Pulumi.lab.yaml").read_text())
    errors = list(Draft202012Validator(stack_file_schema()).iter_errors(document))
    causes = [cause for error in errors for cause in (error.context or [error])]
    missing = {found.group(1) for cause in causes if (found := re.match(r"'(\w+)' is a required", cause.message))}
    assert {"host_key", "hotkey_ss58", "version", "source"} <= missing


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_stack_file_names_its_schema_and_holds_no_secret(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=settings.schema.json\n")
    assert "secure:" not in text
    assert "PRIVATE KEY" not in text
