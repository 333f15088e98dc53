"""Signatures against the vectors of the protocol chapter, section 2.10, and every way to get them wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.protocol.signing import Header, Purpose, Request, Signer, body_digest, message_v1, message_v2, nonce_v2, verify

SEED = "11" * 32
SS58 = "5DtDLm5rQHShDqojQpsvcN8tRXHVFaecfDoRet1SU6BFD9Fi"
NONCE = "1767225600"
VECTORS = [
    (
        message_v1((SS58,), NONCE, "miner"),
        (
            "6204bfb687971dedacdc46a16724faa81f677dbd2bd41730f668db0d6ba6315a"
            "a49a9198067190d04fcb73edad239f475ae481ceafed33230266e74f0ab4e18d"
        ),
    ),
    (
        message_v1((SS58, SS58), NONCE, "management"),
        (
            "6c73fc48a7e066b2ffc8fe0d0266a618a5162826d46be2b779801c9cbeeb9938"
            "dc6a064c4d83ef3eb335ef31780d5cffd0b935a60c504aea65949ead59c36886"
        ),
    ),
    (
        message_v1((SS58,), NONCE, body_digest(b'{"active":true}')),
        (
            "ae7313749efb5745f0f5efb1759444aa68fbd9cd96385e72acd089446de35718"
            "2152041ced3501724da108749f3f5e0b35ca82501c3ec319f3d0a1db5d7f8f8c"
        ),
    ),
]


@pytest.mark.parametrize(("message", "signature"), VECTORS)
def test_published_vectors_verify(message: bytes, signature: str) -> None:
    assert verify(SS58, message, signature)


@pytest.mark.parametrize("seed", [SEED, "0x" + SEED])
def test_a_seed_gives_its_address_with_and_without_prefix(seed: str) -> None:
    assert Signer.from_seed(seed).ss58 == SS58


def test_message_strings_are_those_of_the_specification() -> None:
    assert message_v1((SS58,), NONCE, "miner") == f"{SS58}:{NONCE}:miner".encode()
    assert message_v2(("H", "H"), Request("post", "/servers/?a=1"), "1.ab", "d") == b"v2:H:H:POST:/servers/?a=1:1.ab:d"
    assert body_digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_management_headers_name_the_miner_twice_and_no_hotkey() -> None:
    headers = Signer.from_seed(SEED).management_headers(NONCE, purpose=Purpose.MANAGEMENT)
    assert headers[Header.MINER] == headers[Header.VALIDATOR] == SS58
    assert Header.HOTKEY not in headers
    assert verify(SS58, message_v1((SS58, SS58), NONCE, "management"), headers[Header.SIGNATURE])


def test_a_body_takes_the_place_of_the_purpose() -> None:
    headers = Signer.from_seed(SEED).hotkey_headers(NONCE, purpose=Purpose.MINER, body=b"{}")
    assert verify(SS58, message_v1((SS58,), NONCE, body_digest(b"{}")), headers[Header.SIGNATURE])


def test_version_2_binds_method_path_and_query() -> None:
    signer = Signer.from_seed(SEED)
    nonce = nonce_v2(1767225600.9, bytes(8))
    signature = signer.hotkey_headers_v2(nonce, Request("GET", "/a?b=1"))[Header.SIGNATURE]
    assert verify(SS58, message_v2((SS58,), Request("GET", "/a?b=1"), nonce), signature)
    for other in (Request("PUT", "/a?b=1"), Request("GET", "/a?b=2"), Request("GET", "/b?b=1")):
        assert not verify(SS58, message_v2((SS58,), other, nonce), signature)


def test_signing_nothing_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="needs a body or a purpose"):
        Signer.from_seed(SEED).hotkey_headers(NONCE)


@pytest.mark.parametrize("seed", ["", "0x12", "zz" * 32, "1" * 63])
def test_a_bad_seed_is_refused_without_repeating_it(seed: str) -> None:
    with pytest.raises(ValueError, match="64 hex digits") as caught:
        Signer.from_seed(seed)
    assert not seed or seed not in str(caught.value)


def test_a_signer_does_not_show_its_secret() -> None:
    assert SEED not in repr(Signer.from_seed(SEED))


@given(st.text(), st.text(max_size=140))
def test_garbage_is_false_and_never_an_error(address: str, signature: str) -> None:
    assert verify(address, b"m", signature) is False
    assert verify(SS58, b"m", signature) is False


@given(st.binary(min_size=64, max_size=64))
def test_random_bytes_are_no_signature(signature: bytes) -> None:
    assert verify(SS58, b"m", signature.hex()) is False


def test_a_hex_prefix_is_refused() -> None:
    message, signature = VECTORS[0]
    assert not verify(SS58, message, "0x" + signature)
