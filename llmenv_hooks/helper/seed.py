"""The seed's `ensure_running`: the protocol with a spawn of the caller's own."""

from __future__ import annotations

import time

from llmenv_hooks.helper.attempts import DEFAULT_TIMEOUT_S, Attempt
from llmenv_hooks.helper.errors import EnsureOutcome, Result
from llmenv_hooks.helper.launch import launch, spawn_mcp_proxy
from llmenv_hooks.helper.pidfile import write_pidfile_atomic
from llmenv_hooks.helper.places import beside
from llmenv_hooks.helper.protocol import attempt_it
from llmenv_hooks.helper.realms import in_our_realm
from llmenv_hooks.helper.services import DEFAULT_NAME, Service

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class _Theirs(Exception):
    """An OSError of the caller's own *spawn*, on its way back to the caller."""


def ensure_running(
    bind: str,
    pid_path: str,
    spawn: Callable[[str], int],
    *,
    timeout: float = DEFAULT_TIMEOUT_S,
) -> str:
    """See that the default service runs at *bind*; return an `EnsureOutcome` (the seed's).

    A live process in the file *pid_path* is accepted.  Otherwise *spawn* is called with *bind*
    under the start lock and the pid it returns is written to *pid_path*.  With
    `spawn_mcp_proxy` the whole protocol runs: lifetime lock, waiting for the port.

    Raises:
        Problem: as `ensure`.  What *spawn* raises goes through, with the lock released.
    """
    service = Service(DEFAULT_NAME, bind=bind)
    deadline = time.monotonic() + timeout

    def injected(attempt: Attempt, _: int) -> Result:
        try:
            pid = spawn(bind)
        except OSError as error:
            raise _Theirs from error
        attempt.note_garbage()
        write_pidfile_atomic(attempt.files.pid, pid)
        return Result(EnsureOutcome.SPAWNED, pid)

    start = launch if spawn is spawn_mcp_proxy else injected
    try:
        return in_our_realm(
            lambda files: attempt_it(Attempt(service, files, deadline, revive=True), start),
            *beside(pid_path),
        ).outcome
    except _Theirs as theirs:
        raise theirs.__cause__ or theirs from None
