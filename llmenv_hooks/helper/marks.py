"""The mark in the environment of a daemon, by which all that it has started is found.

A server may live on in a session of its own when its bridge was killed.  It has inherited
LLMENV_LIFE, which names the life that it belongs to: the path of NAME.life, and one word for each
start.  What carries no mark is nobody of ours, and is never signalled.

The daemon of a service that was renamed keeps its mark, of the former name: that is then the link
`mark` in NAME.proof.
"""

from __future__ import annotations

import os
import sys
import time

from llmenv_hooks.helper.files import link_target, make_link, remove_file
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
    find = _marks_by_proc if has_proc() else _marks_by_ps
    kept = _kept_marks(files.directory)
    own = kept.pop(files.stem, None)
    found = {pid: mark for pid, mark in find(f"{files.life} ").items() if mark not in kept.values()}
    found |= find(own) if own else {}
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


def keep_mark(files: Files, pid: int) -> None:
    """Write down the mark of the daemon *pid* of *files*, which are about to have another name."""
    mark = marked(files).get(pid)
    if mark and os.path.isdir(files.proof):
        make_link(mark, _mark_link(files.proof))


def forget_mark(files: Files) -> None:
    """Take it that nothing is left that carries the mark of a former name."""
    remove_file(_mark_link(files.proof))


def _kept_marks(state: str) -> dict[str, str]:
    """Return by the stem of its files what each service in the directory *state* has kept."""
    try:
        names = [name for name in os.listdir(state) if name.endswith(".proof")]
    except OSError:
        return {}
    marks = {name: link_target(_mark_link(os.path.join(state, name))) for name in names}
    return {name.removesuffix(".proof"): mark for name, mark in marks.items() if mark}


def _mark_link(proof: str) -> str:
    return os.path.join(proof, "mark")


def _marks_by_proc(begin: str) -> dict[int, str]:
    """proc_pid_environ(5): the environment that a process was started with, NUL after each."""
    found = {}
    wanted = os.fsencode(f"{MARK}={begin}")
    for pid in own_pids():
        for variable in proc_file(pid, "environ").split(b"\0"):
            if variable.startswith(wanted) and namespace("pid", pid) == namespace("pid"):
                found[pid] = os.fsdecode(variable).partition("=")[2]
    return found


def _marks_by_ps(begin: str) -> dict[int, str]:
    """ps(1) shows the environment behind the command."""
    found = {}
    how = ("-E", "-ww") if sys.platform == "darwin" else ("-ww", "e")
    wanted = f" {MARK}={begin}"
    for line in run_tool("ps", "-x", *how, "-o", "pid=,args=").splitlines():
        pid, _, rest = line.strip().partition(" ")
        if wanted in rest and pid.isdigit():
            word = rest.partition(wanted)[2].partition(" ")[0]
            found[int(pid)] = f"{begin}{word}"
    return found
