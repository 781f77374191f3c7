"""Where bench.py measures: places with services in them, and shells on terminals.

All that is started here has its place's path among its arguments; by that it is found and ended.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from daemons import free_port, kill, processes_with, wait_until

PYTHON = sys.executable
MEMORY_SERVER = Path(__file__).parent.parent / "examples" / "memory_server.py"
PEERS = ("direnv", "zoxide", "mise")
# Of which variants a shell evaluates the output, given its name.
EVALUATED = {
    "llmenv hook": "llmenv hook",
    "direnv": "direnv hook",
    "zoxide": "zoxide init",
    "mise": "mise activate",
}

MARK = b"<prompt>"
# Where a shell's rc file is in its home, and what in it has the shell draw the mark.
RC_FILES = {"bash": ".bashrc", "zsh": ".zshrc", "fish": "config/fish/config.fish"}
PROMPTS = {
    "bash": f"PS1='{MARK.decode()}'\n",
    "zsh": f"PROMPT='{MARK.decode()}'; unsetopt prompt_sp prompt_cr zle\n",
    "fish": f"function fish_prompt; echo -n '{MARK.decode()}'; end\n",
}
ARGV = {
    "bash": ["bash", "--noediting", "-i"],
    "zsh": ["zsh", "-d", "-i"],
    "fish": ["fish", "--private", "-i"],  # its history is saved at moments of its own
}

LISTENER = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""
SERVICE = """
[services.bench{port}]
command = ['{python}', '-I', '-S', '{home}/daemon.py', '{port}']
bind = "127.0.0.1:{port}"
bridge = false
"""


_given: set[int] = set()  # the ports of all places: none is bound before its services start


class Place:
    """A directory with a config, the state of its services, and the homes of shells."""

    def __init__(self, home: Path, config: str) -> None:
        self.home = home
        self.services = config.count("[services.")
        self.listener = f"{home}/daemon.py"
        self.state = home / "state"
        self.config = home / "config" / "llmenv" / "config.toml"
        self.config.parent.mkdir(parents=True)
        self.config.write_text(config)

    def environment(self, home: Path | None = None) -> dict[str, str]:
        """Return what a program with its home in *home* needs to find this place, and no more."""
        home = home or self.home
        names = ("CONFIG", "DATA", "CACHE")
        return {
            "PATH": os.environ["PATH"],
            **{f"XDG_{name}_HOME": str(home / name.lower()) for name in names},
            "XDG_STATE_HOME": str(self.state),
            "LLMENV_CONFIG": str(self.config),
            "HOME": str(home),
            "ZDOTDIR": str(home),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "fish_features": "no-query-term",
        }

    def run(self, *argv: str, home: Path | None = None) -> str:
        """Return what a program prints that must succeed."""
        environment = self.environment(home)
        return subprocess.run(
            argv, env=environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def check(self) -> None:
        """See that every service runs, and wait until nothing else of this place does."""
        self.quiet()
        for line in self.run("llmenv-ensure").splitlines():
            if " already-running " not in line:
                raise SystemExit(f"bench: a service died: {line}")

    def quiet(self) -> None:
        """Return when no helper of a hook runs."""
        wait_until(lambda: not processes_with(f"--hook\0{self.state}"), 60)

    def cold(self) -> None:
        """End all that runs here, and forget that it did."""
        end_all(self.home)
        shutil.rmtree(self.state, ignore_errors=True)

    def shell_home(self, shell: str, variant: str) -> Path:
        """Return a home whose rc file has *variant* in it; it is made when first asked for."""
        home = self.home / shell / variant
        if home.exists():
            return home
        rc = home / RC_FILES[shell]
        rc.parent.mkdir(parents=True)
        rc.write_text(PROMPTS[shell] + evaluates(variant, shell))
        # Where this is missing, fish goes through all man pages in the background.
        (home / "data" / "fish" / "generated_completions").mkdir(parents=True)
        if variant == "llmenv":
            self.run("llmenv", "install", shell, home=home)
        return home


def place_with(home: Path, services: int) -> Place:
    """Return a place with as many services: Python processes that listen and do nothing else."""
    home.mkdir()
    (home / "daemon.py").write_text(LISTENER)
    ports: set[int] = set()
    while len(ports) < services:
        ports |= {free_port()} - _given
    _given.update(ports)
    entries = (SERVICE.format(python=PYTHON, home=home, port=port) for port in sorted(ports))
    return Place(home, "".join(entries))


def end_all(home: Path) -> None:
    """End, by its pid, each process that has a path in *home* among its arguments."""
    while left := processes_with(f"{home}/"):
        for pid in left:
            kill(pid)


def evaluates(variant: str, shell: str) -> str:
    """Return the line of an rc file that evaluates what *variant* prints, if it does."""
    if variant not in EVALUATED:
        return ""
    command = f"{EVALUATED[variant]} {shell}"
    return f"{command} | source\n" if shell == "fish" else f'eval "$({command})"\n'


def present_peers() -> list[str]:
    """Return the peers that are installed."""
    return [name for name in PEERS if shutil.which(name)]


class Terminal:
    """An interactive shell on a pty of its own, started and not waited for."""

    def __init__(self, shell: str, place: Place, variant: str) -> None:
        home = place.shell_home(shell, variant)
        environment = place.environment(home)
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(home)
            os.execvpe(ARGV[shell][0], ARGV[shell], environment)

    def prompted(self) -> None:
        """Return once a prompt's mark has come."""
        while MARK not in self.seen:
            self.more()

    def more(self) -> None:
        """Wait for output."""
        if not select.select([self.fd], [], [], 60)[0]:
            raise SystemExit(f"bench: no prompt in 60 s; last seen: {self.seen[-200:]!r}")
        self.seen += os.read(self.fd, 65536)

    def settle(self) -> None:
        """Wait for what fish still draws after its mark, and forget what came."""
        while select.select([self.fd], [], [], 0.002)[0]:
            self.more()
        self.seen = b""

    def time(self) -> float:
        """Return the milliseconds from an empty line to the next prompt's mark."""
        began = time.perf_counter()
        os.write(self.fd, b"\n")
        self.prompted()
        took = time.perf_counter() - began
        self.settle()
        return took * 1e3

    def due(self) -> str:
        """Return when the hook will next start the helper: it is put off by each start."""
        # What a shell says of a command may hold prompts too; only what it prints has the figures.
        os.write(self.fd, b'echo "due=,$__llmenv_due$__llmenv_asked,"\n')
        while not (found := re.search(rb"due=,([-\d.]*),.*" + MARK, self.seen, re.DOTALL)):
            self.more()
        self.settle()
        return found[1].decode()

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)
