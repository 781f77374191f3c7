#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Show llmenv at work: `make run`, or `.venv/bin/python examples/demo.py`.

Starts the example memory server the way your shell would, uses it as an agent would, kills it,
shows that it comes back, and stops it.  All that it writes is under `.demo/` in this checkout, in a
config, state and data directory of its own: yours are not touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import select
import shlex
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import typer
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client

from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.helper.processes import _parents
from llmenv_hooks.helper.records import left_over
from llmenv_hooks.helper.services import DEFAULT_BIND, Service, parse_bind
from llmenv_hooks.helper.status import inspect
from llmenv_hooks.helper.stopping import stop

HOME = Path(__file__).resolve().parents[1] / ".demo"
SERVER = Path(__file__).resolve().with_name("memory_server.py")
BIN = Path(sys.executable).parent
LLMENV = BIN / "llmenv"
PROMPT_S = 20.0
CALL_S = 30.0
TOPIC = "llmenv demo"


def say(text: str) -> None:
    """Print one finished step."""
    typer.echo(f"{typer.style('ok', fg='green')}  {text}")


def fail(text: str) -> NoReturn:
    """Leave with one line."""
    sys.exit(f"demo: {printable(text, 600)}")


def free_bind() -> str:
    """Return the default address, or one with a free port when somebody has that one."""
    host, default = parse_bind(DEFAULT_BIND)
    for port in (default, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return f"{host}:{probe.getsockname()[1]}"
    fail(f"no port is free on {host}")


def move_in() -> None:
    """Let all that this program and what it starts write be under HOME."""
    for what in ("CONFIG", "STATE", "DATA", "CACHE"):
        os.environ[f"XDG_{what}_HOME"] = str(HOME / what.lower())
    os.environ.pop("LLMENV_CONFIG", None)


def provide_config() -> Config:
    """Write a config for the example server, on an address that is free now, and return it."""
    path = Path(config_path())
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    bind = free_bind()
    command = json.dumps([sys.executable, str(SERVER)], ensure_ascii=False)
    path.write_text(
        f"# Written by {Path(__file__).resolve()}; config.toml beside that explains it.\n"
        f'[services.memory]\ncommand = {command}\nbind = "{bind}"\n',
        encoding="utf-8",
    )
    say(f"wrote {path}, of this demo alone")
    return load_config(str(path))


class Bash:
    """An interactive bash that has the hook, on a terminal of its own, as long as the `with`."""

    def __enter__(self) -> Bash:
        bash = shutil.which("bash") or fail("bash is not on PATH; this demo needs one to hook into")
        # An empty HISTFILE: our lines are none of the user's history.
        environment = {**os.environ, "HISTFILE": "", "TERM": "dumb", "PS1": "$ "}
        environment.pop("LLMENV_DISABLE", None)
        self.screen = ""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(bash, ["bash", "--norc", "--noprofile", "-i"], environment)
        self.type(f'eval "$({shlex.quote(str(LLMENV))} hook bash)"')
        return self

    def __exit__(self, *_: object) -> None:
        self.type("exit")
        deadline = time.monotonic() + PROMPT_S
        while not self.left(0.1):
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                break
        os.close(self.terminal)
        os.waitpid(self.pid, 0)

    def type(self, line: str) -> None:
        """Type *line* and Enter."""
        with contextlib.suppress(OSError):  # bash is gone
            os.write(self.terminal, f"{line}\n".encode())

    def left(self, seconds: float) -> bool:
        """Read for up to *seconds* what comes on the terminal; True when bash has left it."""
        if not select.select([self.terminal], [], [], seconds)[0]:
            return False
        try:
            part = os.read(self.terminal, 4096)
        except OSError:  # EIO: how Linux says that the other side of a pty is closed
            part = b""
        self.screen += part.decode(errors="replace").replace("\r", "")
        return not part


def start(service: Service, state: str) -> int:
    """Have a prompt start *service*, by the hook; return its pid."""
    began = time.monotonic()
    with Bash() as bash:
        while (now := inspect(service, state)).state != "running":
            took = time.monotonic() - began
            longest = PROMPT_S if now.state == "down" else service.start_timeout
            if now.state in ("failed", "taken") or took > longest or bash.left(0.05):
                fail(f"the hook brought no {service.name} up: {now.detail or bash.screen}")
    took = time.monotonic() - began
    say(f"a bash prompt with the hook started it in the background: {service.name}")
    say(f"pid {now.pid} listened on {service.bind} after {took:.1f} s; that bash has gone since")
    if now.pid is None:
        fail(f"who listens on {service.bind} cannot be seen")
    return now.pid


async def with_client(url: str, *calls: tuple[str, dict[str, Any]]) -> tuple[str, list[Any]]:
    """Initialise at *url*; return the server's name and the results of list_tools and *calls*."""
    async with (
        asyncio.timeout(CALL_S),
        streamable_http_client(url) as (reading, writing, _),
        ClientSession(reading, writing) as session,
    ):
        hello = await session.initialize()
        results: list[Any] = [{tool.name for tool in (await session.list_tools()).tools}]
        for tool, arguments in calls:
            answer = await session.call_tool(tool, arguments)
            if answer.isError:
                raise RuntimeError(f"{tool}: {answer.content}")
            content = answer.structuredContent or {}
            results.append(content.get("result", content))
    return hello.serverInfo.name, results


def ask(url: str, *calls: tuple[str, dict[str, Any]]) -> tuple[str, list[Any]]:
    """Do what `with_client` does; any failure is one line."""
    try:
        return asyncio.run(with_client(url, *calls))
    except TimeoutError:
        fail(f"no answer from {url} within {CALL_S:.0f} s")
    except (ExceptionGroup, McpError, RuntimeError, OSError) as error:
        cause: BaseException = error
        while isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        fail(f"{url}: {str(cause) or type(cause).__name__}")


def kill_stdio_child(proxy: int) -> int:
    """Kill the server behind our bridge, as a crash would; return its pid."""
    children = [pid for pid, parent in _parents().items() if parent == proxy]
    if not children:
        fail(f"the bridge, pid {proxy}, has no child to kill")
    os.kill(children[0], signal.SIGKILL)
    return children[0]


def survive(url: str, proxy: int) -> None:
    """Store, search, kill the stdio server, and search again in the one that comes after it."""
    word = f"zebra{os.getpid()}"
    text = f"The demo was here at {time.strftime('%H:%M:%S')} and says {word}."
    search = ("search", {"query": word, "topic": TOPIC})
    _, (_, stored, found) = ask(url, ("store", {"text": text, "topic": TOPIC}), search)
    if found != [stored]:
        fail(f"stored memory {stored['id']}, but a search for {word} finds {found}")
    say(f"stored memory {stored['id']} and found it by a search for {word!r}")

    child = kill_stdio_child(proxy)
    say(f"killed the memory server, pid {child}; the bridge, pid {proxy}, starts another")
    _, (_, again, _) = ask(url, search, ("forget", {"id": stored["id"]}))
    if again != [stored]:
        fail(f"the memory is gone: a search for {word} finds {again}")
    say(f"memory {stored['id']} is still there; forgot it again, so that nothing stays behind")


def last_words() -> None:
    """Print what the user does next."""
    llmenv = shlex.quote(str(LLMENV))
    typer.echo(f"\nAll that was written is in {HOME}; `make clean` takes it away.")
    typer.echo("To set it up for yourself, from this checkout:")
    for words in ("init", "start", "install", "client"):
        typer.echo(f"    {llmenv} {words}")


def main() -> None:
    """Run the demo."""
    if not LLMENV.exists():
        fail(f"{LLMENV} is missing; `make run` sets everything up")
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    move_in()
    try:
        _begin_anew()
        config = provide_config()
        service = config.services[0]
        try:
            tour(config, service)
        finally:
            stop(service, state_dir(), why="the demo is over")
            say(f"stopped {service.name}")
    except (Problem, OSError) as error:
        fail(str(error))
    last_words()


def _begin_anew() -> None:
    """Take away what an earlier demo left, and stop what runs of it, if it was killed."""
    for service in left_over(Config([], None, config_path()), state_dir()):
        stop(service, state_dir(), why="another demo begins")
    shutil.rmtree(HOME, ignore_errors=True)


def tour(config: Config, service: Service) -> None:
    """Start *service*, use it, kill its server, and see that it is there again."""
    url = config.url(service)
    pid = start(service, state_dir())
    name, (tools,) = ask(url)
    say(f"an MCP client talks to {name!r} at {url}: {', '.join(sorted(tools))}")
    survive(url, pid)


if __name__ == "__main__":
    main()
