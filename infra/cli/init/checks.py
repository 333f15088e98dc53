"""What `headframe init` checks of an answer when it is given: None where it is well, else what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from ipaddress import IPv4Network
from typing import Any

from pydantic import TypeAdapter, ValidationError

from app.protocol.gpus import GPU_MODELS
from infra.cli.init.key_files import KeyFileError, hotkey_address, private_key_text
from infra.settings.tree import HostKey
from infra.spec.model import AccountName
from policies.rules import declared
from policies.rules.declared import DeclaredNode, Role

Check = Callable[[str], str | None]


def typed(kind: Any, wanted: str) -> Check:
    """A check that a value is of the tree's type."""
    adapter: TypeAdapter[str] = TypeAdapter(kind)

    def check(answer: str) -> str | None:
        try:
            adapter.validate_python(answer)
        except ValidationError:
            return f"{answer!r} is not {wanted}"
        return None

    return check


account = typed(AccountName, "the name of an account")


def host_key(answer: str, scanned: str | None) -> str | None:
    if answer == "yes":
        return None if scanned else "there is no key to say yes to: give the key itself"
    return typed(HostKey, "a public key such as `ssh-ed25519 AAAA...`")(answer)


def key_file(answer: str) -> str | None:
    try:
        private_key_text(answer)
    except KeyFileError as error:
        return str(error)
    return None


def hotkey(answer: str) -> str | None:
    try:
        hotkey_address(answer)
    except KeyFileError as error:
        return str(error)
    return None


def networks(answer: str) -> str | None:
    try:
        [IPv4Network(part.strip()) for part in answer.split(",")]
    except ValueError as error:
        return f"{error}; wanted for example 198.51.100.0/24"
    return None


def k3s_version(answer: str) -> str | None:
    return None if answer.startswith("v") and "k3s" in answer else f"{answer!r} is no version such as v1.33.4+k3s1"


def source(answer: str) -> str | None:
    return (
        None if answer.startswith(("https://", "file:///")) else f"{answer!r} begins with neither https:// nor file:///"
    )


def name(answer: str) -> str | None:
    found = next(declared.node_name(DeclaredNode(name=answer, role=Role.GPU)), None)
    return str(found) if found else None


def free_name_or_end(taken: Collection[str]) -> Check:
    """A name that no machine has yet, or nothing."""

    def check(answer: str) -> str | None:
        if answer in taken:
            return f"{answer} is taken: each machine has a name of its own"
        return name(answer) if answer else None

    return check


def public(answer: str) -> str | None:
    found = next(declared.ip_public(DeclaredNode(name="it", role=Role.GPU, address=answer)), None)
    return str(found) if found else None


def kind(answer: str) -> str | None:
    return None if answer in ("bare", "tee") else f"{answer!r} is neither bare nor tee"


def gpu_model(answer: str) -> str | None:
    return None if answer in GPU_MODELS else f"{answer!r} is not known; one of {', '.join(GPU_MODELS)}"


def count(answer: str) -> str | None:
    return None if answer.isdigit() and int(answer) > 0 else f"{answer!r} is no number above 0"


def cost(answer: str) -> str | None:
    try:
        return None if float(answer) > 0 else "it must be above 0"
    except ValueError:
        return f"{answer!r} is no number"
