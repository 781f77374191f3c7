"""The HTTP door: connections, who may use them, and how long they may take."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.answers import CONTINUE, preflight, readable, refusal
from llmenv_hooks.bridge.closing import close_server
from llmenv_hooks.bridge.exchanges import KEEP_ALIVE_S, Exchange, Shop
from llmenv_hooks.bridge.http1 import Continue, Data, Reader
from llmenv_hooks.bridge.peers import is_over, same_user
from llmenv_hooks.bridge.requests import Head, Malformed
from llmenv_hooks.bridge.sessions import MOST_UNREAD_BYTES

if TYPE_CHECKING:
    import socket
    from typing import Any

    from llmenv_hooks.bridge.guard import Guard
    from llmenv_hooks.bridge.refusals import Tally
    from llmenv_hooks.bridge.sessions import Session

MOST_CONNECTIONS = 600
FIRST_S = 10.0  # for a connection to say something
SECONDS = {"idle": float("inf"), "head": 10.0, "body": 30.0}
LINGER_S = 2.0  # for a client to read why it was refused, while it still sends
MOST_AHEAD_BYTES = 64 << 10  # of what one sends before it has its answer


class HttpDoor:
    """Listens on TCP, and gives each connection its `Connection`."""

    def __init__(self, shop: Shop, guard: Guard, tally: Tally, *, by_user: bool) -> None:
        """Let in who passes *guard*, and, when *by_user*, is the same user as we are."""
        self.shop = shop
        self.guard = guard
        self.tally = tally
        self.by_user = by_user
        self.connections: dict[Connection, None] = {}  # the one that was used last is last
        self.is_closed = False
        self._server: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        """Listen on *sock*, which is bound, and accept what comes."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=sock, backlog=1024)

    @property
    def sessions(self) -> set[Session]:
        """The agents whose connections are open."""
        return {each.session for each in self.connections if each.session}

    def sweep(self) -> None:
        """End what takes too long, keep alive what waits: call it once a second."""
        now = time.monotonic()
        for connection in list(self.connections):
            connection.sweep(now)

    def make_room(self) -> None:
        """At the cap, end the connection that has been idle longest."""
        if len(self.connections) >= MOST_CONNECTIONS:
            idle = next((each for each in self.connections if each.is_idle), None)
            (idle or next(iter(self.connections))).abort()

    async def close(self) -> None:
        """Accept no more connections, and end those on which no answer is due."""
        self.is_closed = True
        if self._server:
            await close_server(self._server)
        for connection in list(self.connections):
            if connection.is_idle:
                connection.close()

    def end(self) -> None:
        """End all connections."""
        for connection in list(self.connections):
            connection.close()


class Connection(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self, door: HttpDoor) -> None:
        self._door = door
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._body = bytearray()
        self._exchange: Exchange | None = None
        self._page: str | None = None  # the listed origin whose answer has not begun
        self._waits = False  # for an answer
        self._advances = False
        self._phase = "idle"
        self._deadline = time.monotonic() + FIRST_S
        self._keep_alive_at = 0.0
        self._ending = False
        self.session: Session | None = None

    @property
    def is_idle(self) -> bool:
        """True while no answer is due."""
        return not self._waits

    def connection_made(self, transport: Any) -> None:
        """See who is there, before anything is read."""
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if self._door.by_user and not same_user(sock):
            if not is_over(sock):
                self._door.tally.count("user", "another user of this machine")
            transport.abort()
            return
        self._door.make_room()
        self._door.connections[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Take back what was asked."""
        self._door.connections.pop(self, None)
        if self._exchange and not self._exchange.is_over:
            self._exchange.gone()
        self._exchange = None

    def eof_received(self) -> bool:
        """Take it that the client is gone: one that waits for an answer keeps its end open."""
        return False

    def data_received(self, data: bytes) -> None:
        """Read requests, as far as they have come."""
        if self._ending:
            return
        self._reader.feed(data)
        if self._waits and self._reader.buffered > MOST_AHEAD_BYTES:
            self.abort()
            return
        self._advance()

    def sweep(self, now: float) -> None:
        """See whether something takes too long."""
        if self._waits:
            if now > self._keep_alive_at and self._exchange:
                self._keep_alive_at = now + KEEP_ALIVE_S
                self._exchange.keep_alive()
        elif now > self._deadline:
            self._door.tally.count("time", "a request that does not end")
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport:
            self._transport.abort()

    def close(self) -> None:
        """End the connection once the client has what was written."""
        if self._transport:
            self._transport.close()

    def _advance(self) -> None:
        """Take what has been read, until an answer is due."""
        self._advances = True
        try:
            while not self._waits and not self._ending and (event := self._reader.next_event()):
                if isinstance(event, Head):
                    self._begin(event)
                elif isinstance(event, Data):
                    self._body += event.data
                elif isinstance(event, Continue):
                    self._write(CONTINUE)
                else:
                    self._finish()
        except Malformed as error:
            self._refuse(error.status, "form", error.why)
        finally:
            self._advances = False
        if not self._waits and not self._ending and self._phase != self._reader.phase:
            self._phase = self._reader.phase
            self._deadline = time.monotonic() + SECONDS[self._phase]

    def _begin(self, head: Head) -> None:
        guard = self._door.guard
        if refused := guard.refusal(head):
            self._refuse(refused.status, refused.reason, refused.why)
            return
        self._page = guard.listed_origin(head)
        if self._page and guard.is_preflight(head):
            self._write(preflight(head, self._page))
            self._end()
            return
        self._body.clear()
        self._exchange = Exchange(self._door.shop, head, self._answer, self._over)

    def _finish(self) -> None:
        exchange = self._exchange
        assert exchange
        self._waits = True
        self._keep_alive_at = time.monotonic() + KEEP_ALIVE_S
        body = bytes(self._body)
        self._body.clear()
        exchange.finish(body)
        self.session = exchange.session or self.session
        if self in self._door.connections:
            self._door.connections[self] = self._door.connections.pop(self)

    def _answer(self, data: bytes) -> None:
        """Write a piece of an answer; a web page may read it when the head, the first, says so."""
        origin, self._page = self._page, None
        self._write(readable(data, origin) if origin else data)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if not transport or transport.is_closing():
            return
        if transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            self._door.tally.count("slow", "a client that does not read its answers")
            transport.abort()
            return
        transport.write(data)

    def _over(self) -> None:
        """Go on with the next request: this one has been answered."""
        exchange, self._exchange = self._exchange, None
        self._waits = False
        self._phase, self._deadline = "idle", float("inf")
        if self._door.is_closed or (exchange and exchange.closes):
            self._end()
        elif not self._advances:
            self._advance()

    def _refuse(self, status: int, reason: str, why: str) -> None:
        self._door.tally.count(reason, why)
        self._write(refusal(status, why))
        self._end()

    def _end(self) -> None:
        """Say no more; what still comes is not read, so that the client can read our last word."""
        self._ending = True
        self._deadline = time.monotonic() + LINGER_S
        if self._transport and not self._transport.is_closing():
            self._transport.write_eof()
