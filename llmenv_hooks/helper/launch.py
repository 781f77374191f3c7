"""The launch: spawn the daemon under both locks, and wait until it has its port.

The child writes its identity into NAME.life before it execs, so no daemon ever runs that no record
names.  The lifetime lock is never unlocked here, only closed: the child shares it.
"""

from __future__ import annotations

import os
import time

from llmenv_hooks.helper.attempts import Again, Attempt
from llmenv_hooks.helper.bridges import command_line
from llmenv_hooks.helper.environment import daemon_environment
from llmenv_hooks.helper.errors import EnsureOutcome, NotYet, Problem, Result, printable
from llmenv_hooks.helper.files import close_quietly, open_ours, still_at, write_all
from llmenv_hooks.helper.identity import RECORD_BYTES, identity_of
from llmenv_hooks.helper.listeners import answers, who_listens
from llmenv_hooks.helper.locks import life_is_held, take_lifetime_lock
from llmenv_hooks.helper.logfile import STARTING, cut_log, dated_line, log_tail, note_in_log
from llmenv_hooks.helper.marks import MARK, new_mark
from llmenv_hooks.helper.owners import may_serve_for
from llmenv_hooks.helper.places import Files, cannot_use, default_pid_path
from llmenv_hooks.helper.proofs import is_stopped, open_proof_dir
from llmenv_hooks.helper.services import DEFAULT_NAME, GUARDED, MCP_PROXY, Service, open_to_others
from llmenv_hooks.helper.sockets import bridge_listens, prepare_socket
from llmenv_hooks.helper.statefiles import write_readme
from llmenv_hooks.helper.stopping import end_strays, end_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from types import ModuleType

FORKED_S = 5.0  # for a daemon that forked, and let go of all we know it by, to bind


def launch(attempt: Attempt, lock: int) -> Result:
    """Start the service of *attempt* under the start lock *lock*, and wait for its port.

    Raises:
        Again: the state directory was replaced under us.
        NotYet: it was not up at the attempt's deadline; it goes on.
        Problem: it could not be started, or ended before it listened; that is written down.
    """
    signal, _ = modules_to_spawn_with()
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else each child seems to have exited 0
    service, argv = attempt.meant()
    end_strays(service, attempt.files)
    write_readme(attempt.files.directory)
    if service.bridge == GUARDED:
        prepare_socket(attempt.files)
    child, offset = _spawn_under_locks(attempt, lock, service, argv)
    try:
        return _await_port(attempt, child, offset)
    except OSError as error:
        raise NotYet(
            f"{service.name}: pid {child.pid} was started, and then: "
            + cannot_use(error, attempt.files)
        ) from None
    finally:
        child.returncode = child.returncode or 0  # it outlives us: no warning about that


