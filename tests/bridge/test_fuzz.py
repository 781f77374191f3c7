"""Whatever comes to the two doors, in whatever pieces, the bridge goes on.

`LLMENV_TEST_EXAMPLES=100000 pytest tests/bridge/test_fuzz.py` does it by the hour.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from bridges import Bridge, Web, Wire
from daemons import DEADLINE_S
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = int(os.environ.get("LLMENV_TEST_EXAMPLES", "60"))
MOST_GROWN_KIB = 8192
KEY = "io.modelcontextprotocol/"
METHODS = """
    initialize ping tools/list tools/call server/discover subscriptions/listen llmenv/status
    notifications/initialized notifications/cancelled notifications/progress logging/setLevel
""".split()
KEYS = """
    name arguments protocolVersion capabilities clientInfo requestId progressToken progress _meta
    level uri echo
""".split()

scalars = (
    some.none()
    | some.booleans()
    | some.integers(-(2**70), 2**70)
    | some.floats()
    | some.text(max_size=20)
)
anything = some.recursive(
    scalars,
    lambda inner: (
        some.lists(inner, max_size=4)
        | some.dictionaries(some.sampled_from(KEYS) | some.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
meta = some.fixed_dictionaries(
    {},
    optional={
        f"{KEY}protocolVersion": some.sampled_from(["2026-07-28", "2099-01-01"]) | anything,
        f"{KEY}clientCapabilities": anything,
        "progressToken": anything,
    },
)
# What is nearly a message: each member is what it should be, or anything, or missing.
nearly = some.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": some.just("2.0") | scalars,
        "id": some.integers(0, 9) | anything,
        "method": some.sampled_from(METHODS) | anything,
        "params": some.fixed_dictionaries({}, optional={"_meta": meta | anything}) | anything,
        "result": anything,
        "error": some.fixed_dictionaries({}, optional={"code": anything, "message": anything}),
    },
)
deep = some.integers(1, 3000).map(lambda depth: "[" * depth + "]" * depth)
texts = (nearly | anything).map(json.dumps) | deep | some.text(max_size=40)
frames = texts.map(lambda text: text.encode("utf-8", "surrogatepass")) | some.binary(max_size=60)
HEADERS = {
    "Accept": ["*/*", "text/event-stream", "application/json", "text/plain"],
    "MCP-Protocol-Version": ["2025-11-25", "2026-07-28", "0"],
    "Mcp-Session-Id": ["0", "x" * 200],
    "Mcp-Method": METHODS,
    "Transfer-Encoding": ["chunked"],
    "Connection": ["close"],
}
heads = some.fixed_dictionaries(
    {}, optional={name: some.sampled_from(values) for name, values in HEADERS.items()}
)


@some.composite
def http_requests(draw: Any) -> bytes:
    """Return a request, whose body is any frame and whose head may be for another one."""
    method = draw(some.sampled_from(["POST", "POST", "POST", "GET", "DELETE"]))
    body, more = draw(frames), draw(heads)
    lines = [f"{method} /mcp HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    if "Transfer-Encoding" in more:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    elif method == "POST":
        lines.append(f"Content-Length: {len(body) + draw(some.sampled_from([0, 0, 0, 3]))}")
    lines += [f"{name}: {value}" for name, value in more.items()]
    head = "\r\n".join([*lines, "", ""]).encode()
    return bytes(head + body)


def in_pieces(whole: bytes, cuts: list[float]) -> list[bytes]:
    """Return *whole*, cut at these shares of it."""
    places = sorted({int(cut * len(whole)) for cut in cuts} | {0, len(whole)})
    return [whole[start:end] for start, end in itertools.pairwise(places)]


CUTS = some.lists(some.floats(0, 1), max_size=4)


def memory(pid: int) -> int:
    """Return the resident set of *pid*, in KiB; 0 where /proc does not tell."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
    except FileNotFoundError:
        return 0
    return int(fields["VmRSS"].split()[0])


class Target:
    """A running bridge, and an agent that is never to notice."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.server = bridge.server_pid()
        self.agent = Wire(bridge)
        self.count = 0

    def hit(self, sock: socket.socket, pieces: list[bytes]) -> None:
        """Send the pieces, hang up, and see that all others are served."""
        with sock, suppress(BrokenPipeError, ConnectionResetError):
            sock.settimeout(DEADLINE_S)
            for piece in pieces:
                sock.sendall(piece)
            with suppress(OSError):  # it has hung up already
                sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        self.count += 1
        assert self.agent.tool(echo=self.count)["echo"] == self.count, pieces


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A bridge for all examples; in the end its log has no traceback, and it has not grown."""
    with Bridge(tmp_path_factory.mktemp("fuzz")) as bridge:
        made = Target(bridge)
        with Web(bridge) as web:
            web.initialize()
            for size in (1, 1 << 20):  # so that what it keeps for later is there before
                web.tool(echo="x" * size)
        before = memory(bridge.pid)
        yield made
        made.agent.close()
        status = bridge.status()
        assert (status["under_way"], status["server"]["restarts"]) == (0, 0), bridge.log()
        assert bridge.server_pid() == made.server
        assert "llmenv_hooks" not in bridge.log(), bridge.log()
        grown = memory(bridge.pid) - before
        print(f"{made.count} examples, grown by {grown} KiB")
        assert grown < MOST_GROWN_KIB


bounded = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@bounded
@given(lines=some.lists(frames, max_size=5), cuts=CUTS)
def test_any_lines_at_the_socket(target: Target, lines: list[bytes], cuts: list[float]) -> None:
    """Whole or not, JSON or not, in one piece or in several."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(target.bridge.path("sock")))
    target.hit(sock, in_pieces(b"\n".join(lines), cuts))


@bounded
@given(requests=some.lists(http_requests(), max_size=3), cuts=CUTS)
def test_any_requests_over_http(target: Target, requests: list[bytes], cuts: list[float]) -> None:
    """One after the other on a connection, whatever their bodies are."""
    assert target.bridge.port
    sock = socket.create_connection(("127.0.0.1", target.bridge.port))
    target.hit(sock, in_pieces(b"".join(requests), cuts))
