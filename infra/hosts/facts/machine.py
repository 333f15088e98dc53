"""`HostFacts` of a machine, in one round trip."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Final

from pyinfra.api import FactBase
from pyinfra.api.host import Host

from infra.spec import EchoSpec, GpuFacts, HostFacts, HostRole, HostSpec

# Interfaces that the cluster or a container engine makes are left out: they come and go with it, and a node
# address taken from one would change the cluster's settings on the second run.
_SCRIPT: Final = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
say machine_id "$(cat /etc/machine-id 2>/dev/null)"
say hostname "$(cat /proc/sys/kernel/hostname)"
( . /etc/os-release 2>/dev/null; say os_id "$ID"; say os_version "$VERSION_ID" )
say kernel "$(uname -r)"
say architecture "$(uname -m)"
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then say cgroup_version 2; else say cgroup_version 1; fi
say cores "$(nproc)"
awk '/^MemTotal:/{print "ram_mib=" int($2/1024)} /^SwapTotal:/{print "swap_mib=" int($2/1024)}' /proc/meminfo
say root_free_gib "$(df -Pk / | awk 'NR==2{print int($4/1048576)}')"
say data_free_gib "$(df -Pk @DATA@ 2>/dev/null | awk 'NR==2{print int($4/1048576)}')"
ip -4 -o addr show scope global 2>/dev/null | awk '$2 !~ /^(cni|flannel|docker|veth|kube|virbr|tunl|cali)/ \
{split($4, a, "/"); print "address=" a[1]}'
say route_address "$(ip -4 -o route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')"
say k3s_version "$(/usr/local/bin/k3s --version 2>/dev/null | awk 'NR==1{print $3}')"
if command -v nvidia-smi >/dev/null; then
say driver_version "$(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1)"
nvidia-smi --query-gpu=index,name,uuid,memory.total --format=csv,noheader,nounits 2>/dev/null | sed 's/^/gpu=/'
fi
@VAR_SNAP@
@EGRESS@
if [ -e /run/reboot-required ]; then say reboot_required yes; else say reboot_required no; fi
if command -v apt-get >/dev/null; then
seen=/run/headframe-security-updates
if [ ! "$seen" -nt /var/lib/dpkg/status ] || [ ! "$seen" -nt /var/lib/apt/lists ]; then
apt-get -s -o Debug::NoLocking=true dist-upgrade 2>/dev/null | grep -c '^Inst .*[Ss]ecurity' > "$seen.$$"
mv "$seen.$$" "$seen" 2>/dev/null || rm -f "$seen.$$"
fi
say pending_security_updates "$(cat "$seen" 2>/dev/null)"
fi
"""
# The file system that will hold /var/snap: before a declared bind mount stands, that of its source.
_VAR_SNAP: Final = r"""
place=/var/snap; source=@SOURCE@
mountpoint -q "$place" || [ -z "$source" ] || place=$source
while [ ! -e "$place" ]; do place=$(dirname "$place"); done
say var_snap_gib "$(df -Pk "$place" | awk 'NR==2{print int($2/1048576)}')"
say var_snap_filesystem "$(findmnt -n -o FSTYPE -T "$place" 2>/dev/null | tail -n 1)"
mount=$(findmnt -n -o TARGET -T "$place" 2>/dev/null | tail -n 1)
case "$mount" in
'') ;;
/) say var_snap_persistent yes ;;
*) if awk -v m="$mount" '$2 == m && $1 !~ /^#/ {found=1} END {exit !found}' /etc/fstab 2>/dev/null || \
systemctl is-enabled -q "$(systemd-escape --path --suffix=mount "$mount")" 2>/dev/null; then say var_snap_persistent yes
else say var_snap_persistent no; fi ;;
esac
"""
# Three probes: a pool of addresses shows within a look, and nothing is remembered that a repaired route would have to
# live down. An echo that does not answer is no observation.
_EGRESS: Final = r"""
for probe in 1 2 3; do
timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1" && cat <&3' @ECHO_HOST@ @ECHO_PORT@ 2>/dev/null || break
done | grep -xE '[0-9.]+' | sort -u | sed 's/^/egress=/'
"""
_VAR_SNAP_PATH: Final = "/var/snap"
_YES_NO: Final = {"yes": True, "no": False}
_NUMBERS: Final = frozenset(
    {
        "cgroup_version",
        "cores",
        "ram_mib",
        "swap_mib",
        "root_free_gib",
        "data_free_gib",
        "var_snap_gib",
        "pending_security_updates",
    }
)


class Machine(FactBase[dict[str, list[str]]]):
    """Raw observations: name -> values in order; empty values are left out."""

    default = dict

    def command(self, data_path: str, var_snap_source: str = "", echo: EchoSpec | None = None) -> str:
        var_snap = _VAR_SNAP.replace("@SOURCE@", shlex.quote(var_snap_source))
        egress = ""
        if echo is not None:
            egress = _EGRESS.replace("@ECHO_HOST@", shlex.quote(echo.host)).replace("@ECHO_PORT@", str(echo.port))
        parts = {"@DATA@": shlex.quote(data_path), "@VAR_SNAP@": var_snap, "@EGRESS@": egress}
        script = _SCRIPT
        for mark, text in parts.items():
            script = script.replace(mark, text)
        return script

    def process(self, output: Iterable[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in output:
            name, separator, value = line.partition("=")
            if separator and value.strip():
                found.setdefault(name, []).append(value.strip())
        return found


def read_facts(host: Host, spec: HostSpec) -> HostFacts:
    """Observe the machine now. What could not be observed is None, never zero."""
    data_path = spec.storage[0].target if spec.storage else "/var"
    source = next((mount.source for mount in spec.storage if mount.target == _VAR_SNAP_PATH), "")
    echo = spec.echo if spec.role is HostRole.GPU else None
    found: dict[str, list[str]] = host.get_fact(Machine, data_path, source, echo)
    return facts_of(found)


def facts_of(found: Mapping[str, list[str]]) -> HostFacts:
    """The typed form of raw observations."""
    fields: dict[str, object] = {}
    for name, values in found.items():
        if name in _NUMBERS:
            fields[name] = int(values[0]) if values[0].isdigit() else None
        elif name in HostFacts.model_fields:
            fields[name] = values[0]
    for name in ("reboot_required", "var_snap_persistent"):
        fields[name] = _YES_NO.get(*found.get(name, [""]))
    fields["egress_addresses"] = tuple(found.get("egress", ()))
    fields["addresses"] = tuple(found.get("address", ()))
    fields["gpus"] = tuple(_gpu(line) for line in found.get("gpu", ()))
    return HostFacts.model_validate(fields)


def _gpu(line: str) -> GpuFacts:
    """One line of nvidia-smi; a GPU's name may hold commas."""
    index, rest = line.split(",", 1)
    name, uuid, memory = rest.rsplit(",", 2)
    return GpuFacts(index=int(index), name=name.strip(), uuid=uuid.strip(), memory_mib=int(float(memory)))
