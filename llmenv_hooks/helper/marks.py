"""The mark in the environment of a daemon, by which all that it has started is found.

A server may live on in a session of its own when its bridge was killed.  It has inherited
LLMENV_LIFE, which names the life that it belongs to: the path of NAME.life, and one word for each
start.  What carries no mark is nobody of ours, and is never signalled.
"""

from __future__ import annotations

import os
import sys
import time

from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import (
    ancestors,
    descendants,
    has_proc,
    namespace,
    own_pids,
    proc_file,
    run_tool,
)

MARK = "LLMENV_LIFE"


def new_mark(files: Files) -> str:
    """Return the value of LLMENV_LIFE for one start of the service whose files are *files*."""
    return f"{files.life} {time.time_ns():x}"


def marked(files: Files) -> dict[int, str]:
    """Return the mark of each process of this user that carries one of these *files*."""
    found = _marks_by_proc(files) if has_proc() else _marks_by_ps(files)
    for pid in ancestors(os.getpid()):
        found.pop(pid, None)  # whoever asks from a shell that a server started is not to be ended
    return found


def strays(files: Files, leader: int | None) -> set[int]:
    """Return the processes that an earlier life left behind; *leader* is the living daemon's pid.

    Where no daemon lives, all that is marked is left over.
    """
    found = marked(files)
    family = descendants({leader}) if leader else set()
    ours = found.get(leader or 0)
    return {pid for pid, mark in found.items() if mark != ours and pid not in family}


def _marks_by_proc(files: Files) -> dict[int, str]:
    """proc_pid_environ(5): the environment that a process was started with, NUL after each."""
    found = {}
    wanted = os.fsencode(f"{MARK}={files.life} ")
    for pid in own_pids():
        for variable in proc_file(pid, "environ").split(b"\0"):
            if variable.startswith(wanted) and namespace("pid", pid) == namespace("pid"):
                found[pid] = os.fsdecode(variable).partition("=")[2]
    return found


def _marks_by_ps(files: Files) -> dict[int, str]:
    """ps(1) shows the environment behind the command."""
    found = {}
    how = ("-E", "-ww") if sys.platform == "darwin" else ("-ww", "e")
    wanted = f" {MARK}={files.life} "
    for line in run_tool("ps", "-x", *how, "-o", "pid=,args=").splitlines():
        pid, _, rest = line.strip().partition(" ")
        if wanted in rest and pid.isdigit():
            word = rest.partition(wanted)[2].partition(" ")[0]
            found[int(pid)] = f"{files.life} {word}"
    return found
