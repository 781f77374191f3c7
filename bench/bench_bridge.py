"""Our bridge beside mcp-proxy, and beside the server that both have behind them.

The example memory server tells what a cold start takes.  The calls go to the server of
tests/bridge/server.py, which answers at once: what they take is the bridges' own.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bench_report import Row, interleaved, rows
from bench_shells import MEMORY_SERVER, PYTHON, Place
from bridges import SERVER
from daemons import free_port, wait_until
from packed import ENSURE, RUN, ensure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ALONE, OURS, THEIRS = "the server by itself", "our bridge", "mcp-proxy"
BRIDGES = {OURS: "guarded", THEIRS: "mcp-proxy"}
AGENTS = 64
CALLS = 20  # of each of them
DEADLINE_S = 60.0
HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}
ECHO = {"name": "echo", "arguments": {"echo": "bench"}}
CONFIG = """
[services.memory]
command = {command}
bind = "127.0.0.1:{port}"
bridge = "{bridge}"
"""


class Bridged:
    """A place with *command* behind a bridge."""

    def __init__(self, home: Path, bridge: str, command: list[str]) -> None:
        home.mkdir(parents=True)
        self.port = free_port()
        # By the last word it is found and ended; neither server looks at it.
        words = json.dumps([*command, f"{home}/"])
        self.place = Place(home, CONFIG.format(command=words, port=self.port, bridge=bridge))

    def start(self) -> tuple[float, float]:
        """Start it cold; return the milliseconds until its port is open, and until an answer."""
        began = time.perf_counter()
        argv = [*RUN, str(ENSURE), "--quiet", "--timeout", str(DEADLINE_S)]  # as a hook does
        with subprocess.Popen(argv, env=self.place.environment()):
            wait_until(self.is_open, DEADLINE_S)
            opened = (time.perf_counter() - began) * 1e3
            wait_until(self.answers, DEADLINE_S)
            return opened, (time.perf_counter() - began) * 1e3

    def is_open(self) -> bool:
        """True when its port is."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def answers(self) -> bool:
        """True when the server says which tools it has."""
        try:
            url = f"http://127.0.0.1:{self.port}/mcp"
            return "result" in ensure.call_mcp(url, "tools/list", {})
        except (OSError, ValueError):
            return False

    def cold_start(self) -> tuple[float, float]:
        """Do `start`, and end all again."""
        try:
            return self.start()
        finally:
            self.place.cold()

    def memory_mb(self) -> float:
        """Return the resident set of the bridge itself."""
        return resident_mb(int((self.place.state / "llmenv" / "memory.pid").read_text()))


def resident_mb(pid: int) -> float:
    """Return the resident set of a process, in MiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["VmRSS"].split()[0]) / 1024


class Alone:
    """A server at our own pipes."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start *command*, in our own environment if none is given, and introduce ourselves."""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self.call("initialize", HELLO)
        self.send({"method": "notifications/initialized"})

    def send(self, message: dict[str, Any]) -> None:
        """Write a message."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
        self.process.stdin.flush()

    def call(self, method: str, params: dict[str, Any]) -> None:
        """Ask, and wait for the answer."""
        assert self.process.stdout
        self.send({"id": 1, "method": method, "params": params})
        while b'"id"' not in self.process.stdout.readline():
            pass

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.communicate()


class Agent:
    """A connection on which one call after another is made, without waiting in between."""

    def __init__(self, port: int) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": ECHO})
        head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json"
        head += f"\r\nAccept: application/json, text/event-stream\r\nContent-Length: {len(body)}"
        self.request = f"{head}\r\n\r\n{body}".encode()
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seen = b""
        self.done = 0

    def ask(self) -> None:
        """Send the call."""
        self.seen = b""
        self.sock.sendall(self.request)

    def read(self) -> bool:
        """Read what has come; True: that is the whole answer."""
        data = self.sock.recv(65536)
        if not data:
            raise SystemExit(f"bench: a connection broke after {self.seen[-200:]!r}")
        self.seen += data
        head, found, body = self.seen.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length: ")
        is_whole = len(body) == int(length.split()[0]) if length else body.endswith(b"0\r\n\r\n")
        if not (found and is_whole):
            return False
        if b'"result"' not in body:
            raise SystemExit(f"bench: no result: {self.seen[-200:]!r}")
        self.done += 1
        return True

    def call_ms(self) -> float:
        """Make one call; return what it took."""
        began = time.perf_counter()
        self.ask()
        while not self.read():
            pass
        return (time.perf_counter() - began) * 1e3


def together_ms(port: int) -> float:
    """Return the milliseconds a call takes, on the whole, when many agents ask at once."""
    agents = [Agent(port) for _ in range(AGENTS)]
    began = time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for agent in agents:
            selector.register(agent.sock, selectors.EVENT_READ, agent)
            agent.ask()
        while selector.get_map():
            for key, _ in selector.select():
                if key.data.read():
                    if key.data.done == CALLS:
                        selector.unregister(key.fileobj)
                    else:
                        key.data.ask()
    took = (time.perf_counter() - began) * 1e3
    for agent in agents:
        agent.sock.close()
    return took / (AGENTS * CALLS)


def cold_starts(root: Path, rounds: int) -> list[Row]:
    """Measure from nothing to an open port, and to the first answer of the memory server."""
    command = [PYTHON, str(MEMORY_SERVER)]
    environment = Bridged(root / "alone", OURS, command).place.environment()

    def alone() -> tuple[float, float]:
        began = time.perf_counter()
        server = Alone(command, environment)
        server.call("tools/list", {})
        took = (time.perf_counter() - began) * 1e3
        server.close()
        return took, took

    actions: dict[str, Callable[[], tuple[float, float]]] = {ALONE: alone}
    for name, bridge in BRIDGES.items():
        actions[name] = Bridged(root / name, bridge, command).cold_start
    interleaved(actions, 1)
    took = interleaved(actions, rounds)
    opened = {name: [pair[0] for pair in took[name]] for name in BRIDGES}
    answered = {name: [pair[1] for pair in pairs] for name, pairs in took.items()}
    return rows("bridge, port", "", opened, base=THEIRS) + rows(
        "bridge, first answer", "", answered, base=ALONE
    )


def calls(root: Path, rounds: int) -> list[Row]:
    """Measure calls of one agent, of many at once, and the memory that the bridges then have."""
    command = [PYTHON, "-I", "-S", str(SERVER)]
    bridged = {name: Bridged(root / f"{name} calls", BRIDGES[name], command) for name in BRIDGES}
    server = Alone(command)
    try:
        for one in bridged.values():
            one.start()

        def alone_ms() -> float:
            began = time.perf_counter()
            server.call("tools/call", ECHO)
            return (time.perf_counter() - began) * 1e3

        agents = {name: Agent(one.port) for name, one in bridged.items()}
        each = {ALONE: alone_ms} | {name: agent.call_ms for name, agent in agents.items()}
        interleaved(each, 10)
        table = rows("bridge, a call", "", interleaved(each, 30 * rounds), base=THEIRS)
        many = {name: partial(together_ms, one.port) for name, one in bridged.items()}
        interleaved(many, 1)
        table += rows("bridge, a call of many", "", interleaved(many, rounds), base=THEIRS)
        memory = {name: [one.memory_mb()] * 2 for name, one in bridged.items()}
        return table + rows("bridge, memory in MB", "", memory, base=THEIRS)
    finally:
        server.close()
        for one in bridged.values():
            one.place.cold()


def measure(root: Path, rounds: int = 7) -> list[Row]:
    """Measure all of it in *root*, which must not exist."""
    return cold_starts(root, rounds) + calls(root, rounds)
