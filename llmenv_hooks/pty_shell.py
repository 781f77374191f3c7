"""Drives a real interactive shell on a pty, the way a person at a terminal does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pexpect

from llmenv_hooks import render

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Self, TextIO

SHELLS = ("bash", "zsh", "fish")

# The prompt carries its own number, so that a redrawn prompt never passes for the next one,
# and the status that the user's prompt sees.
PROMPTS = {
    "bash": "__n=0; PS1='[$((__n=__n+1)):$?]@> '\n",
    "zsh": "\\builtin setopt prompt_subst no_zle no_prompt_cr no_prompt_sp\n"
    "\\builtin typeset -gi __n=0\n"
    "PROMPT='[$((__n=__n+1)):%?]@> '\n",
    "fish": "set -g __n 0; function fish_prompt; set -l s $status;"
    ' set -g __n (builtin math $__n + 1); echo -n "[$__n:$s]@> "; end\n',
}

_ESCAPES = re.compile(
    r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[()=>][0-9A-Z]?|\r"
)


class NoPrompt(Exception):
    """The shell cannot be started, has ended, or has nothing to say for 20 seconds."""


class Shell:
    """An interactive *name* whose rc file, kept in the directory *home*, holds *rc*.

    *rc* must set a prompt that ends as those of `PROMPTS` do.  What is printed before the first
    prompt is in `startup`; all that the terminal shows goes to *transcript* too.

    Raises:
        NoPrompt: there is no such shell, or no prompt within 20 seconds.
    """

    def __init__(
        self,
        name: str,
        home: Path,
        rc: str,
        environment: Mapping[str, str],
        *,
        arguments: tuple[str, ...] = (),
        dimensions: tuple[int, int] = (40, 400),
        transcript: TextIO | None = None,
    ) -> None:
        self.name = name
        file = home / (".zshrc" if name == "zsh" else "rc")
        file.write_text(rc)
        argv = {
            "bash": ["--noprofile", "--rcfile", str(file), "--noediting", *arguments, "-i"],
            "zsh": ["-d", *arguments, "-i"],
            "fish": [
                "--no-config",
                "--init-command",
                f"source {render.QUOTE['fish'](str(file))}",
                *arguments,
                "-i",
            ],
        }[name]
        own = {
            "ZDOTDIR": str(home),
            "HISTFILE": str(home / "history"),
            "XDG_DATA_HOME": str(home / "data"),
            "TERM": "dumb",
            "LC_ALL": "C.UTF-8",
            "fish_features": "no-query-term",
        }
        try:
            self.child = pexpect.spawn(
                name,
                argv,
                env={**own, **environment},
                encoding="utf-8",
                codec_errors="replace",
                dimensions=dimensions,
                timeout=20,
            )
        except pexpect.ExceptionPexpect as error:
            raise NoPrompt(str(error)) from None
        self.child.delaybeforesend = None
        self.child.logfile_read = transcript
        assert self.child.pid is not None
        self.pid = self.child.pid
        self.count = 0
        try:
            self.startup = self.next_prompt()[1]
        except BaseException:
            self.close()
            raise

    def next_prompt(self) -> tuple[int, str]:
        """Wait for the next prompt; return the status it shows and what was printed before it."""
        self.count += 1
        try:
            self.child.expect(rf"\[{self.count}:(\d+)\]@> ")
        except pexpect.TIMEOUT:
            raise NoPrompt(f"no prompt within {self.child.timeout} s") from None
        except pexpect.EOF:
            raise NoPrompt("the shell has ended") from None
        seen = _ESCAPES.sub("", str(self.child.before))
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
        """Hang up, and end the shell if it does not go."""
        self.child.close(force=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
