"""Waits until an object is ready, or gone. Looks again and again: a lab cluster is near, and a look costs little.

Must not decide what ready means: `readiness` and `conditions` do.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Final

from lab.engine.kubernetes import readiness
from lab.engine.kubernetes.api import Api, ApiError, Endpoint, NoSuchKindError, UnreachableError
from lab.engine.kubernetes.conditions import Wish, judge, parse_wishes
from lab.engine.kubernetes.kinds import deletes_without_wait
from lab.engine.kubernetes.manifests import (
    DELETION_PROPAGATION,
    SKIP_AWAIT,
    TIMEOUT_SECONDS,
    WAIT_FOR,
    Manifest,
    annotation,
    api_version,
    is_annotated,
    items,
    kind_of,
    name_of,
    namespace_of,
    text,
)
from lab.engine.kubernetes.readiness import Readiness

_DEFAULT_TIMEOUT_SECONDS: Final = 600.0
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 1.5
_PROPAGATION: Final = {"orphan": "Orphan", "background": "Background"}


class NotReadyError(Exception):
    """The time is over, or waiting is pointless. `live` is the object as it was seen last."""

    def __init__(self, message: str, live: Manifest, details: tuple[str, ...]) -> None:
        super().__init__(message)
        self.live = live
        self.details = details


def timeout_of(given_seconds: float, inputs: Manifest) -> float:
    """Seconds to wait: the resource's option, its annotation, ten minutes."""
    noted = annotation(inputs, TIMEOUT_SECONDS)
    return given_seconds or (float(noted) if noted.isdigit() else _DEFAULT_TIMEOUT_SECONDS)


async def until_ready(api: Api, inputs: Manifest, sent: Manifest, timeout_seconds: float) -> Manifest:
    """The live object once it is ready; `sent` itself where there is nothing to wait for.

    Args:
        inputs: what the program wants, with its annotations.
        sent: what the server answered to the change.

    Raises:
        NotReadyError, WaitForError, ApiError, UnreachableError.
    """
    if is_annotated(inputs, SKIP_AWAIT):
        return sent
    wishes = parse_wishes(annotation(sent, WAIT_FOR)) if annotation(sent, WAIT_FOR) else ()
    if not wishes and (api_version(sent), kind_of(sent)) not in _OBSERVERS:
        return sent
    return await _watched(api, sent, wishes, timeout_of(timeout_seconds, inputs))


async def _watched(api: Api, sent: Manifest, wishes: tuple[Wish, ...], timeout_seconds: float) -> Manifest:
    live, seen = sent, Readiness(False)
    path = (await api.endpoint(sent)).object(name_of(sent))
    async for _ in _looks(timeout_seconds):
        try:
            live = await api.call("GET", path)
            seen = judge(live, wishes) if wishes else await observed(api, live)
        except UnreachableError as error:  # the API server may restart meanwhile
            seen = Readiness(False, (str(error),))
        if seen.is_ready:
            return live
        if seen.has_failed:
            raise NotReadyError(f"{name_of(sent)!r} has failed", live, seen.details)
    if seen.suffices:
        return live
    raise NotReadyError(f"{name_of(sent)!r} was not ready after {timeout_seconds:g} s", live, seen.details)


async def _looks(timeout_seconds: float) -> AsyncIterator[None]:
    """Yields for each look, the first at once and the last when the time is over."""
    clock, pause = asyncio.get_running_loop().time, _FIRST_PAUSE_SECONDS
    deadline = clock() + timeout_seconds
    while True:
        is_last = clock() >= deadline
        yield
        if is_last:
            return
        await asyncio.sleep(min(pause, max(0.0, deadline - clock())))
        pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)


async def observed(api: Api, live: Manifest) -> Readiness:
    """Whether an object is ready right now; kinds without a readiness of their own always are."""
    observer = _OBSERVERS.get((api_version(live), kind_of(live)))
    return await observer(api, live) if observer else readiness.READY


async def _deployment(api: Api, live: Manifest) -> Readiness:
    return readiness.deployment(live, await _beside(api, live, "apps/v1", "ReplicaSet"), await _pods(api, live))


