"""The interactive shells of the tests: each in a world, with the hook in its rc file."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from daemons import kill, missing, need, wait_until
from packed import ENSURE

from llmenv_hooks import hookvalues, pty_shell, render
from llmenv_hooks.helper import editions
from llmenv_hooks.pty_shell import PROMPTS as PROMPTS
from llmenv_hooks.pty_shell import SHELLS as SHELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from daemons import World


EACH = pytest.mark.parametrize("name", SHELLS)
# `make test` runs the hook's tests once more with this set, in shells that have no /proc.
PROC = "WITHOUT_PROC" not in os.environ
# The command behind it runs in a mount namespace of its own, where /proc shows no process.  Only
# /dev/fd, which leads there, goes on: a Mac has it too.
HIDE_PROC = [
    *("unshare", "-m", "sh", "-c"),
    "mount -t tmpfs none /proc && mkdir /proc/self /proc/real && mount -t proc none /proc/real &&"
    ' ln -s /proc/real/self/fd /proc/self/fd && exec "$@"',
    "sh",
]
# Without /proc a shell is another one, and what must have it has it for itself: `ps`, which works
# without on a Mac, and direnv, which is told to be where this script is.
_SHELL = f'[ -e /proc/self/stat ] && exec {shlex.join(HIDE_PROC)} {{real}} "$@"'
_TOOL = """[ -e /proc/self/stat ] || exec unshare -m sh -c \\
    'mount -t proc none /proc && mount --bind "$0" "$1" && PATH=${{PATH#*:}} exec "$@"' \\
    {real} "$0" "$@\""""
_WITHOUT_PROC = {**dict.fromkeys(SHELLS, _SHELL), "ps": _TOOL, "direnv": _TOOL}


@cache
def hides_proc() -> bool:
    """Can /proc be hidden from a shell?  That takes root; elsewhere the hook alone ignores it."""
    refused = subprocess.run([*HIDE_PROC, "true"], capture_output=True, text=True)
    if refused.returncode and os.environ.get("CI") == "true":
        missing(f"/proc cannot be hidden: {refused.stderr}")
    return not refused.returncode


def path(world: World) -> str:
    """Return the PATH of a shell in *world*; without /proc it leads to shells that have none."""
    if PROC or not hides_proc():
        return world.env["PATH"]
    directory = world.root / "without-proc"
    if not directory.exists():
        directory.mkdir()
        for name, code in _WITHOUT_PROC.items():
            if real := shutil.which(name):
                program = directory / name
                program.write_text(f'#!/bin/sh\n{code.format(real=real)}\nexec {real} "$@"\n')
                program.chmod(0o755)
    return f"{directory}:{world.env['PATH']}"


def hook_text(world: World, shell: str, *, proc: bool = PROC, helper: Path | None = None) -> str:
    """Return the hook as `llmenv hook` renders it in *world*; *helper* stands in for the one file.

    Without *proc* the helper too takes it that there is no /proc, where it cannot be hidden.
    """
    if helper is None and not proc and not hides_proc():
        helper = world.root / "ensure.py"
        helper.write_text(ENSURE.read_text().replace('PROC = "/proc"', 'PROC = "/no/proc"'))
    if helper and helper.exists() and "def main(" not in helper.read_text():
        with helper.open("a") as file:  # what the hook calls; one that only counts has none
            file.write("\n\ndef main():\n    return 0\n")
    with mock.patch.dict(os.environ, world.env, clear=True):
        return render.hook(shell, proc=proc, helpers=[str(helper)] if helper else None)


