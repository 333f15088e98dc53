"""Operations on the NVIDIA stack. The project's tests never had real hardware: golden command lists hold them."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import FunctionCommand, OperationError, StringCommand, operation

from infra.hosts.facts.shell import Holds, Printed
from infra.hosts.operations.commands import Commands
from infra.hosts.reboot import reboot_and_wait

_REBOOT_SECONDS = 900


@operation()
def sources_read(files: str) -> Commands:
    """apt has read the package sources since they last changed."""
    if not host.get_fact(Holds, f'[ -n "$(find {files} -newer /var/lib/apt/lists 2>/dev/null)" ]'):
        host.noop("package sources are read")
        return
    yield StringCommand("DEBIAN_FRONTEND=noninteractive apt-get -q update && touch /var/lib/apt/lists")


@operation()
def driver_loaded(version: str) -> Commands:
    """The kernel runs the driver of this version; after an exchange that takes a reboot, which waits for the machine.

    An exchange of a running driver disrupts every chute on the node: it is done only under the fleet's lease.
    """
    if host.get_fact(Holds, f"grep -q 'Kernel Module.* {version} ' /proc/driver/nvidia/version 2>/dev/null"):
        host.noop(f"driver {version} is loaded")
        return
    if host.get_fact(Holds, "modprobe -n -q nvidia && [ ! -e /proc/driver/nvidia/version ]"):
        yield StringCommand("modprobe nvidia && modprobe nvidia-uvm || true")
    yield FunctionCommand(reboot_and_wait, [], {"deadline_seconds": _REBOOT_SECONDS, "unless": _loaded(version)})
    yield StringCommand(
        f"{_loaded(version)} || {{ echo 'driver {version} is not loaded after the reboot' >&2; exit 1; }}"
    )


@operation()
def same_version(driver: str) -> Commands:
    """Fabric manager and driver are of one version: NVSwitch refuses any other pair."""
    seen = host.get_fact(Printed, "dpkg-query -W -f '${Version}\\n' 'nvidia-fabricmanager*' 2>/dev/null")
    if seen and not any(version.startswith(driver) for version in seen) and host.state.is_executing:
        raise OperationError(f"fabric manager is {', '.join(seen)}, the driver {driver}: pin both to one version")
    host.noop("versions agree")
    return
    yield  # makes this a generator, as every operation is


def _loaded(version: str) -> str:
    return f"grep -q 'Kernel Module.* {version} ' /proc/driver/nvidia/version"
