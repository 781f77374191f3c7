"""A model that follows a script: it has one tool called again and again, with other words each.

It stands on a port of its own, speaks the three dialects, and says what came back of each call.
Whatever else an agent asks it is refused; so is the way out, for which it may be named as a proxy.
"""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from dialects import Anthropic, Call, Dialect, Gemini, Json, OpenAI, event_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dialects import Tool

TOOL = re.compile(r"(^|_)store$")  # of the example's memory server, however an agent calls it
PREFIX = "call_"  # of the ids of its calls
# Some agents ask their model before they have a server's tools.  These tools of theirs wait for it.
WAITING: dict[str, Json] = {
    "ToolSearch": {"query": "select:mcp__memory__store"},  # Claude Code
    "list_mcp_resources": {"server": "memory"},  # Codex
}
WAITS = 10
# Where each dialect is spoken: the end of a path, but for its query.
DIALECTS: dict[str, Dialect] = {
    "/v1/messages": Anthropic(),
    "/v1/responses": OpenAI(),
    ":streamGenerateContent": Gemini(),
    ":generateContent": Gemini(),
}


class Script:
    """What the model does, and what it learns.

    Attributes:
        texts: what each call was to store, in the order in which they were made.
        results: what came back, by the number of the call, which begins with 1.
    """

    def __init__(self, calls: int, between: Callable[[int], None] = lambda made: None) -> None:
        """Make *calls* calls; before each one but the first, run `between(those made)`."""
        self.calls = calls
        self.between = between
        self.texts: list[str] = []
        self.results: dict[int, str] = {}
        self.waits = 0
        self._turn = threading.Lock()

    def next(self, tools: Iterable[Tool], results: Iterable[tuple[str, str]]) -> Call | None:
        """Return the next call, the last one again if nothing came back of it; None: say so."""
        named = {tool.name: tool for tool in tools}
        tool = next((named[name] for name in named if TOOL.search(name)), None)
        with self._turn:
            if tool is None:
                return self._wait(named)
            for number, text in results:
                if number.startswith(PREFIX):
                    self.results[int(number.removeprefix(PREFIX))] = text
            if not self.texts or len(self.texts) in self.results:
                if len(self.texts) == self.calls:
                    return None
                if self.texts:
                    self.between(len(self.texts))
                self.texts.append(f"The answer to question {len(self.texts) + 1} is known.")
            return Call(f"{PREFIX}{len(self.texts)}", tool, {"text": self.texts[-1]})

    def _wait(self, tools: Mapping[str, Tool]) -> Call | None:
        """Wait for the server by one of the *tools*; None: by none, as where a title is wanted."""
        name = next(filter(WAITING.get, tools), None)
        if name is None or self.waits == WAITS:
            return None
        self.waits += 1
        return Call(f"wait_{self.waits}", tools[name], WAITING[name])

    def answered(self) -> list[bool]:
        """Say of each call whether its own text came back."""
        return [text in self.results.get(made, "") for made, text in enumerate(self.texts, 1)]


class Model:
    """The model on its port, as long as the `with`.

    Attributes:
        refused: what was asked for that it does not have, a method and a path each.
        url: where it is, without a slash at the end.
    """

    def __init__(self, script: Script) -> None:
        self.refused: list[str] = []

        model = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                model.answer(self, script)

            def do_GET(self) -> None:
                model.refuse(self)

            def do_HEAD(self) -> None:
                model.refuse(self)

            def do_CONNECT(self) -> None:
                model.refuse(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))

    def __enter__(self) -> Model:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, request: BaseHTTPRequestHandler, script: Script) -> None:
        """Answer a POST as *script* has it."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        path = request.path.partition("?")[0]
        dialect = next((one for end, one in DIALECTS.items() if path.endswith(end)), None)
        if dialect is None:
            self.refuse(request)
            return
        asked: Json = json.loads(body)
        call = script.next(dialect.tools(asked), dialect.results(asked))
        events = dialect.answer(asked.get("model", "scripted"), call)
        if path.endswith(":generateContent"):
            _respond(request, 200, json.dumps(events[0]).encode(), "application/json")
        else:
            _respond(request, 200, event_stream(events), "text/event-stream")

    def refuse(self, request: BaseHTTPRequestHandler) -> None:
        """Answer that there is no such thing."""
        self.refused.append(f"{request.command} {request.path}")
        request.close_connection = True
        _respond(request, 404, b"{}", "application/json")


def _respond(request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
    request.send_response(status)
    request.send_header("Content-Type", kind)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)
