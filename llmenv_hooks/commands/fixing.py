"""`llmenv doctor --fix`: does what the findings advise, each after a question."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import typer

from llmenv_hooks.commands.agentfiles import RESTART
from llmenv_hooks.helper.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llmenv_hooks.commands.findings import Finding

# Advice that is a command of ours and nothing else, that changes something, and needs no word of
# the user's.
_COMMAND = re.compile(
    r"(?!.*\b[A-Z]{2})llmenv (?:install|start|stop|restart|client|unit|prune)\b[\w -]*"
)


def fix(findings: Iterable[Finding]) -> bool:
    """Run what *findings* advise, where the user agrees; return whether anything was run.

    Raises:
        UsageError: there is no terminal to ask on.
    """
    todos = [finding.todo.removesuffix(f"; {RESTART}") for finding in findings]
    advised = [todo for todo in todos if _COMMAND.fullmatch(todo)]
    if advised and not sys.stdin.isatty():
        raise UsageError("doctor --fix asks before it does anything, and has no terminal to ask on")
    done = False
    for todo in dict.fromkeys(advised):
        if typer.confirm(f"run `{todo}`?", default=True, err=True):
            words = shlex.split(todo)[1:]
            subprocess.run([sys.executable, "-m", "llmenv_hooks", *words], check=False)
            done = True
    return done
