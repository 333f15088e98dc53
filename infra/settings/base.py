"""What all settings models share: frozen, strict, and the text shapes that several of them use."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

#: An sr25519 address in SS58 form.
Ss58 = Annotated[
    str,
    StringConstraints(pattern=r"^[1-9A-HJ-NP-Za-km-z]{47,48}$"),
    Field(examples=["5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"]),
]


class Tree(BaseModel):
    """Frozen, and a key that nobody knows is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
