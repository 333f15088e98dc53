"""Addresses of validators: TLS wherever a public network is on the way (spec: protocol 23.2, weakness 13)."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.protocol.validators import ValidatorEntry, Validators


@pytest.mark.parametrize(
    ("api", "socket"),
    [
        ("https://v.example", "ws://v.example"),
        ("https://v.example", "http://v.example"),
        ("https://v.example", "ws://9.9.9.9:8080"),
        ("https://v.example", "ws://[2606:4700::1]"),
        ("http://v.example", "wss://v.example"),
        ("http://localhost.example", "wss://v.example"),
    ],
)
def test_an_address_without_tls_over_a_public_network_is_refused_and_the_message_says_what_to_use(
    api: str, socket: str
) -> None:
    with pytest.raises(ValidationError, match=r"without TLS.*wss:// for the socket and https:// for the API"):
        ValidatorEntry(hotkey="v", api=api, socket=socket)
    with pytest.raises(ValidationError, match="without TLS"):
        Validators.model_validate({"supported": [{"hotkey": "v", "api": api, "socket": socket}]})


@pytest.mark.parametrize(
    "address",
    ["ws://127.0.0.1:1", "http://localhost:9", "ws://[::1]:1", "http://198.18.0.1:8000", "ws://10.8.0.1", "wss://v.x"],
)
def test_tls_or_an_address_that_no_public_network_routes_is_taken(address: str) -> None:
    entry = ValidatorEntry(hotkey="v", api=address + "/", socket=address)
    assert (entry.api, entry.socket) == (address, address)


@pytest.mark.parametrize("address", ["v.example", "ftp://v.example", "", "://"])
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="starts with http, https, ws or wss"):
        ValidatorEntry(hotkey="v", api="https://v.example", socket=address)
