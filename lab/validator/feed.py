"""The event feed (spec: protocol 10): socket.io over websocket, one session per hotkey, broadcasts at most once."""

from __future__ import annotations

from typing import Final

import socketio

from app.protocol.signing import Purpose, Request
from lab.validator.auth import Unauthorised, check
from lab.validator.state import Json, State

NAMESPACE: Final = "/"


class FeedServer:
    """Sends messages to miners. `refuse_next` and `deaf` script misbehaviour."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.server = socketio.AsyncServer(async_mode="aiohttp", transports=["websocket"], logger=False)
        self.sessions: dict[str, str] = {}
        self.connected: set[str] = set()
        self.authentications = 0
        self.refuse_next = 0
        #: While true no connection is taken.
        self.deaf = False
        self.server.on("connect", self._connect)
        self.server.on("disconnect", self._disconnect)
        self.server.on("authenticate", self._authenticate)
        self.server.on("miner_message", self._ignore)

    async def broadcast(self, reason: str, data: object, recipients: list[str] | None = None) -> None:
        """Send a message to all sessions, or to the last session of each named hotkey."""
        message: Json = {"reason": reason, "data": data}
        if recipients is not None:
            message["filter_recipients"] = recipients
        await self.send_raw(message, recipients)

    async def send_raw(self, message: object, recipients: list[str] | None = None) -> None:
        """Send anything at all, malformed messages too."""
        self._state.sent.append({"at": self._state.clock(), "message": message, "recipients": recipients})
        if recipients is None:
            await self.server.emit("miner_broadcast", message)
            return
        for hotkey in recipients:
            if hotkey in self.sessions:
                await self.server.emit("miner_broadcast", message, to=self.sessions[hotkey])

    async def disconnect_all(self) -> None:
        """End every session from this side, as a restart of the validator does."""
        for session in list(self.connected):
            await self.server.disconnect(session)

    async def _connect(self, session: str, *_: object) -> bool:
        if self.deaf:
            return False
        self.connected.add(session)
        return True

    async def _disconnect(self, session: str, *_: object) -> None:
        self.connected.discard(session)
        self.sessions = {hotkey: held for hotkey, held in self.sessions.items() if held != session}

    async def _authenticate(self, session: str, headers: object = None, *_: object) -> bool:
        if self.refuse_next > 0:
            self.refuse_next -= 1
            return await self._refuse(session, "SIMULATED refusal")
        try:
            named = {str(k): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {}
            hotkey = check(self._state, named, Request("SOCKET", "/"), Purpose.SOCKETS, b"")
        except Unauthorised as error:
            return await self._refuse(session, str(error))
        self.sessions[hotkey] = session
        self.authentications += 1
        await self.server.emit("auth_success", {"message": "Authenticated"}, to=session)
        return True

    async def _refuse(self, session: str, why: str) -> bool:
        await self.server.emit("auth_failed", {"error": why}, to=session)
        await self.server.disconnect(session)
        return False

    async def _ignore(self, *_: object) -> None:
        return
