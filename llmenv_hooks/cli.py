"""The commands of `llmenv`, but for the fast path of `hook` (see __main__)."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from typer._completion_classes import completion_init
from typer._completion_shared import get_completion_script

from llmenv_hooks import check, client, doctor, ensure, install, render, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

app = typer.Typer(
    add_completion=False,  # what typer's --install-completion does to an rc file is not undone
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Keep one shared MCP server alive from the shell prompt.",
)
completion_init()  # else typer calls it only with add_completion


def _complete_shell(incomplete: str) -> list[str]:
    return [shell for shell in render.QUOTE if shell.startswith(incomplete)]


def _complete_service(incomplete: str) -> list[str]:
    try:
        services = ensure.load_config().services
    except ensure.Problem:  # nothing may be printed into the line that is being edited
        return []
    return [service.name for service in services if service.name.startswith(incomplete)]


Shell = Annotated[
    str,
    typer.Argument(metavar="SHELL", help="bash, zsh or fish", autocompletion=_complete_shell),
]
Name = Annotated[
    str | None,
    typer.Argument(metavar="SERVICE", help="default: all", autocompletion=_complete_service),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"llmenv {ensure.__version__}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell:
        names = {"prog_name": "llmenv", "complete_var": "_LLMENV_COMPLETE"}
        print(get_completion_script(**names, shell=render.checked(shell)))
        if shell == "zsh":  # typer's, loaded from $fpath, would only answer the second TAB
            print("[[ $funcstack[1] != _llmenv ]] || _llmenv_completion")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    show_completion: Annotated[
        str | None,
        typer.Option(
            metavar="SHELL",
            callback=_show_completion,
            is_eager=True,
            help="Print the completion script of bash, zsh or fish.",
            autocompletion=_complete_shell,
        ),
    ] = None,
) -> None:
    pass


@app.command()
def hook(shell: Shell) -> None:
    """Print the prompt hook of SHELL, for its rc file to evaluate."""
    sys.stdout.buffer.write(render.cached_hook(shell))


@app.command()
def export(shell: Shell) -> None:
    """Print the assignments of the LLMENV_*URL variables for SHELL."""
    sys.stdout.buffer.write(os.fsencode(render.export(shell)))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show every service.

    The exit status is 1 when one that should run does not.
    """
    config = ensure.load_config()
    rows = [_row(service, config) for service in config.services]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
        if not config.here:
            host = ensure.printable(config.server_host or "")
            print(f"llmenv: services run on {host}, not on this host", file=sys.stderr)
    wanted = {service.name for service in config.kept_alive}
    if any(row["service"] in wanted and row["state"] not in ("running", "stopped") for row in rows):
        raise typer.Exit(1)


def _row(service: ensure.Service, config: ensure.Config) -> dict[str, object]:
    row: dict[str, object] = {"service": service.name, "state": "elsewhere", "pid": None}
    row |= {"address": service.bind, "uptime": None, "url": config.url(service), "log": None}
    if not config.here:
        return row | {"detail": f"runs on {config.server_host}"}
    seen = ensure.inspect(service, ensure.state_dir())
    row |= {"state": seen.state, "pid": seen.pid, "uptime": seen.uptime}
    return row | {"log": seen.files.log, "detail": seen.detail}


def _print_table(rows: list[dict[str, object]]) -> None:
    titles = None if os.environ.get("NO_COLOR") else "bold"  # rich takes only colours away
    table = Table(box=None, pad_edge=False, header_style=titles)
    for title in ("service", "state", "pid", "address", "uptime", "url", "log"):
        table.add_column(title, no_wrap=True)
    for row in rows:
        uptime = row["uptime"]
        shown = row | {"uptime": _duration(uptime) if isinstance(uptime, float) else None}
        cells = [shown[str(column.header)] for column in table.columns]
        table.add_row(*("-" if cell is None else ensure.printable(str(cell)) for cell in cells))
    # Whole cells, wider than the terminal if need be: a cut path or URL is of no use.
    Console(width=1000, highlight=False, markup=False).print(table)
    for row in rows:
        if row.get("detail"):
            print(ensure.printable(f"{row['service']}: {row['detail']}", 700))


