"""The registry proxy of a bare node: its container runtime pulls chutes' images through it, signed by the miner API.

Only the node itself reaches it: it signs with the miner's name. Its token is this node's own (D17).
"""

from __future__ import annotations

import hashlib
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes

from app.protocol.labels import CHUTES_NAMESPACE
from app.protocol.ports import ClusterPort, NodePort
from app.protocol.registry_proxy_settings import ProxySettings, Upstream, nginx_settings, token_settings, upstreams
from infra.components.network import Traffic, name_lookups, to_machines
from infra.components.node_program import NodeProgramArgs
from infra.components.options import child, on_cluster
from infra.components.pod import Health, Mount, Pod, Program
from infra.components.workload import Workload, WorkloadArgs
from infra.images.names import NGINX_CONFIGURATION, ImageName
from infra.resources.password import Password

NAME: Final = "registry-proxy"
_TOKEN_FOLDER: Final = "/etc/headframe-token"  # noqa: S105 a path
_TOKEN_FILE: Final = "token.conf"  # noqa: S105 a name
_MEMORY_MIB: Final = 128


class RegistryProxy(pulumi.ComponentResource):
    """Deployment, configuration and token. `token_sha256` is what the miner API is told of it."""

    workload: Workload
    token_sha256: pulumi.Output[str]

    def __init__(
        self, name: str, args: NodeProgramArgs, miner_api: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("headframe:infra:RegistryProxy", name, {"minerApi": miner_api}, opts)
        rotation = args.node.registry_token_rotation
        token = Password(f"{name}-token", rotation=rotation, opts=child(self))
        # A digest of 32 random characters tells nothing of them, and is compared in previews.
        self.token_sha256 = pulumi.Output.unsecret(token.value.apply(_digest))
        settings = _nginx(args, miner_api)
        after = [*args.after, self._configuration(name, args, settings), self._token(name, args, token)]
        config = {"nginx": settings, "token": str(rotation)}
        self.workload = Workload(
            name,
            WorkloadArgs(
                place=args.place,
                pod=Pod(main=_program(args), service_account=NAME, config=config),
                # Traffic of the node itself is always let through; nobody else's is.
                traffic=Traffic(egress=(name_lookups(), to_machines())),
                node_port=NodePort.REGISTRY_PROXY,
                after=after,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"tokenSha256": self.token_sha256})

    def _configuration(self, name: str, args: NodeProgramArgs, text: str) -> kubernetes.core.v1.ConfigMap:
        place = args.place
        return kubernetes.core.v1.ConfigMap(
            f"{name}-configuration",
            metadata={"name": f"{NAME}-configuration", "namespace": CHUTES_NAMESPACE},
            data={_file(NGINX_CONFIGURATION): text},
            opts=on_cluster(self, place.cluster.provider, place.host, depends_on=[place.cluster.namespace]),
        )

    def _token(self, name: str, args: NodeProgramArgs, token: Password) -> kubernetes.core.v1.Secret:
        place = args.place
        return kubernetes.core.v1.Secret(
            f"{name}-token",
            metadata={"name": f"{NAME}-token", "namespace": CHUTES_NAMESPACE},
            string_data={_TOKEN_FILE: token.value.apply(token_settings)},
            opts=on_cluster(self, place.cluster.provider, place.host, depends_on=[place.cluster.namespace]),
        )


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _file(path: str) -> str:
    return path.rpartition("/")[2]


def _nginx(args: NodeProgramArgs, miner_api: str) -> str:
    first = args.miner.validators[0]
    return nginx_settings(
        ProxySettings(
            miner_api=miner_api,
            registries=upstreams(args.miner.validators),
            default=Upstream.parse(first.registry),
            token_file=f"{_TOKEN_FOLDER}/{_TOKEN_FILE}",
            work_folder="/tmp",  # noqa: S108 in the container
        )
    )


def _program(args: NodeProgramArgs) -> Program:
    return Program(
        name=NAME,
        image=args.place.reference(ImageName.REGISTRY_PROXY),
        pull_policy=args.place.pull_policy,
        arguments=("-g", "daemon off;"),
        memory_mib=_MEMORY_MIB,
        mounts=(
            Mount(
                path=NGINX_CONFIGURATION.rpartition("/")[0],
                volume={"name": "configuration", "config_map": {"name": f"{NAME}-configuration"}},
            ),
            Mount(
                path=_TOKEN_FOLDER,
                volume={"name": "token", "secret": {"secret_name": f"{NAME}-token", "default_mode": 0o440}},
            ),
        ),
        port=ClusterPort.REGISTRY_PROXY,
        health=Health(live="/healthz", ready="/healthz"),
    )
