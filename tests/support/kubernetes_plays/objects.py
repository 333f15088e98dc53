"""Plays of the plain life of objects that nobody waits for."""

from __future__ import annotations

from typing import Any, Final

from tests.support.kubernetes_plays.resource import Resource
from tests.support.kubernetes_plays.stage import Plays, ProviderProcess, Stage
from tests.support.kubernetes_plays.wishes import config_map, metadata, once, secret
from tests.support.vectors import Json

PLAYS: Final = Plays()


def live(provider: ProviderProcess, type_: str, name: str, first: Json, second: Json) -> None:
    """The common life: create, no change, change, refresh, delete."""
    thing = Resource(provider, type_, name)
    thing.create(first, timeout=20)
    thing.diff(first, "same")
    thing.update(second, timeout=20)
    thing.read()
    thing.diff(second, "after read")
    thing.delete(timeout=30)


@PLAYS
def namespace(stage: Stage) -> None:
    stage.cluster().drop("/api/v1/namespaces/v-namespace")
    first: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "v-namespace"}}
    second = {**first, "metadata": {"name": "v-namespace", "labels": {"team": "blue"}}}
    live(stage.provider(), "core/v1:Namespace", "space", first, second)


@PLAYS
def configmap_autonamed(stage: Stage) -> None:
    provider, _, space = stage.set_up()
    thing = Resource(provider, "core/v1:ConfigMap", "settings")
    thing.create(config_map(space, None, {"a": "1"}))
    thing.diff(config_map(space, None, {"a": "1"}), "same")
    thing.diff(config_map(space, None, {"a": "2"}), "data changed")
    thing.diff(config_map(space, None, {"a": "1"}, labels={"x": "y"}), "label added")
    thing.diff(config_map(space, "named", {"a": "1"}), "named now")
    thing.read()
    thing.delete()


@PLAYS
def configmap_named(stage: Stage) -> None:
    provider, _, space = stage.set_up()
    thing = Resource(provider, "core/v1:ConfigMap", "settings")
    data = {"a": "1", "b": "2"}
    thing.create(config_map(space, "settings", data))
    thing.diff(config_map(space, "settings", {"a": "2", "b": "2"}), "data changed")
    thing.diff(config_map(space, "settings", {**data, "c": "3"}), "key added")
    thing.diff({**config_map(space, "settings", data), "immutable": True}, "immutable set")
    thing.update(config_map(space, "settings", data, labels={"x": "y"}), "label added")
    thing.diff(config_map(space, "other", data), "renamed")
    thing.delete()
    thing.delete("delete again")


@PLAYS
def configmap_mutable(stage: Stage) -> None:
    provider, _, space = stage.set_up(enableConfigMapMutable="true")
    thing = Resource(provider, "core/v1:ConfigMap", "settings")
    thing.create(config_map(space, None, {"a": "1", "gone": "x"}))
    changed = config_map(space, None, {"a": "2"})
    thing.update(changed)
    thing.read()
    thing.diff(changed, "after read")
    thing.diff({**changed, "immutable": True}, "immutable set")
    thing.delete()


@PLAYS
def secret_string_data(stage: Stage) -> None:
    provider, _, space = stage.set_up()

    def wanted(password: Any, **more: Any) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(space, "login", **more),
            "type": "Opaque",
            "stringData": {"user": "ann", "password": password},
        }

    thing = Resource(provider, "core/v1:Secret", "login")
    thing.create(wanted(secret("hunter2")))
    thing.diff(wanted(secret("hunter2")), "same")
    thing.diff(wanted(secret("other")), "password changed")
    thing.diff(wanted("hunter2"), "no longer secret")
    thing.update(wanted(secret("hunter2"), labels={"x": "y"}), "label added")
    thing.read()
    thing.diff(wanted(secret("hunter2")), "after read")
    thing.delete()


@PLAYS
def secret_data_mutable(stage: Stage) -> None:
    provider, _, space = stage.set_up(enableSecretMutable="true")

    def wanted(value: str) -> Json:
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(space), "data": secret({"key": value})}

    thing = Resource(provider, "core/v1:Secret", "login")
    thing.create(wanted("b25l"))
    thing.update(wanted("dHdv"))
    thing.read()
    thing.delete()


@PLAYS
def service_account_and_rbac(stage: Stage) -> None:
    provider, _, space = stage.set_up()
    group = "rbac.authorization.k8s.io"
    account = Resource(provider, "core/v1:ServiceAccount", "robot")
    account.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(space, "robot")}, "account")

    def rules(*verbs: str) -> Json:
        rule = {"apiGroups": [""], "resources": ["pods"], "verbs": list(verbs)}
        return {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata(space, "reader"), "rules": [rule]}

    def binding(role: str) -> Json:
        return {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata(space, "reads"),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "robot", "namespace": space}],
        }

    role = Resource(provider, f"{group}/v1:Role", "reader")
    role.create(rules("get"), "role")
    role.update(rules("get", "list"), "role update")
    bound = Resource(provider, f"{group}/v1:RoleBinding", "reads")
    bound.create(binding("reader"), "binding")
    bound.diff(binding("writer"), "other role")
    for thing, tag in ((bound, "binding delete"), (role, "role delete"), (account, "account delete")):
        thing.delete(tag)


@PLAYS
def network_policy(stage: Stage) -> None:
    provider, _, space = stage.set_up()

    def wanted(port: int) -> Json:
        ingress = [{"ports": [{"protocol": "TCP", "port": port}]}]
        return {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata(space, "allow"),
            "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress},
        }

    live(provider, "networking.k8s.io/v1:NetworkPolicy", "allow", wanted(80), wanted(81))


@PLAYS
def cron_job(stage: Stage) -> None:
    provider, _, space = stage.set_up()

    def wanted(schedule: str) -> Json:
        return {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": metadata(space, "nightly"),
            "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": once()}}},
        }

    live(provider, "batch/v1:CronJob", "nightly", wanted("0 1 * * *"), wanted("0 2 * * *"))
