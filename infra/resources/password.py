"""`Password`: a random secret made once and kept in the encrypted state. Served by `infra.provider`."""

from __future__ import annotations

from typing import Final

import pulumi

TYPE: Final = "headframe:index:Password"
DEFAULT_LENGTH: Final = 32


class Password(pulumi.CustomResource):
    """A password of letters and digits.

    Outputs:
        value: secret; another one only when `rotation` or `length` changes.
    """

    value: pulumi.Output[str]

    def __init__(
        self, name: str, *, rotation: int, length: int = DEFAULT_LENGTH, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        own = pulumi.ResourceOptions(additional_secret_outputs=["value"])
        properties = {"length": length, "rotation": rotation, "value": None}
        super().__init__(TYPE, name, properties, pulumi.ResourceOptions.merge(own, opts))
