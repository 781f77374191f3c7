"""The bridge as a program: its command line, its signals, and its end.

It is spawned by the helper, with the lifetime lock inherited; and it is up when it listens, which
is before its server runs.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.exchanges import Shop
from llmenv_hooks.bridge.guard import Guard
from llmenv_hooks.bridge.httpdoor import HttpDoor
from llmenv_hooks.bridge.hub import Hub
from llmenv_hooks.bridge.logs import Log
from llmenv_hooks.bridge.peers import users_are_known
from llmenv_hooks.bridge.refusals import Tally
from llmenv_hooks.bridge.schemas import Schemas
from llmenv_hooks.bridge.socketdoor import SocketDoor, listen
from llmenv_hooks.bridge.tokens import own_token
from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.files import remove_file, replace_file
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.services import parse_bind, valid_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmenv_hooks.helper.jsonrpc import Message

LAST_CALLS_S = 2.0  # for calls under way, once the bridge is to end


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line, parsed."""
    parser = argparse.ArgumentParser(prog="llmenv-bridge", allow_abbrev=False)
    parser.add_argument("--name", required=True, help="the service's name")
    parser.add_argument("--bind", metavar="HOST:PORT", help="where to listen; none: --socket alone")
    parser.add_argument(
        "--listen-fd", metavar="N", type=int, help="the socket of --bind, if inherited"
    )
    parser.add_argument("--socket", metavar="PATH", required=True, help="the unix socket")
    parser.add_argument("--log", metavar="PATH", help="stdout and stderr lead there")
    parser.add_argument("--child-note", metavar="PATH", help="why the server keeps dying")
    parser.add_argument("--start-timeout", metavar="SECONDS", type=float, default=60.0)
    parser.add_argument("--token-file", metavar="PATH", help="where users cannot be told apart")
    parser.add_argument("--origin", metavar="ORIGIN", action="append", default=[])
    parser.add_argument("command", metavar="COMMAND", nargs="+")
    return parser.parse_args(argv)


class Program:
    """One run of the bridge."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._log = Log(options.log)
        self._tally = Tally(self._log.say)
        self._born = time.monotonic()
        self._ends = asyncio.Event()
        self._last_calls_s = LAST_CALLS_S
        self._hub = Hub(options.command, self._log, options.start_timeout, self._note)
        self._socket_door = SocketDoor(
            self._hub,
            self._tally,
            {"llmenv/status": self._status, "llmenv/rename": self._rename},
        )
        self._http_door: HttpDoor | None = None

    async def run(self) -> None:
        """Serve until a signal says that it is enough."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end_within, LAST_CALLS_S)
        loop.add_signal_handler(signal.SIGUSR1, self._end_within, math.inf)
        loop.add_signal_handler(signal.SIGCHLD, self._hub.look)
        self._note("")
        await self._open()
        self._hub.start()
        sweeping = asyncio.create_task(self._sweep())
        await self._ends.wait()
        sweeping.cancel()
        await self._end()

    async def _open(self) -> None:
        """Open the doors; the socket first, so that who finds the port finds that, too."""
        bind = parse_bind(self._options.bind) if self._options.bind else None
        fd = self._options.listen_fd
        sock: socket.socket | None = None
        if fd is not None:
            sock = socket.socket(fileno=fd)
        elif bind:
            sock = _bound(*bind)  # a port that is taken must cost no one the socket
        try:
            await self._socket_door.open(listen(self._options.socket))
        except OSError as error:
            why = error.strerror or error
            raise Problem(f"cannot listen at {self._options.socket}: {why}") from None
        if not bind or not sock:
            return
        host = bind[0]
        by_user = not _is_open(host) and users_are_known()
        token = None if by_user else self._token()
        guard = Guard(host, self._options.origin, token)
        shop = Shop(self._hub, Schemas(self._hub.eras))
        self._http_door = HttpDoor(shop, guard, self._tally, by_user=by_user)
        try:
            await self._http_door.open(sock)
        except OSError as error:  # another was bound at the same time, and has been faster
            raise Problem(_taken(*bind, error)) from None

    def _token(self) -> str:
        if self._options.token_file is None:
            raise Problem("users cannot be told apart here, and there is no --token-file")
        return own_token(self._options.token_file)

    async def _sweep(self) -> None:
        """Look after what takes too long, once a second."""
        while True:
            await asyncio.sleep(1.0)
            self._tally.say()
            if self._http_door:
                self._http_door.sweep()

    def _end_within(self, seconds: float) -> None:
        """End, with *seconds* for the calls under way: infinity is for a hand-over (SIGUSR1)."""
        self._last_calls_s = seconds
        self._ends.set()

    async def _end(self) -> None:
        """Close the doors, let calls under way end, end the server, and all below it."""
        doors = [door for door in (self._http_door, self._socket_door) if door]
        for door in doors:
            await door.close()
        with suppress(OSError):
            os.unlink(self._options.socket)
        began = time.monotonic()
        while self._hub.under_way and time.monotonic() - began < self._last_calls_s:
            await asyncio.sleep(0.02)
        # The server first: its death answers the calls that it still had.
        await asyncio.gather(*(server.child.end() for server in self._hub.eras.servers))
        for door in doors:
            door.end()
        self._note("")

    def _note(self, reason: str) -> None:
        """Keep in --child-note what the prompt is to tell while the server keeps dying."""
        path = self._options.child_note
        if path is None:
            return
        with suppress(OSError):
            if reason:
                name = self._options.name
                told = f"{name}: its server keeps dying: {reason}; llmenv logs {name}\n"
                replace_file(path, told.encode())
            else:
                remove_file(path)

    def _rename(self, asked: Message) -> Message:
        """Go on with the files that are called as *asked*, beside those of now; return the name."""
        options, stem = self._options, asked.get("params", {}).get("stem")
        if options.log and isinstance(stem, str) and "/" not in stem:
            files = Files(os.path.join(os.path.dirname(options.log), f"{stem}.pid"))
            if valid_name(files.service):
                options.name, options.socket = files.service, files.sock
                options.log, options.child_note = files.log, files.child
                self._log.move(files.log)
        return {"name": options.name}

    def _status(self, _: Message) -> Message:
        """Return what `llmenv/status` tells."""
        children = [server.child for server in self._hub.eras.servers]
        sessions = self._socket_door.sessions
        if self._http_door:
            sessions = sessions | self._http_door.sessions
        return {
            "name": self._options.name,
            "pid": os.getpid(),
            "uptime": round(time.monotonic() - self._born, 1),
            "server": {
                "state": children[0].state,
                "pids": [child.pid for child in children if child.pid],
                "restarts": sum(child.restarts for child in children),
                "reason": children[0].reason,
            },
            "agents": sorted(session.name for session in sessions),
            "calls": self._hub.calls,
            "under_way": self._hub.under_way,
            "refused": dict(self._tally.total),
            "by_token": bool(self._http_door and not self._http_door.by_user),
        }


def _is_open(host: str) -> bool:
    """True when others than this machine's users can reach *host*."""
    return not (host == "::1" or host.startswith("127."))


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that will listen on TCP.

    Raises:
        Problem: it cannot.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        raise Problem(_taken(host, port, error)) from None
    return sock


def _taken(host: str, port: int, error: OSError) -> str:
    return f"cannot listen on {host} port {port}: {error.strerror}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bridge with the command line *argv*; return 0 when it was ended, 1 when it failed."""

    async def run() -> None:
        await Program(arguments(argv)).run()

    try:
        asyncio.run(run())
    except Problem as error:
        os.write(2, f"llmenv-bridge: {error}\n".encode(errors="replace"))
        return 1
    return 0
