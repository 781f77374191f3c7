"""Whose a process is: the living daemon's own, one of its family, or a stranger."""

from __future__ import annotations

import os

from llmenv_hooks.helper.files import same_file
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.ports import Listener
from llmenv_hooks.helper.processes import (
    all_pids,
    descendants,
    descriptors,
    has_proc,
    namespace,
    proc_file,
    process_age,
)
from llmenv_hooks.helper.services import START_TIMEOUT_S


def life_holders(life: str) -> set[int]:
    """Return the processes that hold the lifetime lock by an inherited descriptor (Linux).

    Those of a container, which we may see from its host, are not among them: they are not ours.
    proc_pid_fdinfo(5): a descriptor's `lock:` line shows the flock of its open file.
    """
    found: set[int] = set()
    if not (has_proc() and os.path.exists(life)):
        return found
    for pid in all_pids():
        for path, _ in descriptors(pid):
            if same_file(path, life) and pid != os.getpid():
                info = proc_file(pid, "fdinfo", os.path.basename(path))
                ours = namespace("pid", pid) == namespace("pid")
                if ours and b"FLOCK" in info and b"WRITE" in info:
                    found.add(pid)
    return found


def is_of(pid: int | None, leader: int | None, files: Files) -> bool:
    """True when *pid* is the daemon *leader*, or one of its family, or holds the lifetime lock."""
    if pid is None or pid == leader:
        return pid is not None
    if any(same_file(path, files.life) for path, _ in descriptors(pid)):
        return True
    return pid in descendants(life_holders(files.life) | ({leader} if leader else set()))


def may_serve_for(who: Listener, leader: int | None, files: Files) -> bool:
    """True when *who* is of the living daemon *leader*, or nothing is seen that speaks against it.

    A listener of root's whose pid cannot be seen may be one that root keeps for it, as Docker does.
    """
    if who.pid is None:
        return who.uid in (0, os.getuid())
    return who.uid == os.getuid() and is_of(who.pid, leader, files)


def silent_for(pid: int | None, files: Files) -> float:
    """Return for how many seconds a silent daemon may already have been up.

    Its leader *pid* may be dead, or its record destroyed: then it is who keeps the lock, be it a
    daemon that forked and is on its way to the port, or what is left of an old one.
    """
    ages = [process_age(one) for one in ([pid] if pid else life_holders(files.life))]
    return min((age for age in ages if age is not None), default=START_TIMEOUT_S)
