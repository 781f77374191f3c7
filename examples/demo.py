#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Show llmenv at work: `make run`, or `.venv/bin/python examples/demo.py`.

In a home of its own, `.demo` in the checkout, a bash prompt starts the example memory server.  It
is used as an agent would, shows whom it refuses, is killed and comes back.  Then it is stopped, and
`.demo` is removed: nothing stays behind.
"""

from __future__ import annotations

import http.client
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
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.mcp import call_mcp
from llmenv_hooks.helper.places import config_path, state_dir
from llmenv_hooks.helper.services import url_of
from llmenv_hooks.helper.status import Status, inspect
from llmenv_hooks.helper.stopping import stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from llmenv_hooks.helper.services import Service

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".demo"
SERVER = CHECKOUT / "examples" / "memory_server.py"
LLMENV = Path(sys.executable).parent / "llmenv"
LONGEST_S = 60.0
OTHER_USER = 65534  # nobody, as a bare number: no account is needed
# A request of another user: says what came back.
ASK_AS_ANOTHER = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as sock:
    sock.sendall(b"POST /mcp HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
    try:
        print(len(sock.recv(100)))
    except ConnectionError:
        print(0)
"""


def say(text: str) -> None:
    """Print one finished step."""
    typer.echo(f"{typer.style('ok', fg='green')}  {text}")


def fail(text: str) -> NoReturn:
    """Leave with one line."""
    sys.exit(f"demo: {printable(text, 600)}")


