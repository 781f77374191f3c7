"""`llmenv check`: renders each hook, and vouches for it as a CI wants to."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from llmenv_hooks import render, userfile
from llmenv_hooks.commands.parameters import shell_names
from llmenv_hooks.commands.readers import complaints
from llmenv_hooks.commands.rows import Row, judged
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.places import config_path

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN = ".llmenv"
LINE_LIMIT = 10_000  # characters


def check_hooks(
    shells: Annotated[
        list[str] | None,
        typer.Argument(metavar="SHELL", help="default: all", autocompletion=shell_names),
    ] = None,
    golden: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help=f"The directory of the recorded hooks. [default: {GOLDEN}, if it is there]",
        ),
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Record the hooks anew.")] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Do not fail for a shell that is not installed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, no table.")] = False,
) -> None:
    """Check the hooks: recorded, valid, working (for a CI).

    For each shell: the hook is as recorded, it parses, the linters find nothing, and it works in an
    interactive shell on a terminal. The exit status is 1 if a check failed.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # by an exception, so that what was started is ended
    rows = []
    known = [render.checked(shell) for shell in dict.fromkeys(shells or render.QUOTE)]
    try:
        load_config()
    except UsageError as error:
        _annotate("llmenv check", str(error), config_path())
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
        print("         " + printable(line, LINE_LIMIT), flush=True)


def _annotate(title: str, detail: str, path: str) -> None:
    """Tell GitHub Actions of it, where this runs there.

    On stderr: GitHub reads both streams, and stdout may be JSON.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return

    def escaped(text: str, more: str = "") -> str:
        return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in text)

    where = escaped(path, ":,")
    # The first line that a diff changes is the begin of its first hunk, plus the context lines.
    if hunk := re.search(r"^@@ -(\d+).*\n((?: .*\n)*)", detail, re.M):
        where += f",line={int(hunk[1]) + hunk[2].count(chr(10))}"
    said = f"::error file={where},title={escaped(title, ':,')}::{escaped(detail)}"
    print(said, file=sys.stderr)


def _rows(shell: str, golden: str | None, update: bool, allow_missing: bool) -> Iterator[Row]:
    """Yield all checks of *shell*'s hook, as they are done."""
    yield _golden_row(shell, golden, update)
    for reader, said in complaints(shell, render.hook(shell)):
        if said is not None:
            yield judged(shell, reader, said)
        elif reader.split()[0] != shell:
            yield Row(shell, reader, "not run", "not installed")
    if shutil.which(shell) is None:
        result = "not run" if allow_missing else "failed"
        yield Row(shell, "shell", result, f"{shell} is not installed")
    else:
        yield from _behaviour(shell)


def _behaviour(shell: str) -> Iterator[Row]:
    """Yield what `trial` finds, which cannot be imported without pexpect."""
    try:
        from llmenv_hooks.commands.trial import behaviour
    except ImportError:
        install = "python3 -m pip install 'pexpect>=4.9'"
        yield Row(shell, "pexpect", "failed", f"no pexpect to drive a shell with; {install}")
        return
    yield from behaviour(shell)


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
    except Problem as problem:
        return Row(shell, what, "failed", str(problem))
    if old is None:
        result = "not run" if golden is None else "failed"
        return Row(shell, what, result, "not there; llmenv check --update writes it")
    return Row(shell, what, "failed", userfile.diff(path, old, new))
