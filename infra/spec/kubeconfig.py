"""A cluster's admin kubeconfig, made usable from outside (D4, D17). Pure."""

from __future__ import annotations

import yaml

from app.protocol.ports import HostPort


def public_kubeconfig(text: str, node: str, address: str) -> str:
    """The same credentials with the public address; cluster, user and context are named like the node.

    Raises:
        yaml.YAMLError, KeyError, IndexError: not a kubeconfig.
    """
    config = yaml.safe_load(text)
    cluster = config["clusters"][0]["cluster"]
    named = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": node, "cluster": {**cluster, "server": f"https://{address}:{HostPort.KUBERNETES_API}"}}],
        "users": [{"name": node, "user": config["users"][0]["user"]}],
        "contexts": [{"name": node, "context": {"cluster": node, "user": node}}],
        "current-context": node,
    }
    return yaml.safe_dump(named, sort_keys=False)
