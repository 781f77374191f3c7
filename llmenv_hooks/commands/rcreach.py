"""Whether a new shell reaches the hook: its rc file may end before the block, or not be read.

The shell is started as a terminal does it, with the user's own rc files, and asked for what the
hook exports.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import tempfile
import time

from llmenv_hooks import places
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.programs import which
from llmenv_hooks.hookvalues import exports

DEADLINE_S = 10.0
_LOGIN_FILES = (".bash_profile", ".bash_login", ".profile")


def unreached(shell: str) -> list[str]:
    """Return what is wrong with the ways in which a new *shell* starts, nothing if all is well.

    Nothing is said where the hook has nothing to export, or where there is no such shell.
    """
    try:
        exported = exports(load_config())
    except Problem:
        return []
    program = which(shell)
    if not exported or program is None:
        return []
    name, _ = exported[0]  # its value may be that of a hook made before the last edit
    wrong = []
    if not _asked([program, "-i"], name):
        wrong.append(
            f"a new {shell} does not come to the hook: its rc file ends before, by return, exec or"
            " an error; move the lines of llmenv up, to its beginning"
        )
    elif shell == "bash" and _profile() and not _asked([program, "-l", "-i"], name):
        wrong.append(
            f"a login bash, as tmux and ssh start it, does not come to the hook: {_profile()} does"
            " not read ~/.bashrc; add to it: [ -r ~/.bashrc ] && . ~/.bashrc"
        )
    return wrong


def _profile() -> str:
    """Return the file that a login bash reads, "" if there is none: bash(1), INVOCATION."""
    paths = (os.path.join(places.home(), name) for name in _LOGIN_FILES)
    return printable(next((path for path in paths if os.path.isfile(path)), ""))


def _asked(argv: list[str], variable: str) -> str:
    """Start the shell *argv* on a terminal; return its *variable*, "" if it has none."""
    with tempfile.TemporaryDirectory(prefix="llmenv-try-") as directory:
        answer = os.path.join(directory, "answer")
        code = f'printf %s "${variable}" >"$LLMENV_TRY_ANSWER"'
        environment = {
            name: value
            for name, value in os.environ.items()
            if name == "LLMENV_CONFIG" or not name.startswith("LLMENV_")
        }
        pid, terminal = pty.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                os.execve(argv[0], [*argv, "-c", code], environment | {"LLMENV_TRY_ANSWER": answer})
            os._exit(127)
        _await_end(pid, terminal)
        with contextlib.suppress(OSError), open(answer) as file:
            return file.read()
        return ""


def _await_end(pid: int, terminal: int) -> None:
    """Read what the shell *pid* writes to *terminal* until it ends; end it at the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    try:
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                return
            # Linux says EIO once nobody has the other end.
            with contextlib.suppress(OSError):
                if select.select([terminal], [], [], 0.02)[0]:
                    os.read(terminal, 1 << 16)
    finally:
        os.close(terminal)
