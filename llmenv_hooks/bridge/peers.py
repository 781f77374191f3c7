"""Who is at the other end of a connection: asked of the kernel, before a byte of it is read.

TCP says nothing about users.  Linux does: a sock_diag(7) query with the exact addresses of the
other end gives its owner, in 10 us and without privileges.  Three answers of it are traps:

* the other end was closed already: its owner is shown as 0, its inode as 0;
* the other end was reset, and a later socket of ours has its addresses: the answer is about that
  one, and what the first one sent can still be read;
* the same, with the later one still connecting.

So the other end must be ESTABLISHED and have an inode, and our own end must still be ESTABLISHED
after the answer: then it was so all the time since `accept`, and no other socket can have had those
addresses.
"""

from __future__ import annotations

import errno
import functools
import os
import socket
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

# From linux/netlink.h, sock_diag.h, inet_diag.h and tcp_states.h.
SOCK_DIAG_PROTOCOL = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
TCP_ESTABLISHED = 1
NO_COOKIE = 0xFFFFFFFF
NETLINK_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
DIAG_REQUEST = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
DIAG_PORTS = struct.Struct("!HH")
DIAG_COOKIE = struct.Struct("=III")  # interface, cookie
DIAG_STATE = struct.Struct("=BB")  # family, state
DIAG_OWNER = struct.Struct("=II")  # uid, inode
DIAG_REPLY_BYTES = NETLINK_HEADER.size + 72

# From macOS's sys/un.h and sys/ucred.h.
SOL_LOCAL = 0
LOCAL_PEERCRED = 1
XUCRED_BYTES = 76


class Ends(NamedTuple):
    """The addresses of a TCP connection as one of its two sockets has them, packed."""

    family: int
    ports: bytes
    addresses: bytes


class SocketOwner(NamedTuple):
    """What the kernel says of one socket."""

    state: int
    uid: int
    inode: int


def same_user(sock: socket.socket) -> bool | None:
    """Say whether the other end of *sock*, an accepted TCP connection, belongs to this user.

    False for root, too, and for a connection that is over.  None: the kernel will not say.  On
    None and False nothing may be read from *sock*.
    """
    if sys.platform != "linux" or _shares_our_number():
        return None
    try:
        ends = other_end(sock)
    except OSError:
        return False  # it is over
    try:
        owner = owner_of(ends)
    except OSError:
        return None
    # Last: whatever was answered holds only for an end that has been there all the time.
    own_state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return (
        owner is not None
        and owner.state == TCP_ESTABLISHED
        and owner.inode != 0
        and owner.uid == os.geteuid()
        and own_state == TCP_ESTABLISHED
    )


def is_over(sock: socket.socket) -> bool:
    """True when the other end of *sock* has been closed: by who only looked whether we listen."""
    return (
        sys.platform == "linux"
        and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != TCP_ESTABLISHED
    )


def users_are_known() -> bool:
    """True when `same_user` works here: tried once, with a connection of our own."""
    with suppress(OSError), socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        with socket.create_connection(listener.getsockname(), 5) as other:
            while True:
                accepted, address = listener.accept()
                with accepted:
                    if address == other.getsockname():
                        return same_user(accepted) is True
    return False


def unix_peer_uid(sock: socket.socket) -> int:
    """Return the user who connected *sock*, a unix socket (unix(7); macOS: unix(4)).

    Raises:
        OSError: the kernel will not say.
    """
    if sys.platform == "darwin":
        credentials = sock.getsockopt(SOL_LOCAL, LOCAL_PEERCRED, XUCRED_BYTES)
        return int(struct.unpack_from("=II", credentials)[1])
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return int(struct.unpack("iII", credentials)[1])


@functools.cache
def _shares_our_number() -> bool:
    """True when a user namespace shows everybody whom it does not know under our own number."""
    try:
        with open("/proc/sys/kernel/overflowuid", "rb") as file:
            overflow = int(file.read())
        with open("/proc/self/uid_map", "rb") as file:
            known = [int(count) for count in file.read().split()[2::3]]
    except OSError:
        return False
    return os.geteuid() == overflow and sum(known) < NO_COOKIE


def other_end(sock: socket.socket) -> Ends:
    """Return the addresses as the other end of *sock* has them.

    A dual-stack socket knows an IPv4 client by a mapped address, the kernel's table by the real
    one.
    """
    (host, port), (own_host, own_port) = sock.getpeername()[:2], sock.getsockname()[:2]
    family = sock.family
    if host.startswith("::ffff:") and "." in host:
        family, host, own_host = socket.AF_INET, host[7:], own_host[7:]
    packed = [socket.inet_pton(family, each.partition("%")[0]) for each in (host, own_host)]
    addresses = b"".join(each.ljust(16, b"\0") for each in packed)
    return Ends(family, DIAG_PORTS.pack(port, own_port), addresses)


def owner_of(ends: Ends) -> SocketOwner | None:
    """Ask for the owner of the one socket with these *ends*; None: there is none.

    Raises:
        OSError: the kernel will not say.
    """
    try:
        return KERNEL.owner(ends)
    except OSError:
        KERNEL.close()
    return KERNEL.owner(ends)


class Kernel:
    """A netlink socket by which we ask, opened at the first question."""

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; the next question opens another."""
        if self.socket:
            self.socket.close()
        self.socket = None

    def owner(self, ends: Ends) -> SocketOwner | None:
        """See `owner_of`; an error may be the socket's alone."""
        if self.socket is None:
            kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            self.socket = socket.socket(socket.AF_NETLINK, kind, SOCK_DIAG_PROTOCOL)
            self.socket.connect((0, 0))  # so that nobody but the kernel can answer
        self._sequence = (self._sequence + 1) & 0x7FFFFFFF
        asked = DIAG_REQUEST.pack(ends.family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        asked += ends.ports + ends.addresses + DIAG_COOKIE.pack(0, NO_COOKIE, NO_COOKIE)
        size = NETLINK_HEADER.size + len(asked)
        header = (size, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, self._sequence, 0)
        self.socket.send(NETLINK_HEADER.pack(*header) + asked)
        sequence = None
        while sequence != self._sequence:  # the kernel has answered when `send` returns
            answer = self.socket.recv(8192)
            _, kind, _, sequence, _ = NETLINK_HEADER.unpack_from(answer)
        body = answer[NETLINK_HEADER.size :]
        if kind == NLMSG_ERROR:
            number = -struct.unpack_from("=i", body)[0]
            if number == errno.ENOENT:
                return None
            raise OSError(number, os.strerror(number))
        if kind != SOCK_DIAG_BY_FAMILY or len(answer) < DIAG_REPLY_BYTES:
            raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
        family, state = DIAG_STATE.unpack_from(body)
        # For want of this socket the kernel may show one that listens at its address.
        if (family, body[4:8], body[8:40]) != ends:
            return None
        return SocketOwner(state, *DIAG_OWNER.unpack_from(body, 64))


KERNEL = Kernel()
