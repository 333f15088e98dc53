"""Signatures as validators check them: the purpose wins where a route has one (spec: protocol 2.8, 2.11)."""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import orjson

from app.protocol.signing import Header, Purpose, Request, body_digest, message_v1, message_v2, verify
from lab.validator.state import Config, State

WINDOW_SECONDS: Final = 600
TOKEN_SECONDS: Final = 3.5 * 3600


class Unauthorised(Exception):  # noqa: N818 - named as its HTTP status
    """Answered as 401 with this detail."""


def check(state: State, headers: Mapping[str, str], request: Request, purpose: Purpose | None, body: bytes) -> str:
    """The hotkey that signed this request.

    Raises:
        Unauthorised: with the validator's words.
    """
    hotkey, nonce, signature = (headers.get(name.value, "") for name in (Header.HOTKEY, Header.NONCE, Header.SIGNATURE))
    if not (hotkey and nonce and signature):
        raise Unauthorised("Invalid BT Auth.")
    is_v2 = headers.get(Header.VERSION.value, "1") == "2"
    if not _is_timely(nonce, state.clock(), is_v2=is_v2):
        raise Unauthorised("Invalid nonce")
    if is_v2:
        message = message_v2((hotkey,), request, nonce, body_digest(body) if body else "")
    else:
        message = _message_v1(hotkey, nonce, request, purpose, body)
    if not verify(hotkey, message, signature):
        raise Unauthorised("Invalid signature")
    if is_v2:
        _use_once(state, hotkey, nonce)
    if state.registered is not None and hotkey not in state.registered:
        raise Unauthorised(f"hotkey not registered on netuid: {hotkey}")
    return hotkey


def _is_timely(nonce: str, now: float, *, is_v2: bool) -> bool:
    """Whether a nonce is of this time and of its version: only those of version 2 have a random part."""
    seconds, dot, random = nonce.partition(".")
    return seconds.isdigit() and abs(now - int(seconds)) < WINDOW_SECONDS and is_v2 == bool(dot and random)


def _message_v1(hotkey: str, nonce: str, request: Request, purpose: Purpose | None, body: bytes) -> bytes:
    if purpose is not None:
        return message_v1((hotkey,), nonce, purpose.value)
    if request.method in ("POST", "PUT", "PATCH"):
        return message_v1((hotkey,), nonce, body_digest(body))
    raise Unauthorised("Invalid request")


def _use_once(state: State, hotkey: str, nonce: str) -> None:
    if (hotkey, nonce) in state.used_nonces:
        raise Unauthorised("Nonce already used")
    state.used_nonces.add((hotkey, nonce))


def issue_token(state: State, config: Config, *, tee: bool) -> str:
    """The launch token of a config: HS256, as validators before 0.3.61 write it."""
    now = int(state.clock())
    claims = {
        "exp": now + int(TOKEN_SECONDS), "iat": now, "iss": "chutes", "sub": config.config_id,
        "url": f"{state.api_url}/instances/launch_config/{config.config_id}", "chute_id": config.chute_id,
        "env_key": sha256(config.config_id.encode()).hexdigest()[:32], "env_type": "tee" if tee else "graval",
        "simulated": True,
    }  # fmt: skip
    if config.job_id:
        claims["job_id"] = config.job_id
    head = _b64(orjson.dumps({"alg": "HS256", "typ": "JWT"})) + "." + _b64(orjson.dumps(claims))
    return head + "." + _b64(hmac.new(state.token_secret, head.encode(), sha256).digest())


def read_token(state: State, header: str) -> str:
    """The config that a launch token is for; the last space-separated part of the header is the token.

    Raises:
        Unauthorised: it is not ours, broken or too old.
    """
    head, _, signature = (header.rsplit(" ", maxsplit=1)[-1] if header else "").rpartition(".")
    expected = _b64(hmac.new(state.token_secret, head.encode(), sha256).digest())
    if not head or not hmac.compare_digest(expected, signature):
        raise Unauthorised("Invalid token")
    claims = orjson.loads(_unb64(head.split(".")[1]))
    if claims["exp"] < state.clock():
        raise Unauthorised("Token expired")
    return str(claims["sub"])


def _b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
