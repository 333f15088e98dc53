"""`headframe:index:ControlTools`: a Host whose spec speaks of operators' tools alone; the runner does the rest."""

from __future__ import annotations

from infra.provider.kinds.host import HostResource


class ControlToolsResource(HostResource):
    """As a host: forecast, drift, partial state. Its scope keeps every other deploy off the machine."""

    type: str = "headframe:index:ControlTools"
