"""A bridge for a test, and the agents that use it: over HTTP, and over its socket."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from daemons import DEADLINE_S, alive, free_port, kill, processes_with, wait_until
from packed import BRIDGE

from llmenv_hooks.helper.bridges import WITHOUT_SSL
from llmenv_hooks.helper.companions import BOOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SERVER = Path(__file__).parent / "bridge" / "server.py"
# The package's, or the one file that chaos/mutants.py has broken.
PROGRAM = ["-m", "llmenv_hooks.bridge"]
if "LLMENV_TEST_HELPER" in os.environ:
    PROGRAM = ["-c", WITHOUT_SSL + BOOT, str(BRIDGE)]
LATEST = "2025-11-25"
MODERN = "2026-07-28"
KEY = "io.modelcontextprotocol/"
Message = dict[str, Any]


class Doors(Protocol):
    """What an agent has to know of a bridge."""

    @property
    def port(self) -> int | None:
        """Where it listens, None for its socket alone."""

    def path(self, suffix: str) -> Path:
        """Return the path of one of its files."""


class Bridge:
    """One bridge process in front of a server for the tests, in a directory of its own.

    Attributes:
        port: where it listens, None for its socket alone.
        notes: what came to the server, a line each (see `bridge/server.py`).
    """

    def __init__(
        self,
        directory: Path,
        *modes: str,
        command: Sequence[str] = (),
        options: Sequence[str] = (),
        http: bool = True,
        code: str = "",
    ) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.port = free_port() if http else None
        self.notes_path = directory / "notes"
        self.modes = [*modes, f"notes={self.notes_path}"]
        self.command = list(command) or [sys.executable, "-I", "-S", str(SERVER), *self.modes]
        self.options = list(options)
        self.host = "127.0.0.1"
        self.program = ["-c", code] if code else PROGRAM
        self.process: subprocess.Popen[bytes] | None = None

    def path(self, suffix: str) -> Path:
        """Return the path of one of its files."""
        return self.directory / f"b.{suffix}"

    def start(self) -> Bridge:
        """Start it, and wait until it listens."""
        argv = [sys.executable, *self.program, "--name", "b"]
        argv += ["--socket", str(self.path("sock")), "--log", str(self.path("log"))]
        argv += ["--child-note", str(self.path("child")), *self.options]
        if self.port:
            argv += ["--bind", f"{self.host}:{self.port}"]
        environment = os.environ | {"LLMENV_LIFE": str(self.directory)}
        self.process = subprocess.Popen(
            [*argv, "--", *self.command],
            stdin=subprocess.DEVNULL,
            cwd=self.directory,
            env=environment,
            start_new_session=True,
        )
        wait_until(
            lambda: self.listens() or self.process is None or self.process.poll() is not None
        )
        return self

    def listens(self) -> bool:
        """True when both doors are open."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(self.path("sock")))
            if self.port:
                socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process
        return self.process.pid

    def end(self, number: int = signal.SIGTERM) -> int:
        """Signal it, and return its status once it has ended."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def status(self) -> Message:
        """Return its answer to `llmenv/status`."""
        with Wire(self) as wire:
            status: Message = wire.call("llmenv/status")["result"]
            return status

    def server_pid(self) -> int:
        """Return the pid of its server, once that is up."""
        wait_until(lambda: self.status()["server"]["state"] == "running")
        pid = self.status()["server"]["pids"][0]
        assert isinstance(pid, int)
        return pid

    def notes(self) -> list[str]:
        """Return what came to the server."""
        return self.notes_path.read_text().splitlines() if self.notes_path.exists() else []

    def came(self, method: str) -> list[Message]:
        """Return the messages with *method* that came to the server."""
        found = [json.loads(line) for line in self.notes() if line.startswith("{")]
        return [message for message in found if message.get("method") == method]

    def log(self) -> str:
        """Return its log."""
        return self.path("log").read_text(errors="replace")

    def __enter__(self) -> Bridge:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in processes_with(f"notes={self.notes_path}"):
            kill(pid)


class Wire:
    """An agent at the bridge's socket."""

    def __init__(self, bridge: Doors) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE_S)
        self.sock.connect(str(bridge.path("sock")))
        self.file = self.sock.makefile("rb")
        self.numbers = itertools.count(1)
        self.heard: list[Message] = []

    def send(self, message: Message) -> None:
        """Send a message as it is."""
        self.sock.sendall(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")

    def ask(self, method: str, params: Message | None = None) -> int:
        """Send a request; return its id."""
        number = next(self.numbers)
        self.send({"id": number, "method": method, "params": params or {}})
        return number

    def next(self) -> Message:
        """Return the next message."""
        line = self.file.readline()
        assert line, "the bridge hung up"
        message: Message = json.loads(line)
        return message

    def answer(self, number: int) -> Message:
        """Return the answer to the request *number*; what comes before it is `heard`."""
        while True:
            message = self.next()
            if message.get("id") == number and "method" not in message:
                return message
            self.heard.append(message)

    def call(self, method: str, params: Message | None = None) -> Message:
        """Send a request and return its answer."""
        return self.answer(self.ask(method, params))

    def initialize(self, capabilities: Message | None = None, version: str = LATEST) -> Message:
        """Begin a session."""
        answer = self.call("initialize", hello(capabilities, version))
        self.send({"method": "notifications/initialized"})
        return answer

    def tool(self, **arguments: Any) -> Message:
        """Call the server's tool, and return what it says (see `bridge/server.py`)."""
        return said(self.call("tools/call", {"name": "echo", "arguments": arguments}))

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.sock.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Web:
    """An agent over HTTP: a connection, and the session that it begins with `initialize`."""

    def __init__(self, bridge: Doors, **headers: str) -> None:
        assert bridge.port
        self.http = http.client.HTTPConnection("127.0.0.1", bridge.port, timeout=DEADLINE_S)
        self.headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        self.numbers = itertools.count(1)
        self.heard: list[Message] = []

    def request(
        self, method: str, body: bytes | None = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Send a request, and return the response, whose body is still to be read."""
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        self.http.request(method, "/mcp", body, self.headers | extra)
        return self.http.getresponse()

    def post(self, message: Message, **headers: str) -> http.client.HTTPResponse:
        """Send a message."""
        return self.request("POST", json.dumps({"jsonrpc": "2.0"} | message).encode(), **headers)

    def call(self, method: str, params: Message | None = None, **headers: str) -> Message:
        """Send a request and return its answer; what comes before it is `heard`."""
        number = next(self.numbers)
        response = self.post({"id": number, "method": method, "params": params or {}}, **headers)
        for message in messages(response):
            if message.get("id") == number and "method" not in message:
                response.read()
                return message
            self.heard.append(message)
        raise AssertionError("no answer")

    def initialize(self, capabilities: Message | None = None, version: str = LATEST) -> Message:
        """Begin a session."""
        response = self.post(
            {"id": 0, "method": "initialize", "params": hello(capabilities, version)}
        )
        answer: Message = json.loads(response.read())
        self.headers["Mcp-Session-Id"] = str(response.getheader("Mcp-Session-Id"))
        self.headers["MCP-Protocol-Version"] = answer["result"]["protocolVersion"]
        assert self.post({"method": "notifications/initialized"}).read() == b""
        return answer

    def tool(self, **arguments: Any) -> Message:
        """Call the server's tool, and return what it says (see `bridge/server.py`)."""
        return said(self.call("tools/call", {"name": "echo", "arguments": arguments}))

    def close(self) -> None:
        """Hang up."""
        self.http.close()

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def messages(response: http.client.HTTPResponse) -> Iterator[Message]:
    """Yield the messages of *response*, a JSON body or a stream of events, as they come."""
    if response.getheader("Content-Type") == "application/json":
        yield json.loads(response.read())
        return
    while line := response.readline():
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))


