"""A short pod that pulls a chute's image onto a node ahead of need (spec: gepetto 22.8)."""

from __future__ import annotations

import uuid

from app.gepetto.kubernetes.container import image_reference
from app.gepetto.kubernetes.plan import DeploymentPlan, JsonObject, PodSettings


def warm_up_job(plan: DeploymentPlan, settings: PodSettings) -> JsonObject:
    """A short pod that pulls the chute's image onto a node and ends; it takes no GPU and has no launch token."""
    name = f"warm-{uuid.uuid5(uuid.NAMESPACE_OID, f'{plan.chute_id}::{plan.version}::{plan.server_name}')}"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": {"headframe/warm-up": plan.chute_id}},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 60,
            "activeDeadlineSeconds": 3600,
            "template": {
                "metadata": {"labels": {"headframe/warm-up": plan.chute_id}},
                "spec": {
                    "restartPolicy": "Never",
                    "nodeName": plan.server_name,
                    "securityContext": {"runAsUser": 1000, "runAsGroup": 1000},
                    "containers": [
                        {
                            "name": "pull",
                            "image": image_reference(plan, settings),
                            "command": ["/bin/sh", "-c", "exit 0"],
                        }
                    ],
                },
            },
        },
    }
