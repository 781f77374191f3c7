"""The three pipes to a process: lines in, lines out, and what it says for the log.

Nothing here waits: a process that does not read leaves its lines queued, and one that floods its
stderr is read a piece at a time.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

MOST_LINE_BYTES = 64 << 20
READ_BYTES = 256 << 10


class Outgoing:
    """A line for the process's stdin; `begun` once the first byte of it has been written."""

    __slots__ = ("begun", "data")

    def __init__(self, data: bytes) -> None:
        self.data = memoryview(data + b"\n")
        self.begun = False


class Pipes:
    """The pipes of one process.

    Attributes:
        unsent: how many bytes wait for the process to read.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        line: Callable[[bytes], None],
        error: Callable[[bytes], None],
        broken: Callable[[str], None],
    ) -> None:
        """Read *process*: its stdout goes to *line*, without the ends; its stderr to *error*.

        *broken* is called, once, with the reason why this process cannot be talked to any longer.
        """
        self._files = [file for file in (process.stdin, process.stdout, process.stderr) if file]
        self._in, self._out, self._err = (file.fileno() for file in self._files)
        self._line, self._error, self._broken = line, error, broken
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Outgoing] = deque()
        self._buffer = bytearray()
        self.unsent = 0
        for fd in (self._in, self._out, self._err):
            os.set_blocking(fd, False)
        self._loop.add_reader(self._out, self._read_out)
        self._loop.add_reader(self._err, self._read_err)

    def write(self, outgoing: Outgoing) -> None:
        """Write a line to the process, after those that wait."""
        self._queue.append(outgoing)
        self.unsent += len(outgoing.data)
        if len(self._queue) == 1:
            self._flush()

    def take_back(self, outgoing: Outgoing) -> bool:
        """Do not write *outgoing* after all; False: it is too late."""
        if outgoing.begun:
            return False
        self._queue.remove(outgoing)
        self.unsent -= len(outgoing.data)
        return True

    def end_input(self) -> None:
        """Close the process's stdin, whatever still waits."""
        self._queue.clear()
        self._loop.remove_writer(self._in)
        self._files[0].close()

    def close(self) -> None:
        """Read what a dead process has left, and close all."""
        while self._read_out():
            pass
        while self._read_err():
            pass
        self._loop.remove_reader(self._out)
        self._loop.remove_reader(self._err)
        if not self._files[0].closed:
            self.end_input()
        for file in self._files:
            file.close()

    def _flush(self) -> None:
        """Write as much as the process takes."""
        while self._queue:
            outgoing = self._queue[0]
            try:
                written = os.write(self._in, outgoing.data)
            except BlockingIOError:
                break
            except OSError:
                self._loop.remove_writer(self._in)
                self._broken("it closed its stdin")
                return
            outgoing.begun = True
            outgoing.data = outgoing.data[written:]
            self.unsent -= written
            if not outgoing.data:
                self._queue.popleft()
        if self._queue:
            self._loop.add_writer(self._in, self._flush)
        else:
            self._loop.remove_writer(self._in)

    def _read_out(self) -> bool:
        """Pass on the lines of one read; False: there is nothing to read now."""
        data = self._read(self._out)
        if not data:
            if data is not None:
                self._loop.remove_reader(self._out)
                self._broken("it closed its stdout")
            return False
        if b"\n" not in data:
            self._buffer += data
            if len(self._buffer) > MOST_LINE_BYTES:
                self._buffer.clear()
                self._broken(f"it sent a message of more than {MOST_LINE_BYTES >> 20} MiB")
            return True
        lines = (bytes(self._buffer) + data).split(b"\n")
        self._buffer[:] = lines.pop()
        for line in lines:
            self._line(line)
        return True

    def _read_err(self) -> bool:
        data = self._read(self._err)
        if data:
            self._error(data)
        elif data is not None:
            self._loop.remove_reader(self._err)
        return bool(data)

    def _read(self, fd: int) -> bytes | None:
        """Return what can be read now, empty at the end, None when it is still to come."""
        try:
            return os.read(fd, READ_BYTES)
        except BlockingIOError:
            return None
