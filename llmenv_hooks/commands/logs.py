"""`llmenv logs`: what services have written since they were last started, and write from now on."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks.commands.known import config_or_what_runs
from llmenv_hooks.commands.parameters import meant_services, services_argument
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.logfile import STARTING
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.realms import find
from llmenv_hooks.helper.services import refuse_elsewhere

if TYPE_CHECKING:
    from llmenv_hooks.helper.services import Service

LINE_LIMIT = 10_000  # characters
MOST_LINES = 100  # without -n
POLL_S = 0.1
# What `dated_line` of the helper, and `Log.say` of the bridge, begin a line with.
_DATED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}) llmenv: ")
_STARTED = re.compile(_DATED.pattern + re.escape(STARTING))
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def print_logs(
    names: Annotated[list[str] | None, services_argument("all")] = None,
    lines: Annotated[
        int | None,
        typer.Option("-n", "--tail", "--lines", metavar="N", min=0, help="The last N lines."),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Only what is newer: 30m, 2h, 1d, or 2026-11-26T09:30."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Keep printing what is written from now on.")
    ] = False,
) -> None:
    """Print what services have written since they were last started.

    The last 100 lines at most, unless -n says how many. A line that llmenv adds, with the date,
    says when a service was started or stopped, and why.
    """
    config, _ = config_or_what_runs()
    services = meant_services(config, names) if names else config.run_here
    began = _moment(since) if since is not None else None
    logs = [_Log(service, named=len(services) > 1) for service in services]
    said = [log.show(lines, began) for log in logs]
    if not any(said) and not follow and not any(os.path.exists(log.path) for log in logs):
        wrote = ", ".join(service.name for service in services) or "no service"
        where = printable(logs[0].path if len(logs) == 1 else state_dir())
        raise Problem(f"{wrote} has not written anything yet ({where})")
    while follow:
        added = [log.print_new() for log in logs]
        if not any(added):
            time.sleep(POLL_S)


class _Log:
    """The log of one service, and how far it was printed; *named* puts the name before each line.

    Raises:
        Problem: its files cannot be looked at.
    """

    def __init__(self, service: Service, *, named: bool) -> None:
        refuse_elsewhere(service)
        self.files, _ = find(service, state_dir())
        self.path = self.files.log
        self._before = f"{service.name} | " if named else ""
        self._offset = 0
        self._rest = b""

    def show(self, most: int | None, began: datetime | None) -> bool:
        """Print the *most* last lines from *began*, or the last start, on; whether there is any."""
        written = _content(self.path)
        self._offset = len(written)
        kept = _lines(_content(self.files.old_log)) + _lines(written)
        if began is not None:
            kept = _since(began, kept)
        elif most is None:
            kept = _since_the_last_start(kept)
        most = MOST_LINES if most is None and began is None else most
        shown = kept if most is None else kept[-most:] if most else []
        for line in shown:
            print(f"{self._before}{line}")
        return bool(shown)

    def print_new(self) -> bool:
        """Print each whole line that was added, and say whether there was one.

        The file may be cut or made anew.
        """
        added, self._offset = _read_from(self.path, self._offset)
        *whole, self._rest = (self._rest + added).split(b"\n")
        for line in whole:
            shown = printable(line.decode(errors="replace"), LINE_LIMIT)
            print(f"{self._before}{shown}", flush=True)
        return bool(whole)


def _since_the_last_start(lines: list[str]) -> list[str]:
    starts = [number for number, line in enumerate(lines) if _STARTED.match(line)]
    return lines[starts[-1] :] if starts else lines


def _since(began: datetime, lines: list[str]) -> list[str]:
    """Return *lines* from the first dated one that is not before *began*; the others tell no time.

    What a server writes has the time of the dated line above it.
    """
    for number, line in enumerate(lines):
        dated = _DATED.match(line)
        if dated and datetime.strptime(dated[1], "%Y-%m-%dT%H:%M:%S%z") >= began:
            return lines[number:]
    return []


def _moment(text: str) -> datetime:
    """Return the time that *text* means: so long ago, or a date of ISO 8601, in local time.

    Raises:
        UsageError: it means none.
    """
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text)
    try:
        if ago:
            passed = timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            return datetime.now(UTC).replace(microsecond=0) - passed
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError, OSError):
        wrong = printable(text, 40)
        raise UsageError(f"--since wants 30m, 2h, 1d or 2026-11-26T09:30, not {wrong!r}") from None


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise Problem(f"cannot read {printable(path)}: {error.strerror}") from None


def _lines(written: bytes) -> list[str]:
    if not written:
        return []
    text = written.decode(errors="replace").removesuffix("\n")
    return [printable(line, LINE_LIMIT) for line in text.split("\n")]


def _read_from(path: str, offset: int) -> tuple[bytes, int]:
    """Return up to 1 MiB of *path* from *offset* on, and the offset behind it."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size < offset:  # it was cut
                offset = 0
            file.seek(offset)
            added = file.read(1 << 20)
    except FileNotFoundError:
        return b"", 0
    return added, offset + len(added)