class Shell(pty_shell.Shell):
    """An interactive *name* in *world*, whose rc file is *before*, the hook, *after*, *prompt*."""

    def __init__(
        self,
        name: str,
        world: World,
        *,
        hook: str | None = None,
        before: str = "",
        after: str = "",
        prompt: str | None = None,
        arguments: tuple[str, ...] = (),
        dimensions: tuple[int, int] = (40, 400),
        environment: dict[str, str] | None = None,
        twice: bool = False,
    ) -> None:
        if shutil.which(name) is None:
            missing(f"{name} is not installed")
        self.world = world
        self.entered: list[str] = []
        home = world.root / f"shell-{len(list(world.root.glob('shell-*')))}"
        home.mkdir()
        self.hook = home / "hook"
        self.hook.write_text(hook_text(world, name) if hook is None else hook)
        source = f"source '{self.hook}'\n" * (2 if twice else 1)
        super().__init__(
            name,
            home,
            f"{before}\n{source}{after}\n{PROMPTS[name] if prompt is None else prompt}",
            {**world.env, "PATH": path(world), **(environment or {})},
            arguments=arguments,
            dimensions=dimensions,
        )

    def run(self, line: str = "") -> tuple[int, str]:
        self.entered += [line] if line else []
        return super().run(line)


def shows(shell: Shell, variable: str) -> str:
    """Return the value of *variable* in *shell*, from lines that no echo of the terminal is."""
    output = shell.run(f'echo "<${variable}>"')[1]
    found = re.findall(r"^<(.*?)>$", output, re.M | re.S)
    assert found, output
    return str(found[-1])


# Counts the times that the hook looks: each with a line to find, and what to put in its place.
# In bash that is the text in PROMPT_COMMAND, or the function that bash-preexec calls.
COUNT = {
    "bash": [
        ("__llmenv_status=$?)", "__llmenv_status=$?+0*__fired++)"),
        ("__llmenv_hook() {\n", "__llmenv_hook() {\n[[ $# -gt 0 ]] || ((++__fired))\n"),
    ],
    "zsh": [("__llmenv_hook() {\n", "__llmenv_hook() {\n__fired=$((__fired + 1))\n")],
    "fish": [
        (
            "--on-event fish_prompt\n",
            "--on-event fish_prompt\nset -g __fired (builtin math $__fired + 1)\n",
        )
    ],
}


def counted(world: World, name: str) -> str:
    """Return the hook, which counts in `__fired` how often it looks."""
    text = hook_text(world, name)
    for line, instead in COUNT[name]:
        assert text.count(line) == 1
        text = text.replace(line, instead)
    return f"{'set -g __fired 0' if name == 'fish' else '__fired=0'}\n{text}"


def fires_once_a_prompt(shell: Shell) -> None:
    before = int(shows(shell, "__fired"))
    for _ in range(3):
        shell.run()
    assert int(shows(shell, "__fired")) == before + 4


def revives(shell: Shell, world: World) -> None:
    """Kill the daemon, and press return until the hook has started another."""
    first = world.check(None)
    kill(first)

    def another() -> bool:
        shell.run()
        return world.pidfile() not in (None, first)

    wait_until(another)
    wait_until(world.proved)


def children(pid: int, program: str) -> list[int]:
    """Return the processes that *pid* has started and that run *program*."""
    found = []
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):  # it may be gone
            if Path(f"/proc/{each}/comm").read_text() == f"{program}\n":
                found.append(int(each))
    return found


