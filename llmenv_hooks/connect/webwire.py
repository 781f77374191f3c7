"""A wire to a service that speaks HTTP: behind mcp-proxy, on another host, or a `url`.

MCP specification, Transports, Streamable HTTP: each message is a POST of its own, answered in JSON
or by a stream of events; a server that gives out a session also has a stream for what it says by
itself.  A connection serves one POST: of one that was kept, nobody could tell whether the server
had closed it before the next POST came, or had died while it did what that asked for.
"""

from __future__ import annotations

import _thread
import os
import time

from llmenv_hooks.connect.wires import CHUNK, CONNECT_S, Ended, Item, Wire
from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.jsonrpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    SERVER_DIED,
    SERVER_DOWN,
    NotAMessage,
    decode,
    encode,
    failure,
    params_of,
    stated_version,
)
from llmenv_hooks.helper.mcp import JSON_HEADERS, events, http_connection
from llmenv_hooks.helper.output import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    import ssl
    from _queue import SimpleQueue
    from collections.abc import Iterator

LAST_WORD_S = 1.0  # for the word that a session is over
LISTEN_AGAIN_S = 1.0
MOST_COMPLAINT_BYTES = 4096
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class WebWire(Wire):
    """The POSTs of one agent, each in a thread of its own."""

    def __init__(self, url: str, headers: dict[str, str], name: str, *, is_proxied: bool) -> None:
        """Get ready to POST to *url*, with *headers*; nothing is sent yet.

        *is_proxied*: mcp-proxy is there, whose errors may mean that its server is gone.
        """
        import _queue

        super().__init__()
        self._url, self._headers, self._name = url, headers, name
        self._is_proxied = is_proxied
        self._tls = _tls_context() if url.startswith("https:") else None
        self._session: str | None = None
        self._version: str | None = None
        self._listens = False
        self._told: SimpleQueue[bytes | Ended] = _queue.SimpleQueue()
        self._reader, self._writer = os.pipe()
        self._lock = _thread.allocate_lock()  # of _writer, which may not be another file by then
        self._is_closed = self._has_ended = False

    def fileno(self) -> int:
        """Return the end of a pipe by which threads say that there is something."""
        return self._reader

    def send(self, item: Item) -> None:
        """Begin a POST."""
        if item.id is not None:
            self.under_way[item.id] = item
        try:
            _thread.start_new_thread(self._post, (item,))
        except RuntimeError as error:
            raise Ended([item], printable(str(error))) from None

    def receive(self) -> list[bytes]:
        """Return what the threads have heard."""
        os.read(self._reader, CHUNK)
        lines: list[bytes] = []
        while not self._told.empty():
            told = self._told.get_nowait()
            if not isinstance(told, Ended):
                lines.append(told)
            elif lines:
                self._tell(told)
                break
            else:
                self._has_ended = True
                raise told
        return lines

    def close(self) -> None:
        """End the session, if the server has given one out and may still know it."""
        with self._lock:
            self._is_closed = True
            os.close(self._writer)
            os.close(self._reader)
        if self._session and not self._has_ended:
            try:
                connection, path = http_connection(self._url, LAST_WORD_S, self._tls)
                connection.request("DELETE", path, headers=self._all_headers(None))
                connection.getresponse()
            except Exception:
                return  # the server will find out by itself

    # --- in threads --------------------------------------------------------------------------

    def _tell(self, told: bytes | Ended) -> None:
        with self._lock:
            if not self._is_closed:
                self._told.put(told)
                os.write(self._writer, b".")

    def _fail(self, item: Item, code: int, why: str) -> None:
        if item.id is None:
            say(2, f"llmenv connect: {self._name}: {why}")
        else:
            self._tell(encode(failure(item.id, code, f"{self._name}: {why}")))

    def _post(self, item: Item) -> None:
        import http.client

        session = self._session
        try:
            connection, path = http_connection(self._url, CONNECT_S, self._tls)
            connection.connect()
            connection.sock.settimeout(None)  # a call may take its time
            connection.request("POST", path, item.line, self._all_headers(item))
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._tell(Ended([item], f"{printable(self._url)}: {_why(error)}"))
            return
        try:
            response = connection.getresponse()
            if response.status == 404 and session:
                self._tell(Ended([item], "its session is over"))
            elif response.status in (200, 202):
                self._read(item, response)
            else:
                self._refused(item, response)
        except (OSError, ValueError, NotAMessage, http.client.HTTPException) as error:
            self._fail(
                item,
                SERVER_DIED,
                f"{printable(self._url)}: {_why(error)} during this call; it may have been done",
            )
        finally:
            connection.close()

    def _all_headers(self, item: Item | None) -> dict[str, str]:
        """Return the headers of a request, of the POST of *item* if there is one."""
        headers = JSON_HEADERS | self._headers
        stated = stated_version(item.message) if item else None
        if item and stated:  # 2026-07-28 and later, "Request Metadata": the body's words again
            headers["MCP-Protocol-Version"] = stated
            headers["Mcp-Method"] = item.method
            named = params_of(item.message).get(NAMED.get(item.method, ""))
            if isinstance(named, str):
                headers["Mcp-Name"] = _header_value(named)
        elif self._version:
            headers["MCP-Protocol-Version"] = self._version
        if self._session:
            headers["Mcp-Session-Id"] = self._session
        return headers

    def _read(self, item: Item, response: http.client.HTTPResponse) -> None:
        """Pass on what *response* brings, which should end with the answer to *item*."""
        if item.method == "initialize":
            self._session = response.getheader("Mcp-Session-Id")
        if item.method == "notifications/initialized" and self._session and not self._listens:
            self._listens = True
            _thread.start_new_thread(self._listen, ())
        is_answered = item.id is None
        for data in _messages(response):
            message = decode(data)
            if "method" not in message and message.get("id") == item.id:
                is_answered = True
                self._note(item, message)
            self._tell(encode(message) if b"\n" in data else data)
        if not is_answered:
            raise OSError("the answer ended too early")

    def _note(self, item: Item, message: dict[str, object]) -> None:
        """Note what the answer *message* to *item* says to us."""
        result, error = message.get("result"), message.get("error")
        if item.method == "initialize" and isinstance(result, dict):
            self._version = str(result.get("protocolVersion"))
        failed = isinstance(result, dict) and result.get("isError") is True
        if isinstance(error, dict):
            failed = error.get("code") not in (METHOD_NOT_FOUND, INVALID_PARAMS)
        # mcp-proxy answers so to a call for a server that is gone, as it does to one that failed.
        self.is_doubtful = failed and self._is_proxied

    def _refused(self, item: Item, response: http.client.HTTPResponse) -> None:
        """Pass on why the server does not take *item*."""
        body = response.read(MOST_COMPLAINT_BYTES)
        try:
            message = decode(body)
        except NotAMessage:
            is_text = (response.getheader("Content-Type") or "").startswith("text/plain")
            said = printable(body.decode(errors="replace").strip(), 200) if is_text else ""
            status = f"HTTP {response.status} {printable(response.reason or '', 80)}"
            why = f"{printable(self._url)}: {status}{': ' * bool(said)}{said}"
            self._fail(item, SERVER_DOWN, why)
        else:
            if item.id is not None:
                self._tell(encode(message | {"id": item.id}))

    def _listen(self) -> None:
        """Pass on what the server says by itself, for as long as it has a stream for that."""
        import http.client

        while not self._is_closed:
            try:
                connection, path = http_connection(self._url, CONNECT_S, self._tls)
                connection.connect()
                connection.sock.settimeout(None)
                connection.request("GET", path, headers=self._all_headers(None))
                response = connection.getresponse()
                if response.status != 200:
                    return
                for data in events(response):
                    message = decode(data)
                    self._tell(encode(message) if b"\n" in data else data)
            except (OSError, ValueError, NotAMessage, http.client.HTTPException):
                pass  # if it is gone for good, the next POST will tell
            time.sleep(LISTEN_AGAIN_S)


def _tls_context() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()


def _messages(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the messages in *response*: one of JSON, those of a stream, or none."""
    kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if kind == "text/event-stream":
        yield from events(response)
        return
    body = response.read().strip()
    if body and (response.status == 200 or kind == "application/json"):
        yield body


def _header_value(text: str) -> str:
    """Return *text* as a header can have it: in base64 where it has more than visible ASCII."""
    import binascii

    if text.isascii() and text.isprintable() and text == text.strip() and text[:2] != "=?":
        return text
    return f"=?base64?{binascii.b2a_base64(text.encode(), newline=False).decode()}?="


def _why(error: Exception) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return printable(text or type(error).__name__)
