"""Where data lies (spec: infra 4.5, 17.2): before anything writes to it."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from infra.hosts.operations import storage as operations
from infra.spec import HostSpec


@deploy("storage")
def storage(spec: HostSpec) -> None:
    """Bind mounts of the large disk."""
    for mount in spec.storage:
        operations.bind_mount(
            name=f"bind mount {mount.target}",
            source=mount.source,
            target=mount.target,
            minimum_free_gib=mount.minimum_free_gib,
        )
