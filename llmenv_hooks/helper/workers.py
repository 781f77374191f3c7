"""One process for each service, so that one that is slow or fails never holds up another."""

from __future__ import annotations

import marshal
import os

from llmenv_hooks.helper.files import write_all
from llmenv_hooks.helper.services import Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, NoReturn, TypeVar

    Outcome = TypeVar("Outcome")


def at_once(
    services: list[Service], work: Callable[[Service], Outcome]
) -> Iterator[tuple[Service, Outcome | None]]:
    """Do *work* for all *services* at once; yield each with what came of it, as they end.

    What *work* returns must be what marshal can write.  None: its process was ended.  One service
    alone needs no process.

    Raises:
        RuntimeError: *work* raised; the message is its traceback.
    """
    if len(services) == 1:
        yield services[0], work(services[0])
        return
    import select
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    poll = select.poll()
    working: dict[int, tuple[Service, int]] = {}
    for service in services:
        try:
            reader, pid = begin_work(_for(service, work))
        except OSError:
            yield service, work(service)  # no process to be had: one after the other, then
            continue
        working[reader] = service, pid
        poll.register(reader, select.POLLIN)
    while working:
        for reader, _ in poll.poll():
            poll.unregister(reader)
            service, pid = working.pop(reader)
            yield service, outcome_of(reader, pid)


def worst_status(statuses: Iterable[int | None]) -> int:
    """Return the exit status that says most; None stands for a process that was ended."""
    seen = {1 if status is None else status for status in statuses}
    return next((status for status in (1, 2, 75) if status in seen), max(seen, default=0))


def _for(service: Service, work: Callable[[Service], Outcome]) -> Callable[[], Outcome]:
    return lambda: work(service)


def begin_work(work: Callable[[], Any]) -> tuple[int, int]:
    """Fork a process that does *work*; return where its report is to be read, and its pid.

    `outcome_of` both is what *work* returned.

    Raises:
        OSError: there is no process to be had.
    """
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid == 0:
        _work_and_end(work, writer)
    os.close(writer)
    return reader, pid


def _work_and_end(work: Callable[[], Any], writer: int) -> NoReturn:
    """Do the work in this process, which has been forked for it, and write the report."""
    try:
        try:
            report = marshal.dumps((True, work()))
        except Exception:
            import traceback

            report = marshal.dumps((False, traceback.format_exc()))
        write_all(writer, report)
    finally:
        os._exit(0)


def outcome_of(reader: int, pid: int) -> Any:
    """Return what the process *pid* has written to *reader*; None: it was ended before.

    Raises:
        RuntimeError: its work raised; the message is the traceback.
    """
    with open(reader, "rb") as file:
        report = file.read()
    os.waitpid(pid, 0)
    if not report:
        return None
    done, outcome = marshal.loads(report)
    if not done:
        raise RuntimeError(outcome)
    return outcome
