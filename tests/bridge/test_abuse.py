"""Agents that take more than their share: what they do costs others nothing, and has its bounds."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from bridges import Bridge, Web, Wire
from daemons import DEADLINE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

HALF_OPEN = 300
HALF_OPEN_S = float(os.environ.get("LLMENV_TEST_HALF_OPEN", "12"))  # by hand: 30
HALVES = {
    "nothing": b"",
    "half a head": b"POST /mcp HTTP/1.1\r\nHost: local",
    "half a body": (
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 1000\r\n\r\n{"jsonrpc"'
    ),
}
FLOOD_BYTES = 64 << 20
# Two files of 1 MiB each, and some blocks of the file system's own.
MOST_ON_DISK = int(2.2 * (1 << 20))


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
def test_half_open_connections_hold_up_nobody(tmp_path: Path, half: bytes) -> None:
    """As many as one user can have, and longer than a connection may take for its head."""
    with Bridge(tmp_path) as bridge, ExitStack() as stack, Web(bridge) as web, Wire(bridge) as wire:
        assert bridge.port
        web.initialize()
        held = []
        for _ in range(HALF_OPEN):
            sock = socket.create_connection(("127.0.0.1", bridge.port))
            held.append(stack.enter_context(sock))
            sock.sendall(half)
        end = time.monotonic() + HALF_OPEN_S
        count = 0
        while time.monotonic() < end:
            count += 1
            assert web.tool(echo=count)["echo"] == wire.tool(echo=count)["echo"] == count
            with Web(bridge) as another:
                assert another.tool(echo=count)["echo"] == count
        if half != HALVES["half a body"]:  # that may take 30 s
            for sock in held:
                sock.settimeout(DEADLINE_S)
                assert sock.recv(1) == b""
            assert bridge.status()["refused"] == {"time": HALF_OPEN}


def test_a_flooded_log_never_takes_more_than_its_share_of_the_disk(tmp_path: Path) -> None:
    """Looked at all the time, while the server writes as fast as it is read."""
    most, finished = 0, threading.Event()
    directory = tmp_path / "bridge"

    def watch() -> None:
        nonlocal most
        while not finished.is_set():
            most = max(most, on_disk(directory))

    with Bridge(directory) as bridge, Wire(bridge) as wire:
        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        wire.tool(stderr=FLOOD_BYTES)
        print(f"{FLOOD_BYTES / (1 << 20) / (time.monotonic() - began):.0f} MiB/s")
        wait_until(bridge.path("log.1").exists)
        finished.set()
        watcher.join()
        assert 1 << 20 < most <= MOST_ON_DISK


def on_disk(directory: Path) -> int:
    """Return the bytes that a log's files take."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith("b.log"):
                try:
                    total += entry.stat().st_blocks * 512
                except FileNotFoundError:  # it has just been replaced
                    continue
    return total
