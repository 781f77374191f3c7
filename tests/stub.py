"""A daemon for the tests, run as `python -I -S stub.py ORACLE BIND [MODE ...]`.

It writes what it does into the directory ORACLE: `starts` (a line for each process that came
up), `listening` (a line for each successful bind), `bindfail` (must never exist: two daemons met).
It answers an HTTP POST with the content of ORACLE/answer, so that it can play mcp-proxy.

Modes, which it obeys from left to right before it binds:
    gate          wait until ORACLE/go exists; `waiting` tells who came to it
    close-fds     close all descriptors but 0-2, as ssh does
    fork          leave a child to serve and exit
    wrap          leave a child to serve and wait for it
    uvx           the same, and pass SIGINT on, as uvx does
    linger        with wrap: stay when the child has died
    child         keep a child in a session of its own, without our descriptors, as mcp-proxy does
    orphan        keep a child that has our descriptors, and does nothing
    deaf          ignore SIGINT and SIGTERM
    die=N         print two lines and exit with status N
    mute          never bind
    slow          take SLOW_S before it binds
and after it has bound:
    shut          once ORACLE/shut exists, close the port and stay
    flood         write to stdout as fast as it goes, until ORACLE/calm exists
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

SLOW_S = 0.4  # longer than the next `llmenv-ensure` takes to come and look


def note(oracle: str, name: str) -> None:
    """Append our pid to a file of the oracle, in one write."""
    fd = os.open(os.path.join(oracle, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, b"%d\n" % os.getpid())
    os.close(fd)


def wait_for(oracle: str, name: str) -> None:
    """Return once a file of the oracle exists."""
    while not os.path.exists(os.path.join(oracle, name)):
        time.sleep(0.005)


def pass_on(number: int, child: int) -> None:
    """Send on to *child* each signal *number* that comes."""
    signal.signal(number, lambda *_: os.kill(child, number))


def prepare(oracle: str, modes: list[str]) -> None:
    """Do what is asked for before the port is bound."""
    for mode in modes:
        if mode == "gate":
            note(oracle, "waiting")
            wait_for(oracle, "go")
        elif mode == "close-fds":
            os.closerange(3, 1024)
        elif mode in ("fork", "wrap", "uvx"):
            child = os.fork()
            if child and mode == "uvx":
                pass_on(signal.SIGINT, child)
            if child and mode != "fork":
                os.waitpid(child, 0)
                if "linger" in modes:
                    wait_for(oracle, "never")
            if child:
                os._exit(0)
            note(oracle, "starts")
        elif mode in ("child", "orphan"):
            if not os.fork():
                os.setsid()
                if mode == "child":
                    os.closerange(3, 1024)
                note(oracle, "children")
                wait_for(oracle, "never")
        elif mode == "deaf":
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        elif mode.startswith("die="):
            print("one line", file=sys.stderr)
            print("no \x1b[31mluck\x07 today", file=sys.stderr, flush=True)
            os._exit(int(mode.removeprefix("die=")))
        elif mode == "mute":
            wait_for(oracle, "speak")
        elif mode == "slow":
            time.sleep(SLOW_S)


def answer(conn: socket.socket, oracle: str) -> None:
    """Answer one HTTP POST with what the oracle holds for it, and anything else not at all."""
    conn.settimeout(2)
    try:
        if not conn.recv(65536).startswith(b"POST "):
            return
        with open(os.path.join(oracle, "answer"), "rb") as file:
            body = file.read()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        conn.sendall(head % len(body) + body)
    except OSError:
        return


def main(oracle: str, bind: str, *modes: str) -> None:
    note(oracle, "starts")
    prepare(oracle, list(modes))
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError:
        note(oracle, "bindfail")
        raise
    listener.listen(128)
    note(oracle, "listening")
    if "flood" in modes:
        number = 0
        while not os.path.exists(os.path.join(oracle, "calm")):
            os.write(1, b"".join(b"line %09d %s\n" % (number + i, b"x" * 80) for i in range(500)))
            number += 500
        note(oracle, "calmed")
    if "shut" in modes:
        wait_for(oracle, "shut")
        listener.close()
        note(oracle, "closed")
        wait_for(oracle, "never")
    while True:
        conn, _ = listener.accept()
        with conn:
            answer(conn, oracle)


if __name__ == "__main__":
    main(*sys.argv[1:])
