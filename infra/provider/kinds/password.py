"""`headframe:index:Password`: a random secret, made once, kept in the encrypted state and nowhere else."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Sequence
from typing import Final

from pydantic import JsonValue

from infra.provider.diff import differences
from infra.provider.kinds.kind import Call, CheckFailure, Diff, ProviderError, ReadResult
from infra.provider.wire import UNKNOWN, Properties, secret

#: Letters and digits need no quoting in any file, URL or shell that a password passes through.
ALPHABET: Final = string.ascii_letters + string.digits
_SHORTEST, _LONGEST = 20, 128
_INPUTS: Final = ("length", "rotation")


def random_text(length: int) -> str:
    """So many random letters and digits."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


class PasswordResource:
    """Serves passwords. Another rotation or length is another password, in place."""

    type: str = "headframe:index:Password"
    refresh_before_update: bool = False

    def __init__(self, generate: Callable[[int], str] = random_text) -> None:
        self._generate = generate

    def check(self, olds: Properties, news: Properties) -> tuple[Properties, Sequence[CheckFailure]]:
        """Length and rotation are whole numbers in their ranges."""
        del olds
        inputs: Properties = {key: news[key] for key in _INPUTS if news.get(key) is not None}
        found = []
        for key, low, high in (("length", _SHORTEST, _LONGEST), ("rotation", 1, 10**6)):
            value = inputs.get(key)
            if value == UNKNOWN:
                continue
            if not isinstance(value, int | float) or value != int(value) or not low <= value <= high:
                found.append(CheckFailure(key, f"give a whole number from {low} to {high}"))
        return inputs, found

    def diff(self, old_inputs: Properties, old_outputs: Properties, news: Properties) -> Diff:
        """Inputs against inputs."""
        del old_outputs
        return Diff(tuple(differences(old_inputs, news)))

    async def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        """A new password."""
        if call.preview:
            return "", {**inputs, "value": UNKNOWN}
        return call.name, {**inputs, "value": self._made(inputs)}

    async def read(self, call: Call, id: str, inputs: Properties, outputs: Properties) -> ReadResult:  # noqa: A002
        """What the state knows is all there is."""
        if not outputs:
            raise ProviderError(f"{call.name}: a password exists in the state alone and cannot be imported")
        return ReadResult(id, inputs, outputs)

    async def update(self, call: Call, id: str, old_outputs: Properties, news: Properties) -> Properties:  # noqa: A002
        """A new password where rotation or length changed; else the old one."""
        del id
        if all(old_outputs.get(key) == news.get(key) for key in _INPUTS) and "value" in old_outputs:
            return {**news, "value": old_outputs["value"]}
        return {**news, "value": UNKNOWN if call.preview else self._made(news)}

    async def delete(self, call: Call, id: str, outputs: Properties) -> None:  # noqa: A002
        """It goes with the state."""

    def _made(self, inputs: Properties) -> JsonValue:
        length = inputs["length"]
        assert isinstance(length, int | float), "check lets no other through"  # noqa: S101
        return secret(self._generate(int(length)))
