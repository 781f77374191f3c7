"""Who is at the other end: nobody but this user, in each of the traps that sock_diag sets.

The other user is a bare uid, no account; so these tests want root.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import subprocess
import sys
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import PYTHON, World, need_root, nobody, wait_until

import llmenv_hooks
from llmenv_hooks.bridge import peers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TRIES = 1000
FIN_WAIT2 = 5
STOLEN, OURS = b"stolen", b"ours"
NO_LINGER = struct.pack("ii", 1, 0)  # close with a reset
PACKAGE = str(Path(llmenv_hooks.__file__).parents[1])

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sock_diag is Linux's")

# Another user's program: opens connections and ends them as it is told to, line by line.
STRANGER = """
import socket, struct, sys
host, port, stolen = sys.argv[1], int(sys.argv[2]), sys.argv[3].encode()
connections = {}
for line in sys.stdin:
    what, _, argument = line.strip().partition(" ")
    if what == "open":
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if argument:  # how many seconds the kernel keeps what is closed
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, int(argument))
        sock.bind((host, 0))
        sock.connect((host, port))
        sock.send(stolen)
        own = sock.getsockname()[1]
        connections[own] = sock
        print(own, flush=True)
        continue
    sock = connections.pop(int(argument))
    if what == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    print("done", flush=True)