def _spawn_under_locks(
    attempt: Attempt, lock: int, service: Service, argv: list[str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Take the lifetime lock and run *argv*; return the child, and where its log begins."""
    _, subprocess = modules_to_spawn_with()
    files = attempt.files
    life = take_lifetime_lock(files)
    opened = [life]
    try:
        if not (still_at(lock, files.lock) and still_at(life, files.life)):
            raise Again
        cut_log(files)
        proof = open_proof_dir(files, service.config)
        opened.append(proof)
        log = open_ours(files.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        opened.append(log)
        write_all(log, dated_line(f"{STARTING}{service.name}: {attempt.why}"))
        offset = os.fstat(log).st_size
        # Blank, and of full length: the child's own record then needs no new block.
        os.pwrite(life, b" " * (RECORD_BYTES - 1) + b"\n", 0)
        try:
            mark = {MARK: new_mark(files)}
            held = [proof] if attempt.listening is None else [proof, attempt.listening]
            return spawn(service, argv, log, life, *held, mark=mark), offset
        except (OSError, subprocess.SubprocessError) as error:
            attempt.fail(f"cannot run {printable(argv[0])}: {_why_not(error, attempt, service)}")
    finally:
        for fd in opened:
            close_quietly(fd)


def _why_not(error: Exception, attempt: Attempt, service: Service) -> str:
    """Return why the spawn of *service* failed with *error*."""
    if not os.path.isdir(service.cwd):
        return f"its cwd {printable(service.cwd)} is no directory"
    if isinstance(error, FileNotFoundError):
        return f"{error.strerror}, or not the loader that it names"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"its identity could not be written to {printable(attempt.files.life)}"


def _await_port(attempt: Attempt, child: subprocess.Popen[bytes], offset: int) -> Result:
    """Wait until *child* has the port, and publish it."""
    service, files = attempt.service, attempt.files
    began = time.monotonic()
    let_go: float | None = None
    while True:
        status = child.poll()
        if status is not None and not life_is_held(files):
            let_go = let_go or time.monotonic()
            # `ssh -f` forks and lets go of the lock; the one that goes on binds a little later.
            if status != 0 or time.monotonic() - let_go >= FORKED_S:
                attempt.fail(_obituary(attempt, status), _said(attempt, offset))
        # A socket that was handed over answers before the bridge is there.
        is_there = attempt.listening is None or bridge_listens(files)
        if is_there and answers(service, files) and _is_ours(attempt, child.pid):
            break
        if is_stopped(files):
            end_tree(service, files, "stopped while it was starting")
            raise attempt.was_stopped()
        if time.monotonic() - began >= service.start_timeout:
            limit = f"it did not listen on {service.place} within {service.start_timeout:.0f} s"
            end_tree(service, files, limit)
            ended = f"{limit} (start_timeout in the config), and was ended"
            attempt.fail(ended, _said(attempt, offset))
        attempt.wait(f"pid {child.pid} is still starting")
    warning = open_to_others(service)
    attempt.note = f"{service.name}: {warning}" if warning else attempt.note
    result = attempt.finish(EnsureOutcome.SPAWNED, child.pid)
    note_in_log(files, f"{service.name} is up on {service.place}, pid {result.pid or child.pid}")
    if attempt.child_is_gone():
        gone = "started afresh, and its stdio server is gone again at once"
        attempt.fail(gone, _said(attempt, offset))
    return result


def _is_ours(attempt: Attempt, leader: int) -> bool:
    """False when a stranger took the port while our daemon was on its way to it."""
    who = who_listens(attempt.service, attempt.files, leader)
    if who is None or may_serve_for(who, leader, attempt.files):
        return True
    return who.uid == os.getuid() and who.runs(attempt.service)


def _obituary(attempt: Attempt, status: int) -> str:
    how = f"was killed by signal {-status}" if status < 0 else f"exited with status {status}"
    return f"it {how} before it listened on {attempt.service.place}"


def _said(attempt: Attempt, offset: int) -> str:
    """Return the end of what the log holds from *offset* on, and where that is."""
    tail = log_tail(attempt.files, offset)
    return (f'; it said: "{tail}"' if tail else "") + f" ({printable(attempt.files.log)})"


def modules_to_spawn_with() -> tuple[ModuleType, ModuleType]:
    """Import what the look alone does not need, before the lifetime lock is taken."""
    try:
        import signal
        import subprocess
    except Exception as error:  # out of descriptors or memory, a module fails in any way it likes
        raise Problem(f"cannot load Python's own modules: {printable(str(error))}") from None
    return signal, subprocess


def spawn(
    service: Service,
    argv: list[str],
    log: int | None,
    life: int | None = None,
    *held: int,
    mark: dict[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Run *argv* detached, holding *life* and *held*, its output to *log*; return once exec'ed.

    *mark* is added to its environment.

    Raises:
        OSError: exec failed, and no process is left.
    """
    import signal
    import subprocess

    def in_the_child() -> None:
        # Before exec: from here on the process that holds the lock is also the one it names.
        if life is not None:
            os.pwrite(life, identity_of(os.getpid(), service).encode(), 0)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    output: int = subprocess.DEVNULL if log is None else log
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/" if service.bridge == MCP_PROXY else service.cwd,
            env=daemon_environment(service) | (mark or {}),
            start_new_session=True,
            pass_fds=held if life is None else (life, *held),
            preexec_fn=in_the_child,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def spawn_mcp_proxy(bind: str) -> int:
    """Start mcp-proxy with `icm serve` behind it on *bind*, detached; return its pid (the seed's).

    Its output goes nowhere; `ensure` keeps a log.

    Raises:
        UsageError: *bind* is not an address.
        Problem: a program is missing or cannot be run.
    """
    service = Service(DEFAULT_NAME, bind=bind)
    child = spawn(service, command_line(service, Files(default_pid_path())), None)
    child.returncode = 0  # it outlives us: no warning about that
    return child.pid
