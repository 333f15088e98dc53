"""One merged kubeconfig, `ktx` and `kns` on the control host (spec: infra 4.1.6, 6.5).

A deploy of its own scope: it needs every node's kubeconfig, and the control host itself must wait for no node.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import yaml
from pyinfra.api.deploy import deploy

from infra.hosts.operations import files
from infra.spec import ClusterAccess, HostSpec

KUBECONFIG: Final = "/etc/headframe/kubeconfig"
PROFILE: Final = "/etc/profile.d/headframe.sh"
KTX: Final = "/usr/local/bin/ktx"
KNS: Final = "/usr/local/bin/kns"
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


@deploy("tools")
def no_control_tools() -> None:
    """Nothing of it is left."""
    for path in (KUBECONFIG, PROFILE, KTX, KNS):
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
