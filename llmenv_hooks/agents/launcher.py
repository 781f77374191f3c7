"""How an agent starts `llmenv connect`: by a command that outlives an upgrade; and which are ours.

In a user's own file it is the path of `llmenv`, where that stays what it is: the link that pipx or
uv put on PATH, or the program of a virtual environment.  Where the path has a version in it, or is
in a cache, an upgrade takes it away; then it is the one file that the hooks call, run by a Python
that stays.  A file in a project is for other people and machines too: there it is the name alone.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from typing import TYPE_CHECKING

from llmenv_hooks import onefile
from llmenv_hooks.helper.programs import is_executable, which
from llmenv_hooks.interpreters import interpreters

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = "llmenv"
# A directory that an upgrade replaces is named by a version or a digest, or is a cache.
_REPLACED = re.compile(r"\d+\.\d|[0-9a-z]{32}|^archive-v\d|^\.?[Cc]aches?$")


def user_command(name: str) -> list[str]:
    """Return the argv by which an agent of this user reaches the service *name*."""
    for program in _installed():
        if stays(program):
            return [program, "connect", name]
    return [*helper_command(), "--connect", name]


def helper_command() -> list[str]:
    """Return the argv of `llmenv-ensure` that lasts longest: the one file, a Python that stays."""
    # The last first: this Python and the one below it may go with a virtual environment.
    found = interpreters()
    steady = [python for python in reversed(found) if stays(python)]
    return [*(steady or found)[:1], "-I", "-S", one_file()]


def project_command(name: str) -> list[str]:
    """Return the argv by which everybody's agent in a project reaches the service *name*."""
    return [PROGRAM, "connect", name]


def one_file() -> str:
    """Return the path of the one file, which need not be there, whatever its version is."""
    return os.path.join(onefile.directory(), onefile.NEWEST)


def is_connect(words: Sequence[str], name: str) -> bool:
    """Say whether *words* are an argv of ours for the service *name*, wherever llmenv is or was."""
    if list(words[1:]) == ["connect", name]:
        return os.path.basename(words[0]) == PROGRAM
    *before, option, last = ["", "", *words]
    ran = any(os.path.basename(word) == onefile.NEWEST for word in before)
    return ran and (option, last) == ("--connect", name)


def stays(path: str) -> bool:
    """Say whether *path* is there after an upgrade too."""
    if any(_REPLACED.search(part) for part in os.path.dirname(path).split(os.sep)):
        return False
    return not path.startswith(tempfile.gettempdir() + os.sep)


def runs(words: Sequence[str]) -> bool:
    """Say whether what *words*, an argv of ours, names is there."""
    files = [word for word in words[1:] if os.path.isabs(word)]
    return which(words[0]) is not None and all(map(os.path.exists, files))


def _installed() -> Iterator[str]:
    """Yield the paths of this installation's `llmenv`, those on PATH first."""
    beside = os.path.join(os.path.dirname(sys.executable), PROGRAM)
    ours = {os.path.realpath(beside)}
    if os.path.basename(sys.argv[0]) == PROGRAM:
        ours.add(os.path.realpath(sys.argv[0]))
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, PROGRAM)
        if os.path.isabs(path) and is_executable(path) and os.path.realpath(path) in ours:
            yield path
    if is_executable(beside):
        yield beside
