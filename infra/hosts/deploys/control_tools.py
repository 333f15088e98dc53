"""One merged kubeconfig, `ktx`, `kns` and `chutes-miner` on the control host (spec: infra 4.1.6, 6.5).

A deploy of its own scope: it needs every node's kubeconfig, and the control host itself must wait for no node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import yaml
from pyinfra.api.deploy import deploy

from app.protocol.labels import CHUTES_NAMESPACE
from app.protocol.ports import ClusterPort
from infra.hosts.operations import files
from infra.hosts.paths import K3S, K3S_KUBECONFIG
from infra.spec import ClusterAccess, HostSpec

KUBECONFIG: Final = "/etc/headframe/kubeconfig"
PROFILE: Final = "/etc/profile.d/headframe.sh"
KTX: Final = "/usr/local/bin/ktx"
KNS: Final = "/usr/local/bin/kns"
CLI: Final = "/usr/local/bin/chutes-miner"
#: Gives the pod's hotkey to the command as a file in memory, which is gone with the process.
CLI_ENTRY: Final = (
    "import json, os; "
    "fd = os.memfd_create('hotkey'); "
    "key = {'ss58Address': os.environ['MINER_SS58'], 'secretSeed': os.environ['MINER_SEED']}; "
    "os.write(fd, json.dumps(key).encode()); "
    "os.environ.setdefault('HOTKEY', f'/proc/self/fd/{fd}'); "
    "from app.cli.main import main; main()"
)
_CLI_TEXT: Final = f"""\
#!/bin/sh
# The miner's commands, run in the miner API's pod: in its version, and with the hotkey that is there already.
tty=-i; [ -t 0 ] && [ -t 1 ] && tty=-it
exec {K3S} kubectl --kubeconfig {K3S_KUBECONFIG} -n {CHUTES_NAMESPACE} exec $tty deploy/api -c api -- \\
env MINER_API=http://127.0.0.1:{int(ClusterPort.HTTP)} python3 -c "{CLI_ENTRY}" "$@"
"""
_PROFILE_TEXT: Final = f'[ ! -r {KUBECONFIG} ] || export KUBECONFIG="${{KUBECONFIG:-{KUBECONFIG}}}"\n'
_KTX_TEXT: Final = """\
#!/bin/sh
# ktx: list the clusters, the current one marked. ktx NAME: work on that one.
[ $# -eq 0 ] && exec kubectl config get-contexts
exec kubectl config use-context "$1"
"""
_KNS_TEXT: Final = """\
#!/bin/sh
# kns: list the namespaces of the current cluster. kns NAME: work in that one.
[ $# -eq 0 ] && exec kubectl get namespaces
kubectl get namespace "$1" >/dev/null && exec kubectl config set-context --current --namespace="$1"
"""


@deploy("tools")
def control_tools(spec: HostSpec) -> None:
    """What operators work with, for root alone."""
    merged = merged_kubeconfig(spec.clusters)
    files.content(name="kubeconfig of all clusters", path=KUBECONFIG, text=merged, mode="600")
    files.content(name="kubeconfig in shells", path=PROFILE, text=_PROFILE_TEXT)
    files.content(name="ktx", path=KTX, text=_KTX_TEXT, mode="755")
    files.content(name="kns", path=KNS, text=_KNS_TEXT, mode="755")
    files.content(name="chutes-miner", path=CLI, text=_CLI_TEXT, mode="700")


@deploy("tools")
def no_control_tools() -> None:
    """Nothing of it is left."""
    for path in (KUBECONFIG, PROFILE, KTX, KNS, CLI):
        files.absent(name=f"no {path}", path=path)


def merged_kubeconfig(clusters: Sequence[ClusterAccess]) -> str:
    """One kubeconfig: cluster, user and context of each are named like its node. Without an empty one, and sorted, so
    that the order of nodes means nothing; the current context is the first."""
    parts = [
        yaml.safe_load(item.kubeconfig.get_secret_value()) for item in sorted(clusters, key=lambda item: item.name)
    ]
    filled = [part for part in parts if part]
    merged = {
        "apiVersion": "v1",
        "kind": "Config",
        **{key: [item for part in filled for item in part[key]] for key in ("clusters", "users", "contexts")},
        "current-context": filled[0]["current-context"] if filled else "",
    }
    return yaml.safe_dump(merged, sort_keys=False)
