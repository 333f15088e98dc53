"""Signed requests of the commands. The key file is read for every signature and its secret is kept nowhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import httpx
import orjson
from cyclopts import Parameter

from app.cli.progress import working
from app.protocol.ports import NodePort
from app.protocol.signing import Header, Purpose, Request, Signer, nonce_v1, nonce_v2

DEFAULT_MINER_API: Final = f"http://127.0.0.1:{int(NodePort.MINER_API)}"
DEFAULT_VALIDATOR_API: Final = "https://api.chutes.ai"
TIMEOUT_SECONDS: Final = 60.0
SKEW_TOLERATED_SECONDS: Final = 30


class CommandError(Exception):
    """Ends a command with this message on stderr and the given exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class AnswerError(CommandError):
    """An HTTP answer of 400 or more."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"Error {status}: {detail}")
        self.status = status
        self.detail = detail


class Profile(StrEnum):
    """Who is told by which headers: `MANAGEMENT` to the miner's own programs, `HOTKEY` to validators and VMs."""

    MANAGEMENT = "management"
    HOTKEY = "hotkey"


@Parameter(name="*")
@dataclass(frozen=True)
class Access:
    """Where and as whom a command acts.

    Parameters
    ----------
    hotkey
        Path of the hotkey's JSON file, as btcli writes it (unencrypted).
    miner_api
        Address of the miner API.
    validator_api
        Address of the validator's API.
    signature_version
        1 as public programs sign, 2 to bind method and path; the API may ask for 2 by itself.
    """

    hotkey: Annotated[Path, Parameter(env_var="HOTKEY")]
    miner_api: Annotated[str, Parameter(env_var="MINER_API")] = DEFAULT_MINER_API
    validator_api: Annotated[str, Parameter(env_var="VALIDATOR_API")] = DEFAULT_VALIDATOR_API
    signature_version: Annotated[int, Parameter(env_var="CHUTES_SIGNATURE_VERSION")] = 1

    def miner(
        self,
        method: str,
        path: str,
        purpose: Purpose = Purpose.MANAGEMENT,
        *,
        query: Mapping[str, str] | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> httpx.Response:
        """A request to the miner API; see `send`."""
        url = self.miner_api.rstrip("/") + path
        return send(
            self, Outgoing(method, url, purpose, Profile.MANAGEMENT, query=query, timeout_seconds=timeout_seconds)
        )

    def validator(
        self, method: str, path: str, purpose: Purpose, *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> httpx.Response:
        """A request to the validator; see `send`."""
        url = self.validator_api.rstrip("/") + path
        return send(self, Outgoing(method, url, purpose, timeout_seconds=timeout_seconds))


def load_signer(path: Path) -> Signer:
    """The key of a hotkey file.

    Raises:
        CommandError: it cannot be read, is encrypted, or its seed is not its address's.
    """
    try:
        found = orjson.loads(path.expanduser().read_bytes())
    except OSError as error:
        raise CommandError(f"the hotkey file cannot be read: {error}") from error
    except orjson.JSONDecodeError as error:
        raise CommandError(f"{path} is no JSON: encrypted hotkey files are not supported") from error
    seed, address = (found.get(name) for name in ("secretSeed", "ss58Address")) if isinstance(found, dict) else (0, 0)
    if not isinstance(seed, str) or not isinstance(address, str):
        raise CommandError(f"{path} lacks secretSeed or ss58Address")
    try:
        signer = Signer.from_seed(seed)
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error
    if signer.ss58 != address:
        raise CommandError(f"{path}: its seed belongs to {signer.ss58}, not to {address}")
    return signer


def segment(text: str) -> str:
    """A name or id as one part of a path."""
    return quote(text, safe="")


@dataclass(frozen=True)
class Outgoing:
    """One request. `timeout_seconds` None waits for ever between lines; `purpose` is signed where there is no body."""

    method: str
    url: str
    purpose: Purpose | None = None
    profile: Profile = Profile.HOTKEY
    body: object = None
    query: Mapping[str, str] | None = None
    timeout_seconds: float | None = TIMEOUT_SECONDS
    extra: Mapping[str, str] | None = None


def send(access: Access, request: Outgoing) -> httpx.Response:
    """Sign and send a request; the answer is less than 300.

    Raises:
        AnswerError: the answer is an error. CommandError: there is no answer.
    """
    where = httpx.URL(request.url)
    with working(f"{request.method} {where.host}{where.path}"), stream(access, request) as response:
        response.read()
        return response


@contextmanager
def stream(access: Access, request: Outgoing) -> Iterator[httpx.Response]:
    """As `send`, before the body is read."""
    raw = None if request.body is None else orjson.dumps(request.body)
    target = httpx.URL(request.url, params=request.query) if request.query else httpx.URL(request.url)
    headers = dict(request.extra or {})
    if request.purpose is not None or raw is not None:
        headers |= signature(access, request, target, raw)
    if raw is not None:
        headers["Content-Type"] = "application/json"
    timeout = httpx.Timeout(request.timeout_seconds, connect=30.0)
    try:
        with (
            httpx.Client(timeout=timeout) as http,
            http.stream(request.method, target, content=raw, headers=headers) as answer,
        ):
            if answer.status_code >= 300:
                answer.read()
                raise AnswerError(answer.status_code, _detail(answer))
            yield answer
    except httpx.HTTPError as error:
        where = target.copy_with(query=None)
        raise CommandError(f"{request.method} {where}: {type(error).__name__} {error}".rstrip()) from error


def signature(access: Access, request: Outgoing, target: httpx.URL, body: bytes | None) -> dict[str, str]:
    """Fresh headers. A POST without a body signs the empty body to the miner API, its purpose elsewhere."""
    signer = load_signer(access.hotkey)
    is_management = request.profile is Profile.MANAGEMENT
    if access.signature_version == 2:
        nonce = nonce_v2(time.time(), os.urandom(8))
        described = Request(request.method, target.raw_path.decode())
        sign = signer.management_headers_v2 if is_management else signer.hotkey_headers_v2
        return sign(nonce, described, body=body)
    if body is None and is_management and request.method in ("POST", "PUT", "PATCH"):
        body = b""
    sign_v1 = signer.management_headers if is_management else signer.hotkey_headers
    return sign_v1(nonce_v1(time.time()), purpose=request.purpose, body=body)


def _detail(answer: httpx.Response) -> str:
    try:
        found = orjson.loads(answer.content)
        detail = found.get("detail", found) if isinstance(found, dict) else found
        text = detail if isinstance(detail, str) else orjson.dumps(detail).decode()
    except orjson.JSONDecodeError:
        text = answer.text[:500]
    if answer.status_code == 401:
        text += _hint(answer)
    return text


def _hint(answer: httpx.Response) -> str:
    """What a bare refusal may mean: clocks that differ, or a version that is no longer taken."""
    try:
        skew = time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return ""
    if abs(skew) > SKEW_TOLERATED_SECONDS:
        side = "ahead of" if skew > 0 else "behind"
        return f" (this machine's clock is {abs(skew):.0f} s {side} the other's: check `timedatectl timesync-status`)"
    if answer.request.headers.get(Header.VERSION.value) is None:
        return " (if the key is the right one, the API may demand signature version 2: try --signature-version 2)"
    return ""
