"""What an HTTP request to the bridge says, and what its form must be.

Only what an MCP client sends is taken, and of that only what two readers cannot take in two ways.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

HTTP_METHODS = ("POST", "GET", "DELETE")
TCHARS = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"  # a token of RFC 9110, 5.6.2
CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
JSON_TYPE = re.compile(
    rf'application/json(?:[ \t]*;[ \t]*{TCHARS}=(?:{TCHARS}|"[^"\\]*"))*', re.IGNORECASE | re.ASCII
)
LENGTH = re.compile(r"[0-9]{1,20}")


class Malformed(Exception):
    """A request that is not read; the connection it came by can only be closed.

    Attributes:
        status: the status to answer with.
        why: one line, of our own words alone.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True, slots=True)
class Head:
    """The request line and the headers: names in lower case, values as Latin-1, in their order."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    _values: dict[str, list[str]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name, value in self.headers:
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        """Return every value of the header *name* (lower case)."""
        return self._values.get(name, [])

    def one(self, name: str) -> str | None:
        """Return the value of the header *name* (lower case), None when there is none.

        Raises:
            Malformed: there are two.
        """
        values = self.all(name)
        if len(values) > 1:
            raise Malformed(400, f"more than one {name} header")
        return values[0] if values else None

    @property
    def closes(self) -> bool:
        """True when the client wants the connection closed after the answer."""
        options = ",".join(self.all("connection")).lower().split(",")
        return "close" in [option.strip(" \t") for option in options]


def body_length(head: Head) -> int | None:
    """Return the length of the body in bytes, None when it is chunked.

    RFC 9112, section 6, without its ways to make sense of a request that says both or neither.

    Raises:
        Malformed: the request's form is not one that the bridge takes.
    """
    if head.method not in HTTP_METHODS:
        raise Malformed(405, f"not one of {', '.join(HTTP_METHODS)}")
    if any(value.lower() != "100-continue" for value in head.all("expect")):
        raise Malformed(417, "an Expect other than 100-continue")
    coding, length = head.one("transfer-encoding"), head.one("content-length")
    if coding is not None and length is not None:
        raise Malformed(400, "both Content-Length and Transfer-Encoding")
    if coding is not None and coding.lower() != "chunked":
        raise Malformed(501, "a Transfer-Encoding other than chunked")
    if length is not None and not LENGTH.fullmatch(length):
        raise Malformed(400, "Content-Length is not a number")
    if head.method != "POST":
        if coding is not None or int(length or 0):
            raise Malformed(400, f"a {head.method} with a body")
        return 0
    if coding is None and length is None:
        raise Malformed(411, "neither Content-Length nor Transfer-Encoding")
    if not JSON_TYPE.fullmatch(head.one("content-type") or ""):
        raise Malformed(415, "Content-Type is not application/json")
    return None if length is None else int(length)
