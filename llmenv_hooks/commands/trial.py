"""Uses a hook in an interactive shell on a terminal, and sees whether it does what it is for.

In a home of its own, with the names of the user's services and harmless daemons for them.
This needs pexpect, which is in an extra of the distribution.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from llmenv_hooks import pty_shell
from llmenv_hooks.commands.rows import Row, judged
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.places import config_path
from llmenv_hooks.helper.processes import has_proc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_S = 20.0
DOES = ("starts a daemon", "revives it after kill -9", "keeps the exit status", "prints nothing")

# bash itself gives the prompt the right status; a careless hook spoils that of the prompt after.
_LATER = {
    "bash": "__status=0 PROMPT_COMMAND+=$'\\n''__status=$?'; PS1=${PS1/\\$\\?/\\$__status}\n",
}
_FAIL_3 = {"bash": "(exit 3)", "zsh": "(exit 3)", "fish": "sh -c 'exit 3'"}

# A daemon that holds a connection to the check.  It breaks when the check ends, however that ends,
# and then the daemon ends too.
_DAEMON = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
socket.create_connection(("127.0.0.1", int(sys.argv[2]))).recv(1)
"""


def behaviour(shell: str) -> Iterator[Row]:
    """Use the hook in an interactive *shell*; yield a row for each thing that it should do."""
    names = [service.name for service in load_config().kept_alive]
    if not names:
        nothing = f"{printable(config_path())} has no service to keep alive"
        yield from (Row(shell, what, "not run", nothing) for what in DOES)
        return
    yield from _trial(shell, names)


def _trial(shell: str, names: list[str]) -> Iterator[Row]:
    """Yield a row for each thing of `DOES`, with services *names* in the config."""
    with _home() as home, socket.create_server(("127.0.0.1", 0)) as alive:
        environment = _settle(home, names, alive.getsockname()[1])
        rc = _hook(shell, environment) + pty_shell.PROMPTS[shell] + _LATER.get(shell, "")
        state = home / "state" / "llmenv"
        transcript = io.StringIO()
        left = list(DOES)
        try:
            with pty_shell.Shell(shell, home, rc, environment, transcript=transcript) as session:
                for wrong in _wrong(session, state, names):
                    shown = f"{wrong}\n--- transcript\n{transcript.getvalue()}" if wrong else ""
                    yield judged(shell, left.pop(0), shown)
        except (pty_shell.NoPrompt, TimeoutError, ProcessLookupError) as error:
            failed = left.pop(0)
            shown = f"{error}\n--- transcript\n{transcript.getvalue()}{_logs(state)}"
            yield Row(shell, failed, "failed", shown)
            for what in left:
                yield Row(shell, what, "not run", f"{failed}: failed")


def _wrong(session: pty_shell.Shell, state: Path, names: list[str]) -> Iterator[str]:
    """Try each thing of `DOES` in turn; yield what is wrong with it, "" for nothing.

    Raises:
        NoPrompt, TimeoutError, ProcessLookupError: the next thing has not happened.
    """
    answers = [(3, session.startup.strip())]

    def ask() -> None:
        answers.append(session.run(_FAIL_3[session.name]))

    first = {name: _await_pid(state, name) for name in names}
    yield ""
    ask()
    for name, pid in first.items():
        os.kill(pid, signal.SIGKILL)
        _await_pid(state, name, pid, ask)
    yield ""
    lost = {str(status): None for status, _ in answers if status != 3}
    yield f"3 became {', '.join(lost)}" if lost else ""
    yield "\n".join({said: None for _, said in answers if said})


def _logs(state: Path) -> str:
    """Return what the services have written, and why they could not be started."""
    files = [*state.glob("*.fail"), *state.glob("*.log")]
    return "".join(f"\n--- {file.name}\n{file.read_text()}" for file in files)


def _settle(home: Path, names: list[str], alive: int) -> dict[str, str]:
    """Put a config with harmless services into *home*; return the environment to use it in.

    They run as long as somebody listens on the port *alive*.
    """
    config = home / "config.toml"
    with contextlib.ExitStack() as stack:  # all at once, so that no two have the same port
        for name in names:
            sock = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = str(sock.getsockname()[1])
            command = [sys.executable, "-I", "-S", "-c", _DAEMON, port, str(alive)]
            command += [str(home)]  # a mark, by which `_processes_with` finds it again
            words = ", ".join(map(json.dumps, command))
            with config.open("a") as file:
                file.write(f"[services.{name}]\ncommand = [{words}]\n")
                file.write(f'bind = "127.0.0.1:{port}"\nbridge = false\n')
    return {
        "HOME": str(home),
        "PATH": os.environ.get("PATH", os.defpath),
        "LLMENV_CONFIG": str(config),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_RUNTIME_DIR": str(home / "runtime"),
    }


def _hook(shell: str, environment: dict[str, str]) -> str:
    """Return what `llmenv hook` prints in *environment*."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LLMENV_")}
    argv = [sys.executable, "-m", "llmenv_hooks", "hook", shell]
    done = subprocess.run(argv, env={**ours, **environment}, stdout=subprocess.PIPE, check=True)
    return os.fsdecode(done.stdout)


def _await_pid(
    state: Path, name: str, old: int | None = None, ask: Callable[[], object] = int
) -> int:
    """Return the pid of *name* that is published, not *old*; *ask* is called until there is one.

    Raises:
        TimeoutError: there is none for 20 s.
    """
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        ask()
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((state / f"{name}.pid").read_text())
            if pid != old:
                return pid
        time.sleep(0.1)
    raise TimeoutError(f"no {'new ' if old else ''}daemon of {name} within {DEADLINE_S:.0f} s")


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    """Make a home of its own, and on the way out end every process that was started for it.

    Where processes cannot be listed, the daemons still end by themselves (see `_DAEMON`).
    """
    with tempfile.TemporaryDirectory(prefix="llmenv-check-", ignore_cleanup_errors=True) as home:
        try:
            yield Path(home)
        finally:
            while left := _processes_with(home):
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.01)


def _processes_with(marker: str) -> list[int]:
    """Return the processes that have *marker* in their command line."""
    found = []
    if has_proc():
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if os.fsencode(marker) in file.read_bytes():
                    found.append(int(file.parent.name))
    else:
        argv = ["ps", "-A", "-ww", "-o", "pid=,args="]
        lines = subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        found = [int(line.split()[0]) for line in lines if marker in line]
    return [pid for pid in found if pid != os.getpid()]
