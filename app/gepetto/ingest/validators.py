"""`app.validators` behind Gepetto's port: answers become feeds and refusals, everything else is unavailability."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

import structlog

from app.gepetto.ports import Feed, LaunchRefusal, UnavailableError, ValidatorRefusedError
from app.protocol.chutes import ChuteRecord, ImageRecord, Utilization
from app.protocol.instances import ActiveInstance, InstanceRecord, LaunchConfig
from app.protocol.servers import RemoteServer
from app.protocol.wire import WireModel
from app.validators.client import ValidatorClient
from app.validators.errors import RefusedError, ValidatorError
from app.validators.forgetting import forget_server
from app.validators.listing import Listing
from app.validators.transport import Call

T = TypeVar("T")
Item = TypeVar("Item", bound=WireModel)
#: Deletions that the validator itself publishes; unsigned (spec: gepetto 5.4).
DELETIONS_PATH: Final = "/instances/reconciliation_csv"
#: Refusals that may be none the next time: a clock that is off, patience, too many requests.
_PASSING: Final = frozenset({401, 408, 429})
_SERVER_ERROR: Final = 500

log = structlog.get_logger(__name__)


class ValidatorAdapter:
    """One validator."""

    def __init__(self, client: ValidatorClient) -> None:
        self._client = client
        self.hotkey = client.hotkey

    async def launch_config(self, chute_id: str, job_id: str | None = None) -> LaunchConfig | LaunchRefusal:
        """Ask once. No answer is unavailability, because the validator may have counted the request."""
        try:
            return await self._client.launch_config(chute_id, job_id=job_id)
        except RefusedError as error:
            return LaunchRefusal(error.status, error.detail[:200])
        except ValidatorError as error:
            raise UnavailableError(str(error)) from error

    async def delete_instance(self, chute_id: str, instance_id: str) -> None:
        await _ask(self._client.delete_instance(chute_id, instance_id))

    async def release_job(self, job_id: str) -> None:
        await _ask(self._client.release_job(job_id))

    async def delete_server(self, server_id: str, gpu_ids: Sequence[str]) -> None:
        """See `ValidatorPort`."""
        try:
            await forget_server(self._client, server_id, gpu_ids)
        except RefusedError as error:
            if error.status in _PASSING or error.status >= _SERVER_ERROR:
                raise UnavailableError(str(error)) from error
            log.warning("a validator refuses to forget a server", server=server_id, reason=str(error))
        except ValidatorError as error:
            raise UnavailableError(str(error)) from error

    async def rename_server(self, server_id: str, name: str) -> bool:
        return await _ask(self._client.rename_server(server_id, name))

    async def deleted_instances(self) -> frozenset[str]:
        answer = await _ask(self._client.transport.send(Call("GET", DELETIONS_PATH, repeatable=True)))
        rows = csv.DictReader(io.StringIO(answer.text))
        if rows.fieldnames is None or "instance_id" not in rows.fieldnames:
            raise UnavailableError(f"{DELETIONS_PATH}: no column instance_id")
        return frozenset(row["instance_id"] for row in rows if row.get("deleted_at"))

    async def chutes(self) -> Feed[ChuteRecord]:
        return _feed(await _ask(self._client.chutes()))

    async def chute(self, chute_id: str, version: str) -> ChuteRecord | None:
        return await _ask(self._client.chute(chute_id, version))

    async def images(self) -> Feed[ImageRecord]:
        return _feed(await _ask(self._client.images()))

    async def instances(self) -> Feed[InstanceRecord]:
        return _feed(await _ask(self._client.instances()))

    async def active_instances(self) -> Feed[ActiveInstance]:
        return Feed(tuple(await _ask(self._client.active_instances())), complete=True)

    async def servers(self) -> Feed[RemoteServer]:
        return Feed(tuple((await _ask(self._client.servers())).values()), complete=True)

    async def utilization(self) -> Feed[Utilization]:
        return Feed(tuple((await _ask(self._client.utilization())).values()), complete=True)


async def _ask(call: Awaitable[T]) -> T:
    try:
        return await call
    except RefusedError as error:
        raise ValidatorRefusedError(str(error), error.status) from error
    except ValidatorError as error:
        raise UnavailableError(str(error)) from error


def _feed(listing: Listing[Item]) -> Feed[Item]:
    """A list with objects that could not be read is not complete: those may be the ones that seem absent."""
    return Feed(tuple(listing.items.values()), complete=not listing.unreadable)
