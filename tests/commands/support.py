"""How the tests of the commands run `llmenv`, and what they make of its answer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect

if TYPE_CHECKING:
    import subprocess

    from daemons import World

COMMAND = [sys.executable, "-m", "llmenv_hooks"]


def llmenv(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `llmenv` with *words* in *world* to its end."""
    return world.run([*COMMAND, *words])


def install(world: World) -> None:
    """Put this checkout's `llmenv` on PATH, by a link that stays, wherever the checkout lies."""
    program = world.root / "installed" / "llmenv"
    program.parent.mkdir()
    program.symlink_to(Path(sys.executable).with_name("llmenv"))
    (world.root / "tmp").mkdir()
    # What lies below the temporary directory does not stay.
    world.env |= {"PATH": f"{program.parent}:{world.env['PATH']}", "TMPDIR": f"{world.root}/tmp"}


def complained(done: subprocess.CompletedProcess[str], status: int, *words: str) -> str:
    """Assert one clear line on stderr that has *words*, and this exit status; return the line."""
    assert done.returncode == status, done
    (line,) = done.stderr.splitlines()
    assert line.startswith("llmenv: ")
    for word in words:
        assert word in line
    return line


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> str:
    """Assert `complained`, and that nothing was printed."""
    assert done.stdout == "", done
    return complained(done, status, *words)


def program(world: World, name: str, script: str) -> None:
    """Put a program *name* on the PATH of *world*."""
    directory = world.root / "bin"
    directory.mkdir(exist_ok=True)
    file = directory / name
    file.write_text(f"#!/bin/sh\n{script}")
    file.chmod(0o755)
    if not world.env["PATH"].startswith(f"{directory}:"):
        world.env["PATH"] = f"{directory}:{world.env['PATH']}"


def on_a_terminal(world: World, argv: list[str], **env: str) -> pexpect.spawn[str]:
    """Start *argv* on a pty; it is ended with the test."""
    command, *arguments = argv
    terminal = {"TERM": "xterm-256color", **world.env, **env}
    return pexpect.spawn(
        command, arguments, env=terminal, encoding="utf-8", timeout=20, dimensions=(24, 400)
    )


def ended(child: pexpect.spawn[str]) -> tuple[int | None, str]:
    """Wait for *child*; return its status and what it wrote since the last `expect`."""
    child.expect(pexpect.EOF)
    child.close()
    assert isinstance(child.before, str)
    return child.exitstatus, child.before
