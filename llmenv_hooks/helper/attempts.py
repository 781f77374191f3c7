"""One attempt at a service: what both halves of the protocol, `protocol` and `launch`, share.

An attempt has a deadline, tells why it waits, and writes down why it failed.  What a look at a live
daemon does not need is imported where it is used.
"""

from __future__ import annotations

import time

from llmenv_hooks.helper.errors import EnsureOutcome, NotYet, Problem, Result, printable
from llmenv_hooks.helper.failures import attempt_digest, note_failure
from llmenv_hooks.helper.keepers import ask_to_look, keeper_of
from llmenv_hooks.helper.logfile import cut_log, note_in_log
from llmenv_hooks.helper.pidfile import read_pidfile
from llmenv_hooks.helper.places import Files, cannot_use
from llmenv_hooks.helper.programs import expanded, on_path
from llmenv_hooks.helper.proofs import linked_pid
from llmenv_hooks.helper.publishing import publish
from llmenv_hooks.helper.services import DEFAULT_COMMAND, MCP_PROXY, Service
from llmenv_hooks.helper.sight import Sight

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Protocol

    class Keeping(Protocol):
        """Who stays in front of the daemon, see `foreground`."""

        is_to_end: bool

        @property
        def listening(self) -> int | None: ...

        def started(self) -> bool: ...


DEFAULT_TIMEOUT_S = 10.0
NO_CONFIG = (
    "no config names a service, and icm, the memory server that would be started then, is not on"
    " PATH; run `llmenv init`"
)


class Again(Exception):
    """The state directory was replaced under us: look anew."""


class Attempt:
    """One `ensure` of *service* in one realm, whose files are *files*.

    *deadline* is on the monotonic clock.  *hook*: obey the pauses after failures, and let others
    wait.  *deep*: ask the stdio server too.  *revive*: start it although it was stopped on purpose.
    *keeper*: who keeps it from now on, if that is to be this process.
    *note* is one line that the user should see although all is well, *why* the reason of a start,
    for the log.
    """

    def __init__(
        self,
        service: Service,
        files: Files,
        deadline: float,
        *,
        hook: bool = False,
        deep: bool = False,
        revive: bool = False,
        keeper: Keeping | None = None,
    ) -> None:
        self.service = service
        self.files = files
        self.deadline = deadline
        self.hook = hook
        self.deep = deep and service.bridge == MCP_PROXY
        self.revive = revive
        self.keeper = keeper
        self.has_asked = False  # another keeper to look
        self.note = ""
        if hook:
            self.why = "a shell prompt found it down"
        else:
            self.why = "its keeper found it down" if keeper else "asked to"

    @property
    def listening(self) -> int | None:
        """The descriptor that listens for the daemon before it does, or None."""
        return self.keeper.listening if self.keeper else None

    def wait(self, why: str) -> None:
        """Let a moment pass.

        Raises:
            NotYet: the deadline has passed; *why* says what is waited for.
        """
        is_over = self.keeper is not None and self.keeper.is_to_end
        if is_over or time.monotonic() >= self.deadline:
            raise NotYet(
                f"{self.service.name}: not up yet on {self.service.place}: {why};"
                f" it goes on, its output is in {printable(self.files.log)}"
            )
        time.sleep(0.02)

    def is_left_to_keeper(self, sight: Sight) -> bool:
        """True when another process keeps the service, so that acting is its; a moment has passed.

        Raises:
            NotYet: as `wait`; a hook's run does not wait.
        """
        if self.keeper:
            return False
        if sight.state == "waking":
            why = f"{sight.detail} has its port, and starts it"
        elif keeper := keeper_of(self.files):
            why = f"pid {keeper.pid} keeps it"
            if not self.has_asked:
                self.has_asked = True
                ask_to_look(keeper)
        else:
            return False
        if self.hook:
            raise NotYet(why)
        self.wait(why)
        return True

    def fail(self, why: str, details: str = "") -> NoReturn:
        """Write the failure down for the hook, and raise it as a Problem.

        *why* is its cause, and *details* what may differ from one try to the next.
        """
        raise self.failed(why, details)

    def failed(self, why: str, details: str = "") -> Problem:
        """Write the failure down for the hook, as `fail` does, and return it."""
        cause = f"{self.service.title}: {why}"
        note_in_log(self.files, f"failed: {why}{details}")
        note_failure(self.files, cause, details, attempt_digest(self.service))
        return Problem(printable(cause + details, 700))

    def was_stopped(self) -> Problem:
        """Return what to raise for a service that was stopped on purpose."""
        return Problem(f"{self.service.name} was stopped; llmenv start {self.service.name}")

    def meant(self) -> tuple[Service, list[str]]:
        """Return the service with its variables expanded, and the command line of its daemon.

        Raises:
            Problem: a variable is not set, or a program is not there; it is written down.
        """
        from llmenv_hooks.helper.bridges import command_line

        try:
            service = expanded(self.service)
            return service, command_line(service, self.files, self.listening)
        except Problem as problem:
            if self.service.is_default and not on_path(DEFAULT_COMMAND[0]):
                self.fail(NO_CONFIG)
            self.fail(str(problem))

    def child_is_gone(self) -> bool:
        """True when the deep check is asked for, and finds that the stdio server is gone."""
        if not self.deep:
            return False
        from llmenv_hooks.helper.mcp import deep_check

        verdict = deep_check(self.service)
        if verdict in ("busy", "unknown"):
            self.note = f"{self.service.name}: answers its port, but the deep check says {verdict}"
        return verdict == "gone"

    def unfit(self) -> str:
        """Return why what answers has to make way; "" when it can stay."""
        if self.child_is_gone():
            return "its stdio server is gone"
        if self.keeper and not self.keeper.started():
            return "it is kept in the foreground from now on"
        return ""

    def accept(self, sight: Sight) -> Result:
        """Return that the service was running, as *sight* found it."""
        pid = linked_pid(self.files) or sight.pid
        return Result(EnsureOutcome.ALREADY_RUNNING, pid, self.note)

    def finish(self, outcome: str, pid: int | None) -> Result:
        """Publish a running service, whose listener is *pid* if known, and return the result."""
        try:
            cut_log(self.files)
            self.note_garbage()
            pid = publish(self.service, self.files, pid)
        except OSError as error:
            self.note = f"{self.service.name} runs, but {cannot_use(error, self.files)}"
        return Result(outcome, pid, self.note)

    def note_garbage(self) -> None:
        """Note that the pidfile, which is about to be replaced, held no pid."""
        try:
            read_pidfile(self.files.pid)
        except (OSError, Problem) as problem:
            self.note = self.note or f"{self.service.name}: {problem}; it is replaced"
