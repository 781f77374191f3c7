"""The bridge's log: its server's stderr and its own lines, in NAME.log and NAME.log.1.

It is what descriptors 1 and 2 of the bridge lead to, so that a traceback of Python's own is in it.
"""

from __future__ import annotations

import os
import time

MOST_BYTES = 1 << 20  # of each of the two files


class Log:
    """A file of at most `MOST_BYTES`, and one older generation beside it."""

    def __init__(self, path: str | None) -> None:
        """Go on with the log at *path*; None: write to descriptor 2, whatever that is."""
        self._path = path
        if path is not None:
            self._open()

    def move(self, path: str) -> None:
        """Take it that the file is about to be at *path*."""
        self._path = path

    def say(self, line: str) -> None:
        """Write a line of the bridge's own, with the time."""
        clean = "".join(c if c.isprintable() else "?" for c in line)
        self.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} llmenv: {clean}\n".encode())

    def write(self, data: bytes) -> None:
        """Append *data*; a file that would grow beyond its size becomes the older generation."""
        view = memoryview(data)
        while view:
            # Asked each time: the helper writes a line there, too, and cuts what is too long.
            if self._path is not None and os.fstat(2).st_size >= MOST_BYTES:
                self._rotate()
            most = MOST_BYTES - os.fstat(2).st_size if self._path is not None else len(view)
            try:
                written = os.write(2, view[: max(most, 1)])
            except OSError:  # a full disk must not end the bridge
                return
            view = view[written:]

    def _rotate(self) -> None:
        assert self._path is not None
        try:
            os.replace(self._path, self._path + ".1")
            self._open()
        except OSError:  # a full or a read-only disk, a directory that is gone: begin anew in place
            os.ftruncate(2, 0)

    def _open(self) -> None:
        """Let descriptors 1 and 2 lead to the log."""
        assert self._path is not None
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        os.dup2(fd, 1)
        os.dup2(fd, 2)
        os.close(fd)
