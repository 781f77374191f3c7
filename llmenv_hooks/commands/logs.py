"""`llmenv logs`: the end of a service's output, and what it writes from now on."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks.commands.parameters import known_services, named_service, service_argument
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.realms import find
from llmenv_hooks.helper.services import refuse_elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE_LIMIT = 10_000  # characters
POLL_S = 0.1


def print_logs(
    name: Annotated[str | None, service_argument("the only one")] = None,
    lines: Annotated[
        int, typer.Option("-n", metavar="N", min=0, help="How many of the last lines.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("-f", help="Go on with what is written from now.")
    ] = False,
) -> None:
    """Print the end of a service's output."""
    config = load_config()
    if name is None and len(config.services) > 1:
        raise UsageError(f"which service? there is: {known_services(config)}")
    service = named_service(config, name) if name else config.services[0]
    refuse_elsewhere(service)
    log, _ = find(service, state_dir())
    written = _content(log.log)
    last = (_lines(_content(log.old_log)) + _lines(written))[-lines:] if lines else []
    for line in last:
        print(line)
    if not last and not follow and not os.path.exists(log.log):
        raise Problem(f"{service.name} has not written anything yet ({printable(log.log)})")
    if follow:
        for line in _written_after(log.log, len(written)):
            print(line, flush=True)


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


def _written_after(path: str, offset: int) -> Iterator[str]:
    """Yield the lines of *path* from *offset* on, for ever; the file may be cut or made anew."""
    rest = b""
    while True:
        added, offset = _read_from(path, offset)
        *whole, rest = (rest + added).split(b"\n")
        for line in whole:
            yield printable(line.decode(errors="replace"), LINE_LIMIT)
        if not added:
            time.sleep(POLL_S)


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
