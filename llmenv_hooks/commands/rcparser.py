"""What a shell's own parser says of an rc file: whether a block can stand at its end."""

from __future__ import annotations

import re
import subprocess

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.programs import which

# The file is only read, and no other: sh(1) -n, and what keeps each shell from its own rc files.
_PARSE = {
    "bash": ("--norc", "--noprofile", "-n"),
    "zsh": ("-f", "-n"),
    "fish": ("--no-config", "--no-execute"),
}
# No shell can read this by itself, but all can within a here-document.
_WRONG = b"\n\n(\n"


def refuse_open_end(shell: str, path: str, content: bytes) -> None:
    """See that *content*, of the rc file *path* of *shell*, is whole at its end.

    What stands behind an open here-document, quote or `if` is no code of its own.  An error further
    up is the user's affair; and where there is no such shell, nothing can be said.

    Raises:
        Problem: it is open.
    """
    if _is_open(shell, content if content.endswith(b"\n") else content + b"\n"):
        raise Problem(
            f"{printable(path)} is open at its end: a here-document, a quote or an if is not"
            f" closed; close it, then: llmenv install {shell}"
        )


def _is_open(shell: str, content: bytes) -> bool:
    said = _complaint(shell, content)
    if said is None:
        return False
    if not said:
        return shell != "fish" and _complaint(shell, content + _WRONG) == ""
    if shell == "zsh":  # it names the line that it could not go on from
        return any(int(line) > content.count(b"\n") for line in re.findall(r":(\d+): ", said))
    return bool(re.search("unexpected (end of|EOF)|Missing end|Unexpected end of string", said))


def _complaint(shell: str, content: bytes) -> str | None:
    """Return what the parser of *shell* says against *content*, "" for nothing; None: unknown."""
    program = which(shell)
    if program is None:
        return None
    argv = [program, *_PARSE[shell], "/dev/stdin"]
    try:
        done = subprocess.run(
            argv, input=content, capture_output=True, timeout=10, env={"LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    said = done.stderr.decode(errors="replace")
    return (said or "?") if done.returncode else ""
