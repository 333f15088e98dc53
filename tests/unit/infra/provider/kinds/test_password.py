"""The Password kind: made once, kept, and another one only when it is asked for."""

from __future__ import annotations

import itertools

import pytest

from infra.provider.kinds.kind import Call, ProviderError
from infra.provider.kinds.password import ALPHABET, PasswordResource, random_text
from infra.provider.log import ResourceLog
from infra.provider.wire import UNKNOWN, Properties, is_secret, plain

INPUTS: Properties = {"length": 32.0, "rotation": 1.0}


class Silent(ResourceLog):
    def __init__(self) -> None:
        """Nothing is logged by this kind."""


def call(*, preview: bool = False) -> Call:
    return Call(urn="urn", name="postgres-password", log=Silent(), preview=preview)


@pytest.fixture
def kind() -> PasswordResource:
    numbers = itertools.count()
    return PasswordResource(lambda length: f"made-{next(numbers)}-{length}")


async def test_a_password_is_made_once_and_is_secret(kind: PasswordResource) -> None:
    id_, outputs = await kind.create(call(), INPUTS)
    assert id_ == "postgres-password"
    assert is_secret(outputs["value"])
    assert plain(outputs["value"]) == "made-0-32"
    assert await kind.update(call(), id_, outputs, INPUTS) == outputs
    assert (await kind.read(call(), id_, INPUTS, outputs)).outputs == outputs
    await kind.delete(call(), id_, outputs)


async def test_a_preview_makes_nothing(kind: PasswordResource) -> None:
    assert (await kind.create(call(preview=True), INPUTS))[1]["value"] == UNKNOWN
    _, outputs = await kind.create(call(), INPUTS)
    assert plain(outputs["value"]) == "made-0-32"
    rotated = await kind.update(call(preview=True), "id", outputs, {**INPUTS, "rotation": 2.0})
    assert rotated["value"] == UNKNOWN


async def test_another_rotation_is_another_password(kind: PasswordResource) -> None:
    _, outputs = await kind.create(call(), INPUTS)
    news: Properties = {**INPUTS, "rotation": 2.0}
    assert [item.path for item in kind.diff(INPUTS, outputs, news).differences] == ["rotation"]
    assert not any(item.replaces for item in kind.diff(INPUTS, outputs, news).differences)
    assert plain((await kind.update(call(), "id", outputs, news))["value"]) == "made-1-32"


async def test_it_cannot_be_imported(kind: PasswordResource) -> None:
    with pytest.raises(ProviderError, match="cannot be imported"):
        await kind.read(call(), "id", {}, {})


@pytest.mark.parametrize(
    ("inputs", "bad"),
    [
        (INPUTS, []),
        ({"length": 8.0, "rotation": 1.0}, ["length"]),
        ({"length": 32.5, "rotation": 0.0}, ["length", "rotation"]),
        ({"length": UNKNOWN, "rotation": "x"}, ["rotation"]),
        ({}, ["length", "rotation"]),
    ],
)
def test_inputs_are_whole_numbers_in_their_ranges(kind: PasswordResource, inputs: Properties, bad: list[str]) -> None:
    assert [failure.property for failure in kind.check({}, inputs)[1]] == bad


def test_random_text_is_as_long_as_asked_and_needs_no_quoting() -> None:
    made = {random_text(32) for _ in range(50)}
    assert len(made) == 50
    assert all(len(text) == 32 and set(text) <= set(ALPHABET) for text in made)
