"""An MCP server somewhere else, for the tests: Streamable HTTP, with sessions, in this process."""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

Message = dict[str, Any]


class Site:
    """A server on a port of its own.

    Attributes:
        requests: the method, the headers (names in lower case) and the message of each request.
        token: what `Authorization` has to say, "" for nothing.
        session: the session that `initialize` gives out, "" for none; another one is unknown.
        answer: "json" or "events", or "cut": the connection is closed after the request was read.
        told: what is put there comes by the stream for what the server says by itself.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], Message]] = []
        self.token = ""
        self.session = ""
        self.answer = "json"
        self.told: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                site.serve(self)

            def do_GET(self) -> None:
                site.listen(self)

            def do_DELETE(self) -> None:
                site.note(self, {})
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server.server_port}/team/mcp?x=1"

    def came(self, method: str) -> list[dict[str, str]]:
        """Return the headers of each request of HTTP's or MCP's *method*."""
        return [
            headers
            for verb, headers, message in list(self.requests)
            if method in (verb, message.get("method"))
        ]

    def note(self, request: BaseHTTPRequestHandler, message: Message) -> None:
        """Keep what has come."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        headers["path"] = request.path
        self.requests.append((request.command, headers, message))

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a POST."""
        message = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.note(request, message)
        if self.token and request.headers["Authorization"] != f"Bearer {self.token}":
            self.respond(request, 401, b"who are\nyou?\n", "text/plain")
        elif (
            message["method"] != "initialize"
            and (request.headers["Mcp-Session-Id"] or "") != self.session
        ):
            self.respond(request, 404, b"", "text/plain")
        elif self.answer == "cut" and message["method"] == "tools/call":
            request.close_connection = True
        elif "id" not in message:
            self.respond(request, 202, b"", "text/plain")
        else:
            self.respond_to(request, message)

    def respond_to(self, request: BaseHTTPRequestHandler, message: Message) -> None:
        """Answer a request of MCP's with what it says."""
        answer: Message = {"jsonrpc": "2.0", "id": message["id"], "result": {"echo": message}}
        if message["method"] == "initialize":
            version = message["params"].get("protocolVersion")
            answer["result"] = {"protocolVersion": version, "serverInfo": {"name": "site"}}
        if self.answer == "events":
            first = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": "hm"}}
            text = f"event: message\r\ndata: {json.dumps(first)}\r\n\r\n: still here\n\n"
            lines = json.dumps(answer, indent=1).splitlines()
            text += "".join(f"data: {line}\n" for line in lines) + "\n"
            self.respond(request, 200, text.encode(), "text/event-stream")
        else:
            body = json.dumps(answer, indent=1).encode()
            self.respond(request, 200, body, "application/json; charset=utf-8")

    def respond(self, request: BaseHTTPRequestHandler, status: int, body: bytes, kind: str) -> None:
        """Send a response."""
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(body)))
        if self.session:
            request.send_header("Mcp-Session-Id", self.session)
        request.end_headers()
        request.wfile.write(body)

    def listen(self, request: BaseHTTPRequestHandler) -> None:
        """Send what is told, until that is None."""
        self.note(request, {})
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        while message := self.told.get():
            request.wfile.write(f"data: {json.dumps(message)}\n\n".encode())

    def __enter__(self) -> Site:
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.told.put(None)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
