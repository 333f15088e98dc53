"""A cluster's admin kubeconfig, made usable from outside (D4, D17). Pure."""

from __future__ import annotations

import yaml

from app.protocol.ports import HostPort


def public_kubeconfig(text: str, node: str, address: str) -> str:
    """The same credentials with the public address; cluster, user and context are named like the node.

    Raises:
        ValueError: not a kubeconfig; the text is not shown, it may hold a key.
    """
    try:
        config = yaml.safe_load(text)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    except (yaml.YAMLError, KeyError, IndexError, TypeError):
        raise ValueError(f"what {node} has in place of a kubeconfig is none: remove it and restart k3s") from None
    named = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": node, "cluster": {**cluster, "server": f"https://{address}:{HostPort.KUBERNETES_API}"}}],
        "users": [{"name": node, "user": user}],
        "contexts": [{"name": node, "context": {"cluster": node, "user": node}}],
        "current-context": node,
    }
    return yaml.safe_dump(named, sort_keys=False)
