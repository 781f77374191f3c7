"""The protocol: look, lock, look again, act.

1. Look, without a lock and without a write.  It lives and answers: done.
2. Take the start lock.  Who does not get it looks again, and accepts what the winner brings up.
3. Look again under the lock, and act on what is seen.

A kill at any instruction leaves either nothing, or a daemon that the next run finds by its lock.
"""

from __future__ import annotations

import time

from llmenv_hooks.helper.attempts import DEFAULT_TIMEOUT_S, Again, Attempt
from llmenv_hooks.helper.directories import make_directory
from llmenv_hooks.helper.errors import Elsewhere, EnsureOutcome, NotYet, Problem, Result, printable
from llmenv_hooks.helper.failures import attempt_digest, read_failure
from llmenv_hooks.helper.files import modified, remove_file
from llmenv_hooks.helper.locks import release_start_lock, start_lock_holder, take_start_lock
from llmenv_hooks.helper.places import beside, cannot_use, instances
from llmenv_hooks.helper.proofs import is_stopped
from llmenv_hooks.helper.publishing import is_published
from llmenv_hooks.helper.realms import in_our_realm
from llmenv_hooks.helper.records import started_as
from llmenv_hooks.helper.services import Service, refuse_elsewhere
from llmenv_hooks.helper.sight import ANOTHER_REALMS, Sight, look
from llmenv_hooks.helper.trace import trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[[Attempt, int], Result]  # brings the service up under the start lock

NOBODYS = ("adopted", "taken", "bare", "down")  # states in which no daemon has the service's name
HUNG_S = 2.0  # a daemon past its start must be silent this long before it is ended


def ensure(
    service: Service,
    state: str,
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
    hook: bool = False,
    deep: bool = False,
    revive: bool = False,
) -> Result:
    """See that *service* runs, its files in the directory *state*, within *timeout* seconds.

    *hook* obeys the pauses after failures; *deep* also makes the deep check; *revive* starts a
    service that was stopped on purpose.

    Raises:
        NotYet: it is being started, and was not up in time.
        Problem: it runs elsewhere, or could not be started; the message says why and what to do.
    """
    refuse_elsewhere(service)
    deadline = time.monotonic() + timeout
    return in_our_realm(
        lambda files: attempt_it(
            Attempt(service, files, deadline, hook=hook, deep=deep, revive=revive)
        ),
        *instances(service.name, state),
    )


def ensure_at(
    service: Service,
    pid_path: str,
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
    deep: bool = False,
    revive: bool = False,
) -> Result:
    """As `ensure`, with the service's files beside the pidfile *pid_path*."""
    deadline = time.monotonic() + timeout
    return in_our_realm(
        lambda files: attempt_it(Attempt(service, files, deadline, deep=deep, revive=revive)),
        *beside(pid_path),
    )


def patience(service: Service) -> float:
    """Return the seconds that a start of *service* may take: to see one that hangs, and end it."""
    return service.start_timeout + 2 * HUNG_S


def _launch(attempt: Attempt, lock: int) -> Result:
    """Start the service; a look does not need what that takes."""
    from llmenv_hooks.helper.launch import launch

    return launch(attempt, lock)


def attempt_it(attempt: Attempt, start: Start = _launch) -> Result:
    """Look, lock, look again, act, until the service of *attempt* is up; raises as `ensure`."""
    failed_before = modified(attempt.files.fail)
    try:
        while True:
            sight = look(attempt.service, attempt.files)
            what = f"{sight.state} {sight.detail}".rstrip()
            trace(attempt.files.directory, f"{attempt.service.name}: seen to be {what}")
            unfit = attempt.unfit() if sight.answers else ""
            if sight.answers and not unfit:
                found = _up_already(attempt, sight, start)
            else:
                if not unfit:
                    _may_start(attempt, sight)
                if attempt.is_left_to_keeper(sight):
                    _refuse_failed(attempt, failed_before)
                    continue
                found = _in_turn(attempt, failed_before, unfit, start)
            if found:
                return found
    except OSError as error:
        attempt.fail(cannot_use(error, attempt.files))


def _up_already(attempt: Attempt, sight: Sight, start: Start) -> Result | None:
    """Accept what runs; where what is published of it is not true, mend that if it can be done."""
    if is_published(attempt.files, sight):
        return attempt.accept(sight)
    try:
        lock = _start_lock(attempt)
    except OSError:
        lock = None  # it runs: a full or read-only disk is no reason to fail
    if lock is None:
        return attempt.accept(sight)
    return _under_lock(attempt, lock, lambda: _act(attempt, lock, "", start))


