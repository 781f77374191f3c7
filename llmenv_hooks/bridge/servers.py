"""An MCP server behind the pipes of a child: the handshake with it, and the calls under way in it.

A server can answer in two eras: the one that begins with `initialize` (up to 2025-11-25), and the
one in which each request stands alone (from 2026-07-28, which `server/discover` shows).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

from llmenv_hooks.bridge.child import Child
from llmenv_hooks.bridge.messages import SERVER_BUSY, notification, request, result
from llmenv_hooks.bridge.pipes import Outgoing
from llmenv_hooks.bridge.sessions import NUMBERS, REVISIONS, Call
from llmenv_hooks.helper.jsonrpc import (
    SERVER_DIED,
    SERVER_DOWN,
    VERSION_KEY,
    NotAMessage,
    decode,
    encode,
    failure,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmenv_hooks.bridge.logs import Log
    from llmenv_hooks.helper.jsonrpc import Message

MODERN = "2026-07-28"
MOST_UNSENT_BYTES = 64 << 20  # for all agents together
MOST_CALLS = 1000  # under way of one agent

# What the bridge says it can be asked; whether an agent can is seen when the server asks.
ABILITIES: Message = {"sampling": {}, "elicitation": {"form": {}, "url": {}}, "roots": {}}
CLIENT = {"name": "llmenv-bridge", "version": "1"}
ENVELOPE = {
    VERSION_KEY: MODERN,
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class ServerOwner(Protocol):
    """Who hears of the server."""

    def came_up(self, server: Server) -> None:
        """The server is ready, for the first time or again."""

    def said(self, server: Server, message: Message) -> None:
        """The server sent a request or a notification."""

    def finished(self, server: Server, call: Call) -> None:
        """The server answered *call*, or never will."""

    def went_down(self, server: Server) -> None:
        """The server died."""


class Server:
    """One server process, and the calls that it has.

    Attributes:
        greeting: its answer to `initialize`, None while there is none.
        discovery: its answer to `server/discover`, likewise.
        calls: what was written to it and is not answered, by number.
    """

    def __init__(
        self,
        command: Sequence[str],
        hub: ServerOwner,
        log: Log,
        start_timeout: float,
        *,
        modern: bool,
    ) -> None:
        """Keep *command* running; *modern* says in which era it is greeted."""
        self.child = Child(command, self, log, start_timeout)
        self.modern = modern
        self.greeting: Message | None = None
        self.discovery: Message | None = None
        self.calls: dict[int, Call] = {}
        self._waiting: deque[Call] = deque()
        self._hub = hub
        self._log = log
        self._start_timeout = start_timeout
        self._handshake = 0
        self._discovering = False
        self._refusal: Message = {}  # of `initialize`
        self._up = False
        self._strays = 0

    @property
    def is_up(self) -> bool:
        """True while the server can be talked to."""
        return self._up

    def ask(self, call: Call) -> None:
        """Pass *call* on to the server, as soon as it is up."""
        if len(call.session.calls) > MOST_CALLS:
            why = f"more than {MOST_CALLS} requests under way"
            call.answer(failure(None, SERVER_BUSY, why))
        elif self.child.unsent + self._waiting_bytes > MOST_UNSENT_BYTES:
            call.answer(failure(None, SERVER_BUSY, "the server does not read what it is sent"))
        elif self._up:
            self._put(call)
        else:
            self._waiting.append(call)
            loop = asyncio.get_running_loop()
            call.timer = loop.call_later(self._start_timeout, self._expire, call)

    @property
    def _waiting_bytes(self) -> int:
        return sum(len(call.outgoing.data) for call in self._waiting)

    def tell(self, message: Message) -> None:
        """Send a notification or an answer to a server that is up."""
        if self._up:
            self.child.write(Outgoing(encode(message)))

    def cancel(self, call: Call, reason: str) -> None:
        """Do not expect an answer to *call* any longer, and tell the server so."""
        if call in self._waiting:
            self._waiting.remove(call)
            call.stop_waiting()
            self._hub.finished(self, call)
        elif self.calls.pop(call.number, None):
            if not self.child.take_back(call.outgoing):
                params = {"requestId": call.number, "reason": reason}
                self.tell(notification("notifications/cancelled", params))
            self._hub.finished(self, call)

    def refuse_all(self, answer: Message) -> None:
        """Answer all that waits for the server with an error."""
        while self._waiting:
            self._waiting.popleft().answer(answer)

    # --- what the child says ----------------------------------------------------------------------

    def spawned(self) -> None:
        """Greet a new process."""
        if self.modern:
            self._greet("server/discover", {"_meta": ENVELOPE})
        else:
            params = {"protocolVersion": REVISIONS[-1], "capabilities": ABILITIES}
            self._greet("initialize", params | {"clientInfo": CLIENT})

    def line(self, line: bytes) -> None:
        """Take a message of the server."""
        if not line.strip():
            return
        try:
            message = decode(line)
        except NotAMessage as error:
            self._stray(f"{error}: {line[:80]!r}")
            return
        if "method" in message:
            self._hub.said(self, message)
        elif message.get("id") == self._handshake and not self._up:
            self._greeted(message)
        elif call := self.calls.pop(message.get("id", 0), None):
            self.child.useful()
            call.answer(message)
            self._hub.finished(self, call)

    def died(self, reason: str) -> None:
        """Answer what the dead process had begun to read; the rest waits for the next one."""
        self._up = False
        self._hub.went_down(self)
        unsent = []
        for call in self.calls.values():
            if call.outgoing.begun:
                call.answer(failure(None, SERVER_DIED, _last_words(call, reason)))
            else:
                unsent.append(call)
        self.calls.clear()
        self._waiting.extendleft(reversed(unsent))
        if self.child.state == "failing":
            self.refuse_all(failure(None, SERVER_DOWN, f"the server does not run: {reason}"))

    # --- the handshake ----------------------------------------------------------------------------

    def _greet(self, method: str, params: Message) -> None:
        self._handshake = next(NUMBERS)
        self._discovering = method == "server/discover"
        self.child.write(Outgoing(encode(request(self._handshake, method, params))))

    def _greeted(self, answer: Message) -> None:
        """Take the answer to the handshake: the server is up, or of no use."""
        value = answer.get("result")
        if isinstance(value, dict) and self._discovering:
            self.discovery = value
        elif isinstance(value, dict):
            self.greeting = value
            self.child.write(Outgoing(encode(notification("notifications/initialized", {}))))
        elif not self._discovering:  # a server of the new era alone has no `initialize`
            self._refusal = {"error": answer["error"]}
            self._greet("server/discover", {"_meta": ENVELOPE})
            return
        else:
            self.child.kill(f"it refused the handshake: {answer['error']}")
            return
        self._up = True
        self.child.ready()
        self._hub.came_up(self)
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            self._put(call)

    def _put(self, call: Call) -> None:
        call.stop_waiting()
        if call.method == "initialize":
            self._introduce(call)
            return
        self.calls[call.number] = call
        self.child.write(call.outgoing)

    def _introduce(self, call: Call) -> None:
        """Answer an agent's `initialize` as the server answered ours, in a revision of both."""
        if not self.greeting:
            call.answer({"jsonrpc": "2.0"} | self._refusal)
            return
        ours = str(self.greeting.get("protocolVersion"))
        wanted = call.wanted_version
        version = wanted if wanted in REVISIONS and wanted <= ours else ours
        call.answer(result(None, self.greeting | {"protocolVersion": version}))

    def _expire(self, call: Call) -> None:
        if call in self._waiting:
            self._waiting.remove(call)
            why = self.child.reason or f"it is not up after {self._start_timeout:g} s"
            call.answer(failure(None, SERVER_DOWN, f"the server does not run: {why}"))

    def _stray(self, what: str) -> None:
        """Say what the server wrote to stdout that is no message, a few times."""
        self._strays += 1
        if self._strays <= 10:
            self._log.say(f"the server wrote to stdout what is no message: {what}")


def _last_words(call: Call, reason: str) -> str:
    if call.method == "tools/call":
        return f"the server died during this call ({reason}): it may have been done, or half done"
    return f"the server died before it answered ({reason}): ask again"
