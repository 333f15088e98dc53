"""Canonical text of Kubernetes quantities such as `1024Mi` or `0.5`. Pure.

The API server stores quantities in canonical form; inputs have to be compared in the same form
(source: documentation of the type Quantity in the Kubernetes API).
"""

from __future__ import annotations

import re
from decimal import ROUND_UP, Decimal
from typing import Final

_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_DECIMAL_SUFFIX: Final = {power: suffix for suffix, power in _DECIMAL.items()}
_SHAPE: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))((?:[KMGTPE]i)|[numkMGTPE]|(?:[eE][+-]?\d+))?")
_NANO: Final = Decimal(1).scaleb(-9)


def canonical_quantity(value: str) -> str:
    """The quantity as the API server writes it; text that is no quantity comes back unchanged."""
    match = _SHAPE.fullmatch(value.strip())
    if match is None:
        return value
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY[1:]:
        return _binary(number * 1024 ** _BINARY.index(suffix))
    if suffix[:1] in ("e", "E") and len(suffix) > 1:
        return _scaled(number.scaleb(int(suffix[1:])), exponent=True)
    return _scaled(number.scaleb(_DECIMAL[suffix]), exponent=False)


def _binary(amount: Decimal) -> str:
    if abs(amount) < 1024 or amount != amount.to_integral_value():
        return _scaled(amount, exponent=False)
    whole, power = int(amount), 0
    while whole % 1024 == 0 and power < len(_BINARY) - 1:
        whole, power = whole // 1024, power + 1
    return f"{whole}{_BINARY[power]}"


def _scaled(amount: Decimal, *, exponent: bool) -> str:
    amount = amount.quantize(_NANO, rounding=ROUND_UP) if amount % _NANO else amount
    if amount == 0:
        return "0"
    power = 18
    while power > -9 and amount.scaleb(-power) != amount.scaleb(-power).to_integral_value():
        power -= 3
    whole = int(amount.scaleb(-power))
    if exponent:
        return f"{whole}e{power}" if power else str(whole)
    return f"{whole}{_DECIMAL_SUFFIX[power]}"
