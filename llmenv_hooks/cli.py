"""The commands of `llmenv`, but for the fast path of `hook` (see __main__)."""

from __future__ import annotations

import json
import os
import selectors
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperCommand

from llmenv_hooks import check, client, doctor, ensure, hookcache, install, render, settings, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPLETE = "_LLMENV_COMPLETE"  # set by the completion script when it asks

app = typer.Typer(
    add_completion=False,  # what typer's --install-completion does to an rc file is not undone
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Keep one shared MCP server alive from the shell prompt.",
)


class _Command(TyperCommand):
    """A command whose help calls an argument SHELL, where typer has `{SHELL}` and `SHELL <str>`."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            of_kind = [one for one in self.get_params(ctx) if one.param_type_name == kind]
            records = filter(None, (one.get_help_record(ctx) for one in of_kind))
            rows = [(name.partition(" <")[0], text) for name, text in records]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def run() -> int:
    """Run the command line of this process and return its exit status.

    Raises:
        UsageError: the command line is wrong.
        Problem: what the command raises.
    """
    if COMPLETE in os.environ:
        # Else typer calls it only with add_completion. Not at the top: a release of typer that
        # has moved what is private to it must break no more than this.
        from typer._completion_classes import completion_init

        completion_init()
    try:
        status: int | None = app(prog_name="llmenv", complete_var=COMPLETE, standalone_mode=False)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        what = ensure.printable(error.format_message()).rstrip(".")
        see = context.command_path if context else "llmenv"
        raise ensure.UsageError(f"{what}; see {see} --help") from None
    except typer.Abort:
        raise ensure.Problem("aborted") from None
    return status or 0  # of what typer.Exit carries, or else nothing


def _services() -> list[str]:
    """Return what completes SERVICE."""
    try:
        return [service.name for service in ensure.load_config().services]
    except ensure.Problem:  # nothing may be printed into the line that is being edited
        return []


Shell = Annotated[
    str,
    typer.Argument(
        metavar="SHELL", help="bash, zsh or fish", autocompletion=lambda: [*render.QUOTE]
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")]


def _version(wanted: bool) -> None:
    if wanted:
        print(f"llmenv {ensure.__version__}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell:
        from typer._completion_shared import get_completion_script  # private, as in `run`

        names = {"prog_name": "llmenv", "complete_var": COMPLETE}
        print(get_completion_script(**names, shell=render.checked(shell)))
        if shell == "zsh":  # typer's, loaded from $fpath, would only answer the second TAB
            print("[[ $funcstack[1] != _llmenv ]] || _llmenv_completion")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
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
            autocompletion=lambda: [*render.QUOTE],
        ),
    ] = None,
) -> None:
    settings.help_without_command(context)


@app.command(cls=_Command)
def hook(shell: Shell) -> None:
    """Print the prompt hook of SHELL, for its rc file to evaluate."""
    sys.stdout.buffer.write(hookcache.cached_hook(shell))


@app.command(cls=_Command)
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
    for service in ensure.left_over(config, ensure.state_dir()):
        gone = f"not in {config.path} any more; llmenv stop {service.name}"
        rows.append(_row(service, config) | {"detail": gone})
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        _print_table(rows)
        if not config.here:
            print(f"llmenv: {config.not_here}", file=sys.stderr)
    wanted = {service.name for service in config.kept_alive}
    if any(
        row["state"] == "unknown"
        or (row["service"] in wanted and row["state"] not in ("running", "stopped"))
        for row in rows
    ):
        raise typer.Exit(1)


def _row(service: ensure.Service, config: ensure.Config) -> dict[str, object]:
    row: dict[str, object] = {"service": service.name, "state": "elsewhere", "pid": None}
    row |= {"address": service.bind, "uptime": None, "url": config.url(service), "log": None}
    if not config.here:
        return row | {"detail": f"runs on {config.server_host}"}
    state = ensure.state_dir()
    try:
        seen = ensure.inspect(service, state)
    except ensure.Problem as problem:
        return row | {"state": "unknown", "detail": str(problem)}
    row |= {"state": seen.state, "pid": seen.pid, "uptime": seen.uptime}
    return row | {"log": seen.files.log, "detail": seen.detail}


def _print_table(rows: list[dict[str, object]]) -> None:
    titles = ("service", "state", "pid", "address", "uptime", "url", "log")
    table = tables.new(*titles)
    for row in rows:
        uptime = row["uptime"]
        shown = row | {"uptime": _duration(uptime) if isinstance(uptime, float) else None}
        cells = (shown[title] for title in titles)
        table.add_row(*("-" if cell is None else ensure.printable(str(cell)) for cell in cells))
    tables.show(table, whole=True)
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


def _name(default: str) -> Any:
    """Return the argument SERVICE of a command that takes *default* without it."""
    help_ = f"default: {default}"
    return typer.Argument(metavar="SERVICE", help=help_, autocompletion=_services)


@app.command(cls=_Command)
def start(
    name: Annotated[str | None, _name("all but those with autostart = false")] = None,
) -> None:
    """Start one service or all, also after a stop."""
    config = _config()
    services = [_named(config, name)] if name else config.kept_alive
    if not services:
        raise ensure.UsageError(f"which service? all have autostart = false: {_known(config)}")
    _each(services, "starting", _start)


@app.command(cls=_Command)
def stop(name: Annotated[str | None, _name("all")] = None) -> None:
    """Stop one service or all.

    The hook leaves it alone until it is started again.
    """
    config = _config()
    left_over = ensure.left_over(config, ensure.state_dir())
    if name:
        config.services += left_over
        _each([_named(config, name)], "stopping", _stop)
        return
    # What is left over goes first: it may have the port of one in the config.
    for services in (left_over, config.services):
        _each(services, "stopping", _stop)


@app.command(cls=_Command)
def restart(
    name: Annotated[str | None, _name("what start takes, and what else runs")] = None,
) -> None:
    """Stop one service or all, and start it again."""

    def work(service: ensure.Service) -> tuple[str, str]:
        if not (name or service.autostart):
            seen = ensure.inspect(service, ensure.state_dir())
            if seen.state not in ("running", "broken", "starting"):
                return "was not running", ""
        _stop(service)
        return _start(service)

    config = _config()
    _each([_named(config, name)] if name else config.services, "restarting", work)


def _start(service: ensure.Service) -> tuple[str, str]:
    timeout = service.start_timeout + 2 * ensure.HUNG_S  # to see one that hangs, and end it
    result = ensure.ensure(service, ensure.state_dir(), timeout=timeout, revive=True)
    return f"{result.outcome} pid={result.pid or '-'}", result.note


def _stop(service: ensure.Service) -> tuple[str, str]:
    return "stopped" if ensure.stop(service, ensure.state_dir()) else "was not running", ""


def _config() -> ensure.Config:
    """Return the config of a host that services run on."""
    config = ensure.load_config()
    if not config.here:
        raise ensure.Problem(config.not_here)
    return config


def _each(
    services: list[ensure.Service],
    doing: str,
    work: Callable[[ensure.Service], tuple[str, str]],
) -> None:
    """Do *work*, which returns what to say and a note, for all *services* at once.

    Each has a process of its own, so that one that is slow or fails holds up no other.

    Raises:
        Exit: one failed; the worst exit status.
    """
    state = ensure.state_dir()
    failed = set()
    with selectors.DefaultSelector() as waiting:
        for service in services:
            reader, writer = os.pipe()
            if os.fork() == 0:
                _report(service, work, writer)
            os.close(writer)
            waiting.register(reader, selectors.EVENT_READ, service.name)
        while waiting.get_map():
            left = [key.data for key in waiting.get_map().values()]
            log = f"{state}/{left[0] if len(left) == 1 else '*'}.log"
            line = Text(ensure.printable(f"{doing} {', '.join(left)}, see {log}", 1000))
            # What is printed while it shows would go to its stream, and after it on its line.
            with Console(stderr=True).status(line):
                ready = waiting.select()
            for key, _ in ready:
                waiting.unregister(key.fileobj)
                with open(key.fd) as report:  # to its end, so that its process has done all
                    written = report.read()
                ended = ("", f"{key.data}: its process was ended; llmenv status tells more", 1)
                said, note, status = json.loads(written) if written else ended
                if said:
                    print(key.data, said, flush=True)
                if note:
                    print(f"llmenv: {note}", file=sys.stderr)
                failed.add(status)
    if any(failed):
        raise typer.Exit(min(failed - {0}))


def _report(
    service: ensure.Service, work: Callable[[ensure.Service], tuple[str, str]], writer: int
) -> NoReturn:
    """Do *work* and write to *writer*, as JSON, what to say, a note and the status; then end."""
    try:
        try:
            report = (*work(service), 0)
        except ensure.Problem as problem:
            report = ("", str(problem), problem.exit_code)
        ensure._say(writer, json.dumps(report))
    except KeyboardInterrupt:
        pass  # the one that waits for this has had it too
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _named(config: ensure.Config, name: str) -> ensure.Service:
    for service in config.services:
        if service.name == name:
            return service
    unknown = ensure.printable(name, 80)
    raise ensure.UsageError(f"no service {unknown!r}; there is: {_known(config)}")


def _known(config: ensure.Config) -> str:
    return ", ".join(service.name for service in config.services)


@app.command(cls=_Command)
def logs(
    name: Annotated[str | None, _name("the only one")] = None,
    lines: Annotated[
        int, typer.Option("-n", metavar="N", min=0, help="How many of the last lines.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("-f", help="Go on with what is written from now.")
    ] = False,
) -> None:
    """Print the end of a service's output."""
    config = ensure.load_config()
    if name is None and len(config.services) > 1:
        raise ensure.UsageError(f"which service? there is: {_known(config)}")
    service = _named(config, name) if name else config.services[0]
    log, _ = ensure.find(service, ensure.state_dir())
    written = _content(log.log)
    last = (_lines(_content(log.old_log)) + _lines(written))[-lines:] if lines else []
    for line in last:
        print(line)
    if not last and not follow and not os.path.exists(log.log):
        raise ensure.Problem(
            f"{service.name} has not written anything yet ({ensure.printable(log.log)})"
        )
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
app.command(cls=_Command)(client.client)
app.command(cls=_Command)(install.install)
app.command(cls=_Command)(install.uninstall)
app.command()(doctor.doctor)
app.command(cls=_Command)(check.check)
