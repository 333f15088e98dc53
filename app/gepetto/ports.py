"""What Gepetto needs of the outside world: validators and clusters, as Protocols and plain answers. No I/O here.

Every method raises `UnavailableError` when the other side could not be asked or gave no answer; that is never evidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from app.gepetto.world.views import NodeState, PodView
from app.protocol.chutes import ChuteRecord, ImageRecord, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord, LaunchConfig
from app.protocol.servers import RemoteServer

T = TypeVar("T")
JsonObject = dict[str, object]


class UnavailableError(Exception):
    """The other side could not be asked. Nothing follows from it but to try again."""


class ValidatorRefusedError(UnavailableError):
    """The validator answered, and the answer was no. Who only waits for better times may treat it as unavailability.

    `status` is its HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status

    @property
    def is_lasting(self) -> bool:
        """Whether the same request gets the same answer later: 4xx apart from clocks (401), waiting and rates."""
        return 400 <= self.status < 500 and self.status not in {401, 408, 425, 429}


class LaunchFailedError(Exception):
    """A cluster refused an object of a launch; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Feed(Generic[T]):
    """One list of a validator. `complete` is False for a list that was cut or that may have been empty by mistake."""

    items: tuple[T, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class LaunchRefusal:
    """The validator gave no launch config; `status` is its HTTP status."""

    status: int
    detail: str = ""


class ValidatorPort(Protocol):
    """One validator."""

    hotkey: str

    async def launch_config(self, chute_id: str, job_id: str | None = None) -> LaunchConfig | LaunchRefusal: ...

    async def delete_instance(self, chute_id: str, instance_id: str) -> None: ...

    async def release_job(self, job_id: str) -> None: ...

    async def delete_server(self, server_id: str, gpu_ids: Sequence[str]) -> None:
        """Forget a server with its GPUs; unknown ones are fine. A refusal is an answer: it would be the same again."""
        ...

    async def rename_server(self, server_id: str, name: str) -> bool:
        """Tell a server's name; False where the validator does not know the server."""
        ...

    async def deleted_instances(self) -> frozenset[str]:
        """Ids of instances whose deletion the validator itself has published."""
        ...

    async def chutes(self) -> Feed[ChuteRecord]: ...

    async def chute(self, chute_id: str, version: str) -> ChuteRecord | None: ...

    async def images(self) -> Feed[ImageRecord]: ...

    async def instances(self) -> Feed[InstanceRecord]: ...

    async def active_instances(self) -> Feed[ActiveInstance]: ...

    async def servers(self) -> Feed[RemoteServer]: ...

    async def utilization(self) -> Feed[Utilization]: ...


class ClusterPort(Protocol):
    """One server's own cluster, by the live Kubernetes API."""

    async def create_service(self, manifest: JsonObject) -> Mapping[tuple[str, int], int]:
        """Create the Service (or find the one of that name); node ports by protocol and container port."""
        ...

    async def create_job(self, manifest: JsonObject) -> None: ...

    async def create_config_map(self, manifest: JsonObject) -> None:
        """Create a ConfigMap; one of that name stays as it is."""
        ...

    async def service_ports(self, name: str) -> Mapping[tuple[str, int], int] | None:
        """Node ports of a Service, or None when the cluster positively has none of that name."""
        ...

    async def has_job(self, name: str) -> bool: ...

    async def delete_deployment(self, deployment_id: str) -> None:
        """Delete the Job (foreground) and the Service of a deployment; absent ones are no error."""
        ...

    async def has_pods(self, deployment_id: str) -> bool:
        """Whether the live API shows the deployment's Job or any pod of it."""
        ...

    async def list_pods(self, server_id: str) -> tuple[PodView, ...]:
        """Every deployment that the cluster shows, in one complete live list."""
        ...

    async def node_state(self, node: str) -> NodeState:
        """Whether a node takes new pods, by a live look.

        Open where we may not look: a confidential VM's cluster is foreign.
        """
        ...

    async def disk_free_gb(self) -> float | None:
        """Free disk of the cluster's node in GiB, by a live look; None where the node does not say."""
        ...

    async def warm_up(self, manifest: JsonObject) -> None: ...


class ClustersPort(Protocol):
    """Clusters by server."""

    async def of(self, server_id: str) -> ClusterPort: ...
