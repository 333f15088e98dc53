"""Quantities are written as the API server writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.engine.kubernetes.quantity import canonical_quantity


@pytest.mark.parametrize(
    ("given_text", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("2", "2"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("512Ki", "512Ki"),
        ("0.5Ki", "512"),
        ("1000", "1k"),
        ("100000k", "100M"),
        ("1e3", "1e3"),
        ("12e6", "12e6"),
        ("0", "0"),
        ("0Gi", "0"),
        ("-1000m", "-1"),
        ("no quantity", "no quantity"),
    ],
)
def test_quantities_are_put_into_canonical_form(given_text: str, canonical: str) -> None:
    assert canonical_quantity(given_text) == canonical


@given(st.integers(0, 10**12), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi"]))
def test_the_canonical_form_of_a_canonical_form_is_itself(amount: int, suffix: str) -> None:
    once = canonical_quantity(f"{amount}{suffix}")
    assert canonical_quantity(once) == once
