"""The state that the engine keeps of an object: the live object with its inputs and bookkeeping beside. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lab.engine.kubernetes.manifests import PATCH_FIELD_MANAGER, Manifest, annotation, from_properties, to_properties
from lab.engine.kubernetes.naming import unique_name
from lab.engine.kubernetes.values import Properties, with_secrets_of

_INPUTS: Final = "__inputs"
_INITIAL_VERSION: Final = "__initialApiVersion"
_MANAGER: Final = "__fieldManager"


@dataclass(frozen=True)
class State:
    """A kept state, taken apart.

    Attributes:
        inputs, live: the wanted and the seen object.
        initial_version: API version at the first creation; empty in no state.
        manager: field manager in whose name the fields are applied; empty in no state.
    """

    inputs: Manifest
    live: Manifest
    initial_version: str = ""
    manager: str = ""

    @classmethod
    def parse(cls, properties: Properties) -> State:
        whole = from_properties(properties)
        inputs = whole.pop(_INPUTS, None)
        version, manager = whole.pop(_INITIAL_VERSION, ""), whole.pop(_MANAGER, "")
        return cls(inputs if isinstance(inputs, dict) else {}, whole, str(version), str(manager))

    def manager_for(self, inputs: Manifest) -> str:
        """The field manager for applying `inputs`: the user's, the kept one, or a fresh one."""
        return annotation(inputs, PATCH_FIELD_MANAGER) or self.manager or unique_name("pulumi-kubernetes-", b"")

    def properties(self, marked: Properties) -> Properties:
        """The state for the engine, secret where `marked` is."""
        return {
            **with_secrets_of(to_properties(self.live), marked),
            _INPUTS: with_secrets_of(to_properties(self.inputs), marked),
            _INITIAL_VERSION: self.initial_version,
            _MANAGER: self.manager,
        }
