"""`--foreground`: stays in front of one service's daemon, for a service manager.

The daemon is what it always is: it is started under the same locks, published and logged.  What
runs already makes way.  When it dies it is started again; once it is stopped on purpose, this ends.
"""

from __future__ import annotations

import os
import time

from llmenv_hooks.helper.attempts import Attempt
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import EnsureOutcome, NotYet, Problem, UsageError, printable
from llmenv_hooks.helper.failures import attempt_digest, read_failure
from llmenv_hooks.helper.files import remove_file
from llmenv_hooks.helper.handed import handed_socket, listens_for, notify
from llmenv_hooks.helper.identity import HERE, Identity, read_record
from llmenv_hooks.helper.keepers import claim, withdraw
from llmenv_hooks.helper.locks import StartLock, life_is_held
from llmenv_hooks.helper.output import say
from llmenv_hooks.helper.places import Files, instances, state_dir
from llmenv_hooks.helper.proofs import is_stopped
from llmenv_hooks.helper.protocol import attempt_it, patience
from llmenv_hooks.helper.realms import in_our_realm
from llmenv_hooks.helper.services import Service, refuse_elsewhere
from llmenv_hooks.helper.stopping import HANDOVER_S, end_tree

LOOK_EVERY_S = 60.0  # as prompts do: for the deep check, and the log's length
EARLY_S = 10.0
MOST_EARLY_DEATHS = 3  # in a row; then it is for the manager to start it again, after a pause


def keep(name: str) -> int:
    """Keep the service *name* of the config until it is stopped; return the exit status.

    SIGTERM and SIGINT end the daemon, which may end its calls first, and then this; SIGHUP has the
    config read again.

    Raises:
        Problem: there is no such service, it could not be started, or it died at once.
    """
    config = load_config(state=state_dir())
    service = config.named(name)
    refuse_elsewhere(service)
    if not config.here:
        say(2, f"llmenv-ensure: {config.not_here}")
        return 0
    in_our_realm(lambda files: Keeper(service, files).run(), *instances(name, state_dir()))
    return 0


class Keeper:
    """One run of `--foreground`.

    Attributes:
        is_to_end: True once a signal has said so.
    """

    def __init__(self, service: Service, files: Files) -> None:
        self._handed = handed_socket(service)
        self.is_to_end = False
        self._service = service
        self._files = files
        self._daemon: Identity | None = None  # the one that we started
        self._early_deaths = 0
        self._wake = os.pipe()

    def run(self) -> None:
        """Keep the service until it is stopped, or we are to end."""
        self._take_signals()
        with StartLock(self._files, patience(self._service)):
            claim(self._service, self._files)
        try:
            self._sit_out_failure()
            self._have_it_up()
            while not (self.is_to_end or is_stopped(self._files)):
                self._read_config()
                self._have_it_up()
        except Problem as problem:
            if not (self.is_to_end or is_stopped(self._files)):
                raise
            say(1, str(problem))
        finally:
            if self.is_to_end:
                self._end()
            withdraw(self._files)

    @property
    def listening(self) -> int | None:
        """The descriptor of a socket that the manager has handed over, if the service is there."""
        fd = self._handed
        return fd if fd is not None and listens_for(self._service, fd) else None

    def started(self) -> bool:
        """True when what is recorded to run is what we have started."""
        record = read_record(self._files.life)
        ours = self._daemon
        return bool(record and ours and (record.pid, record.start) == (ours.pid, ours.start))

    def _take_signals(self) -> None:
        import signal

        def end(*_: object) -> None:
            self.is_to_end = True

        for fd in self._wake:
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        for number in (signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)

    def _sit_out_failure(self) -> None:
        """Wait as a prompt would where the start before this one failed, unless asked to look."""
        failure = read_failure(self._files)
        if failure and not self.is_to_end:
            self._wait(failure.pause_left(attempt_digest(self._service)))

    def _have_it_up(self) -> None:
        """See that the daemon runs and is ours, and wait until there is a reason to look again.

        Raises:
            Problem: it cannot be had up, or keeps dying.
        """
        service = self._service
        deadline = time.monotonic() + patience(service) + HANDOVER_S
        # By name, as this was started, it starts what was stopped; but what is stopped from now on
        # stays so.
        anew = self._daemon is None
        attempt = Attempt(service, self._files, deadline, deep=True, revive=anew, keeper=self)
        result = attempt_it(attempt)
        if result.outcome == EnsureOutcome.SPAWNED:
            self._daemon = read_record(self._files.life)
            say(1, f"{service.name} {result.outcome} pid={result.pid or '-'}")
        elif not self.started():
            raise Problem(f"{service.name} runs, and was not started by llmenv; stop it yourself")
        if result.note:
            say(2, f"llmenv-ensure: {result.note}")
        notify("READY=1", f"STATUS=on {service.place}, pid {result.pid or '-'}")
        began = time.monotonic()
        self._wait(LOOK_EVERY_S)
        self._count_early_death(time.monotonic() - began)

    def _wait(self, seconds: float) -> None:
        """Wait for a signal, the death of a child, or *seconds*."""
        import select

        poll = select.poll()
        poll.register(self._wake[0], select.POLLIN)
        if poll.poll(max(0.0, seconds) * 1000):
            os.read(self._wake[0], 4096)
        while _reap():
            pass

    def _count_early_death(self, seconds: float) -> None:
        """See whether the daemon died *seconds* after it was up, as those before it did.

        Raises:
            Problem: too many have.
        """
        if seconds > EARLY_S:
            self._early_deaths = 0
        elif not (self._lives() or is_stopped(self._files)):
            self._early_deaths += 1
        if self._early_deaths >= MOST_EARLY_DEATHS:
            log = printable(self._files.log)
            raise Problem(f"{self._service.name}: it keeps dying as soon as it is up; see {log}")

    def _lives(self) -> bool:
        daemon = self._daemon
        return bool(daemon and daemon.whereabouts() == HERE) or life_is_held(self._files)

    def _read_config(self) -> None:
        """Take what the config says now; while it is wrong, or silent, what it said before."""
        try:
            self._service = load_config(state=self._files.directory).named(self._service.name)
        except UsageError as error:
            say(2, f"llmenv-ensure: {error}")

    def _end(self) -> None:
        """End the daemon, once it has answered what it was asked; the prompt may then have it."""
        notify("STOPPING=1")
        try:
            with StartLock(self._files, HANDOVER_S):
                end_tree(self._service, self._files, "its keeper was told to end", gently=True)
                remove_file(self._files.pid)
        except NotYet:
            return  # who has the lock for so long has ended it


def _reap() -> bool:
    """Take leave of a child that has died; False when there is none."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False
