"""What every machine has: packages, files, services, time (spec: infra 4.1.2)."""

from __future__ import annotations

from pydantic import Field

from infra.spec.model import AbsolutePath, AccountName, FileMode, Model, PackageName, UnitName


class FileSpec(Model):
    """A file with its whole content. Never a secret: file contents appear in previews.

    Attributes:
        any_group: another group is right too: a kubelet gives a volume's files to the group of the pod that mounts it.
    """

    path: AbsolutePath
    content: str
    mode: FileMode = "644"
    owner: AccountName = "root"
    group: AccountName = "root"
    any_group: bool = False


class ServiceSpec(Model):
    """A systemd unit and the state it shall be in."""

    name: UnitName
    running: bool = True
    enabled: bool = True


class TimeSpec(Model):
    """Time zone and time servers. Without servers the machine's time synchronisation is left as it is."""

    timezone: str = Field(default="UTC", pattern=r"^[A-Za-z0-9_+/-]+$")
    ntp_servers: tuple[str, ...] = ()


class BaseSpec(Model):
    """Packages may be pinned as `name=version`. Files are written in the order given."""

    packages: tuple[PackageName, ...] = ()
    absent_packages: tuple[PackageName, ...] = ()
    files: tuple[FileSpec, ...] = ()
    services: tuple[ServiceSpec, ...] = ()
    time: TimeSpec | None = None
    #: Stops and masks unattended upgrades: a driver replaced under a running chute costs its income.
    unattended_upgrades_off: bool = False