"""


class Server:
    """Accepts as the bridge's door does: accept, ask, and only then read."""

    def __init__(self, host: str = "127.0.0.1", dualstack: bool = False) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server(
            (host, 0), family=family, backlog=2 * TRIES, dualstack_ipv6=dualstack
        )
        self.listener.settimeout(20)
        self.port: int = self.listener.getsockname()[1]

    def answer(self) -> bytes | None:
        """Return what the next connection sent, None for one that is refused."""
        accepted, _ = self.listener.accept()
        with accepted:
            accepted.settimeout(20)
            return accepted.recv(100) if peers.same_user(accepted) else None

    def connect(self, host: str = "127.0.0.1", own_port: int = 0) -> socket.socket:
        """Return a connection of ours, from *own_port*."""
        sock = self.begun(host, own_port)
        sock.connect((host, self.port))
        sock.send(OURS)
        return sock

    def begun(self, host: str, own_port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
        sock.bind((host, own_port))
        return sock


class Stranger:
    """The other user's process, see STRANGER."""

    def __init__(self, server: Server, host: str = "127.0.0.1") -> None:
        argv = [PYTHON, "-I", "-S", "-c", STRANGER, host, str(server.port), STOLEN.decode()]
        self.process = subprocess.Popen(
            nobody(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, *words: object) -> int:
        """Have it do something; return the port it did it from, 0 if it opened none."""
        assert self.process.stdin
        assert self.process.stdout
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().strip()
        assert answer, "the stranger died"
        return 0 if answer == "done" else int(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with made.listener:
        yield made


@pytest.fixture
def stranger(server: Server) -> Iterator[Stranger]:
    made = Stranger(server)
    with made.process:
        yield made
        made.process.kill()


# --- without a trap -------------------------------------------------------------------------------

WAYS = [
    ("127.0.0.1", False, "127.0.0.1"),
    ("::1", False, "::1"),
    ("::", True, "::1"),
    ("::", True, "127.0.0.1"),  # known to the server as ::ffff:127.0.0.1
    ("0.0.0.0", False, "127.0.0.1"),
]


@pytest.mark.parametrize(("bind", "dualstack", "host"), WAYS)
def test_our_own_connection_is_ours(bind: str, dualstack: bool, host: str) -> None:
    server = Server(bind, dualstack)
    with server.listener, server.connect(host):
        assert server.answer() == OURS


@pytest.mark.parametrize(("bind", "dualstack", "host"), WAYS)
def test_another_users_is_not(bind: str, dualstack: bool, host: str) -> None:
    server = Server(bind, dualstack)
    with server.listener:
        stranger = Stranger(server, host)
        with stranger.process:
            stranger.ask("open")
            assert server.answer() is None
            stranger.process.kill()


SERVER = """
import socket, sys
sys.path.insert(0, sys.argv[1])
from llmenv_hooks.bridge import peers
listener = socket.create_server(("127.0.0.1", 0))
print(peers.users_are_known(), listener.getsockname()[1], flush=True)
for _ in range(int(sys.argv[2])):
    print(peers.same_user(listener.accept()[0]), flush=True)
own = socket.create_connection(listener.getsockname())
print(peers.same_user(listener.accept()[0]), flush=True)
"""


def elsewhere(
    prefix: list[str], clients: Callable[[int], AbstractContextManager[object]], count: int
) -> list[str]:
    """Have a server judge *count* connections of *clients* and one of its own; what it said."""
    argv = [*prefix, PYTHON, "-I", "-S", "-c", SERVER, PACKAGE, str(count)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process, ExitStack() as stack:
        assert process.stdout
        known, port = process.stdout.readline().split()
        for _ in range(count):
            stack.enter_context(clients(int(port)))
        return [known, *process.stdout.read().split()]


def test_root_is_no_exception() -> None:
    answers = elsewhere(nobody([]), lambda port: socket.create_connection(("127.0.0.1", port)), 2)
    assert answers == ["True", "False", "False", "True"]


def test_in_a_user_namespace_outsiders_are_strangers(world: World) -> None:
    need_root()
    prefix = world.unshare()

    def outsider(port: int) -> subprocess.Popen[bytes]:
        code = "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))"
        argv = [PYTHON, "-I", "-c", f"{code}; sys.stdin.read()", str(port)]
        return subprocess.Popen(nobody(argv), stdin=subprocess.PIPE)

    assert elsewhere(prefix, outsider, 1) == ["True", "False", "True"]


def test_where_everybody_has_our_number_the_kernel_says_nothing(world: World) -> None:
    world.unshare()
    prefix = ["unshare", "-U"]  # no mapping at all: each uid is shown as 65534
    answers = elsewhere(prefix, lambda port: socket.create_connection(("127.0.0.1", port)), 1)
    assert answers == ["False", "None", "None"]


# --- the traps ------------------------------------------------------------------------------------


def test_trap_1_closed_before_we_look(server: Server, stranger: Stranger) -> None:
    """The kernel shows uid 0, which may be ours, for an end that nobody has any more."""
    need_root()  # to be fooled by a 0
    for port in [stranger.ask("open") for _ in range(TRIES)]:
        stranger.ask("close", port)
    waiting = [server.listener.accept()[0] for _ in range(TRIES)]
    for accepted in waiting:
        owner = wait_until(partial(_orphan, peers.other_end(accepted)))
        assert owner
        assert owner.uid == os.geteuid()
        with accepted:
            assert not peers.same_user(accepted)
            assert accepted.recv(100) == STOLEN


def _orphan(ends: peers.Ends) -> peers.SocketOwner | None:
    """Return what is shown of the other end once our ACK has come to it."""
    owner = peers.owner_of(ends)
    return owner if owner and owner.state == FIN_WAIT2 else None


def test_trap_2_reset_before_we_accept(server: Server, stranger: Stranger) -> None:
    """Another socket, ours, has the addresses of the one whose bytes lie here."""
    for _ in range(TRIES):
        port = stranger.ask("open")
        stranger.ask("reset", port)
        with server.connect(own_port=port):
            assert server.answer() is None
            assert server.answer() == OURS


def between(monkeypatch: pytest.MonkeyPatch, attack: Callable[[peers.Ends], None]) -> list[int]:
    """Do *attack* at the worst moment, before the kernel is asked.

    Returns:
        a list to which the number of times is added that an answer named our uid.
    """
    fooled = [0]
    real = peers.owner_of

    def owner_of(ends: peers.Ends) -> peers.SocketOwner | None:
        attack(ends)
        owner = real(ends)
        fooled[0] += owner is not None and owner.uid == os.geteuid() and owner.inode != 0
        return owner

    monkeypatch.setattr(peers, "owner_of", owner_of)
    return fooled


def test_trap_2_reset_while_we_look(
    server: Server, stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: list[socket.socket] = []

    def attack(ends: peers.Ends) -> None:
        port = struct.unpack("!HH", ends.ports)[0]
        stranger.ask("reset", port)
        ours.append(server.connect(own_port=port))

    fooled = between(monkeypatch, attack)
    for _ in range(TRIES):
        stranger.ask("open")
        accepted, _ = server.listener.accept()
        with accepted:
            assert not peers.same_user(accepted)
            assert accepted.recv(100) == STOLEN
        server.listener.accept()[0].close()
        ours.pop().close()
    assert fooled == [TRIES]


def test_trap_3_ours_on_its_way_while_we_look(
    server: Server, stranger: Stranger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stranger's end is long gone, ours does not know, and one of ours is just connecting."""

    def attack(ends: peers.Ends) -> None:
        sock = server.begun("127.0.0.1", struct.unpack("!HH", ends.ports)[0])
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.connect(("127.0.0.1", server.port))
        ours.append(sock)

    ours: list[socket.socket] = []
    for port in [stranger.ask("open", 1) for _ in range(TRIES)]:
        stranger.ask("close", port)
    waiting = [server.listener.accept()[0] for _ in range(TRIES)]
    ends = [peers.other_end(each) for each in waiting]
    wait_until(lambda: not any(map(peers.owner_of, ends)), 60)
    fooled = between(monkeypatch, attack)
    for accepted in waiting:
        with accepted:
            assert not peers.same_user(accepted)
            assert accepted.recv(100) == STOLEN
        ours.pop().close()
    assert fooled == [TRIES]


GOOD = peers.SocketOwner(peers.TCP_ESTABLISHED, os.geteuid(), 1)


@pytest.mark.parametrize(
    ("owner", "expected"),
    [
        (GOOD, True),
        (GOOD._replace(state=2), False),
        (GOOD._replace(state=5), False),
        (GOOD._replace(state=8), False),
        (GOOD._replace(inode=0), False),
        (GOOD._replace(uid=GOOD.uid + 1), False),
        (None, False),
    ],
)
def test_each_part_of_the_rule_holds_alone(
    server: Server, monkeypatch: pytest.MonkeyPatch, owner: peers.SocketOwner | None, expected: bool
) -> None:
    monkeypatch.setattr(peers, "owner_of", lambda _: owner)
    with server.connect():
        accepted, _ = server.listener.accept()
        with accepted:
            assert peers.same_user(accepted) is expected


def test_our_own_end_must_still_be_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "owner_of", lambda _: GOOD)
    for how in (socket.SHUT_WR, None):
        with server.connect() as sock:
            accepted, _ = server.listener.accept()
            with accepted:
                if how is None:
                    sock.close()
                else:
                    sock.shutdown(how)
                assert peers.same_user(accepted) is False


def test_a_listener_at_the_same_address_is_not_the_other_end(server: Server) -> None:
    with server.connect() as sock:
        own = sock.getsockname()
        accepted, _ = server.listener.accept()
        with accepted:
            ends = peers.other_end(accepted)
            assert peers.owner_of(ends)
            sock.close()
            with socket.create_server(own):
                assert peers.owner_of(ends) is None


# --- the kernel -----------------------------------------------------------------------------------


def test_users_are_known_here() -> None:
    assert peers.users_are_known()


def test_a_broken_netlink_socket_is_opened_again(server: Server) -> None:
    for _ in range(3):
        with server.connect():
            assert server.answer() == OURS
        assert peers.KERNEL.socket
        peers.KERNEL.socket.close()


def test_without_netlink_nothing_is_known(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SOCK_DIAG_PROTOCOL", 31)  # one that no kernel has
    peers.KERNEL.close()
    with server.connect():
        accepted, _ = server.listener.accept()
        with accepted:
            assert peers.same_user(accepted) is None
    assert not peers.users_are_known()


def test_no_descriptor_is_left(server: Server) -> None:
    with server.connect():
        server.answer()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with server.connect():
            server.answer()
        peers.users_are_known()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_socket_of_asyncio_can_be_asked_about() -> None:
    seen: list[bool | None] = []

    class Door(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen.append(peers.same_user(transport.get_extra_info("socket")))

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Door, "127.0.0.1", 0)
        async with server:
            _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(OURS)
            await writer.drain()
            while not seen:
                await asyncio.sleep(0.005)
            writer.close()

    asyncio.run(main())
    assert seen == [True]


def test_a_unix_socket_tells_its_user(tmp_path: Path) -> None:
    left, right = socket.socketpair()
    with left, right:
        assert peers.unix_peer_uid(left) == os.geteuid()
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        path.chmod(0o666)
        code = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
        subprocess.run(nobody([PYTHON, "-I", "-c", code, str(path)]), check=True)
        accepted, _ = listener.accept()
        with accepted:
            assert peers.unix_peer_uid(accepted) == 65534
