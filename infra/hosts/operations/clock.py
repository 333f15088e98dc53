"""Time zone. pyinfra's own operation compares names, and `UTC`, a link to `Etc/UTC`, would be a change on every run."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import StringCommand, operation

from infra.hosts.facts.shell import Holds
from infra.hosts.operations.commands import Commands


@operation()
def timezone(name_of_zone: str) -> Commands:
    """The machine's clock is shown in this zone."""
    zone = f"/usr/share/zoneinfo/{name_of_zone}"
    if host.get_fact(Holds, f'[ -e {zone} ] && [ "$(readlink -f /etc/localtime)" = "$(readlink -f {zone})" ]'):
        host.noop(f"time zone is {name_of_zone}")
        return
    yield StringCommand(f"[ -e {zone} ] || {{ echo 'no such time zone: {name_of_zone}' >&2; exit 1; }}")
    yield StringCommand(f"ln -sfn {zone} /etc/localtime && echo {name_of_zone} > /etc/timezone")
