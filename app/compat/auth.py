"""`sign_request` under its public name."""

from __future__ import annotations

import json

from app.compat.runtime import current
from app.protocol.signing import Header, Purpose, message_v1, nonce_v1


def sign_request(
    payload: dict[str, object] | str | None = None, purpose: str | None = None, management: bool = False
) -> tuple[dict[str, str], str | None]:
    """Headers of profile A (B for management), and the text to send as the body.

    Raises:
        ValueError: neither payload nor a known purpose was given.
    """
    runtime = current()
    body = json.dumps(payload) if isinstance(payload, dict) else payload
    nonce = nonce_v1(runtime.clock())
    if body is not None:
        make = runtime.signer.management_headers if management else runtime.signer.hotkey_headers
        headers = make(nonce, body=body.encode())
        return {**headers, "Content-Type": "application/json"}, body
    if purpose is None:
        raise ValueError("a signature needs a payload or a purpose")
    if purpose in {member.value for member in Purpose}:
        make = runtime.signer.management_headers if management else runtime.signer.hotkey_headers
        return make(nonce, purpose=Purpose(purpose)), None
    ss58 = runtime.signer.ss58
    signature = runtime.signer.sign(message_v1((ss58,), nonce, purpose))
    return {Header.HOTKEY.value: ss58, Header.NONCE.value: nonce, Header.SIGNATURE.value: signature}, None
