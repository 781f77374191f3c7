"""The service's address: whether something answers there, and who listens."""

from __future__ import annotations

import _socket
import os
import sys

from llmenv_hooks.helper.directories import user_name
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.processes import (
    PROC,
    all_pids,
    command_words,
    descriptors,
    has_proc,
    run_tool,
)
from llmenv_hooks.helper.programs import expanded
from llmenv_hooks.helper.services import (
    GUARDED,
    MCP_PROXY,
    Service,
    bind_option,
    reachable,
)

INODE = 9  # which word of a line of /proc/net/tcp it is
# How much is read at once: a line of tcp, which all have one length (TMPSZ in tcp_ipv4.c), and of
# tcp6, where they have not, fewer bytes than follow the inode.
READS = {"tcp": 150, "tcp6": 16}


class Listener:
    """Who listens on an address: *uid*, and *pid* and *command* where we may look."""

    def __init__(self, uid: int, pid: int | None, command: list[str]) -> None:
        self.uid = uid
        self.pid = pid
        self.command = command

    def runs(self, service: Service) -> bool:
        """True when its command line says that it is *service*, as we or the seed start it."""
        try:
            service = expanded(service)
        except Problem:
            return False
        names = {os.path.basename(word) for word in self.command}
        wanted = {os.path.basename(service.command[0])}
        words = list(service.command[1:])
        if service.bridge == MCP_PROXY:
            wanted.add("mcp-proxy")
            words.append(str(service.port))
        elif service.bridge == GUARDED:
            words += ["--name", service.name, *bind_option(service)]
        return wanted <= names and all(word in self.command for word in words)

    def keeps(self, service: Service) -> bool:
        """True for who holds the port of *service* before that runs: systemd, or its keeper.

        Between its fork and its exec systemd's child is called `(PROGRAM)`; from 254 on it is
        systemd-executor before that (exec-invoke.c).  During an exec it has no command line.
        """
        words = self.command
        if not words:
            return self.pid is not None
        program = os.path.basename(words[0])
        return (
            (program == "systemd" and "--user" in words)
            or program == "systemd-executor"
            or program.startswith("(")
            or words[-2:] == ["--foreground", service.name]
        )

    def __str__(self) -> str:
        who = f"pid {self.pid}" if self.pid else "a process"
        if self.uid != os.getuid():
            who += f" of user {user_name(self.uid)}"
        return f"{who} ({printable(' '.join(self.command), 120)})" if self.command else who


def find_listener(service: Service, likely: int | None = None) -> Listener | None:
    """Return who listens on *service*'s address, or None where that cannot be seen.

    The process *likely* is looked at first: to look through all of them takes milliseconds.

    proc_pid_net(5): /proc/net/tcp gives the uid and the socket's inode; the process that has
    that socket open is found among its descriptors.
    """
    if not has_proc():
        pids = run_tool("lsof", "-nP", "-t", f"-iTCP:{service.port}", "-sTCP:LISTEN").split()
        if not pids:
            return None
        uid, _, command = run_tool("ps", "-o", "uid=,command=", "-p", pids[0]).partition(" ")
        return Listener(int(uid), int(pids[0]), command.split()) if uid.isdigit() else None
    seen: list[tuple[int, int, str]] = []
    for table in ("tcp6",) if ":" in service.host else ("tcp", "tcp6"):
        if not seen or min(seen)[0]:
            seen += _listening(table, service)
    if not seen:
        return None
    _, owner, inode = min(seen)
    return _with_pid(owner, inode, likely)


def _listening(table: str, service: Service) -> list[tuple[int, int, str]]:
    """Return closeness, uid and inode of who gets *service*'s connects, by /proc/net/*table*.

    Listening sockets come first. What comes next takes the kernel milliseconds to look for, in a
    table as large as the memory allows. So nothing is read beyond the line that is wanted.
    """
    seen: list[tuple[int, int, str]] = []
    try:
        fd = os.open(f"{PROC}/net/{table}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return seen
    try:
        rest = b""
        while chunk := os.read(fd, READS[table]):
            *lines, rest = (rest + chunk).split(b"\n")
            for words in (line.decode().split() for line in (*lines, rest)):
                if len(words) <= INODE + 1:  # it may be cut off
                    continue
                if words[3] not in ("st", "0A"):  # the heading, and a socket that listens
                    return seen
                address, _, port = words[1].partition(":")
                if words[3] != "0A" or int(port, 16) != service.port:
                    continue
                closeness = _covers(address, service)
                if closeness is not None:
                    seen.append((closeness, int(words[7]), words[INODE]))
                if closeness == 0:
                    return seen
    finally:
        os.close(fd)
    return seen


def _covers(address: str, service: Service) -> int | None:
    """Return how closely a listener on *address*, as /proc/net/tcp writes it, fits *service*.

    0: it has the very address; 1 or 2: it gets connects to it by a wildcard; None: it gets none.
    """
    wanted = _socket.inet_pton(
        _socket.AF_INET6 if ":" in service.host else _socket.AF_INET, reachable(service.host)
    )
    swap = sys.byteorder == "little"
    groups = [bytes.fromhex(address[at : at + 8]) for at in range(0, len(address), 8)]
    listened = b"".join(group[::-1] if swap else group for group in groups)
    mapped = b"\0" * 10 + b"\xff\xff"
    if listened in (wanted, mapped + wanted):
        return 0
    if any(listened.removeprefix(mapped)) or len(listened) < len(wanted):
        return None
    return 1 if len(listened) == len(wanted) else 2


def _with_pid(uid: int, inode: str, likely: int | None) -> Listener:
    for pid in all_pids(likely):
        for _, target in descriptors(pid):
            if target == f"socket:[{inode}]":
                return Listener(uid, pid, command_words(pid))
    return Listener(uid, None, [])


def probe(host: str, port: int, timeout: float = 0.25) -> bool:
    """True when something accepts a TCP connection at *host*:*port* within *timeout* seconds.

    A connect to a free local port can meet itself (RFC 9293 3.5, simultaneous open); that is no
    answer, and it is reset at once, since it would keep the daemon from binding.
    """
    host = reachable(host)
    sock = _socket.socket(_socket.AF_INET6 if ":" in host else _socket.AF_INET)
    try:
        sock.settimeout(timeout)
        sock.connect((host, port))
        if sock.getsockname() == sock.getpeername():
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
    except OSError:
        return False
    else:
        return True
    finally:
        sock.close()
