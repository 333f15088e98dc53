"""Key files that `headframe init` is given: read, judged, and shown to nobody."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key
from pydantic import TypeAdapter, ValidationError

from app.cli.access import CommandError, load_signer
from infra.settings.base import Ss58


class KeyFileError(ValueError):
    """The file cannot be used; the text never quotes it."""


def private_key_text(path: str) -> str:
    """An SSH private key without a passphrase.

    Raises:
        KeyFileError: no such file, no key, or one with a passphrase.
    """
    try:
        text = Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path!r} cannot be read: {error}") from None
    load = load_ssh_private_key if "OPENSSH PRIVATE KEY" in text else load_pem_private_key
    try:
        load(text.encode(), password=None)
    except (TypeError, ValueError) as error:  # TypeError: it is encrypted
        encrypted = isinstance(error, TypeError) or "encrypted" in str(error)
        wrong = "has a passphrase" if encrypted else "is no private key"
        raise KeyFileError(f"{path} {wrong}; one for this fleet alone: ssh-keygen -t ed25519 -N '' -f FILE") from None
    return text


def hotkey_file_text(given: str) -> str | None:
    """Content of the hotkey file that was given; None where it was an address, whose seed nobody knows here."""
    path = Path(given).expanduser()
    return path.read_text() if path.is_file() else None


def hotkey_address(given: str) -> str:
    """The SS58 address: itself, or that of a hotkey file, whose seed must be its own.

    Raises:
        KeyFileError: neither.
    """
    try:
        return TypeAdapter(Ss58).validate_python(given)
    except ValidationError:
        pass  # then it is a file
    try:
        return load_signer(Path(given).expanduser()).ss58
    except CommandError as error:
        raise KeyFileError(f"{given!r} is neither an SS58 address nor a hotkey file: {error}") from None
