"""One look at a service: what lives, what answers, and what the two together mean."""

from __future__ import annotations

import os
import time

from llmenv_hooks.helper.identity import DEAD, ELSEWHERE, HERE, Identity, read_record
from llmenv_hooks.helper.listeners import answers, who_listens
from llmenv_hooks.helper.locks import life_is_held
from llmenv_hooks.helper.owners import life_holders, may_serve_for, silent_for
from llmenv_hooks.helper.pidfile import bare_pid, pidfile_pid
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import descendants, has_proc, realm
from llmenv_hooks.helper.proofs import linked_pid
from llmenv_hooks.helper.services import Service

ANOTHER_REALMS, ROOTS = "another realm's", "root's"
FREE, UNRECORDED = "free", "unrecorded"  # beside HERE and ELSEWHERE: how a life is held


class Sight:
    """What one look at a service found.

    *state* is one of
        up         it lives and answers; *detail* says whose it is, if not ours to write about
        adopted    it answers, nobody recorded it, and it is this service
        starting   it lives and does not answer: starting, stopping or hung
        bare       a live pid in a pidfile that we did not write, and no answer
        changed    it lives, but was started as something else
        elsewhere  another realm's daemon holds the lock, and does not answer here
        waking     who keeps it has its port, and is to start it
        taken      something else answers; *detail* says who
        down       nothing
    """

    def __init__(self, state: str, pid: int | None = None, age: float = 0.0, detail: str = ""):
        self.state = state
        self.pid = pid
        self.age = age
        self.detail = detail

    @property
    def answers(self) -> bool:
        """True when what answers there is the service."""
        return self.state in ("up", "adopted")


def look(service: Service, files: Files) -> Sight:
    """Return the state of *service*; takes no lock and writes nothing.

        life                     port      state
        held, as configured      answers   up; taken, when a stranger has the port
        held, as configured      silent    starting
        held, as once configured           changed
        held in another realm    answers   up, where we share its net namespace
        held in another realm    silent    elsewhere
        free                     answers   adopted, up (root's, the pidfile's), waking or taken
        free, live pid in a bare pidfile   silent   bare
        free                     silent    down

    Raises:
        Problem: a state file is not what it should be.
        OSError: the state directory cannot be read.
    """
    life, record = _life(files)
    if life == ELSEWHERE and record:
        shared = record.shares_our_net and answers(service, files)
        return Sight("up", detail=ANOTHER_REALMS) if shared else Sight("elsewhere")
    if life == HERE and record and record.digest != service.digest:
        return Sight("changed", record.pid, detail=record.bind or "its socket")
    is_there = answers(service, files)
    if life != FREE:
        pid = record.pid if life == HERE and record else None
        if is_there:
            return _beside_a_living_one(service, files, pid) or Sight("up", pid)
        if pid is None and _held_elsewhere(files):
            return Sight("elsewhere")
        return Sight("starting", pid, silent_for(pid, files))
    bare = bare_pid(files, record)
    if is_there:
        return _who_answers(service, files, bare)
    if bare:
        # A pidfile dated in the future means the clock was set back. Do not trust it long either.
        return Sight("bare", bare, abs(time.time() - os.stat(files.pid).st_mtime))
    return Sight("down")


def _life(files: Files) -> tuple[str, Identity | None]:
    """Return who holds the service's life, and the record in NAME.life.

    HERE: the recorded process lives, whether or not it kept the lock.  UNRECORDED: some process of
    this realm has the lock.  ELSEWHERE: the recorded process of another realm has it.  FREE: nobody
    has it.
    """
    held = life_is_held(files)
    record = read_record(files.life)
    where = record.whereabouts() if record else DEAD
    if where == HERE:
        return HERE, record
    if not held:
        return FREE, record
    if record is None or where == DEAD:
        return UNRECORDED, record
    from_an_earlier_boot = record.realm[:2] != realm()[:2]
    if from_an_earlier_boot and life_holders(files.life):
        return UNRECORDED, None  # a backup put the record back; who holds the lock is of this realm
    return ELSEWHERE, record


def _held_elsewhere(files: Files) -> bool:
    """True when the lifetime lock, of which no record tells, is held by nobody that we can see."""
    # Asked again last, since who held it may just have died.
    return has_proc() and not life_holders(files.life) and life_is_held(files)


def _beside_a_living_one(service: Service, files: Files, pid: int | None) -> Sight | None:
    """Return what to make of a listener that is seen to be none of the living daemon's, or None.

    *pid* is the daemon's, or None when no record names it.
    """
    if pid and not has_proc() and pidfile_pid(files) == pid:
        return None  # seen when it was published; to ask again would take a program each time
    who = who_listens(service, files, linked_pid(files) or pid)
    if who is None or may_serve_for(who, pid, files):
        return None
    if pid is None and _held_elsewhere(files):
        return Sight("elsewhere")
    return _who_answers(service, files, None)


def _who_answers(service: Service, files: Files, bare: int | None) -> Sight:
    who = who_listens(service, files, bare)
    if who and who.uid == 0 != os.getuid():
        return Sight("up", detail=ROOTS)  # root could take anything of ours anyway
    ours = who is None or who.uid == os.getuid()
    if bare and ours and (who is None or who.pid is None or who.pid in descendants({bare})):
        return Sight("up", bare)
    if who and ours and who.runs(service):
        return Sight("adopted", who.pid)
    if who and ours and who.keeps(service):
        return Sight("waking", detail=str(who))
    return Sight("taken", detail=str(who) if who else "a process that we cannot see")
