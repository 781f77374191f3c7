"""What the bridge knows of an agent: its session, its calls, and the session id that says it.

`llmenv-2025-11-25-eru-0123456789abcdef`: the protocol's revision, what the agent can be asked (a
letter each, see `CAPABILITIES`), and a number of its own.  So a session needs no memory, and goes
on when the bridge has been started anew.
"""

from __future__ import annotations

import itertools
import os
import re
from typing import TYPE_CHECKING, Protocol

from llmenv_hooks.bridge.pipes import Outgoing
from llmenv_hooks.helper.jsonrpc import encode, params_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from llmenv_hooks.helper.jsonrpc import Message


# The revisions that begin with `initialize`, oldest first.
REVISIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
UNSAID = "2025-03-26"  # what a request without MCP-Protocol-Version speaks (2025-11-25, transports)

# Letter in the session id -> what the server asks for.
CAPABILITIES = {"s": "sampling", "e": "elicitation", "u": "elicitation by URL", "r": "roots"}
SESSION_ID = re.compile(rf"llmenv-({'|'.join(REVISIONS)})-([a-z]*)-[0-9a-f]{{16}}")

SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
NUMBERS = itertools.count(1)  # the server's ids of our requests, and its progress tokens

MOST_UNREAD_BYTES = 8 << 20  # of what one agent has not read yet; then its connection ends

LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class Outlet(Protocol):
    """Where an agent hears: the answer to one HTTP request, a stream, or a socket."""

    def answer(self, call: Call, message: Message) -> None:
        """Pass on the answer to *call*."""

    def send(self, message: Message) -> None:
        """Pass on a notification, or what the server asks of the agent."""

    def cancelled(self, call: Call) -> None:
        """Take it that the agent itself wants no answer to *call* any longer."""


class Call:
    """A request of an agent, from when it came until it is answered or cancelled.

    Attributes:
        number: what the server knows it by, also as a progress token.
        id: what the agent knows it by.
        token: the agent's progress token, None if it wants no progress.
        level: the log messages that a request of 2026-07-28 wants, None for none.
        outgoing: what is written to the server.
    """

    def __init__(
        self, session: Session, outlet: Outlet, message: Message, *, modern: bool = False
    ) -> None:
        """Take *message*, a request.

        Raises:
            NotAMessage: it cannot be passed on.
        """
        self.number = next(NUMBERS)
        self.session = session
        self.outlet = outlet
        self.id = message["id"]
        self.method: str = message["method"]
        self.modern = modern
        params = params_of(message)
        meta = params.get("_meta")
        meta = meta if isinstance(meta, dict) else {}
        self.token = meta.get("progressToken")
        self.level = meta.get("io.modelcontextprotocol/logLevel") if modern else None
        self.wanted_version = params.get("protocolVersion")
        sent = message | {"id": self.number}
        if self.token is not None:
            sent["params"] = params | {"_meta": meta | {"progressToken": self.number}}
        self.outgoing = Outgoing(encode(sent))
        self.timer: asyncio.TimerHandle | None = None  # while it waits for the server to be up

    def stop_waiting(self) -> None:
        """Take it that the server is up, or that nobody waits for it."""
        if self.timer:
            self.timer.cancel()
            self.timer = None

    def answer(self, message: Message) -> None:
        """Give the agent its answer, whose id is set right."""
        self.stop_waiting()
        if self.session.calls.get(self.id) is self:
            del self.session.calls[self.id]
        if self.method == "subscriptions/listen" and isinstance(message.get("result"), dict):
            meta = {SUBSCRIPTION_KEY: self.id}
            message |= {"result": message["result"] | {"_meta": meta}}
        self.outlet.answer(self, message | {"id": self.id})


class Session:
    """One agent.

    Attributes:
        version: the revision that it speaks.
        abilities: the values of `CAPABILITIES` that it declared.
        name: what it calls itself, "" when it did not say so to this bridge.
        level: the least severe log message that it wants; None: it did not say.
        uris: the resources that it subscribed to.
        listeners: where it hears what belongs to no call of its own, the latest last.
        calls: its requests under way, by its own ids.
    """

    def __init__(self, version: str = UNSAID, abilities: frozenset[str] = frozenset()) -> None:
        self.version = version
        self.abilities = abilities
        self.name = ""
        self.level: str | None = None
        self.uris: set[str] = set()
        self.listeners: list[Outlet] = []
        self.calls: dict[str | int, Call] = {}

    def introduce(self, params: Message) -> None:
        """Take from the params of `initialize` what the agent can be asked."""
        declared = params.get("capabilities")
        declared = declared if isinstance(declared, dict) else {}
        found = {name for name in ("sampling", "roots") if isinstance(declared.get(name), dict)}
        elicitation = declared.get("elicitation")
        if isinstance(elicitation, dict):
            # Empty, as before 2025-11-25, it means forms.
            found |= {"elicitation"} if "form" in elicitation or not elicitation else set()
            found |= {"elicitation by URL"} if "url" in elicitation else set()
        self.abilities = frozenset(found)
        info = params.get("clientInfo")
        self.name = str(info.get("name", ""))[:100] if isinstance(info, dict) else ""

    def new_id(self) -> str:
        """Return an id for this session, visible ASCII as 2025-11-25 has it."""
        letters = "".join(letter for letter, name in CAPABILITIES.items() if name in self.abilities)
        return f"llmenv-{self.version}-{letters}-{os.urandom(8).hex()}"

    def wants(self, level: object) -> bool:
        """True when the agent wants log messages of *level*."""
        if self.level is None or level not in LEVELS:
            return True
        return LEVELS.index(str(level)) >= LEVELS.index(self.level)

    @property
    def is_idle(self) -> bool:
        """True when nothing would be lost if the session were forgotten."""
        return not (self.listeners or self.calls or self.uris or self.level)


class Sessions:
    """The sessions over HTTP that are remembered, and those that their agents ended."""

    MOST = 4096

    def __init__(self, forget: Callable[[Session], None]) -> None:
        """*forget* hears of a session that has to make way."""
        self._forget = forget
        self._known: dict[str, Session] = {}
        self._ended: dict[str, None] = {}

    def find(self, session_id: str | None, version: str) -> Session | None:
        """Return the session of a request, None when its agent has ended it.

        Args:
            session_id: what it says, None for nothing.  One that nobody here remembers is taken at
                its word; one that says nothing is as good as none.
            version: what a request without a session speaks.
        """
        if session_id in self._ended:
            return None
        if session_id is None or not (match := SESSION_ID.fullmatch(session_id)):
            return Session(version)
        session = self._known.pop(session_id, None) or Session(
            match[1], frozenset(CAPABILITIES[each] for each in match[2] if each in CAPABILITIES)
        )
        self.remember(session_id, session)
        return session

    def remember(self, session_id: str, session: Session) -> None:
        """Keep *session*, the latest of them; the one that was used longest ago makes way."""
        self._known[session_id] = session
        if len(self._known) > self.MOST:
            self._forget(self._known.pop(next(iter(self._known))))

    def end(self, session_id: str) -> Session | None:
        """Forget a session, at its agent's wish; return it if it was known."""
        self._ended[session_id] = None
        if len(self._ended) > self.MOST:
            del self._ended[next(iter(self._ended))]
        return self._known.pop(session_id, None)
