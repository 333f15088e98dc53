"""What is stored of a kubeconfig: unreadable without the miner's seed, bound to its server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage.sealing import PREFIX, PlainTextError, SealError, Vault

VAULT = Vault.of_seed("0x" + "ab" * 32)


@given(st.text(), st.text(min_size=1))
def test_what_was_sealed_opens_for_its_server(text: str, server_id: str) -> None:
    stored = VAULT.seal(server_id, text)
    assert stored.startswith(PREFIX)
    assert len(text) < 8 or text not in stored
    assert VAULT.open(server_id, stored) == text


def test_plain_text_is_refused_unless_public_programs_share_the_database() -> None:
    with pytest.raises(PlainTextError, match=r"python -m app\.storage seal") as refused:
        VAULT.open("s", '{"clusters": []}')
    assert "clusters" not in str(refused.value)
    assert Vault.of_seed("ab" * 32, accepts_plain=True).open("s", '{"clusters": []}') == '{"clusters": []}'
    assert Vault.of_seed("ab" * 32, accepts_plain=True).open("s", VAULT.seal("s", "text")) == "text"


@pytest.mark.parametrize("seed", ["", "0x", "ab", "ab" * 31, "ab" * 33, "zz" * 32, "a"])
def test_a_seed_that_is_not_32_bytes_makes_no_vault(seed: str) -> None:
    with pytest.raises(ValueError, match="MINER_SEED") as refused:
        Vault.of_seed(seed)
    assert len(seed) < 8 or seed not in str(refused.value)


def test_the_same_text_is_never_stored_twice_alike() -> None:
    assert VAULT.seal("s", "text") != VAULT.seal("s", "text")


def test_another_seed_another_server_and_damage_do_not_open_it() -> None:
    stored = VAULT.seal("s", "a secret text")
    wrong = [
        (Vault.of_seed("cd" * 32), "s", stored), (VAULT, "other", stored), (VAULT, "s", stored[:-8] + "AAAAAAA="),
        (VAULT, "s", PREFIX), (VAULT, "s", PREFIX + "no base64"), (VAULT, "s", PREFIX + "AAAA"),
    ]  # fmt: skip
    for vault, server_id, text in wrong:
        with pytest.raises(SealError, match="does not open with this MINER_SEED") as refused:
            vault.open(server_id, text)
        assert "secret text" not in str(refused.value)


def test_the_key_shows_nowhere() -> None:
    assert VAULT.key.hex() not in repr(VAULT)
    assert "key" not in repr(VAULT)
