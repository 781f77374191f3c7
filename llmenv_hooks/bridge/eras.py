"""Which server process answers in which era.

The first process is greeted with `initialize`.  Some servers then answer requests of 2026-07-28 on
the same pipe, some never do, and some (the Python SDK's from 2.0 on) serve on one pipe only the era
that it began with.  So the first request of the new era makes the bridge ask; and for a server of
the third kind it starts a second process, as a client of that era would.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.messages import SERVER_CODES, request
from llmenv_hooks.bridge.servers import ENVELOPE, Server, ServerOwner
from llmenv_hooks.bridge.sessions import Call, Session
from llmenv_hooks.helper.jsonrpc import INVALID_REQUEST, METHOD_NOT_FOUND, failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmenv_hooks.bridge.logs import Log
    from llmenv_hooks.helper.jsonrpc import Message

PROBE_S = 5.0  # a server of the old era may say nothing at all to what it does not know


class Eras:
    """The processes of one server, one an era at most.

    Attributes:
        first: the one that was greeted with `initialize`.
        modern: the one that answers requests of 2026-07-28; None: none, or not known yet.
    """

    def __init__(
        self, command: Sequence[str], hub: ServerOwner, log: Log, start_timeout: float
    ) -> None:
        """Get ready to keep *command* running."""
        self._new = partial(Server, command, hub, log, start_timeout)
        self.first = self._new(modern=False)
        self.modern: Server | None = None
        self._has_none = False
        self._undecided: list[Call] = []
        self._probe: Call | None = None

    @property
    def servers(self) -> list[Server]:
        """The processes there are."""
        return [self.first] if self.modern in (None, self.first) else [self.first, self.modern]

    def ask(self, call: Call) -> None:
        """Pass on a request of the era of `initialize`."""
        self.first.ask(call)

    def ask_modern(self, call: Call) -> None:
        """Pass on a request that stands alone."""
        if call.method == "initialize":  # gone from this era
            call.answer(failure(None, METHOD_NOT_FOUND, "Method not found: initialize"))
        elif self.modern:
            self.modern.ask(call)
        elif self._has_none:
            call.answer(_fallback())
        else:
            self._undecided.append(call)
            self._find_out()

    def cancel(self, call: Call, reason: str) -> None:
        """Do not expect an answer to *call* any longer."""
        if call in self._undecided:
            self._undecided.remove(call)
        for server in self.servers:
            server.cancel(call, reason)

    def went_down(self, server: Server) -> None:
        """Take it that a process died: what follows it may be another version of the program."""
        if server is self.first:
            self._has_none = False
            if self.modern is self.first:
                self.modern = None
        elif server.discovery is None:  # it never came up: the era is not to be had
            self._has_none = True
            self.modern = None
            server.refuse_all(_fallback())
            asyncio.get_running_loop().create_task(server.child.end())

    # --- finding out ------------------------------------------------------------------------------

    def _find_out(self) -> None:
        """Ask the first process whether it knows the new era."""
        if self._probe:
            return
        self._probe = probe = Call(
            Session(), self, request(0, "server/discover", {"_meta": ENVELOPE}), modern=True
        )
        asyncio.get_running_loop().call_later(PROBE_S, self._no_answer, probe)
        self.first.ask(probe)

    def answer(self, call: Call, message: Message) -> None:
        """Take the first process's answer to the probe."""
        if call is not self._probe:
            return
        error = message.get("error")
        if error and error["code"] == INVALID_REQUEST:  # on this pipe, at least
            self.modern = self._new(modern=True)
            self._decided()
            self.modern.child.start()
        elif error and error["code"] in SERVER_CODES:
            self._decided(message)
        elif error or not isinstance(message["result"], dict):
            self._has_none = True
            self._decided()
        else:
            self.modern = self.first
            self._decided()

    def send(self, message: Message) -> None:
        """Drop what comes with the probe."""

    def cancelled(self, call: Call) -> None:
        """Do nothing: no agent cancels the probe."""

    def _no_answer(self, probe: Call) -> None:
        if probe is not self._probe:
            return
        if self.first.is_up:
            self.first.cancel(probe, "no answer")
            self._decided(_fallback())
        else:
            asyncio.get_running_loop().call_later(PROBE_S, self._no_answer, probe)

    def _decided(self, answer: Message | None = None) -> None:
        """Pass on what waited for this; *answer*: the bridge answers it so."""
        self._probe = None
        undecided, self._undecided = self._undecided, []
        for call in undecided:
            if answer:
                call.answer(answer)
            else:
                self.ask_modern(call)


def _fallback() -> Message:
    """Return the error by which a client of both eras goes back to `initialize`."""
    why = "Method not found: this server speaks no revision from 2026-07-28 on, use initialize"
    return failure(None, METHOD_NOT_FOUND, why)