def _in_turn(
    attempt: Attempt, failed_before: int | None, unfit: str, start: Start
) -> Result | None:
    """Take the start lock and act; None: another process had it, so look again."""
    lock = _start_lock(attempt)
    if lock is None:
        why = f"{start_lock_holder(attempt.files)} is starting it"
        if attempt.hook:
            raise NotYet(why)  # each prompt sends another one: only the starter needs to stay
        attempt.wait(why)
        return None

    def act() -> Result:
        # The one that had the lock before us failed: a queue of others would not fare better.
        _refuse_failed(attempt, failed_before)
        return _act(attempt, lock, unfit, start)

    return _under_lock(attempt, lock, act)


def _refuse_failed(attempt: Attempt, failed_before: int | None) -> None:
    """Raise the Problem that another process has run into since this attempt began, if one has."""
    if modified(attempt.files.fail) not in (None, failed_before):
        failure = read_failure(attempt.files)
        raise Problem(failure.message if failure else "it failed to start")


def _start_lock(attempt: Attempt) -> int | None:
    """Make the directories, and try the start lock once."""
    for directory in {attempt.files.directory, attempt.files.locks}:
        make_directory(directory)
    return take_start_lock(attempt.files)


def _under_lock(attempt: Attempt, lock: int, act: Callable[[], Result]) -> Result | None:
    """Return what *act* does, and release *lock*; None: the directory was replaced, look again."""
    try:
        return act()
    except Again:
        return None
    finally:
        release_start_lock(lock, attempt.files)


def _may_start(attempt: Attempt, sight: Sight) -> None:
    """Raise a Problem when the service is to be left alone for now."""
    stopped = is_stopped(attempt.files) and not attempt.revive
    if stopped and sight.state in ("down", "taken", "bare", "waking"):
        raise attempt.was_stopped()
    failure = read_failure(attempt.files) if attempt.hook else None
    if failure and failure.pause_left(attempt_digest(attempt.service)) > 0:
        raise Problem(failure.message)


def _act(attempt: Attempt, lock: int, unfit: str, start: Start) -> Result:
    """Look again under the lock, and act on what is seen until the service is up.

    *unfit* is why what answered has to make way, or "".
    """
    from llmenv_hooks.helper.renaming import former_files, take_over
    from llmenv_hooks.helper.stopping import end_tree

    service, files = attempt.service, attempt.files
    if attempt.revive and is_stopped(files):
        remove_file(files.alive)
    hung_since: float | None = None
    while True:
        sight = look(service, files)
        # A keeper may know an older config.
        is_nobodys = sight.state in NOBODYS and not attempt.keeper
        former = former_files(service, files) if is_nobodys else None
        if former:
            if not take_over(service, former, files):
                attempt.wait(f"{start_lock_holder(former)} is at work on {former.service}")
        elif sight.answers:
            if unfit and (unfit := attempt.unfit()):
                attempt.why = unfit
                end_tree(service, files, unfit, gently=attempt.keeper is not None)
                unfit = ""
            elif sight.detail == ANOTHER_REALMS:
                return attempt.accept(sight)
            else:
                return attempt.finish(EnsureOutcome.ALREADY_RUNNING, sight.pid)
        elif sight.state == "elsewhere":
            raise Elsewhere
        elif sight.state == "waking" and not attempt.keeper:
            raise Again
        elif sight.state == "taken" and attempt.listening is None:
            attempt.fail(f"{service.place} is taken by {sight.detail}, {_whose(attempt)}")
        elif sight.state == "bare" and sight.age < service.start_timeout:
            return Result(EnsureOutcome.ALREADY_RUNNING, sight.pid)
        elif sight.state == "changed":
            attempt.meant()  # while it cannot be started, the one that runs is better than none
            attempt.why = "its config was changed"
            end_tree(service, files, attempt.why)
        elif sight.state == "starting":
            if sight.age >= service.start_timeout:
                hung_since = hung_since or time.monotonic()
                if time.monotonic() - hung_since >= HUNG_S:
                    _end_hung(attempt, sight)
                    hung_since = None
                    continue
            if is_stopped(files):
                raise attempt.was_stopped()
            attempt.wait(f"pid {sight.pid or '-'} is still starting")
        else:
            if sight.state == "bare":
                attempt.note = (
                    f"{service.name}: pid {sight.pid} in {printable(files.pid)}"
                    f" does not listen on {service.place}; left alone, started another"
                )
            _may_start(attempt, sight)
            return start(attempt, lock)


def _whose(attempt: Attempt) -> str:
    return started_as(attempt.service.bind, attempt.files) or (
        "which is not this service; stop it, or give the service another bind"
    )


def _end_hung(attempt: Attempt, sight: Sight) -> None:
    """End a daemon that outlived its start and is silent; that is a failure, if it was ours."""
    from llmenv_hooks.helper.stopping import end_tree

    attempt.why = f"it was silent for {sight.age:.0f} s"
    end_tree(attempt.service, attempt.files, attempt.why)
    if sight.pid is None:
        return  # what a dead leader left behind is no failure of the service
    place, age = attempt.service.place, sight.age
    problem = attempt.failed(f"it did not listen on {place}", f" for {age:.0f} s and was ended")
    if attempt.hook:
        raise problem
