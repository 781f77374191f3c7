"""The run that a prompt hook starts in the background: all services, nobody waits for it."""

from __future__ import annotations

import os
import time

from llmenv_hooks.helper.complaints import complain, state_trouble, withdraw_complaint
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.directories import make_directory, refuse_anothers
from llmenv_hooks.helper.editions import OpenShell, as_of, keep_edition
from llmenv_hooks.helper.errors import NotYet, Problem, UsageError
from llmenv_hooks.helper.failures import attempt_digest, note_failure, read_failure, write_failure
from llmenv_hooks.helper.files import close_quietly, modified, remove_file, set_mtime
from llmenv_hooks.helper.logfile import stay_while_flooded
from llmenv_hooks.helper.output import open_standard_descriptors
from llmenv_hooks.helper.places import Files, instances
from llmenv_hooks.helper.proofs import is_stopped
from llmenv_hooks.helper.protocol import ensure, patience
from llmenv_hooks.helper.realms import our_files
from llmenv_hooks.helper.records import recorded
from llmenv_hooks.helper.services import Service
from llmenv_hooks.helper.trace import trace
from llmenv_hooks.helper.workers import at_once, worst_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIG_FAIL = "config.toml.fail"
HELPER_FAIL = "helper.fail"  # of a run that had a bug, or could not load this
DEEP_EVERY_S = 52.0  # the time of a terminal, with which fish compares, lags behind by up to 8 s


def hook_pass(state: str, config: str, *shell: str) -> int:
    """Ensure all services of *config*, whose files are in *state*; return the exit status.

    *shell* is what `OpenShell` takes; older hooks do not say it.  Nothing is printed.  What the
    prompt has to tell is left in NAME.fail, config.toml.fail and hook.fail, and where these cannot
    be written, outside the state directory.  helper.fail goes, if nobody writes it meanwhile.
    """
    bug = os.path.join(state, HELPER_FAIL)
    noted = modified(bug)
    status = _keep_all_alive(state, config, shell)
    if noted and modified(bug) == noted:
        remove_file(bug)
    return status


def _keep_all_alive(state: str, config: str, shell: tuple[str, ...]) -> int:
    detach()
    if trouble := state_trouble(state):
        complain(state, trouble)  # what runs may still run well
    else:
        withdraw_complaint(state)
    refuse_anothers(state)
    looked_at = as_of(config)
    try:
        known = load_config(config, state)
    except UsageError as error:
        trace(state, f"config: {error}")
        _complain(error, state, config, looked_at)
        return error.exit_code
    remove_file(os.path.join(state, CONFIG_FAIL))
    names = ", ".join(service.name for service in known.kept_alive) or "no service"
    trace(state, f"{config}: keeps {names}")
    if shell:  # before the services are marked as looked at, so that the next prompt looks
        keep_edition(state, config, OpenShell(*shell), looked_at)
    wanted = [service.name for service in known.kept_alive]
    # An older shell may still ask for the others.
    mark_looked([files for files in recorded(state) if files.service not in wanted], looked_at)
    done = at_once(known.kept_alive, lambda service: _keep_alive(service, state, looked_at))
    return worst_status(status for _, status in done)


def mark_looked(files: Iterable[Files], looked_at: int) -> None:
    """Set the time of each NAME.life: as of when, in ns, the config was last looked at for it.

    Shells compare the config with it, and ask for another look when the config is newer.
    """
    for one in files:
        set_mtime(one.life, looked_at)


def _complain(error: UsageError, state: str, config: str, looked_at: int) -> None:
    """Leave the prompt what is wrong with the config."""
    make_directory(state)
    complaint = os.path.join(state, CONFIG_FAIL)
    if (modified(complaint) or 0) > (modified(config) or 0):
        # The prompt that asked has told it by now: leave this shell alone for a minute.
        mark_looked(recorded(state), looked_at)
        for files in recorded(state):
            set_mtime(files.proof, looked_at)  # fish has it to tell in each new shell
    write_failure(complaint, str(error), "v1 .")


def _keep_alive(service: Service, state: str, looked_at: int) -> int:
    """Ensure one service; return the exit status."""
    files = instances(service.name, state)
    cuts_before = [modified(one.old_log) for one in files]
    deep = _deep_is_due(our_files(files).proof)
    status, told = _ensure_quietly(service, state, files, deep)
    if told:
        mark_looked(files, looked_at)  # else the next prompt looks again, and tells
    if deep:
        _put_off_deep_check(our_files(files).proof)
    for one, before in zip(files, cuts_before, strict=True):
        if status == 0 and modified(one.old_log) != before:
            stay_while_flooded(one)
    return status


def _ensure_quietly(
    service: Service, state: str, files: list[Files], deep: bool
) -> tuple[int, bool]:
    """Ensure *service*; return the exit status, and whether the prompt has nothing new to tell."""
    try:
        done = ensure(service, state, timeout=patience(service), hook=True, deep=deep)
    except NotYet as problem:
        trace(state, f"{service.name}: not yet: {problem}")
        return problem.exit_code, True
    except Problem as problem:
        trace(state, str(problem))
        if any(map(is_stopped, files)):
            return problem.exit_code, True
        if not any(map(read_failure, files)):
            # What kept it from even looking is written down nowhere yet.
            note_failure(files[0], str(problem), "", attempt_digest(service))
        return problem.exit_code, False
    trace(state, f"{service.name}: {done.outcome}, pid {done.pid or '-'}")
    return 0, True


def _deep_is_due(proof: str) -> bool:
    """True when the time of NAME.proof, which says when the next deep check is due, has come."""
    due = modified(proof)
    return due is None or not 0 < due - time.time_ns() <= DEEP_EVERY_S * 1e9


def _put_off_deep_check(proof: str) -> None:
    try:
        if not os.path.lexists(proof):  # whom we adopted holds none
            os.mkdir(proof, 0o700)
    except OSError:
        return
    set_mtime(proof, time.time_ns() + int(DEEP_EVERY_S * 1e9))


def detach() -> None:
    """Leave the shell that started us: its session, its terminal, its directory, its files."""
    try:
        os.setsid()
    except PermissionError:  # a group leader, as zsh's `&!` makes one
        if os.fork():
            os._exit(0)
        os.setsid()
    open_standard_descriptors()
    try:
        held = [int(name) for name in os.listdir("/dev/fd")]
    except (OSError, ValueError):
        # One by one up to the limit: where that is a thousand million, it takes minutes.
        held = []
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for fd in held:
        if fd > 2:
            close_quietly(fd)
    os.chdir("/")
