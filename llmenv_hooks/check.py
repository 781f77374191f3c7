"""`llmenv check`: renders each hook, and vouches for it as a CI wants to."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from llmenv_hooks import ensure, render, userfile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOLDEN = ".llmenv"
DEADLINE_S = 20.0

# What reads the code without running it: the shell itself, then the linters for it.
READERS = {
    "bash": [
        ["bash", "-n"],
        ["bash", "--posix", "-n"],
        # SC2016: "$" in single quotes, which is just what we want of such a path.
        ["shellcheck", "--shell=bash", "--exclude=SC2016"],
        ["shfmt", "-d", "-i", "4", "-ln", "bash"],
    ],
    "zsh": [["zsh", "-f", "-n"]],
    "fish": [["fish", "--no-config", "-n"], ["fish_indent", "--check"]],
}


class Row(NamedTuple):
    """One check of one shell's hook; *result* is ok, failed, written or not run."""

    shell: str
    check: str
    result: str
    detail: str = ""


def check(
    shells: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SHELL", help="default: all", autocompletion=lambda: [*render.QUOTE]
        ),
    ] = None,
    golden: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help=f"Where hook.SHELL must be. [default: {GOLDEN}, if it is there]"
        ),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Write the golden files anew.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="A shell that is not installed is no failure.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead.")] = False,
) -> None:
    """Vouch for the hooks, as a CI wants it.

    They are as recorded, their shells parse them, linters are content, and on a terminal they do
    what they are for. The exit status is 1 when a check failed.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # what was started is ended on the way out
    rows = []
    known = [render.checked(shell) for shell in dict.fromkeys(shells or render.QUOTE)]
    try:
        ensure.load_config()
    except ensure.UsageError as error:
        _annotate("llmenv check", str(error), ensure.config_path())
        raise
    for shell in known:
        for row in _rows(shell, golden, update, allow_missing):
            rows.append(row)
            if not as_json:
                _print_row(row)
            if row.result == "failed":
                title = f"llmenv check {row.shell}: {row.check}"
                _annotate(title, row.detail, _golden_path(shell, golden))
    if as_json:
        print(json.dumps([row._asdict() for row in rows], indent=2))
    if any(row.result == "failed" for row in rows):
        raise typer.Exit(1)


def _leave(number: int, _: object) -> NoReturn:
    sys.exit(128 + number)


def _print_row(row: Row) -> None:
    print(f"{row.result:7}  {row.shell:4}  {row.check}", flush=True)
    for line in row.detail.splitlines():
        print("         " + ensure.printable(line, 10_000), flush=True)


def _annotate(title: str, detail: str, path: str) -> None:
    """Tell GitHub Actions, where this runs there; it reads both streams, and stdout may be JSON."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return

    def escaped(text: str, more: str = "") -> str:
        return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in text)

    where = escaped(path, ":,")
    # The first line that a diff changes: where its first hunk begins, and past the context.
    if hunk := re.search(r"^@@ -(\d+).*\n((?: .*\n)*)", detail, re.M):
        where += f",line={int(hunk[1]) + hunk[2].count(chr(10))}"
    said = f"::error file={where},title={escaped(title, ':,')}::{escaped(detail)}"
    print(said, file=sys.stderr)


def _rows(shell: str, golden: str | None, update: bool, allow_missing: bool) -> Iterator[Row]:
    """Yield all checks of *shell*'s hook, as they are done."""
    yield _golden_row(shell, golden, update)
    for reader, said in read(shell, render.hook(shell)):
        if said is not None:
            yield _row(shell, reader, said)
        elif reader.split()[0] != shell:
            yield Row(shell, reader, "not run", "not installed")
    if shutil.which(shell) is None:
        result = "not run" if allow_missing else "failed"
        yield Row(shell, "shell", result, f"{shell} is not installed")
    else:
        yield from _behaviour(shell)


def _row(shell: str, what: str, wrong: str) -> Row:
    return Row(shell, what, "failed" if wrong else "ok", wrong)


# --- the golden file --------------------------------------------------------------------------


def _golden_path(shell: str, golden: str | None) -> str:
    return os.path.join(golden or GOLDEN, f"hook.{shell}")


def _golden_row(shell: str, golden: str | None, update: bool) -> Row:
    path = _golden_path(shell, golden)
    what = f"golden file {path}"
    new = os.fsencode(render.golden(shell))
    try:
        old = userfile.load(path)
        if old == new:
            return Row(shell, what, "ok")
        if update:
            userfile.replace(path, old, new)
            return Row(shell, what, "written")
    except ensure.Problem as problem:
        return Row(shell, what, "failed", str(problem))
    if old is None:
        result = "not run" if golden is None else "failed"
        return Row(shell, what, result, "not there; llmenv check --update writes it")
    return Row(shell, what, "failed", userfile.diff(path, old, new))


# --- what reads it ----------------------------------------------------------------------------


