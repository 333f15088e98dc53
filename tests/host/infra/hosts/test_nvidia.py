"""The NVIDIA deploy on a booted machine. Everything of NVIDIA is SIMULATED: packages of the real names with nothing in
them but units, one of which shows a loaded driver after the next boot, as the exchange of a driver does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.spec import AptRepository, NvidiaSpec
from tests.support.lab_fleet import booted_fleet
from tests.support.lab_machine import Machine

pytestmark = pytest.mark.host

DRIVER, TOOLKIT = "580.95.05", "1.17.8"
#: Nobody answers there: apt passes over it, and the stand-ins come from a folder.
REPOSITORY = AptRepository(
    name="lab", source="https://127.0.0.1:9/none ./", signing_key="-----BEGIN PGP PUBLIC KEY BLOCK-----\nSIMULATED"
)
NVIDIA = NvidiaSpec(driver_version=DRIVER, toolkit_version=TOOLKIT, fabric_manager=True, repositories=(REPOSITORY,))
_SHOW_DRIVER = f"""\
[Unit]
Description=SIMULATED driver of version {DRIVER}
Before=ssh.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'mount -t tmpfs SIMULATED /proc/driver && mkdir /proc/driver/nvidia && \
echo "NVRM version: SIMULATED Kernel Module  {DRIVER}  Release" > /proc/driver/nvidia/version'
"""
_DAEMON = "[Service]\nExecStart=/bin/sleep inf\n[Install]\nWantedBy=multi-user.target\n"
#: Package -> its version and the units in it.
_PACKAGES = {
    "nvidia-driver-580-server-open": (
        f"{DRIVER}-0simulated",
        {"simulated-driver.service": _SHOW_DRIVER, "nvidia-persistenced.service": _DAEMON},
    ),
    "nvidia-fabricmanager-580": (f"{DRIVER}-1", {"nvidia-fabricmanager.service": _DAEMON}),
    "nvidia-container-toolkit": (f"{TOOLKIT}-1", {}),
}
_OLDER_FABRIC_MANAGER = (
    "sed -i '/^Package: nvidia-fabricmanager-580$/,/^Version/s/^Version: .*/Version: 580.90.01-1/' /var/lib/dpkg/status"
)
_BUILD = """\
set -eu; mkdir -p /opt/simulated; cd /opt/simulated
make() {
  mkdir -p "$1/DEBIAN" "$1/usr/lib/systemd/system" "$1/usr/share/doc/$1"
  echo SIMULATED > "$1/usr/share/doc/$1/README"  # dpkg forgets a package whose every path is another's too
  printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: none\\nDescription: SIMULATED\\n' "$1" "$2" \
> "$1/DEBIAN/control"
}
@PACKAGES@
for name in nvidia-*; do dpkg-deb -b "$name" "$name.deb" >/dev/null; rm -r "$name"; done
for file in *.deb; do
  dpkg-deb -f "$file"; echo "Filename: ./$file"; echo "Size: $(stat -c %s "$file")"
  echo "SHA256: $(sha256sum < "$file" | cut -d' ' -f1)"; echo
done > Packages
echo 'deb [trusted=yes] file:/opt/simulated ./' > /etc/apt/sources.list.d/simulated.list
mkdir -p /etc/systemd/system/multi-user.target.wants
ln -sf /usr/lib/systemd/system/simulated-driver.service /etc/systemd/system/multi-user.target.wants/
"""


def script() -> str:
    """Shell: builds the packages on the machine and shows them to apt."""
    lines = []
    for name, (version, units) in _PACKAGES.items():
        lines.append(f"make {name} {version}")
        lines += [f"cat > {name}/usr/lib/systemd/system/{unit} <<'END'\n{text}END" for unit, text in units.items()]
    return _BUILD.replace("@PACKAGES@", "\n".join(lines))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine whose apt knows the simulated packages, with the deploy applied."""
    with booted_fleet(tmp_path_factory.mktemp("nvidia"), ("gpu-0",)) as fleet:
        (machine,) = Machine.all_of(fleet)
        machine.ssh(script())
        before = boot(machine)
        changed = machine.apply(machine.spec(nvidia=NVIDIA))
        assert f"nvidia | driver {DRIVER} loaded" in changed
        assert boot(machine) != before
        yield machine


def boot(machine: Machine) -> str:
    """When the machine's first process began."""
    return machine.ssh("cut -d' ' -f22 /proc/1/stat")


def test_the_stack_is_installed_pinned_and_runs_after_one_reboot_and_a_second_plan_is_empty(node: Machine) -> None:
    assert node.plan(node.spec(nvidia=NVIDIA)) == ()
    assert node.ssh("systemctl is-active nvidia-persistenced nvidia-fabricmanager") == "active\nactive"
    policy = node.ssh("apt-cache policy nvidia-driver-580-server-open")
    assert f"Installed: {DRIVER}-0simulated" in policy
    assert " 1001\n" in policy


@pytest.mark.parametrize(
    ("damage", "operations"),
    [
        ("rm /etc/apt/keyrings/headframe-lab.asc", ("nvidia | key of lab",)),
        (
            "echo >> /etc/apt/sources.list.d/headframe-lab.list",
            ("nvidia | source lab", "nvidia | package sources read"),
        ),
        ("echo >> /etc/apt/preferences.d/headframe-nvidia", ("nvidia | versions pinned",)),
        ("apt-get -y -q purge nvidia-container-toolkit", ("nvidia | packages",)),
        ("rm /etc/modprobe.d/headframe-nouveau.conf", ("nvidia | nouveau is off",)),
        ("systemctl disable -q --now nvidia-persistenced", ("nvidia | persistence daemon",)),
        ("systemctl stop nvidia-fabricmanager", ("nvidia | fabric manager",)),
        ("rm /etc/udev/rules.d/71-headframe-nvidia.rules", ("nvidia | device links",)),
        (_OLDER_FABRIC_MANAGER, ("nvidia | packages",)),
        ("sed -i s/580/570/ /proc/driver/nvidia/version", (f"nvidia | driver {DRIVER} loaded",)),
    ],
)
def test_drift_is_named_and_repaired(node: Machine, damage: str, operations: tuple[str, ...]) -> None:
    spec = node.spec(nvidia=NVIDIA)
    node.ssh(damage)
    assert node.plan(spec) == operations
    assert set(operations) <= set(node.apply(spec))  # after a reboot a daemon may be found before systemd started it
    assert node.plan(spec) == ()