def hello(capabilities: Message | None, version: str) -> Message:
    """Return the params of `initialize`."""
    client = {"name": "tester", "version": "1"}
    return {
        "protocolVersion": version,
        "capabilities": capabilities or {},
        "clientInfo": client,
    }


def said(answer: Message) -> Message:
    """Return what the server's tool says in *answer*."""
    assert "result" in answer, answer
    found: Message = json.loads(answer["result"]["content"][0]["text"])
    return found


def envelope(**more: Any) -> Message:
    """Return the params of a request of 2026-07-28."""
    meta = {f"{KEY}protocolVersion": MODERN, f"{KEY}clientCapabilities": {}}
    return {"_meta": meta | more.pop("meta", {})} | more


def modern(agent: Web, method: str, **params: Any) -> Message:
    """Send a request of 2026-07-28 with the headers that belong to it; return its answer."""
    headers = {"MCP_Protocol_Version": MODERN, "Mcp_Method": method}
    if "name" in params:
        headers["Mcp_Name"] = params["name"]
    return agent.call(method, envelope(**params), **headers)


def in_background(work: Any, *arguments: Any) -> list[Any]:
    """Run *work* in a thread; return a list that will hold its result."""
    results: list[Any] = []

    def run() -> None:
        results.append(work(*arguments))

    threading.Thread(target=run, daemon=True).start()
    return results


def gone(pid: int) -> bool:
    """True when *pid* is dead."""
    return not alive(pid)


def forget(path: Path) -> None:
    """Remove a file, if it is there."""
    with suppress(FileNotFoundError):
        path.unlink()
