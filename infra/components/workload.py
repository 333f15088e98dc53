"""A program of ours that runs always, and one that runs now and then: with account, network policy and service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import ServiceSpecArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicySpecArgsDict

from infra.components.network import Traffic
from infra.components.options import on_cluster
from infra.components.place import Place
from infra.components.pod import NAME_LABEL, Pod, template
from infra.components.rights import Rights, bind

_HISTORY = 3
_RETRIES = 1


@dataclass(frozen=True, kw_only=True)
class WorkloadArgs:
    """One Deployment with one pod. `node_port` makes its port public; `after` are Secrets and such that it reads."""

    place: Place
    pod: Pod
    traffic: Traffic
    rights: Rights = field(default_factory=Rights)
    service: bool = True
    node_port: int | None = None
    #: Two of it at a time do harm or do not fit.
    one_at_a_time: bool = False
    after: Sequence[pulumi.Resource] = ()


class Workload(pulumi.ComponentResource):
    """Deployment, Service, ServiceAccount, rights, NetworkPolicy; restarted only by its own image and settings."""

    deployment: kubernetes.apps.v1.Deployment

    def __init__(self, name: str, args: WorkloadArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:Workload", name, {"image": args.pod.main.image}, opts)
        place, program = args.place, args.pod.main
        before = [*args.after, *_surroundings(self, name, args.place, args.pod, args.traffic, args.rights)]
        if args.service and program.port is not None:
            before.append(_service(self, name, args, program.port))
        self.deployment = kubernetes.apps.v1.Deployment(
            name,
            metadata={"name": program.name, "namespace": place.namespace, "labels": {NAME_LABEL: args.pod.app}},
            spec={
                "replicas": 1,
                "revision_history_limit": _HISTORY,
                "selector": {"match_labels": {NAME_LABEL: args.pod.app}},
                "strategy": {"type": "Recreate"}
                if args.one_at_a_time
                else {"type": "RollingUpdate", "rolling_update": {"max_surge": 1, "max_unavailable": 0}},
                "template": template(args.pod),
            },
            opts=on_cluster(self, place.cluster.provider, place.host, depends_on=before),
        )
        self.register_outputs({"image": program.image})


@dataclass(frozen=True, kw_only=True)
class ScheduledArgs:
    """One CronJob that never overlaps itself. `deadline_seconds` ends a run that hangs."""

    place: Place
    pod: Pod
    traffic: Traffic
    schedule: str
    deadline_seconds: int
    rights: Rights = field(default_factory=Rights)
    after: Sequence[pulumi.Resource] = ()


class Scheduled(pulumi.ComponentResource):
    """CronJob, ServiceAccount, rights, NetworkPolicy."""

    def __init__(self, name: str, args: ScheduledArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("headframe:infra:Scheduled", name, {"image": args.pod.main.image}, opts)
        place, program = args.place, args.pod.main
        before = [*args.after, *_surroundings(self, name, args.place, args.pod, args.traffic, args.rights)]
        kubernetes.batch.v1.CronJob(
            name,
            metadata={"name": program.name, "namespace": place.namespace, "labels": {NAME_LABEL: args.pod.app}},
            spec={
                "schedule": args.schedule,
                "concurrency_policy": "Forbid",
                "starting_deadline_seconds": args.deadline_seconds,
                "successful_jobs_history_limit": 1,
                "failed_jobs_history_limit": _HISTORY,
                "job_template": {
                    "spec": {
                        "backoff_limit": _RETRIES,
                        "active_deadline_seconds": args.deadline_seconds,
                        "template": template(args.pod),
                    }
                },
            },
            opts=on_cluster(self, place.cluster.provider, place.host, depends_on=before),
        )
        self.register_outputs({"image": program.image})


def _surroundings(
    parent: pulumi.Resource, name: str, place: Place, pod: Pod, traffic: Traffic, rights: Rights
) -> list[pulumi.Resource]:
    """Account, rights and network policy: there before the first pod is."""
    program = pod.main
    options = on_cluster(parent, place.cluster.provider, place.host, depends_on=[place.namespace_ready])
    account = kubernetes.core.v1.ServiceAccount(
        name,
        metadata={"name": pod.service_account, "namespace": place.namespace},
        # Pods that speak to the cluster say so themselves.
        automount_service_account_token=False,
        opts=options,
    )
    policy = kubernetes.networking.v1.NetworkPolicy(
        name,
        metadata={"name": program.name, "namespace": place.namespace},
        spec=_policy(pod.app, traffic),
        opts=options,
    )
    return [account, policy, *bind(name, pod.service_account, rights, options, home=place.namespace)]


def _policy(app: str, traffic: Traffic) -> NetworkPolicySpecArgsDict:
    return {
        "pod_selector": {"match_labels": {NAME_LABEL: app}},
        "policy_types": ["Ingress", "Egress"],
        "ingress": list(traffic.ingress),
        "egress": list(traffic.egress),
    }


def _service(parent: pulumi.Resource, name: str, args: WorkloadArgs, port: int) -> kubernetes.core.v1.Service:
    program, place = args.pod.main, args.place
    spec: ServiceSpecArgsDict = {
        "selector": {NAME_LABEL: args.pod.app},
        "ports": [{"name": "http", "port": port, "target_port": port}],
    }
    if args.node_port is not None:
        spec = {
            "selector": {NAME_LABEL: args.pod.app},
            "type": "NodePort",
            # Local: programs see who really calls.
            "external_traffic_policy": "Local",
            "ports": [{"name": "http", "port": port, "target_port": port, "node_port": args.node_port}],
        }
    return kubernetes.core.v1.Service(
        name,
        metadata={
            "name": program.name,
            "namespace": place.namespace,
            # The pods that it would wait for come after it.
            "annotations": {"pulumi.com/skipAwait": "true"},
        },
        spec=spec,
        opts=on_cluster(parent, place.cluster.provider, place.host, depends_on=[place.namespace_ready]),
    )
