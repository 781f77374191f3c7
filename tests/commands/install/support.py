"""How the tests of `llmenv install` run it, find its files, and start shells with them."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pexpect
import pytest
from commands.support import llmenv, refused
from daemons import need
from shells import SHELLS, Shell

from llmenv_hooks.commands.app import app
from llmenv_hooks.pty_shell import PROMPTS

if TYPE_CHECKING:
    import subprocess

    from daemons import World

EACH = pytest.mark.parametrize("name", SHELLS)


def done(world: World, *words: str) -> str:
    """Run `llmenv` with *words*, which must succeed; return what it said.

    In this process, since the tests would take long if each step were one of its own.
    """
    said = io.StringIO()
    with mock.patch.dict(os.environ, world.env, clear=True), contextlib.redirect_stdout(said):
        app(list(words), standalone_mode=False)
    return said.getvalue()


def refused_line(world: World, *words: str, status: int = 1) -> str:
    """Run `llmenv` with *words*, which must fail with one line; return that line."""
    return refused(llmenv(world, *words), status)


def rc_file(world: World, name: str = "bash") -> Path:
    """Return the file that the block of shell *name* goes into."""
    if name == "fish":
        return world.config.parent.parent / "fish" / "conf.d" / "llmenv.fish"
    return world.home / f".{name}rc"


def static(world: World, name: str = "bash") -> Path:
    return Path(world.env["XDG_DATA_HOME"]) / "llmenv" / f"hook.{name}"


def backup(world: World, path: Path) -> Path:
    return world.state / "backup" / str(path).lstrip("/")


class Real(Shell):
    """An interactive *name* with the rc files of *world*'s home."""

    def __init__(self, name: str, world: World) -> None:
        need(name)
        self.name, self.world, self.count, self.entered = name, world, 0, []
        self.child = pexpect.spawn(
            name, ["-i"], env=world.env, encoding="utf-8", dimensions=(40, 400), timeout=20
        )
        self.child.delaybeforesend = None
        assert self.child.pid is not None
        self.pid = self.child.pid
        self.startup = self.next_prompt()[1]


def with_prompt(world: World, name: str) -> None:
    """Give *name* the prompt by which the tests follow it, from a file of the user's."""
    path = rc_file(world, name)
    path = path.parent.parent / "config.fish" if name == "fish" else path
    path.parent.mkdir(parents=True, exist_ok=True)
    greeting = "set -g fish_greeting\n" if name == "fish" else ""
    path.write_text(greeting + PROMPTS[name])


def start(world: World, name: str, code: str = ":") -> subprocess.CompletedProcess[str]:
    """Start *name* as an interactive shell that runs *code* and leaves, without a prompt."""
    need(name)
    return world.run([name, "-i", "-c", code], start_new_session=True)


def silent(seen: subprocess.CompletedProcess[str]) -> None:
    lines = [line for line in seen.stderr.splitlines() if "job control" not in line]
    # bash says so where it has no terminal
    lines = [line for line in lines if "terminal process group" not in line]
    assert (seen.returncode, seen.stdout, lines) == (0, "", [])


def programs(world: World, name: str) -> list[str]:
    """Return what is executed when *name* starts, itself included."""
    need("strace", name)
    log = world.root / "strace"
    argv = ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", str(log)]
    silent(world.run([*argv, name, "-i", "-c", ":"], start_new_session=True))
    return [line for line in log.read_text().splitlines() if line.endswith("= 0")]
