"""The HTTP server that agents take for their model's: a script, told in three dialects.

Whatever else it is asked it refuses, and so the way out, for which it may be named as a proxy.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from dialects import Anthropic, Dialect, Gemini, Json, OpenAI, event_stream

if TYPE_CHECKING:
    from rounds import Round
    from script import Script

# Where each dialect is spoken: the end of a path, but for its query.
DIALECTS: dict[str, Dialect] = {
    "/v1/messages": Anthropic(),
    "/v1/responses": OpenAI(),
    ":streamGenerateContent": Gemini(),
    ":generateContent": Gemini(),
}


class Model:
    """The model on its port, as long as the `with`.

    Attributes:
        refused: what was asked for that it does not have, a method and a path each.
        url: where it is, without a slash at the end.
    """

    def __init__(self, script: Script | Round) -> None:
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

    def answer(self, request: BaseHTTPRequestHandler, script: Script | Round) -> None:
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