async def _stateful_set(api: Api, live: Manifest) -> Readiness:
    return readiness.stateful_set(live, await _pods(api, live))


async def _daemon_set(api: Api, live: Manifest) -> Readiness:
    return readiness.daemon_set(live, await _pods(api, live))


async def _job(api: Api, live: Manifest) -> Readiness:
    return readiness.job(live, await _pods(api, live))


async def _pod(_api: Api, live: Manifest) -> Readiness:
    return readiness.pod(live)


async def _service(api: Api, live: Manifest) -> Readiness:
    selector = {"labelSelector": f"kubernetes.io/service-name={name_of(live)}"}
    slices = await _beside(api, live, "discovery.k8s.io/v1", "EndpointSlice", selector)
    same_name = {"fieldSelector": f"metadata.name={name_of(live)}"}
    endpoints = await _beside(api, live, "v1", "Endpoints", same_name)
    return readiness.service(live, endpoints[0] if endpoints else None, slices)


async def _volume_claim(api: Api, live: Manifest) -> Readiness:
    name = text(live, "spec", "storageClassName")
    try:
        path = f"/apis/storage.k8s.io/v1/storageclasses/{name}"
        mode = text(await api.call("GET", path), "volumeBindingMode") if name else ""
    except ApiError:
        mode = ""  # the class is not there, or is not ours to read: wait for the claim itself
    return readiness.volume_claim(live, mode)


_OBSERVERS: Final[dict[tuple[str, str], Callable[[Api, Manifest], Awaitable[Readiness]]]] = {
    ("apps/v1", "Deployment"): _deployment,
    ("apps/v1", "StatefulSet"): _stateful_set,
    ("apps/v1", "DaemonSet"): _daemon_set,
    ("batch/v1", "Job"): _job,
    ("v1", "Pod"): _pod,
    ("v1", "Service"): _service,
    ("v1", "PersistentVolumeClaim"): _volume_claim,
}


async def _pods(api: Api, live: Manifest) -> list[Manifest]:
    return await _beside(api, live, "v1", "Pod")


async def _beside(
    api: Api, live: Manifest, version: str, kind: str, query: dict[str, str] | None = None
) -> list[Manifest]:
    """Objects of a kind in the same namespace; none where they may not be listed, which only costs explanations."""
    try:
        where = await api.endpoint({"apiVersion": version, "kind": kind}, namespace_of(live))
        listed = await api.call("GET", where.collection, query=query)
    except (ApiError, NoSuchKindError):
        return []
    found = [entry for entry in items(listed, "items") if isinstance(entry, dict)]
    return [{"apiVersion": version, "kind": kind, **entry} for entry in found]


async def delete(api: Api, where: Endpoint, name: str, inputs: Manifest, timeout_seconds: float) -> None:
    """Delete an object and wait until it is gone. One that is not there is fine.

    Raises:
        NotReadyError: it is still there when the time is over.
        ApiError, UnreachableError.
    """
    policy = _PROPAGATION.get(annotation(inputs, DELETION_PROPAGATION).lower(), "Foreground")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
    answered = await _or_missing(api.call("DELETE", where.object(name), options))
    if answered is None or (is_annotated(inputs, SKIP_AWAIT) and deletes_without_wait(inputs)):
        return
    live: Manifest = {}
    seconds = timeout_of(timeout_seconds, inputs)
    async for _ in _looks(seconds):
        found = await _or_missing(api.call("GET", where.object(name)))
        if found is None or (live and text(found, "metadata", "uid") != text(live, "metadata", "uid")):
            return
        live = found
    held = ", ".join(str(entry) for entry in items(live, "metadata", "finalizers"))
    details = (f"finalizers hold it: {held}",) if held else ()
    raise NotReadyError(f"{name!r} was not gone after {seconds:g} s", live, details)


async def _or_missing(request: Awaitable[Manifest]) -> Manifest | None:
    try:
        return await request
    except ApiError as error:
        if error.code == HTTPStatus.NOT_FOUND:
            return None
        raise