def wait_until(condition: Callable[[], bool], what: str) -> float:
    """Wait until *condition* holds; return the seconds that took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > LONGEST_S:
            fail(f"not within {LONGEST_S:.0f} s: {what}")
        time.sleep(0.02)
    return time.monotonic() - began


def make_home() -> None:
    """Make a home with a config in it, and have this process, and all that it starts, use it."""
    shutil.rmtree(HOME, ignore_errors=True)
    for name in [name for name in os.environ if name.startswith(("XDG_", "LLMENV_"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(HOME), "HISTFILE": "", "TERM": "dumb", "PS1": "$ "}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = Path(config_path())
    path.parent.mkdir(mode=0o700, parents=True)
    command = json.dumps([sys.executable, str(SERVER)], ensure_ascii=False)
    path.write_text(f'[services.memory]\ncommand = {command}\nbind = "127.0.0.1:{port}"\n')
    say(f"wrote {path}")


class Bash:
    """An interactive bash that has the hook, on a terminal of its own, as long as the `with`."""

    def __enter__(self) -> Bash:
        bash = shutil.which("bash") or fail("bash is not on PATH; this demo needs one to hook into")
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(bash, ["bash", "--norc", "--noprofile", "-i"], os.environ)
        self.type(f'eval "$({shlex.quote(str(LLMENV))} hook bash)"')
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGHUP)
        os.close(self.terminal)
        os.waitpid(self.pid, 0)

    def type(self, line: str = "") -> None:
        """Type *line* and Enter, and read what the terminal shows meanwhile."""
        with suppress(OSError):
            os.write(self.terminal, f"{line}\n".encode())
            while select.select([self.terminal], [], [], 0.1)[0]:
                os.read(self.terminal, 4096)


def running(service: Service) -> Status | None:
    """Return how *service* is, once it and its server run."""
    seen = inspect(service, state_dir())
    return seen if seen.state == "running" and not seen.detail else None


def servers(service: Service) -> list[int]:
    """Return the pids of the memory server behind the bridge."""
    pids: list[int] = (inspect(service, state_dir()).bridge or {})["server"]["pids"]
    return pids


def ask(service: Service, tool: str, **arguments: str) -> Any:
    """Call a tool of the memory server, as an agent would, and return what it gives back."""
    params = {"name": tool, "arguments": arguments}
    answer = call_mcp(url_of(service), "tools/call", params)
    if "result" not in answer or answer["result"].get("isError"):
        fail(f"{tool}: {answer}")
    content = answer["result"]["structuredContent"]
    return content.get("result", content)


def show_refusals(service: Service) -> None:
    """Ask as a web page would, and as another user of this machine."""
    connection = http.client.HTTPConnection(service.host, service.port, timeout=60)
    connection.request("POST", "/mcp", "{}", {"Host": "evil.example:80"})
    answer = connection.getresponse()
    if answer.status != 403:
        fail(f"a forged Host got {answer.status}")
    say(f"a forged Host (DNS rebinding) got {answer.status}: {answer.read().decode().strip()}")
    connection.close()
    if os.geteuid() or not shutil.which("setpriv"):
        say("another user's request: only root, with setpriv, can be another user, so not shown")
        return
    switch = ["setpriv", f"--reuid={OTHER_USER}", f"--regid={OTHER_USER}", "--clear-groups"]
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin") or sys.executable
    argv = [*switch, python, "-I", "-S", "-c", ASK_AS_ANOTHER, str(service.port)]
    asked = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False)
    if asked.stdout.strip() != "0":
        fail(f"another user's request: {asked.stdout}{asked.stderr}")
    say(f"user {OTHER_USER}'s request was not read: the connection was closed")


def show_it_survives(service: Service, bash: Bash) -> None:
    """Store, kill the server, search; kill the bridge, press Enter, search again."""
    text = f"The demo was here at {time.strftime('%H:%M:%S')}."
    stored = ask(service, "store", text=text, topic="demo")
    say(f"stored memory {stored['id']}: {text}")
    seen = inspect(service, state_dir())
    (server,) = servers(service)
    os.kill(server, signal.SIGKILL)
    took = wait_until(lambda: server not in servers(service), "the bridge saw its server die")
    found = ask(service, "search", query="demo", topic="demo")
    say(f"killed the server, pid {server}; the bridge saw it after {took:.2f} s, started another")
    say(f"and the next call waited for that one: it found {len(found)} memory")
    bridge = seen.pid or fail("the bridge has no pid")
    os.kill(bridge, signal.SIGKILL)

    def is_back() -> bool:
        bash.type()
        now = running(service)
        return now is not None and now.pid != bridge

    took = wait_until(is_back, "the bridge came back")
    found = ask(service, "search", query="demo", topic="demo")
    if [one["id"] for one in found] != [stored["id"]]:
        fail(f"the memory is gone: {found}")
    say(f"killed the bridge, pid {bridge}; after {took:.1f} s of pressing Enter it was back, too")


def last_words() -> None:
    """Print what the user does next."""
    llmenv = shlex.quote(str(LLMENV))
    typer.echo("\nTo have it for yourself, put one line into your rc file:")
    for shell, file in (("bash", "~/.bashrc"), ("zsh", "~/.zshrc")):
        typer.echo(f'  {file:26}  eval "$({llmenv} hook {shell})"')
    typer.echo(f"  {'~/.config/fish/config.fish':26}  {llmenv} hook fish | source")


def main() -> None:
    """Run the demo."""
    if not LLMENV.exists():
        fail(f"{LLMENV} is missing; `make run` sets everything up")
    make_home()
    service = load_config().services[0]
    try:
        with Bash() as bash:
            took = wait_until(lambda: running(service) is not None, "the hook started the server")
            seen = inspect(service, state_dir())
            say(f"a bash prompt started it: pid {seen.pid}, on {service.bind}, after {took:.1f} s")
            tools = call_mcp(url_of(service), "tools/list", {})["result"]["tools"]
            say(f"it answers; its tools: {', '.join(sorted(tool['name'] for tool in tools))}")
            show_refusals(service)
            show_it_survives(service, bash)
    except (Problem, OSError, ValueError, LookupError) as error:
        fail(str(error))
    finally:
        stop(service, state_dir())
        shutil.rmtree(HOME, ignore_errors=True)
    say(f"stopped it, and removed {HOME}")
    last_words()


if __name__ == "__main__":
    main()
