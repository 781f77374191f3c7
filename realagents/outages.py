"""The service that the agents use, and how it is hit between their calls."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from daemons import PYTHON, alive, wait_until

from llmenv_hooks.helper.places import instances
from llmenv_hooks.helper.sockets import ask_bridge

if TYPE_CHECKING:
    from pathlib import Path

    from daemons import World

PATIENCE_S = 120.0  # an overloaded machine is no reason to fail


class Memory:
    """The example's memory server, as the service `memory` of a world."""

    def __init__(self, world: World, server: Path, llmenv: Path) -> None:
        """Write the config; nothing is started.  *server* is a program, *llmenv* the command."""
        self.world = world
        self.llmenv = llmenv
        self.database = world.root / "memory.db"
        world.config.write_text(
            f"[services.memory]\ncommand = {json.dumps([PYTHON, str(server)])}\n"
            f'bind = "{world.bind}"\nstart_timeout = {PATIENCE_S}\n'
            f"env = {{ LLMENV_MEMORY_DB = {json.dumps(str(self.database))} }}\n"
        )

    def run(self, *arguments: str) -> None:
        """Run `llmenv` to its end.

        Raises:
            RuntimeError: it failed.
        """
        child = self.world.begin([str(self.llmenv), *arguments])
        _, said = child.communicate(timeout=PATIENCE_S)
        if child.returncode:
            raise RuntimeError(f"llmenv {' '.join(arguments)}: {said.strip()}")

    def bridge(self) -> list[int]:
        """Return the pid of the bridge, [] while none lives."""
        try:
            pid = int((self.world.state / "memory.pid").read_text())
        except FileNotFoundError:
            return []
        return [pid] if alive(pid) else []

    def servers(self) -> list[int]:
        """Return the pids of the server behind the bridge, [] while there is none."""
        told = ask_bridge(instances("memory", str(self.world.state))[0]) or {}
        pids = told.get("server", {}).get("pids", [])
        return [pid for pid in pids if alive(pid)]

    def hit(self, whom: str) -> None:
        """Kill the "bridge", its "server" or "both", once there; return when they are dead."""
        victims = {"bridge": [self.bridge], "server": [self.servers]}
        victims["both"] = victims["server"] + victims["bridge"]
        pids = [wait_until(one, PATIENCE_S) for one in victims[whom]]
        for pid in itertools.chain(*pids):
            end(pid)

    def stored(self) -> list[str]:
        """Return the texts in its database, in the order in which they came."""
        with closing(sqlite3.connect(self.database)) as database:
            return [text for (text,) in database.execute("SELECT text FROM memory ORDER BY id")]


class Outages:
    """What happens between the calls: twelve kills in nineteen gaps.

    By `connect` nobody else brings back the service.  By HTTP, a call is made while nothing
    listens; then the service is started, as a prompt would do it.

    Attributes:
        kills: how many there were.
        unheard: the calls that were made while nothing listened.
    """

    PLAN = ("bridge", "", "server", "both", "") * 4

    def __init__(self, memory: Memory, revive: bool) -> None:
        self.memory = memory
        self.revive = revive
        self.kills = 0
        self.unheard: list[int] = []

    def between(self, made: int) -> None:
        """Do what belongs between the call *made* and the next."""
        if self.revive and not self.memory.bridge():
            self.memory.run("start", "memory")
        if whom := self.PLAN[made - 1]:
            self.memory.hit(whom)
            self.kills += 1
            if whom != "server":
                self.unheard.append(made + 1)


def end(pid: int) -> None:
    """Kill *pid*; return when the last of its threads is gone, and with it its ends of pipes.

    Its state in /proc is that of its first thread, which may be long dead before.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        select.select([handle], [], [], PATIENCE_S)
    finally:
        os.close(handle)


def left(world: World) -> list[int]:
    """Return the processes that still have the home of *world* in their environment."""
    found = []
    home = os.fsencode(f"HOME={world.home}\0")
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if home in file.read() + b"\0" and alive(pid):
                    found.append(pid)
        except OSError:
            continue  # it has gone, or is another user's
    return found
