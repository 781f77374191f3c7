"""One request over HTTP and its answer: Streamable HTTP, from 2025-03-26 to 2026-07-28.

An answer is JSON, or a stream of server-sent events: for a client that names that first, once
something else comes before it, or once it takes so long that a client might think it lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmenv_hooks.bridge.answers import STREAM_END, response, stream_event, stream_start
from llmenv_hooks.bridge.headers import mismatch, needs_schema, param_mismatch
from llmenv_hooks.bridge.hub import is_modern
from llmenv_hooks.bridge.messages import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    is_request,
)
from llmenv_hooks.bridge.sessions import REVISIONS, UNSAID, Session, Sessions
from llmenv_hooks.helper.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    NotAMessage,
    decode,
    encode,
    failure,
    params_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from llmenv_hooks.bridge.hub import Hub
    from llmenv_hooks.bridge.requests import Head
    from llmenv_hooks.bridge.schemas import Schemas
    from llmenv_hooks.bridge.sessions import Call
    from llmenv_hooks.helper.jsonrpc import Message

JSON = ("Content-Type", "application/json")
UNBUFFERED = ("X-Accel-Buffering", "no")
KEEP_ALIVE_S = 15.0
KEEP_ALIVE = b"e\r\n: keep-alive\n\n\r\n"

# The status of an error of 2026-07-28; any other has 200.
STATUS_OF = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    MISSING_CAPABILITY: 400,
    UNSUPPORTED_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}


class Shop:
    """What all exchanges share."""

    def __init__(self, hub: Hub, schemas: Schemas) -> None:
        self.hub = hub
        self.schemas = schemas
        self.sessions = Sessions(hub.end)


class Exchange:
    """One request, from its head to the end of its answer.

    Attributes:
        session: who asks, once that is known.
        is_stream: True once the answer is a stream of events.
        is_over: True once it has been answered.
    """

    def __init__(
        self,
        shop: Shop,
        head: Head,
        write: Callable[[bytes], None],
        over: Callable[[], None],
    ) -> None:
        """Answer the request with *head* by *write*, once `finish` brings its body; then `over`."""
        self._shop = shop
        self._head = head
        self._write = write
        self._tell_over = over
        self._modern = False
        self._greets = False  # the head of its answer has the session's id
        accept = ",".join(head.all("accept")).lower()
        self._takes_events = "text/event-stream" in accept or "*/*" in accept
        self._takes_json = "application/json" in accept or "*/*" in accept or not accept
        self._prefers_events = accept.lstrip().startswith("text/event-stream")
        self.session: Session | None = None
        self.is_stream = False
        self.is_over = False
        self.closes = head.closes

    def finish(self, body: bytes) -> None:
        """Take the whole request."""
        head = self._head
        if head.target != "/mcp":
            self._plain(404, "the endpoint is /mcp")
            return
        version = head.one("mcp-protocol-version")
        if head.method == "POST":
            if not (self._takes_json or self._takes_events):
                self._plain(406, "an answer is application/json or text/event-stream")
                return
            self._post(body, version)
        elif version is not None and version not in REVISIONS:
            self._write(response(405, [("Allow", "POST")]))
            self._over()
        elif head.method == "GET":
            self._get(version or UNSAID)
        else:
            self._delete()

    def gone(self) -> None:
        """Take it that nobody waits for the answer any longer."""
        self.is_over = True
        if self.session:
            self._shop.hub.leave(self.session, self)

    def keep_alive(self) -> None:
        """Show a client that waits that it is not forgotten."""
        if self.is_stream:
            self._write(KEEP_ALIVE)
        elif self._takes_events and self.session and not (self._greets or self.is_over):
            self._start_stream()

    def end_stream(self) -> None:
        """End a stream that has no answer."""
        self._write(STREAM_END)
        self._over()

    # --- the three methods ------------------------------------------------------------------------

    def _post(self, body: bytes, version: str | None) -> None:
        try:
            message = decode(body)
        except NotAMessage as error:
            self.closes = True
            self._json(400, failure(None, error.code, str(error)))
            return
        self._modern = is_modern(message) or (version is not None and version not in REVISIONS)
        try:
            if self._modern:
                self._modern_post(message)
            elif message.get("method") == "initialize":  # whatever session there was before
                self._greets = True
                self._pass_on(message, Session())
            else:
                self._pass_on(message, self._find_session(version or UNSAID))
        except NotAMessage as error:
            self._json(400, failure(None, error.code, str(error)))

    def _modern_post(self, message: Message) -> None:
        """See that the headers say what the body says, which may need the tool's schema."""
        if not is_request(message):
            # A notification means nothing in this era, an answer has no place in it.
            self._empty(202 if "method" in message else 400)
            return
        if error := mismatch(self._head, message):
            self._json(400, error)
            return
        session = self.session = Session()
        if not needs_schema(self._head, message):
            self._pass_on(message, session)
            return
        schemas, name = self._shop.schemas, params_of(message).get("name")
        schema = schemas.known(name)
        if schema is not None and not param_mismatch(self._head, message, schema):
            self._pass_on(message, session)
            return

        def judge() -> None:
            if self.is_over:
                return
            schema = schemas.known(name)
            error = param_mismatch(self._head, message, schema) if schema is not None else None
            if error:
                self._json(400, error)
            else:
                self._pass_on(message, session)

        schemas.fetch(message, judge)

    def _pass_on(self, message: Message, session: Session | None) -> None:
        if session is None:
            why = "the session was ended: begin a new one with initialize"
            self._json(404, failure(message.get("id"), INVALID_REQUEST, why))
            return
        self.session = session
        self._shop.hub.receive(session, self, message, modern=self._modern)
        if not is_request(message):
            self._empty(202)

    def _get(self, version: str) -> None:
        """Open the stream by which an agent hears what belongs to no call of its own."""
        session = self._find_session(version)
        if not self._takes_events:
            self._plain(406, "a GET is answered by text/event-stream")
        elif session is None:
            self._plain(404, "the session was ended")
        else:
            self.session = session
            self._start_stream()
            self._shop.hub.listen(session, self)

    def _delete(self) -> None:
        session_id = self._head.one("mcp-session-id")
        if session_id is None:
            self._plain(400, "no session to end")
            return
        session = self._shop.sessions.end(session_id)
        if session:
            for stream in session.listeners[:]:
                if isinstance(stream, Exchange):
                    stream.end_stream()
            self._shop.hub.end(session)
        self._empty(200)

    def _find_session(self, version: str) -> Session | None:
        return self._shop.sessions.find(self._head.one("mcp-session-id"), version)

    # --- what the hub says ------------------------------------------------------------------------

    def answer(self, call: Call, message: Message) -> None:
        """Write the answer to the request."""
        if self.is_over:
            return
        status = 200
        if self._modern and "error" in message:
            status = STATUS_OF.get(message["error"]["code"], 200)
            if status == 404 and not self._shop.hub.eras.modern:
                status = 400  # by which a client goes back to `initialize`
        headers = []
        if call.method == "initialize" and "result" in message:
            headers.append(("Mcp-Session-Id", self._remember(message)))
        if self._prefers_events and status == 200 and not self.is_stream:
            self._start_stream(headers)
        if self.is_stream:
            self._write(stream_event(encode(message)) + STREAM_END)
            self._over()
        else:
            self._json(status, message, headers)

    def send(self, message: Message) -> None:
        """Write what comes before the answer, or on a stream without one."""
        if self.is_over:
            return
        if self._takes_events:
            if not self.is_stream:
                self._start_stream()
            self._write(stream_event(encode(message)))
        elif is_request(message) and self.session:
            why = "the agent does not accept text/event-stream"
            refusal = failure(message["id"], INTERNAL_ERROR, why)
            self._shop.hub.receive(self.session, self, refusal)

    def cancelled(self, call: Call) -> None:
        """End the answer without one, as a stream in which nothing came."""
        if not self.is_stream:
            self._start_stream()
        self.end_stream()

    def _remember(self, message: Message) -> str:
        assert self.session
        self.session.version = message["result"]["protocolVersion"]
        session_id = self.session.new_id()
        self._shop.sessions.remember(session_id, self.session)
        return session_id

    # --- how it is written ------------------------------------------------------------------------

    def _start_stream(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        self._write(stream_start([UNBUFFERED, *headers]))
        self.is_stream = True

    def _json(
        self, status: int, message: Message, headers: list[tuple[str, str]] | None = None
    ) -> None:
        self._write(response(status, [JSON, *(headers or [])], encode(message)))
        self._over()

    def _plain(self, status: int, why: str) -> None:
        kind = ("Content-Type", "text/plain; charset=utf-8")
        self._write(response(status, [kind], f"{why}\n".encode()))
        self._over()

    def _empty(self, status: int) -> None:
        self._write(response(status, []))
        self._over()

    def _over(self) -> None:
        self.is_over = True
        if self.session:
            self._shop.hub.leave(self.session, self)
        self._tell_over()
