"""The processes below a server of the bridge: who they are, and how they are ended.

A server's processes are its process group, its descendants, and whatever carries its mark in the
environment, `LLMENV_CHILD`: who was given away to init by a dead parent is found by that alone.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from llmenv_hooks.helper.processes import descendants, has_proc, start_time

CHILD_MARK = "LLMENV_CHILD"
ENVIRON_BYTES = 64 << 10


class Family:
    """The server *leader*, which leads a process group of its own, and all that came from it."""

    def __init__(self, leader: int, mark: str) -> None:
        self._leader = leader
        self._mark = f"{CHILD_MARK}={mark}".encode()
        self._seen = {leader: start_time(leader)}  # a pid alone says nothing once it is free again

    def look(self) -> list[int]:
        """Return the live processes of the family."""
        for pid in descendants(set(self._living())) | self._marked():
            self._seen.setdefault(pid, start_time(pid))
        return self._living()

    def send_group(self, number: int) -> None:
        """Signal the leader's process group; it must not have been reaped yet."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, number)

    def send(self, number: int) -> bool:
        """Signal all of the family; False: nobody is left."""
        members = self.look()
        for pid in members:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        return bool(members)

    def kill(self) -> None:
        """Kill all of the family, and who it brought forth meanwhile."""
        for _ in range(10):
            if not self.send(signal.SIGKILL):
                return

    def _living(self) -> list[int]:
        return [pid for pid, start in self._seen.items() if start and start_time(pid) == start]

    def _marked(self) -> set[int]:
        """Return the processes that carry the mark; only Linux lets us see an environment."""
        if not has_proc():
            return set()
        return {int(name) for name in os.listdir("/proc") if name.isdigit() and self._carries(name)}

    def _carries(self, name: str) -> bool:
        try:
            fd = os.open(f"/proc/{name}/environ", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # another's, or gone
            return False
        found = b""
        try:
            while piece := os.read(fd, ENVIRON_BYTES):
                found += piece
        except OSError:  # it has just died
            return False
        finally:
            os.close(fd)
        return self._mark in found.split(b"\0")
