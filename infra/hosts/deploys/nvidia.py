"""Driver, fabric manager and container toolkit of a GPU machine, pinned (spec: infra 4.3).

Untested on real hardware and on Ubuntu: the lab has neither. What is sent is held by golden command lists.
"""

from __future__ import annotations

from typing import Final

from pyinfra.api.deploy import deploy

from infra.hosts.operations import files, packages, services, system
from infra.hosts.operations import nvidia as operations
from infra.spec import HostSpec, NvidiaSpec

SKIPPED: Final = "nvidia: skipped, its GPUs are simulated; driver, fabric manager and toolkit are not installed"
_SOURCES: Final = "/etc/apt/sources.list.d"
_UDEV: Final = "/etc/udev/rules.d/71-headframe-nvidia.rules"
#: The runtime looks devices up by number; without these links a pod loses its GPUs when systemd reloads.
_UDEV_RULE: Final = (
    'ACTION=="add", DEVPATH=="/bus/pci/drivers/nvidia", '
    'RUN+="/usr/bin/nvidia-ctk system create-dev-char-symlinks --create-all"\n'
)


@deploy("nvidia")
def nvidia(spec: HostSpec) -> None:
    """The stack in the declared versions, loaded, and restarted together with what depends on it."""
    wanted = spec.nvidia
    if wanted is None or wanted.simulated:
        return
    _sources(wanted)
    files.content(name="versions pinned", path="/etc/apt/preferences.d/headframe-nvidia", text=preferences(wanted))
    operations.sources_read(name="package sources read", files=f"{_SOURCES}/headframe-*.list")
    packages.present(name="packages", packages=package_names(wanted))
    files.content(name="nouveau is off", path="/etc/modprobe.d/headframe-nouveau.conf", text="blacklist nouveau")
    operations.driver_loaded(name=f"driver {wanted.driver_version} loaded", version=wanted.driver_version)
    services.state(name="persistence daemon", unit="nvidia-persistenced.service")
    if wanted.fabric_manager:
        operations.same_version(name="fabric manager is of the driver's version", driver=wanted.driver_version)
        services.state(name="fabric manager", unit="nvidia-fabricmanager.service")
    if wanted.infiniband:
        files.content(name="InfiniBand at boot", path="/etc/modules-load.d/headframe-ib.conf", text="ib_umad")
        system.modules_loaded(name="InfiniBand loaded", names=("ib_umad",))
    files.content(name="device links", path=_UDEV, text=_UDEV_RULE)


def branch(wanted: NvidiaSpec) -> str:
    """Driver branch: the packages are named after it."""
    return wanted.driver_version.partition(".")[0]


def package_names(wanted: NvidiaSpec) -> tuple[str, ...]:
    """The packages, each in its version: a name alone is satisfied by an older one, and the machine would reboot into
    the driver that it has. What they depend on follows the pins."""
    driver, toolkit = f"{wanted.driver_version}*", f"{wanted.toolkit_version}*"
    names = [f"nvidia-driver-{branch(wanted)}-server-open={driver}", f"nvidia-container-toolkit={toolkit}"]
    if wanted.fabric_manager:
        names.append(f"nvidia-fabricmanager-{branch(wanted)}={driver}")
    if wanted.infiniband:
        names += ["infiniband-diags", "nvlsm"]
    return tuple(names)


def preferences(wanted: NvidiaSpec) -> str:
    """apt pins above every other priority: driver and fabric manager can only move together (spec: infra 18, B-24)."""
    pins = {
        f"nvidia-driver-* nvidia-fabricmanager-* libnvidia-*-{branch(wanted)}* nvidia-*-{branch(wanted)}*": (
            wanted.driver_version
        ),
        "nvidia-container-toolkit* libnvidia-container*": wanted.toolkit_version,
    }
    return "\n".join(
        f"Package: {names}\nPin: version {version}*\nPin-Priority: 1001\n" for names, version in pins.items()
    )


def _sources(wanted: NvidiaSpec) -> None:
    for repository in wanted.repositories:
        key = f"/etc/apt/keyrings/headframe-{repository.name}.asc"
        files.content(name=f"key of {repository.name}", path=key, text=repository.signing_key)
        files.content(
            name=f"source {repository.name}",
            path=f"{_SOURCES}/headframe-{repository.name}.list",
            text=f"deb [signed-by={key}] {repository.source}\n",
        )
