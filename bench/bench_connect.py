"""What `llmenv connect` costs an agent: until it answers, at each call, and in memory."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from bench_bridge import ECHO, OURS, Agent, Alone, Bridged, resident_mb
from bench_report import Row, interleaved, rows
from bench_shells import PYTHON, Place
from bridges import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SOCKET, HTTP = "llmenv connect", "llmenv connect, by HTTP"
CONNECT = ["llmenv", "connect", "memory"]
ELSEWHERE = """
[services.memory]
url = "http://127.0.0.1:{port}/mcp"
"""


def measure(root: Path, rounds: int = 30) -> list[Row]:
    """Measure in *root*, which must not exist, what an agent sees while the service is up."""
    bridged = Bridged(root / "connected", "guarded", [PYTHON, "-I", "-S", str(SERVER)])
    elsewhere = Place(root / "elsewhere", ELSEWHERE.format(port=bridged.port))
    environments = {SOCKET: bridged.place.environment(), HTTP: elsewhere.environment()}
    bridged.start()
    connected = {name: Alone(CONNECT, each) for name, each in environments.items()}
    try:
        greeted = {name: partial(greeted_ms, each) for name, each in environments.items()}
        interleaved(greeted, 2)
        table = rows("connect, initialize", "", interleaved(greeted, rounds), base=SOCKET)
        agent = Agent(bridged.port)
        calls = {name: partial(call_ms, each) for name, each in connected.items()}
        each: dict[str, Callable[[], float]] = {OURS: agent.call_ms} | calls
        interleaved(each, 10)
        table += rows("connect, a call", "", interleaved(each, 7 * rounds), base=OURS)
        memory = {name: [resident_mb(one.process.pid)] * 2 for name, one in connected.items()}
        agent.sock.close()
        return table + rows("connect, memory in MB", "", memory, base=SOCKET)
    finally:
        for one in connected.values():
            one.close()
        bridged.place.cold()


def greeted_ms(environment: Mapping[str, str]) -> float:
    """Return the milliseconds from the start of `llmenv connect` to its answer to `initialize`."""
    began = time.perf_counter()
    started = Alone(CONNECT, environment)
    took = (time.perf_counter() - began) * 1e3
    started.close()
    return took


def call_ms(connected: Alone) -> float:
    """Make one call by *connected*; return what it took."""
    began = time.perf_counter()
    connected.call("tools/call", ECHO)
    return (time.perf_counter() - began) * 1e3
