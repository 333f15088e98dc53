"""The resource types that the provider serves. A new kind is a module here and a line below."""

from __future__ import annotations

from infra.provider.children import Children
from infra.provider.kinds.control_tools import ControlToolsResource
from infra.provider.kinds.host import HostResource
from infra.provider.kinds.kind import Kind
from infra.provider.kinds.password import PasswordResource
from infra.provider.kinds.registration import RegistrationResource
from infra.provider.options import Options


def all_kinds(options: Options, children: Children) -> dict[str, Kind]:
    """Every kind by its type token."""
    kinds: tuple[Kind, ...] = (
        HostResource(options, children),
        ControlToolsResource(options, children),
        PasswordResource(),
        RegistrationResource(options),
    )
    return {kind.type: kind for kind in kinds}
