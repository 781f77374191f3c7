#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Show llmenv at work: `make run`, or `.venv/bin/python examples/demo.py`.

Writes a config for the example memory server if you have none, starts it the way your shell
would, uses it as an agent would, kills it and shows that it comes back.  Leaves it running.
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
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client

from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.helper.processes import _parents
from llmenv_hooks.helper.protocol import ensure as ensure_
from llmenv_hooks.helper.services import DEFAULT_BIND, Service, parse_bind
from llmenv_hooks.helper.status import inspect

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config

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


def provide_config() -> Config:
    """Return the user's config; write one for the example server only where there is none."""
    path = Path(config_path())
    if path.exists():
        say(f"left your config as it is: {path}")
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        bind = free_bind()
        command = json.dumps([sys.executable, str(SERVER)], ensure_ascii=False)
        with path.open("x", encoding="utf-8") as file:
            file.write(
                f"# Written by {Path(__file__).resolve()}; config.toml beside that explains it.\n"
                f'[services.memory]\ncommand = {command}\nbind = "{bind}"\n'
            )
        taken = "" if bind == DEFAULT_BIND else f" ({DEFAULT_BIND} is taken: {bind})"
        say(f"wrote {path}{taken}")
    config = load_config(str(path))
    if not config.here:
        fail(f"{path} says that services run only on {config.server_host}; run this there")
    return config


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


def start(service: Service, state: str) -> int | None:
    """See that *service* runs, by the hook where that may start it; return its pid."""
    before = inspect(service, state).state
    if before in ("stopped", "failed", "broken"):  # a prompt leaves it alone, or only for a while
        wait = service.start_timeout
        result = ensure_(service, state, timeout=wait, revive=True, deep=True)
        say(f"started {service.name}, which was {before}: pid {result.pid}")
        return result.pid
    began = time.monotonic()
    with Bash() as bash:
        while (now := inspect(service, state)).state != "running":
            took = time.monotonic() - began
            longest = PROMPT_S if now.state == "down" else service.start_timeout
            if now.state in ("failed", "taken") or took > longest or bash.left(0.05):
                fail(f"the hook brought no {service.name} up: {now.detail or bash.screen}")
    if before == "running":
        say(f"a bash prompt with the hook found it running: {service.name}, pid {now.pid}")
    else:
        say(f"a bash prompt with the hook started it in the background: {service.name}")
        say(
            f"pid {now.pid} listened on {service.bind} after {took:.1f} s; that bash has gone since"
        )
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
    """Kill the server behind mcp-proxy, as a crash would; return its pid."""
    children = [pid for pid, parent in _parents().items() if parent == proxy]
    if not children:
        fail(f"mcp-proxy, pid {proxy}, has no child to kill")
    os.kill(children[0], signal.SIGKILL)
    return children[0]


def survive(service: Service, url: str, proxy: int) -> None:
    """Store, search, kill the stdio server, have the deep check revive it, and search again."""
    word = f"zebra{os.getpid()}"
    text = f"The demo was here at {time.strftime('%H:%M:%S')} and says {word}."
    search = ("search", {"query": word, "topic": TOPIC})
    _, (_, stored, found) = ask(url, ("store", {"text": text, "topic": TOPIC}), search)
    if found != [stored]:
        fail(f"stored memory {stored['id']}, but a search for {word} finds {found}")
    say(f"stored memory {stored['id']} and found it by a search for {word!r}")

    child = kill_stdio_child(proxy)
    say(f"killed the stdio server, pid {child}; mcp-proxy, pid {proxy}, still listens")
    wait = ("--timeout", str(service.start_timeout))  # a busy machine takes more than the 10 s
    deep = subprocess.run(
        [sys.executable, "-m", "llmenv_hooks.helper", "--deep", "--service", service.name, *wait],
        capture_output=True,
        text=True,
        check=False,
    )
    if deep.returncode:
        fail(f"the deep check did not revive it: {deep.stderr}")
    say(f"`llmenv-ensure --deep` noticed and restarted it: {deep.stdout.strip()}")
    _, (_, again, _) = ask(url, search, ("forget", {"id": stored["id"]}))
    if again != [stored]:
        fail(f"the memory is gone: a search for {word} finds {again}")
    say(f"memory {stored['id']} is still there; forgot it again, so that nothing stays behind")


def last_words(url: str) -> None:
    """Print what the user does next."""
    llmenv = shlex.quote(str(LLMENV))
    home = Path.home()
    configs = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    lines = {
        "bash": (home / ".bashrc", f'eval "$({llmenv} hook bash)"'),
        "zsh": (Path(os.environ.get("ZDOTDIR") or home) / ".zshrc", f'eval "$({llmenv} hook zsh)"'),
        "fish": (configs / "fish/config.fish", f"{llmenv} hook fish | source"),
    }
    shell = Path(os.environ.get("SHELL", "")).name
    typer.echo(f"\nAgents reach it at {url}. To have every shell keep it alive, put this into")
    for file, line in [lines[shell]] if shell in lines else lines.values():
        typer.echo(f"{file}:\n    {line}")
    typer.echo(f"To stop it:\n    {llmenv} stop")


def main() -> None:
    """Run the demo."""
    if not LLMENV.exists():
        fail(f"{LLMENV} is missing; `make run` sets everything up")
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    try:
        config, state = provide_config(), state_dir()
        service = config.services[0]
        url = config.url(service)
        pid = start(service, state)
        name, (tools,) = ask(url)
        say(f"an MCP client talks to {name!r} at {url}: {', '.join(sorted(tools))}")
        if name == "llmenv-memory" and service.bridge and pid:
            survive(service, url, pid)
        else:
            say("your own server: nothing was stored in it, and it was not killed")
    except (Problem, OSError) as error:
        fail(str(error))
    last_words(url)


if __name__ == "__main__":
    main()
