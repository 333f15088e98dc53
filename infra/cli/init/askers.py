"""Who answers the questions of `headframe init`: a person at a terminal, or a file of answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from rich.console import Console

_STEP: Final = re.compile(r"[^.\[\]]+")
#: An answer that is offered, or how to find one; only looked for where it is needed.
Offer = str | Callable[[], str | None] | None


class BadAnswerError(ValueError):
    """An answer that cannot be asked for again is wrong or missing. Nothing was written."""


class Asker(Protocol):
    """Who answers."""

    #: Whether a wrong answer can be given anew.
    patient: bool

    def ask(self, key: str, text: str, offer: Offer) -> str:
        """The answer to a question; what is offered where none is given.

        Raises:
            BadAnswerError: there is none, and no offer.
        """
        ...

    def say(self, text: str) -> None: ...


def asked(asker: Asker, key: str, text: str, check: Callable[[str], str | None], offer: Offer = None) -> str:
    """An answer that passed its check.

    Raises:
        BadAnswerError: it did not, and the asker cannot be asked again.
    """
    while True:
        answer = asker.ask(key, text, offer).strip()
        problem = check(answer)
        if problem is None:
            return answer
        if not asker.patient:
            raise BadAnswerError(f"{key}: {problem}")
        asker.say(problem)


class Terminal:
    """Asks a person, as often as it takes."""

    patient = True

    def __init__(self, console: Console) -> None:
        self._console = console

    def ask(self, key: str, text: str, offer: Offer) -> str:
        del key
        default = _offered(offer)
        shown = f" [{default}]" if default else ""
        return self._console.input(f"{text}{shown}: ", markup=False) or default or ""

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)


class AnswerFile:
    """Answers from a tree with the keys of the questions, for example `control.address`."""

    patient = False

    def __init__(self, tree: Mapping[str, Any], console: Console) -> None:
        self._tree = tree
        self._console = console
        self._taken: set[str] = set()

    def ask(self, key: str, text: str, offer: Offer) -> str:
        self._taken.add(key)
        value: Any = self._tree
        for step in _STEP.findall(key):
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list):
                value = value[int(step)] if int(step) < len(value) else None
        if value is None:
            value = _offered(offer)
        if value is None:
            raise BadAnswerError(f"{key}: no answer in the file ({text})")
        return str(value)

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    def unused(self) -> list[str]:
        """Answers that nobody asked for, which are typing errors."""
        return [key for key in _leaves(self._tree, "") if key not in self._taken]


def _offered(offer: Offer) -> str | None:
    return offer() if callable(offer) else offer


def _leaves(value: Any, path: str) -> list[str]:
    if isinstance(value, Mapping):
        return [key for name, item in value.items() for key in _leaves(item, f"{path}.{name}" if path else str(name))]
    if isinstance(value, list):
        return [key for index, item in enumerate(value) for key in _leaves(item, f"{path}[{index}]")]
    return [path]
