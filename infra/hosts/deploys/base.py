"""Packages, files, services and time (spec: infra 4.1.2)."""

from __future__ import annotations

from typing import Final

from pyinfra.api.deploy import deploy

from infra.hosts.operations import clock, files, packages, services
from infra.spec import HostSpec, TimeSpec

_UPGRADE_UNITS: Final = ("unattended-upgrades.service", "apt-daily.timer", "apt-daily-upgrade.timer")
_TIMESYNC: Final = "systemd-timesyncd"


@deploy("base")
def base(spec: HostSpec) -> None:
    """What every machine has."""
    wanted = spec.base
    if wanted.unattended_upgrades_off:
        for unit in _UPGRADE_UNITS:
            services.masked(name=f"masked {unit}", unit=unit)
    if wanted.absent_packages:
        packages.absent(name="packages absent", packages=wanted.absent_packages)
    if wanted.packages:
        packages.present(name="packages", packages=wanted.packages)
    if wanted.time is not None:
        _time(wanted.time)
    for file in wanted.files:
        files.content(
            name=f"file {file.path}",
            path=file.path,
            text=file.content,
            mode=file.mode,
            owner=file.owner,
            group=file.group,
            any_group=file.any_group,
        )
    for service in wanted.services:
        services.state(
            name=f"service {service.name}", unit=service.name, running=service.running, enabled=service.enabled
        )


def _time(wanted: TimeSpec) -> None:
    clock.timezone(name=f"time zone {wanted.timezone}", name_of_zone=wanted.timezone)
    if not wanted.ntp_servers:
        return
    packages.present(name="time synchronisation", packages=(_TIMESYNC,))
    settings = f"[Time]\nNTP={' '.join(wanted.ntp_servers)}\n"
    written = files.content(
        name="time servers", path="/etc/systemd/timesyncd.conf.d/headframe.conf", text=settings, stamp=_TIMESYNC
    )
    # Upstream changes the server list and never restarts the daemon (spec: infra 18, B-09).
    services.runs_with(
        name="time synchronisation runs", unit=_TIMESYNC, digest=services.digest_of(settings), after=(written,)
    )
