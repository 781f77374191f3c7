"""The agent that runs `connect`: it writes to our standard input, and reads our output."""

from __future__ import annotations

import os

from llmenv_hooks.connect.wires import CHUNK, Lines
from llmenv_hooks.helper.jsonrpc import MOST_MESSAGE_BYTES

STDIN, STDOUT = 0, 1


class AgentPipe:
    """Standard input and output, on which a line is a message.

    Attributes:
        has_ended: nothing will come from the agent any more.
        is_gone: nobody reads what is written to it.
    """

    def __init__(self) -> None:
        self.has_ended = False
        self.is_gone = False
        self._lines = Lines()
        self._skips = False  # what is read belongs to a line that is too long

    def read(self) -> list[bytes | None]:
        """Return the lines that have come, without their ends; None for one that is too long.

        What was written last, without an end, counts as a line once nothing follows.
        """
        try:
            data = os.read(STDIN, CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.has_ended = True
            return [] if self._skips else [self._lines.rest()]
        lines: list[bytes | None] = [
            line if len(line) <= MOST_MESSAGE_BYTES else None for line in self._lines.feed(data)
        ]
        if self._skips and lines:
            self._skips = False
            del lines[0]
        if not self._skips and self._lines.unfinished > MOST_MESSAGE_BYTES:
            self._skips = True
            lines.append(None)
        if self._skips:
            self._lines.rest()
        return lines

    def write(self, line: bytes) -> None:
        """Write *line* and its end."""
        import select

        data = line + b"\n"
        while data and not self.is_gone:
            try:
                data = data[os.write(STDOUT, data) :]
            except BlockingIOError:
                select.select([], [STDOUT], [])
            except OSError:
                self.is_gone = True
