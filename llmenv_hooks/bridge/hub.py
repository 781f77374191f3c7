"""One server, many agents: who gets what.

Agents say what they say by `receive`; what the server says comes by `said`, and goes

* an answer: to the call that it answers (`servers`);
* what the server asks: to the agent in whose call it asks (`asks`);
* progress: to the call whose token it has;
* a log message: to the agents with a request under way;
* the word that something changed: to the agents that listen, or subscribed to it;
* anything else: to the agent with a request under way, if it is one alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmenv_hooks.bridge.asks import Asks
from llmenv_hooks.bridge.eras import Eras
from llmenv_hooks.bridge.messages import is_request, meta_of, request, result
from llmenv_hooks.bridge.sessions import LEVELS, SUBSCRIPTION_KEY, Call, Outlet, Session
from llmenv_hooks.helper.jsonrpc import VERSION_KEY, params_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from llmenv_hooks.bridge.logs import Log
    from llmenv_hooks.bridge.servers import Server
    from llmenv_hooks.helper.jsonrpc import Message


def is_modern(message: Message) -> bool:
    """True for a request that stands alone, as from 2026-07-28 on."""
    return VERSION_KEY in meta_of(message) and message.get("method") != "initialize"


class Nobody:
    """Where the answers to the bridge's own requests go."""

    def answer(self, call: Call, message: Message) -> None:
        """Drop it."""

    def send(self, message: Message) -> None:
        """Drop it."""

    def cancelled(self, call: Call) -> None:
        """Do nothing."""


