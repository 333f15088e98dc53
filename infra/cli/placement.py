"""Nothing new is placed on a node while an operator works on it: its lock in the miner API, set before, lifted after.

Gepetto sees a closed node by itself, as soon as it is closed; the lock is there before that, and stays where it should.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Final, Protocol

from cyclopts import Parameter

from app.cli.access import Access, AnswerError, CommandError, segment
from app.cli.output import sequence
from app.protocol.ports import NodePort
from infra.spec import HostRole, HostSpec

_NO_API: Final = (
    "Nothing was disrupted. Mend the API, or give --without-lock: chutes may then be placed on the node meanwhile"
)


class PlacementError(RuntimeError):
    """The lock could not be set or lifted."""


class Locked(Enum):
    """What setting the lock changed."""

    NOW = auto()
    BEFORE = auto()  # somebody locked it earlier, and will unlock it
    UNKNOWN_SERVER = auto()  # not registered: nothing is placed there anyway
    NOT_ASKED = auto()  # the operator said so


class Placement(Protocol):
    """Stops and resumes placing on one node."""

    def stop(self, node: str) -> Locked:
        """Place nothing more.

        Raises:
            PlacementError: nobody can say that nothing will be placed.
        """
        ...

    def resume(self, node: str) -> None:
        """Place again.

        Raises:
            PlacementError: the lock may still be there.
        """
        ...


@Parameter(name="*")
@dataclass(frozen=True)
class LockOptions:
    """How the miner API is told.

    Parameters
    ----------
    hotkey
        Path of the hotkey's JSON file, which signs requests to the miner API.
    miner_api
        Address of the miner API; default: node port 32000 of the control host.
    without_lock
        Do not tell the miner API.
    """

    hotkey: Annotated[Path | None, Parameter(env_var="HOTKEY")] = None
    miner_api: Annotated[str | None, Parameter(env_var="MINER_API")] = None
    signature_version: Annotated[int, Parameter(env_var="CHUTES_SIGNATURE_VERSION")] = 1
    without_lock: Annotated[bool, Parameter(negative="")] = False

    def placement(self, machines: Sequence[HostSpec]) -> Placement:
        """The lock that these options mean.

        Raises:
            PlacementError: there is no key to sign with.
        """
        if self.without_lock:
            return NoLock()
        if self.hotkey is None:
            raise PlacementError(f"no hotkey to sign with: set HOTKEY or give --hotkey FILE. {_NO_API}")
        address = self.miner_api or _address(machines)
        return ApiLock(Access(hotkey=self.hotkey, miner_api=address, signature_version=self.signature_version))


class NoLock:
    """Tells nobody."""

    def stop(self, node: str) -> Locked:
        del node
        return Locked.NOT_ASKED

    def resume(self, node: str) -> None:
        del node


class ApiLock:
    """The lock of the miner API's server of that name."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def stop(self, node: str) -> Locked:
        try:
            servers = sequence(self._access.miner("GET", "/servers/").json())
            known = next((server for server in servers if server.get("name") == node), None)
            if known is None:
                return Locked.UNKNOWN_SERVER
            if known.get("locked") is True:
                return Locked.BEFORE
            self._access.miner("POST", f"/servers/{segment(node)}/lock")
        except AnswerError as error:
            raise PlacementError(f"the miner API does not lock {node}: {error}. {_NO_API}") from None
        except CommandError as error:
            raise PlacementError(f"the miner API does not answer: {error}. {_NO_API}") from None
        return Locked.NOW

    def resume(self, node: str) -> None:
        try:
            self._access.miner("POST", f"/servers/{segment(node)}/unlock")
        except AnswerError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise PlacementError(f"{node} stays locked, {error}: headframe open {node}") from None
        except CommandError as error:
            raise PlacementError(f"{node} stays locked, the miner API does not answer: {error}") from None


def _address(machines: Sequence[HostSpec]) -> str:
    control = next((machine for machine in machines if machine.role is HostRole.CONTROL), None)
    if control is None:
        raise PlacementError("the stack has no control host yet: pulumi up")
    return f"http://{control.public_address}:{int(NodePort.MINER_API)}"
