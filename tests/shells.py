"""Drives a real interactive shell on a pty, the way a person at a terminal does."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING
from unittest import mock

import pexpect
from daemons import ENSURE, missing

from llmenv_hooks import render

if TYPE_CHECKING:
    from pathlib import Path

    from daemons import World

SHELLS = ("bash", "zsh", "fish")

# The prompt carries its own number, so that a redrawn prompt never passes for the next one,
# and the status that the user's prompt sees.
PROMPTS = {
    "bash": "__n=0; PS1='[$((__n=__n+1)):$?]@> '\n",
    "zsh": "setopt prompt_subst; unsetopt zle prompt_cr prompt_sp; typeset -gi __n=0\n"
    "PROMPT='[$((__n=__n+1)):%?]@> '\n",
    "fish": "set -g __n 0; function fish_prompt; set -l s $status;"
    ' set -g __n (builtin math $__n + 1); echo -n "[$__n:$s]@> "; end\n',
}


def hook_text(world: World, shell: str, *, proc: bool = True, helper: Path | None = None) -> str:
    """Return the hook as `llmenv hook` renders it in *world*; *helper* stands in for ensure.py."""
    with mock.patch.dict(os.environ, world.env, clear=True):
        text = render.hook(shell, proc=proc)
    return text.replace(str(ENSURE), str(helper)) if helper else text


class Shell:
    """An interactive *name* in *world*, whose rc file is *before*, the hook, *after*."""

    def __init__(
        self,
        name: str,
        world: World,
        *,
        hook: str | None = None,
        before: str = "",
        after: str = "",
        arguments: tuple[str, ...] = (),
        twice: bool = False,
    ) -> None:
        if shutil.which(name) is None:
            missing(f"{name} is not installed")
        self.name = name
        self.world = world
        home = world.root / f"shell-{len(list(world.root.glob('shell-*')))}"
        home.mkdir()
        self.hook = home / "hook"
        self.hook.write_text(hook_text(world, name) if hook is None else hook)
        source = f"source '{self.hook}'\n" * (2 if twice else 1)
        rc = home / (".zshrc" if name == "zsh" else "rc")
        rc.write_text(f"{before}\n{source}{after}\n{PROMPTS[name]}")
        argv = {
            "bash": ["--noprofile", "--rcfile", str(rc), "--noediting", *arguments, "-i"],
            "zsh": ["-d", *arguments, "-i"],
            "fish": ["--no-config", "--init-command", f"source '{rc}'", *arguments, "-i"],
        }[name]
        environment = {
            **world.env,
            "ZDOTDIR": str(home),
            "HISTFILE": str(home / "history"),
            "XDG_DATA_HOME": str(home / "data"),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "fish_features": "no-query-term",
        }
        self.child = pexpect.spawn(
            name, argv, env=environment, encoding="utf-8", dimensions=(40, 400), timeout=20
        )
        self.child.delaybeforesend = None
        assert self.child.pid is not None
        self.pid = self.child.pid
        self.count = 0
        self.startup = self.next_prompt()[1]

    def next_prompt(self) -> tuple[int, str]:
        """Wait for the next prompt; return the status it shows and what was printed before it."""
        self.count += 1
        self.child.expect(rf"\[{self.count}:(\d+)\]@> ")
        seen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-Z]?|\r", "", str(self.child.before))
        assert isinstance(self.child.match, re.Match)
        # fish clears its line with a mark for output that ended without a newline.
        return int(self.child.match.group(1)), re.sub(r"⏎[ ]*", "", seen)

    def run(self, line: str = "") -> tuple[int, str]:
        """Enter *line*; return the status in the next prompt and the output without the echo."""
        self.child.sendline(line)
        status, seen = self.next_prompt()
        # What a terminal echoes of the line, and what fish redraws of it, ends with its newline.
        return status, seen.split("\n", 1)[1].strip("\n") if "\n" in seen else ""

    def close(self) -> None:
        self.child.close(force=True)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
