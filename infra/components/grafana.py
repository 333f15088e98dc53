"""Grafana on the control host: the fleet's dashboards, for operators. It keeps nothing: files are its only source.

A public image pinned by digest. It reaches Prometheus and nothing else, so it downloads no plugin and reports nowhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_kubernetes as kubernetes

from app.protocol.ports import ClusterPort, NodePort
from infra.components.network import Traffic, from_anywhere, name_lookups, to_pods
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.pod import NAME_LABEL, Health, Mount, Pod, Program, SecretKey
from infra.components.prometheus import APP, config_map
from infra.components.prometheus import NAME as PROMETHEUS
from infra.components.workload import Workload, WorkloadArgs
from infra.dashboards.grafana import SOURCE_UID, grafana_json, read_boards
from infra.settings.monitoring import GrafanaSettings

NAME: Final = "grafana"
#: The public chart's name of the administrator.
_ADMINISTRATOR: Final = "chutes"
_PASSWORD: Final = SecretKey(secret="grafana-admin", key="password")  # noqa: S106 names
_PROVISIONING: Final = "/etc/headframe/provisioning"
_BOARDS: Final = "/etc/headframe/dashboards"
_WORK: Final = "/var/lib/grafana"


@dataclass(frozen=True, kw_only=True)
class GrafanaArgs:
    """`place` is the control cluster's monitoring namespace."""

    settings: GrafanaSettings
    place: Place
    password: pulumi.Input[str]


class Grafana(pulumi.ComponentResource):
    """Deployment `grafana` on its node port; the firewall lets operators in."""

    workload: Workload

    def __init__(self, name: str, args: GrafanaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:Grafana", name, {"image": args.settings.image}, opts)
        place = args.place
        files = _files()
        maps = [config_map(self, f"{name}-{kind}", place, f"{name}-{kind}", texts) for kind, texts in files.items()]
        secret = kubernetes.core.v1.Secret(
            f"{name}-admin",
            metadata={"name": _PASSWORD.secret, "namespace": place.namespace},
            string_data={_PASSWORD.key: args.password},
            opts=on_cluster(self, place.cluster.provider, place.host, depends_on=[place.namespace_ready]),
        )
        config = {"files": json.dumps(files), "password": str(args.settings.password_rotation)}
        self.workload = Workload(
            name,
            WorkloadArgs(
                place=place,
                pod=Pod(main=_program(args.settings), service_account=NAME, config=config),
                traffic=Traffic(
                    ingress=(from_anywhere(ClusterPort.HTTP),),
                    egress=(name_lookups(), to_pods({NAME_LABEL: APP}, ClusterPort.PROMETHEUS)),
                ),
                node_port=NodePort.GRAFANA,
                after=[*maps, secret],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def _files() -> dict[str, dict[str, str]]:
    """Texts by file name, by ConfigMap. JSON is YAML."""
    source = {
        "uid": SOURCE_UID,
        "name": "Prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": f"http://{PROMETHEUS}:{int(ClusterPort.PROMETHEUS)}",
        "isDefault": True,
    }
    provider = {"name": "headframe", "type": "file", "options": {"path": _BOARDS}}
    return {
        "datasources": {"prometheus.yaml": json.dumps({"apiVersion": 1, "datasources": [source]})},
        "providers": {"headframe.yaml": json.dumps({"apiVersion": 1, "providers": [provider]})},
        "dashboards": {f"{board.uid}.json": grafana_json(board) for board in read_boards()},
    }


def _program(settings: GrafanaSettings) -> Program:
    folders = {
        "datasources": f"{_PROVISIONING}/datasources",
        "providers": f"{_PROVISIONING}/dashboards",
        "dashboards": _BOARDS,
    }
    return Program(
        name=NAME,
        image=settings.image,
        # Public and pinned by digest: what is there is right.
        pull_policy="IfNotPresent",
        memory_mib=settings.memory_mib,
        environment={
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_PATHS_DATA": _WORK,
            "GF_PATHS_LOGS": f"{_WORK}/log",
            "GF_PATHS_PLUGINS": f"{_WORK}/plugins",
            "GF_PATHS_PROVISIONING": _PROVISIONING,
            "GF_PLUGINS_PREINSTALL_DISABLED": "true",
            "GF_SECURITY_ADMIN_USER": _ADMINISTRATOR,
            "GF_SERVER_HTTP_PORT": str(int(ClusterPort.HTTP)),
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "HOME": _WORK,
        },
        secrets={"GF_SECURITY_ADMIN_PASSWORD": _PASSWORD},
        mounts=tuple(
            Mount(path=path, volume={"name": kind, "config_map": {"name": f"{NAME}-{kind}"}})
            for kind, path in folders.items()
        ),
        scratch=(_WORK, "/tmp"),  # noqa: S108 in the container
        port=ClusterPort.HTTP,
        health=Health(live="/api/health", ready="/api/health"),
    )
