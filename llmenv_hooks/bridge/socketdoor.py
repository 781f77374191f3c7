"""The other door: a unix socket, on which each line is a JSON-RPC message.

A connection is one session, as a pipe to a server of its own would be; and by it the helper asks
how the bridge is.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.closing import close_server
from llmenv_hooks.bridge.http1 import MOST_BODY_BYTES
from llmenv_hooks.bridge.hub import is_modern
from llmenv_hooks.bridge.messages import is_request, notification, result
from llmenv_hooks.bridge.peers import unix_peer_uid
from llmenv_hooks.bridge.sessions import MOST_UNREAD_BYTES, Session
from llmenv_hooks.helper.jsonrpc import (
    INVALID_REQUEST,
    LEAVING,
    NotAMessage,
    decode,
    encode,
    failure,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from llmenv_hooks.bridge.hub import Hub
    from llmenv_hooks.bridge.refusals import Tally
    from llmenv_hooks.bridge.sessions import Call
    from llmenv_hooks.helper.jsonrpc import Message

TOO_LONG = f"a message of more than {MOST_BODY_BYTES} bytes"


def listen(path: str) -> socket.socket:
    """Return a socket that listens at *path*, for this user alone; an old one makes way.

    The new one takes the place of the old by rename: nobody finds none there.
    """
    sock = socket.socket(socket.AF_UNIX)
    temporary = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    before = os.umask(0o177)
    try:
        sock.bind(temporary)
    finally:
        os.umask(before)
    sock.listen(1024)
    os.replace(temporary, path)
    return sock


class SocketDoor:
    """Listens on the unix socket, and gives each connection its `Wire`."""

    def __init__(
        self, hub: Hub, tally: Tally, own: dict[str, Callable[[Message], Message]]
    ) -> None:
        """*own* are methods that are not for the server, and what answers each."""
        self.hub = hub
        self.tally = tally
        self.own = own
        self.wires: set[Wire] = set()
        self.is_closed = False
        self._server: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        """Accept what comes to *sock*, which listens."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Wire(self), sock=sock, backlog=1024)

    @property
    def sessions(self) -> set[Session]:
        """The agents whose connections are open."""
        return {wire.session for wire in self.wires if wire.is_agent}

    async def close(self) -> None:
        """Accept no more connections, and no more requests."""
        self.is_closed = True
        if self._server:
            await close_server(self._server)

    def end(self) -> None:
        """End all connections; what is not answered by now was not taken, or asks for nothing."""
        for wire in list(self.wires):
            wire.send(notification(LEAVING, {}))
            wire.close()


class Wire(asyncio.Protocol):
    """One connection, and the agent at its end.

    Attributes:
        is_agent: True once it has said what is for the server.
    """

    def __init__(self, door: SocketDoor) -> None:
        self._door = door
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self.session = Session()
        self.is_agent = False

    def connection_made(self, transport: Any) -> None:
        """See who is there, before anything is read."""
        self._transport = transport
        if unix_peer_uid(transport.get_extra_info("socket")) != os.geteuid():
            self._door.tally.count("user", "another user at the socket")
            transport.abort()
            return
        self._door.wires.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take back what was asked."""
        self._door.wires.discard(self)
        self._door.hub.leave(self.session, self)
        self._door.hub.end(self.session)

    def data_received(self, data: bytes) -> None:
        """Take whole lines."""
        self._buffer += data
        if b"\n" in data:
            *lines, rest = self._buffer.split(b"\n")
            self._buffer = rest
            for line in lines:
                if self._transport and not self._transport.is_closing():
                    self._take(bytes(line))
        if len(self._buffer) > MOST_BODY_BYTES:
            self._refuse(INVALID_REQUEST, TOO_LONG)

    def answer(self, call: Call, message: Message) -> None:
        """Write the answer to a request."""
        if call.method == "initialize" and "result" in message:
            self.session.version = message["result"]["protocolVersion"]
        self.send(message)

    def send(self, message: Message) -> None:
        """Write a message."""
        transport = self._transport
        if not transport or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self._door.tally.count("slow", "an agent that does not read its answers")
            transport.abort()
            return
        transport.write(encode(message) + b"\n")

    def cancelled(self, call: Call) -> None:
        """Do nothing: who cancelled waits for nothing."""

    def close(self) -> None:
        """End the connection once the agent has what was written."""
        if self._transport:
            self._transport.close()

    def _take(self, line: bytes) -> None:
        if not line.strip():
            return
        if len(line) > MOST_BODY_BYTES:
            self._refuse(INVALID_REQUEST, TOO_LONG)
            return
        try:
            message = decode(line)
            own = self._door.own.get(message.get("method", ""))
            if own and "id" in message:
                self.send(result(message["id"], own(message)))
                return
            if self._door.is_closed and is_request(message):
                return  # who asks learns by LEAVING that it was not taken
            if not self.is_agent:
                self.is_agent = True
                self._door.hub.listen(self.session, self)
            self._door.hub.receive(self.session, self, message, modern=is_modern(message))
        except NotAMessage as error:
            self._refuse(error.code, str(error))

    def _refuse(self, code: int, why: str) -> None:
        """Say what is wrong with what came, and end the connection."""
        self._door.tally.count("form", why)
        self.send(failure(None, code, why))
        self.close()