def read(shell: str, code: str) -> Iterator[tuple[str, str | None]]:
    """Yield (command, complaint) for each reader of *code*; None for one that is not installed."""
    texts = [code]
    if shell == "zsh":  # the code is one word, which `zsh -n` does not look into
        texts.append(shlex.split(code)[-1])
    with tempfile.TemporaryDirectory(prefix="llmenv-check-") as directory:
        files = [os.path.join(directory, f"{index}.{shell}") for index in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            Path(file).write_bytes(os.fsencode(text))
        for reader in READERS[shell]:
            installed = shutil.which(reader[0])
            said = "".join(_complaint([*reader, file]) for file in files) if installed else None
            yield shlex.join(reader), said


def _complaint(argv: list[str]) -> str:
    done = _output(argv, subprocess.STDOUT)
    if done.returncode and argv[0] == "fish_indent":  # which names the file, and no line of it
        *_, file = argv
        wanted = _output(["fish_indent", file], subprocess.DEVNULL).stdout
        return userfile.diff(os.path.basename(file), Path(file).read_bytes(), wanted)
    said = done.stdout.decode(errors="replace")
    return said or (f"exit status {done.returncode}" if done.returncode else "")


def _output(argv: list[str], errors: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)


# --- what it does -----------------------------------------------------------------------------

# bash itself gives the prompt the right status; what a careless hook spoils is that of the next.
_LATER = {
    "bash": "__status=0 PROMPT_COMMAND+=$'\\n''__status=$?'; PS1=${PS1/\\$\\?/\\$__status}\n",
}
_FAIL_3 = {"bash": "(exit 3)", "zsh": "(exit 3)", "fish": "sh -c 'exit 3'"}


_DOES = ("starts a daemon", "revives it after kill -9", "keeps the exit status", "prints nothing")

# A daemon that ends with the check, however that ends: then the connection to it breaks.
_DAEMON = """
import socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
socket.create_connection(("127.0.0.1", int(sys.argv[2]))).recv(1)
"""


def _behaviour(shell: str) -> Iterator[Row]:
    """Use the hook in an interactive *shell*; yield a row for each thing that it should do.

    It has the user's services, by their names, with daemons that are harmless.
    """
    try:
        from llmenv_hooks import pty_shell
    except ImportError:
        install = "python3 -m pip install 'llmenv-hooks[check]'"
        yield Row(shell, "pexpect", "failed", f"no pexpect to drive a shell with; {install}")
        return
    names = [service.name for service in ensure.load_config().kept_alive]
    if not names:
        nothing = f"{ensure.printable(ensure.config_path())} has no service to keep alive"
        yield from (Row(shell, what, "not run", nothing) for what in _DOES)
        return

    with _home() as home, socket.create_server(("127.0.0.1", 0)) as alive:
        environment = _settle(home, names, alive.getsockname()[1])
        rc = _hook(shell, environment) + pty_shell.PROMPTS[shell] + _LATER.get(shell, "")
        state = home / "state" / "llmenv"
        transcript = io.StringIO()
        left = list(_DOES)

        def row(wrong: str) -> Row:
            seen = f"{wrong}\n--- transcript\n{transcript.getvalue()}" if wrong else ""
            return _row(shell, left.pop(0), seen)

        try:
            with pty_shell.Shell(shell, home, rc, environment, transcript=transcript) as session:
                answers = [(3, session.startup.strip())]

                def ask() -> None:
                    answers.append(session.run(_FAIL_3[shell]))

                first = {name: _await_pid(state, name) for name in names}
                yield row("")
                ask()
                for name, pid in first.items():
                    os.kill(pid, signal.SIGKILL)
                    _await_pid(state, name, pid, ask)
                yield row("")
        except (pty_shell.NoPrompt, TimeoutError, ProcessLookupError) as error:
            failed = row(str(error))
            files = [*state.glob("*.fail"), *state.glob("*.log")]
            logs = "".join(f"\n--- {file.name}\n{file.read_text()}" for file in files)
            yield failed._replace(detail=failed.detail + logs)
            for what in left:
                yield Row(shell, what, "not run", f"{failed.check}: failed")
            return
        lost = {str(status): None for status, _ in answers if status != 3}
        yield row(f"3 became {', '.join(lost)}" if lost else "")
        yield row("\n".join({said: None for _, said in answers if said}))


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
            command += [str(home)]  # by that word it is found again
            words = ", ".join(map(json.dumps, command))
            with config.open("a") as file:
                file.write(f"[services.{name}]\ncommand = [{words}]\n")
                file.write(f'bind = "127.0.0.1:{port}"\nbridge = false\n')
    places = ("state", "config", "cache", "data", "runtime")
    return {
        "HOME": str(home),
        "PATH": os.environ.get("PATH", os.defpath),
        "LLMENV_CONFIG": str(config),
        **{f"XDG_{place.upper()}_HOME": str(home / place) for place in places[:-1]},
        "XDG_RUNTIME_DIR": str(home / places[-1]),
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

    The daemon ends by itself too, where nobody tells of processes.
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
    if ensure.has_proc():
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if os.fsencode(marker) in file.read_bytes():
                    found.append(int(file.parent.name))
    else:
        argv = ["ps", "-A", "-ww", "-o", "pid=,args="]
        lines = subprocess.run(argv, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        found = [int(line.split()[0]) for line in lines if marker in line]
    return [pid for pid in found if pid != os.getpid()]
