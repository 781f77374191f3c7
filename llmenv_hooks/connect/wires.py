"""What a connection to a service is to `connect`, and the one by the bridge's socket.

unix(7): who reads a connection whose other end was closed with something unread in it, is told so
(ECONNRESET).  So the last line that was written to a bridge that died may be known not to have
been read to its end, and can be sent again.
"""

from __future__ import annotations

from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.sockets import connected

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmenv_hooks.helper.jsonrpc import Message

CONNECT_S = 5.0  # for the bridge to take a connection; its queue holds a thousand
CHUNK = 1 << 16


class Item:
    """One message of the agent's.

    *line* is as it came, without its end; *message* what it says; *id* is None when it wants no
    answer; *method* is "" when it is an answer itself.
    """

    __slots__ = ("id", "line", "message", "method")

    def __init__(self, line: bytes, message: Message) -> None:
        self.line = line
        self.message = message
        self.method = str(message.get("method", ""))
        self.id: str | int | None = message.get("id") if self.method else None


class Ended(Exception):
    """A wire has ended, *why* says how; *unsent* are the items that cannot have arrived."""

    def __init__(self, unsent: list[Item], why: str) -> None:
        super().__init__(why)
        self.unsent = unsent
        self.why = why


class Wire:
    """A connection to a service.

    Attributes:
        under_way: the requests that have been sent and not been answered, by their ids.
        is_doubtful: True when an answer says that the service should be looked at.
        has_left: True once the service has said that it has not taken what it did not answer.
    """

    def __init__(self) -> None:
        self.under_way: dict[str | int, Item] = {}
        self.is_doubtful = False
        self.has_left = False

    def fileno(self) -> int:
        """Return the descriptor that can be read when there is something to `receive`."""
        raise NotImplementedError

    def send(self, item: Item) -> None:
        """Send *item*; a request is under way from then on.

        Raises:
            Ended: it cannot have arrived.
        """
        raise NotImplementedError

    def receive(self) -> list[bytes]:
        """Return the lines that have come since, without their ends.

        Raises:
            Ended: nothing will come any more.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Hang up."""


class SocketWire(Wire):
    """A connection to the bridge's unix socket: a line each way is a message."""

    def __init__(self, path: str) -> None:
        """Connect to the socket at *path*.

        Raises:
            OSError: nobody listens there.
        """
        super().__init__()
        self._sock = connected(path, CONNECT_S)
        self._sock.settimeout(None)
        self._lines = Lines()
        self._last: Item | None = None
        self._unsent: list[Item] = []
        self._was_reset = False

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._sock.fileno()

    def send(self, item: Item) -> None:
        """Write a line; of one that cannot be written, `receive` tells.

        The bridge's last words may still be unread.
        """
        try:
            self._sock.sendall(item.line + b"\n")
        except OSError as error:
            self._was_reset |= isinstance(error, ConnectionResetError)
            self._unsent.append(item)
            return
        self._last = item
        if item.id is not None:
            self.under_way[item.id] = item

    def receive(self) -> list[bytes]:
        """Read what is there."""
        try:
            data = self._sock.recv(CHUNK)
        except OSError as error:
            self._was_reset |= isinstance(error, ConnectionResetError)
            raise Ended(self._lost(), _end_of(error)) from None
        if not data:
            raise Ended(self._lost(), "the bridge ended")
        return self._lines.feed(data)

    def _lost(self) -> list[Item]:
        """Return what cannot have arrived."""
        unread = [self._last] if self._last and self._was_reset else []
        return unread + self._unsent

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()


class Lines:
    """Puts lines together from what is read."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.unfinished = 0  # bytes of the line that has not ended yet

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that *data* ends, without their ends."""
        first, *others = data.split(b"\n")
        self._parts.append(first)
        self.unfinished += len(first)
        if not others:
            return []
        lines = [self.rest(), *others]
        last = lines.pop()
        self._parts, self.unfinished = [last], len(last)
        return lines

    def rest(self) -> bytes:
        """Return what has come of a line that has not ended, and forget it."""
        line = b"".join(self._parts)
        self._parts, self.unfinished = [], 0
        return line


def _end_of(error: OSError) -> str:
    return f"the bridge ended ({printable(error.strerror or str(error))})"
