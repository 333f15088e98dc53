"""The text cipher of a launch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.symmetric import decrypt, encrypt

KEY = "00112233445566778899aabbccddeeff"


@given(st.text(), st.binary(min_size=16, max_size=16))
def test_what_was_encrypted_comes_back(text: str, iv: bytes) -> None:
    assert decrypt(KEY, iv, encrypt(KEY, iv, text)) == text


def test_a_known_answer() -> None:
    """Computed with OpenSSL: enc -aes-128-cbc."""
    assert encrypt(KEY, bytes(16), "secret is a b") == "F/zWe2UCxouCPHDDlXUuMg=="


@pytest.mark.parametrize("sealed", ["", "no base64!", "AAAA", "A" * 24])
def test_what_was_not_encrypted_under_the_key_is_a_value_error(sealed: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decrypt(KEY, bytes(16), sealed)