def _duration(seconds: float) -> str:
    """Return *seconds* the way a person says it: 45s, 12m, 3h05m, 2d4h."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


@app.command()
def start(name: Name = None) -> None:
    """Start one service or all, also after a stop."""
    _each(name, _start)


@app.command()
def stop(name: Name = None) -> None:
    """Stop one service or all.

    The hook leaves it alone until it is started again.
    """
    _each(name, _stop)


@app.command()
def restart(name: Name = None) -> None:
    """Stop one service or all, and start it again."""

    def work(service: ensure.Service) -> str:
        _stop(service)
        return _start(service)

    _each(name, work)


def _start(service: ensure.Service) -> str:
    state = ensure.state_dir()
    with Console(stderr=True).status(f"starting {service.name}, see {state}/{service.name}.log"):
        result = ensure.ensure(service, state, timeout=service.start_timeout, revive=True)
    if result.note:
        print(f"llmenv: {result.note}", file=sys.stderr)
    return f"{result.outcome} pid={result.pid or '-'}"


def _stop(service: ensure.Service) -> str:
    return "stopped" if ensure.stop(service, ensure.state_dir()) else "was not running"


def _each(name: str | None, work: Callable[[ensure.Service], str]) -> None:
    """Do *work* for the services meant; one that fails does not keep the others from it."""
    config = ensure.load_config()
    if not config.here:
        raise ensure.Problem(
            f"services run on {ensure.printable(config.server_host or '')} (server_host in"
            f" {ensure.printable(config.path)}), not on this host"
        )
    exit_code = 0
    for service in [_named(config, name)] if name else config.services:
        try:
            print(service.name, work(service), flush=True)
        except ensure.Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            exit_code = exit_code or problem.exit_code
    if exit_code:
        raise typer.Exit(exit_code)


def _named(config: ensure.Config, name: str) -> ensure.Service:
    for service in config.services:
        if service.name == name:
            return service
    known = ", ".join(service.name for service in config.services)
    raise ensure.UsageError(f"no service {ensure.printable(name, 80)!r}; there is: {known}")


@app.command()
def logs(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SERVICE", help="default: the only one", autocompletion=_complete_service
        ),
    ] = None,
    lines: Annotated[int, typer.Option("-n", min=0, help="How many of the last lines.")] = 20,
    follow: Annotated[
        bool, typer.Option("-f", help="Go on with what is written from now.")
    ] = False,
) -> None:
    """Print the end of a service's output."""
    config = ensure.load_config()
    if name is None and len(config.services) > 1:
        known = ", ".join(service.name for service in config.services)
        raise ensure.UsageError(f"which service? there is: {known}")
    service = _named(config, name) if name else config.services[0]
    files = ensure.instances(service.name, ensure.state_dir())
    log = next((one for one in reversed(files) if os.path.exists(one.log)), files[0])
    written = _content(log.log)
    last = (_lines(_content(log.old_log)) + _lines(written))[-lines:] if lines else []
    for line in last:
        print(line)
    if not last and not follow and not os.path.exists(log.log):
        raise ensure.Problem(f"{service.name} has not written anything yet ({log.log})")
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
        raise ensure.Problem(f"cannot read {ensure.printable(path)}: {error.strerror}") from None


def _lines(written: bytes) -> list[str]:
    text = written.decode(errors="replace").removesuffix("\n")
    return [ensure.printable(line, 10_000) for line in text.split("\n")] if written else []


def _written_after(path: str, offset: int) -> Iterator[str]:
    """Yield the lines of *path* from *offset* on, for ever; it may be cut or made anew."""
    rest = b""
    while True:
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size < offset:
                    offset = 0
                file.seek(offset)
                added = file.read(1 << 20)
                offset += len(added)
        except FileNotFoundError:
            added, offset = b"", 0
        *whole, rest = (rest + added).split(b"\n")
        for line in whole:
            yield ensure.printable(line.decode(errors="replace"), 10_000)
        if not added:
            time.sleep(0.1)


app.command()(settings.init)
app.add_typer(settings.app, name="config")
app.command()(client.client)
app.command()(install.install)
app.command()(install.uninstall)
app.command()(doctor.doctor)
app.command()(check.check)
