"""Node exporter: what a machine's kernel counts, and on the control host what the tracker wrote.

It sees the machine's files read-only and as nobody: only what everybody may read. It speaks to no API.
"""

from __future__ import annotations

from typing import Final

from pulumi import ResourceOptions

from app.protocol.ports import HostPort
from infra.components.network import Traffic, from_pods
from infra.components.place import Place
from infra.components.pod import NAME_LABEL, Health, Mount, Pod, Program
from infra.components.prometheus import APP
from infra.components.workload import Workload, WorkloadArgs
from infra.images.names import ImageName

NAME: Final = "node-exporter"
_HOST: Final = "/host"
_MEMORY_MIB: Final = 64
#: Those that `infra/dashboards/exporters.yaml` lists.
_COLLECTORS: Final = ("cpu", "meminfo", "filesystem", "netdev", "loadavg", "stat")
#: Mounts of pods and of the kernel say nothing of the machine's disks.
_NO_DISKS: Final = "^/(dev|proc|run|sys|var/lib/(containerd|kubelet|rancher))($|/)"


def node_exporter(place: Place, text_folder: str | None, opts: ResourceOptions) -> Workload:
    """Deployment `node-exporter` on the machine's own network: a pod's would show a pod's traffic.

    `text_folder`: folder of the machine whose `*.prom` files it shows too.
    """
    collectors = (*_COLLECTORS, *(("textfile",) if text_folder else ()))
    program = Program(
        name=NAME,
        image=place.reference(ImageName.NODE_EXPORTER),
        pull_policy=place.pull_policy,
        arguments=(
            f"--path.procfs={_HOST}/proc",
            f"--path.sysfs={_HOST}/sys",
            f"--path.rootfs={_HOST}",
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in collectors),
            f"--collector.filesystem.mount-points-exclude={_NO_DISKS}",
            *((f"--collector.textfile.directory={_HOST}{text_folder}",) if text_folder else ()),
            f"--web.listen-address=:{int(HostPort.NODE_EXPORTER)}",
        ),
        memory_mib=_MEMORY_MIB,
        mounts=(Mount(path=_HOST, volume={"name": "host", "host_path": {"path": "/", "type": "Directory"}}),),
        scratch=(),
        port=HostPort.NODE_EXPORTER,
        health=Health(live="/", ready="/"),
    )
    return Workload(
        f"{place.node_name}-{NAME}",
        WorkloadArgs(
            place=place,
            pod=Pod(main=program, service_account=NAME, host_network=True),
            # Held by few network plugins for such pods: the machine's firewall is what keeps others out.
            traffic=Traffic(ingress=(from_pods({NAME_LABEL: APP}, HostPort.NODE_EXPORTER),)),
            # Two cannot listen on one port of the machine.
            one_at_a_time=True,
            after=place.builds(ImageName.NODE_EXPORTER),
        ),
        opts,
    )
