"""One configured provider: its settings, its cluster if that answers, and the engine's log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lab.engine.kubernetes.api import Api, ApiError, UnreachableError
from lab.engine.kubernetes.calls import ProviderError
from lab.engine.kubernetes.kubeconfig import Access, KubeconfigError, access_of
from lab.engine.kubernetes.settings import Settings


class Log(Protocol):
    """Where a provider tells the user something about a resource."""

    async def status(self, urn: str, message: str) -> None:
        """Shown while the resource is worked on, then forgotten."""

    async def info(self, urn: str, message: str) -> None: ...

    async def warning(self, urn: str, message: str) -> None: ...


@dataclass(frozen=True)
class Session:
    """A provider after Configure.

    Attributes:
        api, access: the cluster; both None if it cannot be reached.
        unreachable: why it cannot be reached; empty if it can.
        default_namespace: where objects go that name no namespace.
    """

    settings: Settings
    log: Log
    api: Api | None = None
    access: Access | None = None
    unreachable: str = ""
    default_namespace: str = "default"

    def cluster(self) -> Api:
        """The API server.

        Raises:
            ProviderError: it cannot be reached.
        """
        if self.api is None:
            raise ProviderError(f"the Kubernetes cluster cannot be reached: {self.unreachable}")
        return self.api

    async def close(self) -> None:
        if self.api is not None:
            await self.api.close()


async def connect(settings: Settings, log: Log) -> Session:
    """A session with the cluster of the settings. One that does not answer is no error: previews go on without it.

    An absent kubeconfig counts as an unreachable cluster: a cluster that the environment names is never used.
    """
    if settings.is_unknown:
        return _apart(settings, log, "the kubeconfig is not known yet")
    if not settings.kubeconfig:
        return _apart(settings, log, "the provider has no kubeconfig; give it one explicitly")
    try:
        access = access_of(settings.kubeconfig, settings.context, settings.cluster)
    except KubeconfigError as error:
        return _apart(settings, log, str(error))
    namespace = settings.namespace or access.namespace
    try:
        api = Api(access)
    except OSError as error:  # ssl.SSLError is one: an authority or a client certificate that is no PEM
        return _apart(settings, log, f"the certificates of the kubeconfig are unusable: {error}", namespace)
    try:
        await api.call("GET", "/api/v1")
    except (UnreachableError, ApiError) as error:
        await api.close()
        return _apart(settings, log, str(error), namespace)
    return Session(settings, log, api, access, "", namespace)


def _apart(settings: Settings, log: Log, reason: str, namespace: str = "") -> Session:
    return Session(settings, log, unreachable=reason, default_namespace=namespace or settings.namespace or "default")
