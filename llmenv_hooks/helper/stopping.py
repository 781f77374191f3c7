"""Ending a daemon and all below it; and the mark that keeps it stopped."""

from __future__ import annotations

import os
import time

from llmenv_hooks.helper.errors import Elsewhere, Problem, printable
from llmenv_hooks.helper.files import remove_file
from llmenv_hooks.helper.identity import HERE, read_record
from llmenv_hooks.helper.listeners import who_listens
from llmenv_hooks.helper.locks import StartLock, life_is_held
from llmenv_hooks.helper.logfile import drop_farewell, log_size, note_in_log
from llmenv_hooks.helper.marks import forget_mark, marked, strays
from llmenv_hooks.helper.owners import life_holders
from llmenv_hooks.helper.places import Files, beside, cannot_use, instances
from llmenv_hooks.helper.processes import descendants, send_signal, start_time
from llmenv_hooks.helper.proofs import mark_stopped
from llmenv_hooks.helper.realms import in_our_realm
from llmenv_hooks.helper.records import started_as
from llmenv_hooks.helper.services import GUARDED, Service, refuse_elsewhere
from llmenv_hooks.helper.sight import ANOTHER_REALMS, look

HANDOVER_S = 30.0  # for the calls under way, when a service goes from one keeper to another


def stop(service: Service, state: str, *, timeout: float = 30.0, why: str = "asked to") -> bool:
    """End *service*, whose files are in *state*, and mark it stopped; True if it was running.

    *why* is for the log.

    It stays stopped, for hooks and for `llmenv-ensure`, until it is started with *revive*.

    Raises:
        Problem: it runs elsewhere, no identity record proves it ours, or it would not end.
        NotYet: another process held the start lock for *timeout* seconds.
    """
    refuse_elsewhere(service)
    deadline = time.monotonic() + timeout
    return in_our_realm(
        lambda files: _stop(service, files, deadline, why), *instances(service.name, state)
    )


def stop_at(service: Service, pid_path: str, *, timeout: float = 30.0) -> bool:
    """As `stop`, with the service's files beside the pidfile *pid_path*."""
    deadline = time.monotonic() + timeout
    return in_our_realm(
        lambda files: _stop(service, files, deadline, "asked to"), *beside(pid_path)
    )


def _stop(service: Service, files: Files, deadline: float, why: str) -> bool:
    try:
        sight = look(service, files)
        if sight.state == "elsewhere":
            raise Elsewhere
        if sight.detail == ANOTHER_REALMS:
            raise Problem(
                f"{service.name} runs in another container that shares"
                f" {printable(files.directory)}; stop it there"
            )
        if sight.state == "starting":
            mark_stopped(files)  # for the one that waits for it under the lock
        with StartLock(files, deadline - time.monotonic()):
            # Marked first: a shell that sees it down must not think that it died.
            mark_stopped(files)
            _stop_unit(service, files)
            ended = end_tree(service, files, why)
            if not ended and look(service, files).answers:
                remove_file(files.alive)
                whose = started_as(service.bind, files) or (
                    "not started by llmenv; stop it yourself"
                )
                raise Problem(
                    f"{service.name}: {who_listens(service, files) or 'a process'} serves"
                    f" {service.place}, but was {whose}"
                )
            remove_file(files.pid)
            remove_file(files.fail)
            return ended
    except OSError as error:
        raise Problem(f"{service.name}: {cannot_use(error, files)}") from None


def _stop_unit(service: Service, files: Files) -> None:
    """Tell the manager that keeps *service*, if one does; where it does not answer, none does."""
    from llmenv_hooks.helper.managers import manager_of

    if manager := manager_of(service.name):
        try:
            manager.stop(service.name, wait=False)
        except Problem as problem:
            note_in_log(files, str(problem))


def end_tree(service: Service, files: Files, why: str, *, gently: bool = False) -> bool:
    """End the daemon that the record or the lifetime lock proves to be ours, and all below it.

    Only under the start lock.  mcp-proxy cleans up after its child on SIGINT, not on SIGTERM, and
    has put it into a session of its own, so the whole family is noted first; what carries our mark
    belongs to it.  *why* is for the log.  *gently*: our bridge may answer first what it was asked.
    Done when the lifetime lock is free; False when there was nothing to end.

    Raises:
        Problem: something is left even after SIGKILL.
    """
    import signal

    roots = life_holders(files.life)
    record = read_record(files.life)
    if record and record.uid == os.getuid() and record.whereabouts() == HERE:
        # Its leader passes the signal on to whom it wraps.
        leaders = {record.pid}
    else:
        leaders = roots or set(marked(files))
    family = {pid: start_time(pid) for pid in descendants(roots | leaders | set(marked(files)))}
    if not family:
        return False
    note_in_log(files, f"stopping {service.name}: {why}")
    said = log_size(files)
    steps = [(signal.SIGINT, 6.0)]
    if gently and service.bridge == GUARDED and record and leaders == {record.pid}:
        steps.insert(0, (signal.SIGUSR1, HANDOVER_S))
    for number, seconds in steps:
        for pid in leaders:
            send_signal(pid, family[pid], number)
        if _gone_within(seconds, family, files):
            break
    else:
        _end_family(service, files, family)
    drop_farewell(files, said)
    note_in_log(files, f"{service.name} is stopped")
    return True


def end_strays(service: Service, files: Files) -> None:
    """End what earlier lives of *service* left behind; only while no daemon of it lives.

    Raises:
        Problem: something is left even after SIGKILL.
    """
    family = {pid: start_time(pid) for pid in descendants(strays(files, None))}
    if family:
        _end_family(service, files, family)
    forget_mark(files)


def _end_family(service: Service, files: Files, family: dict[int, str | None]) -> None:
    """Send SIGTERM, and then SIGKILL, to all that is left of *family* and has come since."""
    import signal

    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 4.0)):
        for pid in descendants(_left(family) | life_holders(files.life) | set(marked(files))):
            family.setdefault(pid, start_time(pid))
        for pid, start in family.items():
            send_signal(pid, start, number)
        if _gone_within(patience, family, files):
            return
    raise Problem(
        f"{service.name}: pid {', '.join(map(str, sorted(_left(family)))) or '-'} does not end,"
        " even on SIGKILL"
    )


def _gone_within(seconds: float, family: dict[int, str | None], files: Files) -> bool:
    """Wait until all of *family* is dead and the lifetime lock is free; False when it is not."""
    deadline = time.monotonic() + seconds
    while _left(family) or life_is_held(files):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def _left(family: dict[int, str | None]) -> set[int]:
    """Return those of *family*, pid -> start time, that still live."""
    return {pid for pid, start in family.items() if start and start_time(pid) == start}