class Hub:
    """The agents of one service, and the server that they share.

    Attributes:
        calls: how many requests came since the start.
        sessions: the agents that have something here, by the doors that know them.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Log,
        start_timeout: float,
        note: Callable[[str], None],
    ) -> None:
        """Get ready to keep *command* running, once `start` is called.

        *note* is told why the server keeps dying, and "" when it runs again.
        """
        self._note = note
        self._asks = Asks()
        self.calls = 0
        self.sessions: set[Session] = set()
        self.eras = Eras(command, self, log, start_timeout)

    def start(self) -> None:
        """Start the server."""
        self.eras.first.child.start()

    def look(self) -> None:
        """See which processes have died: call it at each SIGCHLD."""
        for server in self.eras.servers:
            server.child.look()

    @property
    def under_way(self) -> int:
        """How many requests of agents are not answered, but for those that only listen."""
        calls = (call for session in self.sessions for call in session.calls.values())
        return sum(call.method != "subscriptions/listen" for call in calls)

    # --- what agents say --------------------------------------------------------------------------

    def receive(
        self, session: Session, outlet: Outlet, message: Message, *, modern: bool = False
    ) -> Call | None:
        """Take *message* of an agent; return the call that it makes, None when it makes none.

        *modern*: a request that stands alone, see `is_modern`.

        Raises:
            NotAMessage: it cannot be passed on.
        """
        self.sessions.add(session)
        if is_request(message):
            return self._call(session, outlet, message, modern)
        method = message.get("method")
        if method is None:
            self._asks.answered(session, message)
        elif method == "notifications/cancelled":
            params = params_of(message)
            wanted = params.get("requestId")
            call = session.calls.get(wanted) if isinstance(wanted, str | int) else None
            if call and call.method != "initialize":
                self.cancel(call, str(params.get("reason", "")))
                call.outlet.cancelled(call)
        elif method == "notifications/progress":
            self._asks.progressed(session, message)
        # No other is passed on: `initialized` was said by the bridge, the roots of one agent are
        # not those of another.
        return None

    def cancel(self, call: Call, reason: str) -> None:
        """Do not expect an answer to *call* any longer."""
        if call.session.calls.get(call.id) is call:
            del call.session.calls[call.id]
        self.eras.cancel(call, reason)

    def listen(self, session: Session, outlet: Outlet) -> None:
        """Let *session* hear by *outlet* what belongs to no call of its own."""
        self.sessions.add(session)
        session.listeners.append(outlet)

    def leave(self, session: Session, outlet: Outlet) -> None:
        """Take it that nobody hears by *outlet* any longer."""
        if outlet in session.listeners:
            session.listeners.remove(outlet)
        for call in list(session.calls.values()):
            if call.outlet is outlet:
                self.cancel(call, "the agent went away")
        if not session.calls:
            self._asks.left(session)
        if session.is_idle:
            self.sessions.discard(session)

    def end(self, session: Session) -> None:
        """Take it that an agent is gone for good."""
        for call in list(session.calls.values()):
            self.cancel(call, "the agent went away")
        self._asks.left(session)
        for uri in session.uris:
            if not any(uri in other.uris for other in self.sessions - {session}):
                self._ask_for_all("resources/unsubscribe", {"uri": uri})
        session.uris.clear()
        session.level = None
        self.sessions.discard(session)

    def _call(
        self, session: Session, outlet: Outlet, message: Message, modern: bool
    ) -> Call | None:
        method, params = message["method"], params_of(message)
        self.calls += 1
        call = Call(session, outlet, message, modern=modern)
        if modern:
            session.calls[call.id] = call
            self.eras.ask_modern(call)
            return call
        if method == "ping":
            call.answer(result(None, {}))
            return None
        if method == "initialize":
            session.introduce(params)
        elif method == "logging/setLevel" and params.get("level") in LEVELS:
            session.level = params["level"]
            call = Call(session, outlet, message | {"params": params | {"level": self._level()}})
        elif method == "resources/subscribe" and isinstance(params.get("uri"), str):
            session.uris.add(params["uri"])
        elif method == "resources/unsubscribe":
            session.uris.discard(str(params.get("uri")))
            if any(params.get("uri") in other.uris for other in self.sessions):
                call.answer(result(None, {}))
                return None
        session.calls[call.id] = call
        self.eras.ask(call)
        return call

    def _level(self) -> str:
        """Return the level by which the server says all that some agent wants."""
        wanted = [session.level for session in self.sessions if session.level]
        return min(wanted, key=LEVELS.index)

    def _ask_for_all(self, method: str, params: Message) -> None:
        """Ask the server something in nobody's name; the answer does not matter."""
        self.eras.ask(Call(Session(), Nobody(), request(0, method, params)))

    # --- what the server says ---------------------------------------------------------------------

    def came_up(self, server: Server) -> None:
        """Tell a new server process what agents had told the one before."""
        self._note("")
        if server.greeting is None or not server.child.restarts:
            return
        if any(session.level for session in self.sessions):
            self._ask_for_all("logging/setLevel", {"level": self._level()})
        for uri in {uri for session in self.sessions for uri in session.uris}:
            self._ask_for_all("resources/subscribe", {"uri": uri})

    def went_down(self, server: Server) -> None:
        """Withdraw what a dead server had asked."""
        self._asks.went_down(server)
        self.eras.went_down(server)
        if server.child.state == "failing":
            self._note(server.child.reason)

    def finished(self, server: Server, call: Call) -> None:
        """Take it that *call* is over."""
        self._asks.finished(call)

    def said(self, server: Server, message: Message) -> None:
        """Pass on what the server says on its own account."""
        if is_request(message):
            self._asks.ask(server, message)
            return
        method, params = message["method"], params_of(message)
        subscription = meta_of(message).get(SUBSCRIPTION_KEY)
        if method == "notifications/progress":
            self._progress(server, message)
        elif method == "notifications/cancelled":
            if not self._asks.cancelled(server, message):
                self._subscription_ends(server, message)
        elif isinstance(subscription, int):
            self._on_subscription(server, subscription, message)
        elif method == "notifications/message":
            self._log_message(server, message)
        elif method == "notifications/resources/updated":
            uri = params.get("uri")
            self._tell(message, (each for each in self.sessions if uri in each.uris))
        elif method.startswith("notifications/") and method.endswith("/list_changed"):
            self._tell(message, self.sessions)
        else:
            callers = {call.session: call for call in server.calls.values()}
            if len(callers) == 1:
                callers.popitem()[1].outlet.send(message)

    def _tell(self, message: Message, sessions: Iterable[Session]) -> None:
        """Send *message* to those of *sessions* that listen, to each once."""
        for session in list(sessions):
            if session.listeners:
                session.listeners[-1].send(message)

    def _progress(self, server: Server, message: Message) -> None:
        params = params_of(message)
        call = _call_of(server, params.get("progressToken"))
        if call and call.token is not None:
            call.outlet.send(message | {"params": params | {"progressToken": call.token}})

    def _log_message(self, server: Server, message: Message) -> None:
        """Send a log message to each agent with a request under way, and only once."""
        level = params_of(message).get("level")
        latest = {call.session: call for call in server.calls.values()}
        for session, call in latest.items():
            wanted = _reaches(level, call.level) if call.modern else session.wants(level)
            if wanted:
                call.outlet.send(message)

    def _on_subscription(self, server: Server, number: int, message: Message) -> None:
        """Send what belongs to a `subscriptions/listen` (2026-07-28) to who listens there."""
        call = _call_of(server, number)
        if call:
            params = params_of(message)
            meta = params["_meta"] | {SUBSCRIPTION_KEY: call.id}
            call.outlet.send(message | {"params": params | {"_meta": meta}})

    def _subscription_ends(self, server: Server, message: Message) -> None:
        params = params_of(message)
        call = _call_of(server, params.get("requestId"))
        if call:
            call.outlet.send(message | {"params": params | {"requestId": call.id}})


def _call_of(server: Server, number: object) -> Call | None:
    return server.calls.get(number) if isinstance(number, int) else None


def _reaches(level: object, least: object) -> bool:
    return level in LEVELS and least in LEVELS and LEVELS.index(level) >= LEVELS.index(least)
