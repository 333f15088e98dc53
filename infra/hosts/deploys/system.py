"""Name, kernel, limits, swap (spec: infra 4.1.1, 4.1.4, 4.3.1)."""

from __future__ import annotations

from typing import Final

from pyinfra.api.deploy import deploy

from infra.hosts.operations import files, system
from infra.spec import HostSpec

_SYSCTL: Final = "/etc/sysctl.d/90-headframe.conf"
_MODULES: Final = "/etc/modules-load.d/headframe.conf"
_LIMITS: Final = "/etc/security/limits.d/90-headframe.conf"
_SYSTEMD_LIMITS: Final = "/etc/systemd/system.conf.d/90-headframe.conf"
_CLOUD: Final = "/etc/cloud/cloud.cfg.d/99-headframe.cfg"


@deploy("system")
def machine(spec: HostSpec) -> None:
    """The parts of a machine below its services."""
    if spec.manage_hostname:
        # Written before the name itself: cloud-init would set the provider's name again at the next boot.
        files.content(name="cloud-init keeps the name", path=_CLOUD, text="preserve_hostname: true")
        system.hostname(name=f"hostname {spec.name}", wanted=spec.name)
    kernel = spec.kernel
    if kernel.modules:
        files.content(name="modules at boot", path=_MODULES, text="\n".join(kernel.modules))
        system.modules_loaded(name="modules loaded", names=kernel.modules)
    if kernel.sysctl:
        text = "".join(f"{key} = {value}\n" for key, value in sorted(kernel.sysctl.items()))
        files.content(name="kernel settings at boot", path=_SYSCTL, text=text)
        system.sysctl_live(name="kernel settings now", settings=kernel.sysctl, file=_SYSCTL)
    if kernel.open_files is not None:
        _open_files(kernel.open_files)
    if kernel.swap_off:
        system.swap_off(name="swap off")


def _open_files(limit: int) -> None:
    """Logins read limits.d; services read systemd's defaults."""
    names = ("*", "root")  # `*` does not cover root
    lines = [f"{name} {kind} nofile {limit}" for name in names for kind in ("soft", "hard")]
    files.content(name="open files of logins", path=_LIMITS, text="\n".join(lines))
    files.content(name="open files of services", path=_SYSTEMD_LIMITS, text=f"[Manager]\nDefaultLimitNOFILE={limit}\n")
