"""`HostFacts` of a machine, in one round trip."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Final

from pyinfra.api import FactBase
from pyinfra.api.host import Host

from infra.spec import GpuFacts, HostFacts, HostSpec

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
_NUMBERS: Final = frozenset(
    {"cgroup_version", "cores", "ram_mib", "swap_mib", "root_free_gib", "data_free_gib", "pending_security_updates"}
)


class Machine(FactBase[dict[str, list[str]]]):
    """Raw observations: name -> values in order; empty values are left out."""

    default = dict

    def command(self, data_path: str) -> str:
        return _SCRIPT.replace("@DATA@", shlex.quote(data_path))

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
    found: dict[str, list[str]] = host.get_fact(Machine, data_path)
    return facts_of(found)


def facts_of(found: Mapping[str, list[str]]) -> HostFacts:
    """The typed form of raw observations."""
    fields: dict[str, object] = {}
    for name, values in found.items():
        if name in _NUMBERS:
            fields[name] = int(values[0]) if values[0].isdigit() else None
        elif name in HostFacts.model_fields:
            fields[name] = values[0]
    fields["reboot_required"] = {"yes": True, "no": False}.get(*found.get("reboot_required", [""]))
    fields["addresses"] = tuple(found.get("address", ()))
    fields["gpus"] = tuple(_gpu(line) for line in found.get("gpu", ()))
    return HostFacts.model_validate(fields)


def _gpu(line: str) -> GpuFacts:
    """One line of nvidia-smi; a GPU's name may hold commas."""
    index, rest = line.split(",", 1)
    name, uuid, memory = rest.rsplit(",", 2)
    return GpuFacts(index=int(index), name=name.strip(), uuid=uuid.strip(), memory_mib=int(float(memory)))
