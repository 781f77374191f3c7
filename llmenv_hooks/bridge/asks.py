"""What the server asks of agents: sampling, elicitation, roots.

The server does not say for whom it asks.  It asks in the course of a call, and does not answer
that call before it is answered itself: so it can only be one of the calls under way when it asked,
and each of them that is answered first was not the one.  Once those that are left are of one
agent, that is the one; when they are not, after a while, the server gets an error.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.messages import INTERNAL_ERROR, meta_of, notification
from llmenv_hooks.helper.jsonrpc import METHOD_NOT_FOUND, failure, params_of

if TYPE_CHECKING:
    from llmenv_hooks.bridge.servers import Server
    from llmenv_hooks.bridge.sessions import Call, Session
    from llmenv_hooks.helper.jsonrpc import Message

UNDECIDED_S = 5.0  # how long it may be open whose call it is
ASKABLE = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}


class Ask:
    """One request of the server, from when it came until it is answered."""

    def __init__(self, server: Server, message: Message, calls: set[Call]) -> None:
        self.server = server
        self.message = message
        self.calls = calls  # it is for one of these
        self.session: Session | None = None  # who was asked
        self.timer: asyncio.TimerHandle | None = None

    def answer(self, message: Message) -> None:
        """Give the server its answer, whose id is set right."""
        self.server.tell(message | {"id": self.message["id"]})

    def refuse(self, code: int, why: str) -> None:
        """Answer with an error."""
        self.answer(failure(None, code, why))


class Asks:
    """All that the server has asked and that is not answered."""

    def __init__(self) -> None:
        self._open: dict[str, Ask] = {}  # by the id that the agent knows
        # An answer meant for an earlier bridge must not be taken for one to ours.
        self._ids = (f"llmenv-{os.urandom(4).hex()}-{number}" for number in itertools.count(1))

    def ask(self, server: Server, message: Message) -> None:
        """Find the agent for *message*, a request of *server*."""
        if message["method"] == "ping":
            server.tell({"jsonrpc": "2.0", "id": message["id"], "result": {}})
            return
        ask = Ask(server, message, {call for call in server.calls.values() if not call.modern})
        if message["method"] not in ASKABLE:
            ask.refuse(METHOD_NOT_FOUND, f"{message['method']}: no agent can be asked that")
            return
        number = next(self._ids)
        self._open[number] = ask
        ask.timer = asyncio.get_running_loop().call_later(UNDECIDED_S, self._give_up, number)
        self._decide(number, ask)

    def finished(self, call: Call) -> None:
        """Take it that *call*, which is over, was not the one."""
        for number, ask in list(self._open.items()):
            if call in ask.calls:
                ask.calls.discard(call)
                self._decide(number, ask)

    def answered(self, session: Session, message: Message) -> None:
        """Pass on the answer of an agent, if it was asked that."""
        number = message.get("id")
        ask = self._open.get(number) if isinstance(number, str) else None
        if ask and ask.session is session:
            self._close(str(number))
            ask.answer(message)

    def progressed(self, session: Session, message: Message) -> None:
        """Pass on an agent's progress with what it was asked."""
        token = params_of(message).get("progressToken")
        for ask in self._open.values():
            if ask.session is session and meta_of(ask.message).get("progressToken") == token:
                ask.server.tell(message)
                return

    def cancelled(self, server: Server, message: Message) -> bool:
        """Pass on the server's word that it wants no answer; False: it had not asked that."""
        wanted = params_of(message).get("requestId")
        for number, ask in list(self._open.items()):
            if ask.server is server and ask.message["id"] == wanted:
                self._withdraw(number, str(params_of(message).get("reason", "")))
                return True
        return False

    def left(self, session: Session) -> None:
        """Tell the server that an agent is gone, which has not answered."""
        for number, ask in list(self._open.items()):
            if ask.session is session:
                self._close(number)
                ask.refuse(INTERNAL_ERROR, "the agent went away before it answered")

    def went_down(self, server: Server) -> None:
        """Tell the agents that a dead server waits for no answer."""
        for number, ask in list(self._open.items()):
            if ask.server is server:
                self._withdraw(number, "the server died")

    def _decide(self, number: str, ask: Ask) -> None:
        """Ask the agent, once it is known which."""
        sessions = {call.session for call in ask.calls}
        if ask.session or len(sessions) > 1:
            return
        if not sessions:
            self._close(number)
            ask.refuse(INTERNAL_ERROR, "no agent has a request under way that this could be for")
            return
        session = sessions.pop()
        ability = ASKABLE[ask.message["method"]]
        if ability == "elicitation" and params_of(ask.message).get("mode") == "url":
            ability = "elicitation by URL"
        if ability not in session.abilities:
            self._close(number)
            ask.refuse(METHOD_NOT_FOUND, f"the agent does not support {ability}")
            return
        ask.session = session
        if ask.timer:
            ask.timer.cancel()
        latest = max(ask.calls, key=lambda call: call.number)
        latest.outlet.send(ask.message | {"id": number})

    def _give_up(self, number: str) -> None:
        ask = self._open.pop(number, None)
        if ask:
            agents = len({call.session for call in ask.calls})
            why = f"{agents} agents have requests under way, and it is not known whose this is for"
            ask.refuse(INTERNAL_ERROR, why)

    def _withdraw(self, number: str, reason: str) -> None:
        ask = self._open[number]
        self._close(number)
        if ask.session and ask.calls:
            params = {"requestId": number, "reason": reason}
            outlet = max(ask.calls, key=lambda call: call.number).outlet
            outlet.send(notification("notifications/cancelled", params))

    def _close(self, number: str) -> None:
        ask = self._open.pop(number)
        if ask.timer:
            ask.timer.cancel()
