"""The cluster behind the provider's back: plain HTTPS, and controllers that a play acts itself.

The API server of the plays has no node and hardly a controller, so statuses are the same in every run.
"""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import yaml

from tests.support.vectors import Json

_CALL_SECONDS: Final = 20.0
_WAIT_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.1
_MOMENT: Final = "2026-01-01T00:00:00Z"


def condition(kind: str, status: str, reason: str) -> Json:
    """A status condition as a deployment has it."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": f"{kind} is {status}",
        "lastUpdateTime": _MOMENT,
        "lastTransitionTime": _MOMENT,
    }


class Cluster:
    """The API server that a kubeconfig with a token names."""

    def __init__(self, kubeconfig: str) -> None:
        config = yaml.safe_load(kubeconfig)
        self._server = config["clusters"][0]["cluster"]["server"]
        self.token = config["users"][0]["user"]["token"]
        self._tls = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])

    def call(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> Json:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._server + path, data, headers, method=method)
        with urllib.request.urlopen(request, context=self._tls, timeout=_CALL_SECONDS) as answer:
            result: Json = json.load(answer)
            return result

    def get(self, path: str) -> Json | None:
        try:
            return self.call("GET", path)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
            return None

    def wait(self, path: str, until: Callable[[Json], bool] = lambda _: True) -> Json:
        """The object at a path, once it is there and as wanted."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while time.monotonic() < deadline:
            found = self.get(path)
            if found is not None and until(found):
                return found
            time.sleep(_PAUSE_SECONDS)
        raise TimeoutError(f"{path} was not as wanted in {_WAIT_SECONDS:g} s")

    def merge(self, path: str, body: Json, manager: str = "play") -> Json:
        return self.call("PATCH", f"{path}?fieldManager={manager}", body, "application/merge-patch+json")

    def apply(self, path: str, body: Json, manager: str) -> Json:
        return self.call("PATCH", f"{path}?fieldManager={manager}&force=true", body, "application/apply-patch+yaml")

    def drop(self, path: str) -> None:
        """Delete an object, and wait until it is gone. One that is not there is fine."""
        if self.get(path) is None:
            return
        self.call("DELETE", path)
        deadline = time.monotonic() + _WAIT_SECONDS
        while self.get(path) is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} is not gone after {_WAIT_SECONDS:g} s")
            time.sleep(_PAUSE_SECONDS)

    def namespace(self, name: str) -> str:
        """A fresh, empty namespace."""
        self.drop(f"/api/v1/namespaces/{name}")
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    # Controllers, acted once.

    def status(self, path: str, status: Json) -> None:
        self.wait(path)
        self.merge(f"{path}/status", {"status": status})

    def observe(self, path: str, generation: int) -> None:
        """Report a generation as observed, once it is there."""
        self.wait(path, lambda live: bool(live["metadata"]["generation"] == generation))
        self.merge(f"{path}/status", {"status": {"observedGeneration": generation}})

    def release(self, path: str) -> None:
        """Act the garbage collector, which learns of new kinds only after half a minute."""
        deadline = time.monotonic() + _WAIT_SECONDS
        while (live := self.get(path)) is not None and "deletionTimestamp" not in live["metadata"]:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} was not deleted in {_WAIT_SECONDS:g} s")
            time.sleep(_PAUSE_SECONDS)
        try:
            self.merge(path, {"metadata": {"finalizers": None}})
        except urllib.error.HTTPError as error:
            with error:
                if error.code != HTTPStatus.NOT_FOUND:  # the real collector was quicker: the object is gone, as wanted
                    raise

    def roll_out(self, space: str, name: str, *, available: bool = True) -> None:
        """What the deployment controller leaves behind: a replica set, its revision, conditions."""
        path = f"/apis/apps/v1/namespaces/{space}/deployments/{name}"
        live = self.wait(path)
        count = live["spec"]["replicas"] if available else 0
        self._replica_set(space, name, live, count)
        live = self.merge(path, {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "1"}}})
        status = "True" if available else "False"
        conditions = [
            condition("Available", status, "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable"),
            condition("Progressing", status, "NewReplicaSetAvailable" if available else "ProgressDeadlineExceeded"),
        ]
        counts = {"replicas": live["spec"]["replicas"], "readyReplicas": count, "availableReplicas": count}
        observed = {"updatedReplicas": count, "observedGeneration": live["metadata"]["generation"]}
        self.merge(f"{path}/status", {"status": {**counts, **observed, "conditions": conditions}})

    def _replica_set(self, space: str, name: str, live: Json, count: int) -> None:
        path = f"/apis/apps/v1/namespaces/{space}/replicasets"
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": live["metadata"]["uid"]}
        metadata = {
            "name": f"{name}-1",
            "labels": live["spec"]["selector"]["matchLabels"],
            "annotations": {"deployment.kubernetes.io/revision": "1"},
            "ownerReferences": [{**owner, "controller": True}],
        }
        spec = {key: live["spec"][key] for key in ("replicas", "selector", "template")}
        self.call("POST", path, {"metadata": metadata, "spec": spec})
        counts = {"replicas": spec["replicas"], "readyReplicas": count, "availableReplicas": count}
        self.merge(f"{path}/{name}-1/status", {"status": {**counts, "observedGeneration": 1}})
