"""A checksum that needs no import: zlib's costs each look a shared library."""

from __future__ import annotations

_PRIME = 2**32 - 5


def checksum_of(data: bytes) -> str:
    """Return eight hexadecimal digits that change with *data*.

    They are the remainder of *data*, read as one number, by the largest prime below 2**32: so any
    change within four bytes shows, and of all others about one in four thousand million does not.
    """
    return f"{int.from_bytes(b'1' + data, 'big') % _PRIME:08x}"


def checksum(parts: list[str]) -> str:
    """Return the `checksum_of` some strings that have no NUL in them."""
    return checksum_of("\0".join(parts).encode("utf-8", "surrogateescape"))
