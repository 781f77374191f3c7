"""An agent for the tests: it runs `connect`, and speaks MCP over its standard input and output."""

from __future__ import annotations

import itertools
import json
import subprocess
from typing import TYPE_CHECKING, Any

from bridges import LATEST, SERVER, hello, said
from daemons import DEADLINE_S, PYTHON, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from daemons import World

Message = dict[str, Any]


def add_memory(world: World, *modes: str, lines: Sequence[str] = (), notes: str = "notes") -> Path:
    """Make `memory` the one service of the config; return where its server notes what comes.

    It is tests/bridge/server.py with *modes*, behind our own bridge; *lines* are added.
    """
    path = world.root / notes
    command = [PYTHON, "-I", "-S", str(SERVER), *modes, f"notes={path}"]
    text = f'[services.memory]\ncommand = {json.dumps(command)}\nbind = "{world.bind}"\n'
    world.config.write_text(text + "".join(f"{line}\n" for line in lines))
    return path


def came(notes: Path, method: str) -> list[Message]:
    """Return the messages with *method* that came to the server that keeps *notes*."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    found = [json.loads(line) for line in lines if line.startswith("{")]
    return [message for message in found if message.get("method") == method]


def memory_pid(world: World) -> int:
    """Return the pid of the bridge of `memory`, as it is published."""
    return int((world.state / "memory.pid").read_text())


def new_bind() -> str:
    """Return another address to bind."""
    return f"127.0.0.1:{free_port()}"


class Agent:
    """A process of `connect`, or of *argv*, and who runs it.

    Attributes:
        heard: what came and was no answer to what was waited for.
    """

    def __init__(
        self, world: World, name: str = "memory", argv: Sequence[str] = (), **environment: str
    ) -> None:
        self.process: subprocess.Popen[Any] = world.begin(
            argv or world.bare("--connect", name),
            stdin=subprocess.PIPE,
            env=world.env | environment,
            text=False,
            errors=None,
        )
        self.numbers = itertools.count(1)
        self.heard: list[Message] = []

    def write(self, data: bytes) -> None:
        """Write *data* as it is."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message: Message) -> None:
        """Send a message."""
        self.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    def ask(self, method: str, params: Message | None = None) -> int:
        """Send a request; return its id."""
        number = next(self.numbers)
        self.send({"id": number, "method": method, "params": params or {}})
        return number

    def next(self) -> Message:
        """Return the next message."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.endswith(b"\n"), f"it ended: {line!r}"
        message: Message = json.loads(line)
        return message

    def answer(self, number: int | None) -> Message:
        """Return the answer to the request *number*; what comes before it is `heard`."""
        while True:
            message = self.next()
            if "method" not in message and message.get("id") == number:
                return message
            self.heard.append(message)

    def call(self, method: str, params: Message | None = None) -> Message:
        """Send a request and return its answer."""
        return self.answer(self.ask(method, params))

    def initialize(self, capabilities: Message | None = None) -> Message:
        """Begin a session, and return the answer to `initialize`."""
        answer = self.call("initialize", hello(capabilities, LATEST))
        self.send({"method": "notifications/initialized"})
        return answer

    def ask_tool(self, **arguments: Any) -> int:
        """Call the server's tool; return the request's id."""
        return self.ask("tools/call", {"name": "echo", "arguments": arguments})

    def tool(self, **arguments: Any) -> Message:
        """Call the server's tool, and return what it says (see `bridge/server.py`)."""
        return said(self.answer(self.ask_tool(**arguments)))

    def end(self) -> int:
        """Say no more; return the status with which `connect` ends."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.stdin = None
        return self.process.wait(DEADLINE_S)

    def complaints(self) -> str:
        """Return what it said on stderr, once it has ended."""
        assert self.process.stderr
        text: bytes = self.process.stderr.read()
        return text.decode()