def state(pid: int) -> str:
    """Return a letter: `S` while *pid* waits for something, `T` when it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# As if two seconds had passed since this shell last started the helper.
AT_ONCE = {
    "bash": "__llmenv_asked=$((SECONDS - 2))",
    "zsh": "__llmenv_asked=$((${SECONDS:-0} - 2))",
    "fish": "set -g __llmenv_next 0",
}
# As if it were time to ask the helper, where nothing tells that the daemon is dead.
DUE = {"fish": "set -g __llmenv_next 0; set -g __llmenv_due 0"} if not PROC else {}

# As if the last pass, of whichever shell, were long ago.
LONG_AGO = dict.fromkeys(
    SHELLS, "command touch -c -t 200001010000 $XDG_STATE_HOME/llmenv/stub.proof"
)
# As if it were that long since this shell last started the helper.
INTERVAL_S = hookvalues.INTERVAL_S if PROC else hookvalues.INTERVAL_WITHOUT_PROC_S
ONE_MINUTE = {
    "bash": f"__llmenv_asked=$((SECONDS - {INTERVAL_S}))",
    "zsh": f"__llmenv_asked=$((SECONDS - {INTERVAL_S}))",
    "fish": f"{LONG_AGO['fish']}; set -g __llmenv_next 0;"
    f" set -g __llmenv_due (math $__llmenv_due - {INTERVAL_S})",
}
NEARLY_A_MINUTE = {
    "bash": f"__llmenv_asked=$((SECONDS - {INTERVAL_S - 5}))",
    "zsh": f"__llmenv_asked=$((SECONDS - {INTERVAL_S - 5}))",
    "fish": f"{LONG_AGO['fish']}; set -g __llmenv_next 0;"
    f" set -g __llmenv_due (math $__llmenv_due - {INTERVAL_S - 5})",
}
# A prompt of fish's that has no substitution, as the one in pty_shell.py has.
STEADY = {
    "fish": "set -g __n (seq 0 999); function fish_prompt; set -l s $status; set -e __n[1];"
    ' echo -n "[$__n[1]:$s]@> "; end\n'
}


def helpers(world: World) -> list[int]:
    """Return the processes that a hook started in *world*."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"--hook" in entry.read_bytes() and str(world.state).encode() in entry.read_bytes():
                found.append(int(entry.parts[2]))
        except OSError:
            continue
    return found


def traced(shell: Shell, world: World, prompts: int, calls: str) -> list[str]:
    """Return which of the system *calls* are made by *prompts* prompts."""
    need("strace")
    log = world.root / "strace"
    attach = ["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", str(log), "-p", str(shell.pid)]
    tracer = world.begin(attach)
    wait_until(lambda: "TracerPid:\t0" not in Path(f"/proc/{shell.pid}/status").read_text())
    for _ in range(prompts):
        shell.run()
    tracer.terminate()
    tracer.wait()
    return log.read_text().splitlines()


def prompts_until(shell: Shell, condition: Callable[[], object]) -> None:
    """Press return until *condition* holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, f"not within 20 s: {condition}"
        assert shell.run() == (0, "")


def until(shell: Shell, seen: str) -> str:
    """Press return until the output has *seen* in it; return that output."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        output = shell.run()[1]
        if seen in output:
            return output
    raise AssertionError(f"{seen!r} was never printed")


@contextmanager
def held(world: World, name: str = "stub") -> Iterator[None]:
    """Be the daemon *name*: what a shell looks at says that the service lives.

    And that a hook of a helper.py is the right one.
    """
    world.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_edition(world)
    (world.state / f"{name}.life").touch(0o600)
    fd = open_proof(world, name)
    proof = world.state / f"{name}.{'alive' if PROC else 'pid'}"
    if PROC:
        proof.symlink_to(f"/proc/{os.getpid()}/fd/{fd}/{name}.life")
    else:
        proof.write_text(str(os.getpid()))
    try:
        yield
    finally:
        os.close(fd)
        proof.unlink()


def make_edition(world: World) -> None:
    """Say that the hook which calls a helper.py, and was made of the config, is the right one."""
    config = str(world.config)
    right = world.state / editions.edition(config, editions.config_content(config), "helper.py")
    if not right.exists():
        right.mkdir()
        (right / "state").symlink_to("..")


def open_proof(world: World, name: str) -> int:
    """Hold open what the daemon *name* does; no pass is due for a minute."""
    directory = world.state / f"{name}.proof"
    directory.mkdir(exist_ok=True)
    link = directory / f"{name}.life"
    if not link.is_symlink():
        link.symlink_to(f"../{name}.life")
    os.utime(directory, (time.time() + 60,) * 2)
    return os.open(directory, os.O_RDONLY)
