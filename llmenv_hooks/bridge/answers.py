"""HTTP/1.1 answers as the bridge writes them: a whole one, or a stream of events."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.requests import CONTROLS, HTTP_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
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


def _start(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    encoded = [line.encode("latin-1") for line in lines]
    if any(map(CONTROLS.search, encoded)):
        raise ValueError(f"a control character in {lines}")
    return b"\r\n".join([*encoded, b"", b""])
