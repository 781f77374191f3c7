"""HTTP/1.1 requests as the bridge reads them: bytes in, events out, no socket.

`Reader` takes what a client sent, cut anywhere, and gives for each request `Head`, perhaps
`Continue`, `Data` as often as there is some, and `End`.  Between `Head` and the rest the guard
judges who asks: only the call of `next_event` after that looks at the form of the request (method,
length, type).

It reads a subset of RFC 9112: what two readers could take in two ways is refused.  In the manner
of h11, which reads all that this one reads the same way: a table of states, and one function each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.requests import CONTROLS, TCHARS, Head, Malformed, body_length

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

MOST_HEAD_BYTES = 16 << 10
MOST_HEADERS = 100
MOST_BODY_BYTES = 4 << 20

REQUEST_LINE = re.compile(rf"({TCHARS}) ([\x21-\x7e]+) HTTP/([0-9]\.[0-9])".encode())
HEADER_NAME = re.compile(TCHARS.encode())
CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}")
CHUNK_SIZE_BYTES = 8 + len("\r\n")
LONG_HEAD = 431, f"the head is longer than {MOST_HEAD_BYTES} bytes"
ODD_SIZE = 400, "a chunk's size is not a short hexadecimal number"


@dataclass(frozen=True, slots=True)
class Continue:
    """The request is well formed, and its client may wait for `CONTINUE` to send the body."""


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the body, never empty; how it is cut says nothing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The request is whole.  What `next_event` gives next belongs to the one after it."""


Event = Head | Continue | Data | End


class Reader:
    """Reads the requests of one connection, one after the other."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._request: tuple[str, str] | None = None  # method and target, once their line is here
        self._headers: list[tuple[str, str]] = []
        self._head_bytes = 0
        self._body_bytes = 0  # announced so far
        self._left = 0  # of the body, or of the chunk
        self._head: Head | None = None  # the one whose form is still to be looked at
        self._error: Malformed | None = None
        self._read: Callable[[], Event | None] = self._read_head

    def feed(self, data: bytes) -> None:
        """Take *data*, the next bytes of the connection."""
        self._buffer += data

    @property
    def buffered(self) -> int:
        """How many bytes were fed and not read yet: stop feeding when they grow."""
        return len(self._buffer)

    @property
    def phase(self) -> Literal["idle", "head", "body"]:
        """What has begun and is not whole: nothing (between two requests), a head, or a body."""
        if self._read != self._read_head:
            return "body"
        return "head" if self._request or self._buffer else "idle"

    def next_event(self) -> Event | None:
        """Return what comes next; None: feed more first.

        Raises:
            Malformed: what was fed is no request that this bridge reads; and so at every later
                call.
        """
        if self._error:
            raise self._error
        try:
            while True:
                state = self._read
                event = state()
                if event or self._read == state:
                    return event
        except Malformed as error:
            self._error = error
            self._buffer.clear()
            raise

    # --- one function a state -----------------------------------------------------------------

    def _read_head(self) -> Head | None:
        """First state.  Line after line, so that what is wrong is said before the rest comes."""
        while True:
            line = self._line(MOST_HEAD_BYTES - self._head_bytes, LONG_HEAD)
            if line is None:
                return None
            self._head_bytes += len(line) + len("\r\n")
            if self._request is None:
                self._request = _request_line(line)
            elif line:
                self._headers.append(_header(line))
                if len(self._headers) > MOST_HEADERS:
                    raise Malformed(431, f"more than {MOST_HEADERS} headers")
            else:
                break
        self._head = Head(*self._request, self._headers)
        self._request, self._headers, self._head_bytes = None, [], 0
        self._read = self._read_form
        return self._head

    def _read_form(self) -> Continue | None:
        """After `Head`: how the body is framed, and whether it is one that we take at all."""
        assert self._head
        head, self._head = self._head, None
        self._body_bytes = self._left = 0
        length = body_length(head)
        if length is None:
            self._read = self._read_chunk_size
        else:
            self._announce(length)
            self._read = self._read_length
        return Continue() if head.all("expect") else None

    def _read_length(self) -> Data | End | None:
        """The body, or what is left of it."""
        return self._data() if self._left else self._end()

    def _read_chunk_size(self) -> End | None:
        """Between two chunks."""
        line = self._line(CHUNK_SIZE_BYTES, ODD_SIZE)
        if line is None:
            return None
        if not CHUNK_SIZE.fullmatch(line):  # an extension, too: no client of MCP has any
            raise Malformed(*ODD_SIZE)
        size = int(line, 16)
        self._announce(size)
        self._read = self._read_chunk if size else self._read_last_line
        return None

    def _read_chunk(self) -> Data | None:
        """In a chunk."""
        data = self._data()
        if not self._left:
            self._read = self._read_chunk_end
        return data

    def _read_chunk_end(self) -> None:
        """After a chunk."""
        if self._empty_line("a chunk is longer than its size"):
            self._read = self._read_chunk_size

    def _read_last_line(self) -> End | None:
        """After the last chunk."""
        return self._end() if self._empty_line("trailers are not taken") else None

    # --- what the states share ----------------------------------------------------------------

    def _end(self) -> End:
        self._read = self._read_head
        return End()

    def _announce(self, size: int) -> None:
        """Expect *size* bytes more of the body."""
        self._body_bytes += size
        self._left = size
        if self._body_bytes > MOST_BODY_BYTES:
            raise Malformed(413, f"the body is longer than {MOST_BODY_BYTES} bytes")

    def _data(self) -> Data | None:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        return Data(data) if data else None

    def _line(self, most: int, too_long: tuple[int, str]) -> bytes | None:
        """Take a line of at most *most* bytes off the buffer; return it without its CRLF.

        Otherwise *too_long*, a status and a reason, is what is wrong.

        A byte that no line may have is found before the line is whole: a TLS client sends none.
        """
        end = self._buffer.find(b"\n", 0, most)
        line = bytes(self._buffer[: end if end >= 0 else most])
        content = line.removesuffix(b"\r")
        if CONTROLS.search(content):
            raise Malformed(400, "a control character in the head")
        if end < 0:
            if len(line) == most:
                raise Malformed(*too_long)
            return None
        if not line.endswith(b"\r"):
            raise Malformed(400, "a line feed without a carriage return")
        del self._buffer[: end + 1]
        return content

    def _empty_line(self, otherwise: str) -> bool:
        """Take an empty line off the buffer; False: it has not come yet."""
        if not b"\r\n".startswith(bytes(self._buffer[:2])):
            raise Malformed(400, otherwise)
        if len(self._buffer) < 2:
            return False
        del self._buffer[:2]
        return True


# --- what a line must look like -------------------------------------------------------------------


def _request_line(line: bytes) -> tuple[str, str]:
    match = REQUEST_LINE.fullmatch(line)
    if not match:
        raise Malformed(400, "not a request line of HTTP/1.1")
    if match[3] != b"1.1":
        raise Malformed(505, "only HTTP/1.1 is spoken here")
    if not match[2].startswith(b"/"):
        raise Malformed(400, "the request's target is not a path")
    return match[1].decode(), match[2].decode()


def _header(line: bytes) -> tuple[str, str]:
    name, colon, value = line.partition(b":")
    if not colon or not HEADER_NAME.fullmatch(name):
        raise Malformed(400, "not a header on one line: a name, a colon, a value")
    return name.decode().lower(), value.strip(b" \t").decode("latin-1")
