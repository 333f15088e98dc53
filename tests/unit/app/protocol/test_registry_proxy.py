"""The nginx settings of a node's registry proxy, as text: what stands in them, and what must never."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.registry_proxy import loopback_endpoint, proxied_image
from app.protocol.registry_proxy_settings import ProxySettings, Upstream, nginx_settings, token_settings, upstreams
from app.protocol.validators import ValidatorEntry

SETTINGS = ProxySettings(
    miner_api="http://203.0.113.1:32000", registries={"5ABC": Upstream.parse("registry.example:5001")}
)


def test_an_image_is_named_by_the_validators_hotkey_in_lower_case() -> None:
    assert proxied_image("5ABc", "some/one:1") == "5abc.localregistry.chutes.ai:30500/some/one:1"
    assert loopback_endpoint() == "http://127.0.0.1:30500"


def test_each_validator_has_its_registry_and_strange_hosts_the_default() -> None:
    text = nginx_settings(SETTINGS)
    assert '"~*(^|/)5abc[.]" "https://registry.example:5001";' in text
    assert 'default "https://registry.chutes.ai";' in text


def test_registries_come_from_the_configured_validators() -> None:
    entry = ValidatorEntry(hotkey="5V", api="https://a", socket="wss://a", registry="http://192.0.2.1:8090")
    assert upstreams([entry]) == {"5V": Upstream("http", "192.0.2.1", 8090)}


def test_names_are_looked_up_and_addresses_are_not() -> None:
    assert "resolver 1.1.1.1 1.0.0.1 8.8.8.8 8.8.4.4 valid=60s;" in nginx_settings(SETTINGS)
    only_addresses = replace(SETTINGS, registries={}, default=Upstream.parse("http://192.0.2.1:5000"))
    assert "resolver" not in nginx_settings(only_addresses)


def test_a_registrys_certificate_is_checked_against_its_name() -> None:
    text = nginx_settings(SETTINGS)
    assert "proxy_ssl_verify on;" in text
    assert "proxy_ssl_server_name on;" in text


def test_the_token_has_a_file_of_its_own() -> None:
    assert token_settings("t" * 20) == f'proxy_set_header X-Headframe-Node-Token "{"t" * 20}";\n'
    assert "include /etc/headframe/registry-token.conf;" in nginx_settings(SETTINGS)


@given(st.text().filter(lambda text: not text.isascii() or '"' in text or len(text) < 20))
def test_no_other_text_becomes_a_token_and_none_is_shown(token: str) -> None:
    with pytest.raises(ValueError, match="wanted a registry token of 20 to 256") as refused:
        token_settings(token)
    assert len(token) < 4 or token not in str(refused.value)


@given(
    st.sampled_from(["host;", "a b", "{x}", "http://a/path", "ftp://a", "http://u@a", '"', "", "-a", "http://[::1]"])
)
def test_no_text_leaves_its_place_in_the_settings(text: str) -> None:
    with pytest.raises(ValueError, match="wanted a registry"):
        Upstream.parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"registries": {"5;": Upstream.parse("a")}}, {"token_file": "/a;b"}, {"work_folder": "relative"},
        {"listen": "80; evil"}, {"resolvers": ("one",)}, {"miner_api": "x y"},
    ],
)  # fmt: skip
def test_settings_refuse_what_nginx_would_read_otherwise(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"wanted|does not appear"):
        replace(SETTINGS, **wrong)  # type: ignore[arg-type]
