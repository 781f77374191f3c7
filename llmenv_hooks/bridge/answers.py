"""HTTP/1.1 answers as the bridge writes them: a whole one, or a stream of events."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.requests import CONTROLS, HTTP_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmenv_hooks.bridge.requests import Head

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What a page may send; `Mcp-Param-` goes on as the tools' schemas say.
PAGE_HEADER = re.compile(r"accept|authorization|content-type|last-event-id|mcp-[-a-z0-9]+")
STREAM_END = b"0\r\n\r\n"


def response(status: int, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """Return a whole answer, its Content-Length included.

    Raises:
        ValueError: a header's value has a control character in it.
    """
    return _start(status, [*headers, ("Content-Length", str(len(body)))]) + body


def refusal(status: int, why: str) -> bytes:
    """Return the answer of one line to a request that is not taken; the connection ends with it."""
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Connection", "close")]
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", ", ".join(HTTP_METHODS)))
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(("WWW-Authenticate", "Bearer"))
    return response(status, headers, f"{why}\n".encode())


def preflight(head: Head, origin: str) -> bytes:
    """Return the answer to a browser that asks whether a page of *origin* may send a request.

    WHATWG Fetch, "CORS protocol"; it may have the headers that a client of MCP sends.
    """
    wanted = ",".join(head.all("access-control-request-headers")).lower().split(",")
    names = [name for name in map(str.strip, wanted) if PAGE_HEADER.fullmatch(name)]
    headers = [
        *_for_page(origin),
        ("Access-Control-Allow-Methods", ", ".join(HTTP_METHODS)),
        ("Access-Control-Allow-Headers", ", ".join(names)),
        ("Access-Control-Max-Age", "600"),
        ("Connection", "close"),
    ]
    return _start(204, headers)


def readable(answer: bytes, origin: str) -> bytes:
    """Return *answer*, with all of its head, so that a browser lets a page of *origin* read it."""
    status, _, rest = answer.partition(b"\r\n")
    headers = [*_for_page(origin), ("Access-Control-Expose-Headers", "Mcp-Session-Id")]
    return b"\r\n".join([status, *_encoded(headers), rest])


def stream_start(headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Return the start of a stream of server-sent events; it ends with `STREAM_END`."""
    fixed = [
        ("Content-Type", "text/event-stream"),
        ("Cache-Control", "no-cache"),
        ("Transfer-Encoding", "chunked"),
    ]
    return _start(200, [*fixed, *headers])


def stream_event(data: bytes) -> bytes:
    """Return one event of such a stream; *data* is one line, as JSON without indentation is."""
    event = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(event), event)


def _for_page(origin: str) -> list[tuple[str, str]]:
    return [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]


def _start(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
    return b"\r\n".join([line, *_encoded(headers), b"", b""])


def _encoded(headers: Iterable[tuple[str, str]]) -> list[bytes]:
    encoded = [f"{name}: {value}".encode("latin-1") for name, value in headers]
    if any(map(CONTROLS.search, encoded)):
        raise ValueError(f"a control character in {encoded}")
    return encoded
