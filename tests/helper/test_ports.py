"""Who answers at an address."""

from __future__ import annotations

import _socket
import os
import shutil
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from daemons import (
    World,
    free_port,
    take_port,
)
from packed import ensure, patch

if TYPE_CHECKING:
    from pathlib import Path

# As tcp4_seq_show and tcp6_seq_show of the kernel write them; the first fill a line with blanks.
TABLES = {
    "tcp": (
        "127.0.0.1",
        [
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
            "  timeout inode                                                     ",
            "   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0"
            "        0 1161 1 00000000f590f0a0 100 0 0 10 0                      ",
            "   1: 0100007F:1EC6 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000"
            "        0 401189 1 0000000057f9e6d0 100 0 0 10 0                    ",
        ],
    ),
    "tcp6": (
        "::1",
        [
            "  sl  local_address                         remote_address                       "
            " st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            "   0: 00000000000000000000000001000000:1EC6 00000000000000000000000000000000:0000"
            " 0A 00000000:00000000 00:00000000 00000000  1000        0 401189"
            " 1 d590f0a0 100 0 0 10 0",
        ],
    ),
}


def test_a_self_connect_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    connected: list[bool] = []

    class Bound(_socket.socket):
        """A socket that the kernel happens to give the very port it connects to."""

        def connect(self, address: object) -> None:
            self.bind(("127.0.0.1", port))
            super().connect(("127.0.0.1", port))
            connected.append(self.getpeername() == self.getsockname())

    parts = {**vars(_socket), "socket": Bound}
    patch(monkeypatch, "_socket", SimpleNamespace(**parts))
    assert ensure.probe("127.0.0.1", port) is False
    assert connected == [True]
    with socket.socket() as daemon:  # and nothing of it stays in the daemon's way
        daemon.bind(("127.0.0.1", port))


@pytest.mark.parametrize("table", TABLES)
def test_nothing_is_read_beyond_the_line_of_a_listener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    """There the kernel would look for established connections, which takes it long."""
    host, lines = TABLES[table]
    text = "".join(f"{line}\n" for line in lines)
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / table).write_text(f"{text}{lines[-1].replace(' 0A ', ' 01 ')}\n")
    patch(monkeypatch, "PROC", str(tmp_path))
    sizes = []

    def read(fd: int, size: int) -> bytes:
        sizes.append(size)
        return os.read(fd, size)

    patch(monkeypatch, "os", SimpleNamespace(**{**vars(os), "read": read}))
    service = ensure.Service("a", ["a"], f"[{host}]:7878" if ":" in host else f"{host}:7878")
    found = ensure.find_listener(service)
    assert found
    assert found.uid == 1000
    assert len(text) - 150 < sum(sizes) <= len(text)
    if table == "tcp":  # of which each line has one length
        assert len(sizes) == len(lines)


def test_an_ipv4_wildcard_takes_no_ipv6_connects(tmp_path: Path) -> None:
    with World(tmp_path / "w", f"[::1]:{free_port('::1')}") as world:
        take_port(world, "0.0.0.0")
        pid = world.up()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()


@pytest.mark.usefixtures("configured")
def test_ours_is_found_beside_a_wildcard_of_the_other_family(world: World) -> None:
    pid = world.up()
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::", world.port))
        other.listen()
        shutil.rmtree(world.state)
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        assert world.pidfile() == pid


@pytest.mark.parametrize(
    ("words", "keeps"),
    [
        (["/lib/systemd/systemd", "--user"], True),
        (["/usr/lib/systemd/systemd-executor", "--deserialize", "9"], True),
        (["(python3)                    "], True),
        ([], True),  # in the middle of an exec
        (["python3", "-I", "-S", "llmenv-ensure.py", "--foreground", "memory"], True),
        (["python3", "-I", "-S", "llmenv-ensure.py", "--foreground", "other"], False),
        (["/lib/systemd/systemd", "--system"], False),
        (["python3", "-m", "http.server"], False),
    ],
)
def test_who_holds_a_port_before_its_service_runs(words: list[str], keeps: bool) -> None:
    service = ensure.Service("memory")
    assert ensure.Listener(1000, 1, words).keeps(service) == keeps
    assert not ensure.Listener(1000, None, []).keeps(service)
