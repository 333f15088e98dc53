"""`tee maintenance-status` and `tee start-maintenance`: upgrade windows at the validator (spec: protocol 8.6, 14.4)."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from app.cli.access import Access, CommandError, segment
from app.cli.output import Json, Yes, confirmed, err, mapping, out, print_json, sequence, table
from app.cli.tee import app
from app.protocol.signing import Purpose

SHORT_TIMEOUT_SECONDS: Final = 30.0
START_TIMEOUT_SECONDS: Final = 60.0


@app.command
def maintenance_status(*, access: Access, json: Json = False) -> None:
    """The current upgrade window and which servers need it."""
    answer = access.validator("GET", "/servers/maintenance/policy", Purpose.TEE, timeout_seconds=SHORT_TIMEOUT_SECONDS)
    found = mapping(answer.json())
    if json:
        print_json(found)
        return
    window = mapping(found.get("active_window"))
    out().print(f"window: {window.get('target_measurement_version', 'none')}, slots used: {found.get('current_slots')}")
    names = ("server_id", "name", "version", "needs_upgrade", "in_maintenance")
    table(None, names, [tuple(item.get(name) for name in names) for item in sequence(found.get("servers"))])


@app.command
def start_maintenance(
    *, access: Access, name: Annotated[str, Parameter(name=("--name", "-n"))], yes: Yes = False, json: Json = False
) -> None:
    """Take a server out for its upgrade: lock it here, then purge its instances at the validator.

    Parameters
    ----------
    name
        Name or id of the server.
    yes
        Do not ask.
    """
    path = f"/servers/{segment(name)}/maintenance"
    preflight = mapping(
        access.validator("GET", path + "/preflight", Purpose.TEE, timeout_seconds=SHORT_TIMEOUT_SECONDS).json()
    )
    if not preflight.get("eligible"):
        _deny(preflight, json=json)
    if not yes and not confirmed(f"Start maintenance of {name}? Its instances are purged."):
        raise CommandError("nothing was changed")
    access.miner("GET", f"/servers/{segment(name)}/lock", timeout_seconds=SHORT_TIMEOUT_SECONDS)
    err().print(f"locked {name}")
    try:
        answer = access.validator("PUT", path, Purpose.TEE, timeout_seconds=START_TIMEOUT_SECONDS)
    except CommandError as error:
        _offer_unlock(access, name, yes=yes)
        raise error from None
    found = mapping(answer.json())
    if json:
        print_json(found)
    else:
        purged = found.get("purged_instance_ids") or []
        out().print(
            f"maintenance of {name} has started, {len(purged) if isinstance(purged, list) else 0} instances purged"
        )
    err().print(f"after the upgrade: chutes-miner unlock --name {name}")


def _deny(preflight: dict[str, object], *, json: bool) -> None:
    if json:
        print_json(preflight)
    for reason in sequence(preflight.get("denial_reasons")):
        err().print(f"denied: {reason.get('reason')}", highlight=False)
    raise CommandError("the server is not eligible for maintenance now")


def _offer_unlock(access: Access, name: str, *, yes: bool) -> None:
    if yes or confirmed(f"The validator refused. Unlock {name} again?"):
        access.miner("GET", f"/servers/{segment(name)}/unlock")
        err().print(f"unlocked {name}")
    else:
        err().print(f"{name} stays locked: chutes-miner unlock --name {name}")
