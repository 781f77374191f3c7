"""A request of an agent on its way to the server, and what the server knows it by."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.messages import Message, encode, params_of
from llmenv_hooks.bridge.pipes import Outgoing

if TYPE_CHECKING:
    import asyncio

    from llmenv_hooks.bridge.sessions import Outlet, Session

SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
NUMBERS = itertools.count(1)  # the server's ids of our requests, and its progress tokens


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
