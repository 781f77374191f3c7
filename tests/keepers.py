"""Who keeps a service in the tests, `--foreground`, and agents that call it meanwhile."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bridges import said
from daemons import DEADLINE_S, first, wait_until
from stdio_agent import Agent

if TYPE_CHECKING:
    import subprocess
    from types import TracebackType

    from daemons import World

BY_HAND = """
os.dup2({fd}, 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
"""


class Foreground:
    """One `llmenv-ensure --foreground memory`, and what a service manager does for it by hand.

    Attributes:
        listener: the socket that is handed over; None: none is.
    """

    def __init__(self, world: World, *, listens: bool = False) -> None:
        self.world = world
        self.notices = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path = world.root / f"notify-{os.urandom(4).hex()}"
        self.notices.bind(str(path))
        self.notices.settimeout(DEADLINE_S)
        self.environment = world.env | {"NOTIFY_SOCKET": str(path)}
        self.listener: socket.socket | None = None
        if listens:
            host, port = world.bind.split(":")
            self.listener = socket.create_server((host, int(port)))
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        """Start it, for the first time or again."""
        argv = self.world.bare("--foreground", "memory")
        options: dict[str, object] = {"env": self.environment}
        if self.listener:
            fd = self.listener.fileno()
            argv = first(BY_HAND.format(fd=fd), argv)
            options["pass_fds"] = [fd, 3]
        self.process = self.world.begin(argv, **options)
        return self.process

    def heard(self, what: str) -> None:
        """Wait until it has said *what* to its manager."""
        while what not in self.notices.recv(4096).decode().splitlines():
            pass

    def ready(self) -> int:
        """Wait until it is; return the pid of the daemon."""
        self.heard("READY=1")
        return int((self.world.state / "memory.pid").read_text())

    def end(self) -> int:
        """End it as a manager does; return its status."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S * 2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.notices.close()
        if self.listener:
            self.listener.close()


class Busy:
    """Agents that call the tool of `memory` one call after the other, each by `connect`.

    Attributes:
        done: what was echoed, in the order of the answers.
        wrong: the answers that were none.
    """

    def __init__(self, world: World, agents: int = 3, **arguments: object) -> None:
        self.done: list[str] = []
        self.wrong: list[object] = []
        self._arguments = arguments
        self._is_over = False
        self._agents = [Agent(world) for _ in range(agents)]
        self._threads = [
            threading.Thread(target=self._call, args=(number, agent))
            for number, agent in enumerate(self._agents)
        ]

    def _call(self, number: int, agent: Agent) -> None:
        agent.initialize()
        count = 0
        while not self._is_over:
            word = f"{number}-{count}"
            # Two at once: one is on its way while the other is answered.
            asked = {agent.ask_tool(echo=f"{word}{one}", **self._arguments) for one in "ab"}
            while asked:
                answer = agent.next()
                asked.discard(answer.get("id"))
                try:
                    self.done.append(said(answer)["echo"])
                except (AssertionError, LookupError, ValueError):
                    self.wrong.append(answer)
            count += 1

    def go_on(self, calls: int = 12) -> None:
        """Wait until so many more calls were answered."""
        least = len(self.done) + calls
        wait_until(lambda: len(self.done) >= least or self.wrong, DEADLINE_S * 3)
        assert not self.wrong, self.wrong

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.go_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over = True
        for thread, agent in zip(self._threads, self._agents, strict=True):
            thread.join(DEADLINE_S)
            with suppress(OSError):
                agent.process.kill()
