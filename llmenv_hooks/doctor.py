"""`llmenv doctor`: looks at all that can be wrong, says what was found and what to do about it."""

from __future__ import annotations

import ipaddress
import json
import os
import stat
import sys
import time
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llmenv_hooks import ensure, install, render, userfile
from llmenv_hooks.ensure import Config, Problem, Service, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "llmenv-doctor", "version": ensure.__version__},
}


@dataclass(frozen=True)
class Finding:
    """One row: *verdict* is ok, warn or fail; *todo* is empty when there is nothing to do."""

    check: str
    verdict: str
    found: str
    todo: str = ""
    service: str | None = None


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, no table.")] = False,
) -> None:
    """Look for what is wrong, and say what to do about it.

    Changes nothing. The exit status is 1 when something is wrong.
    """
    findings = list(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    plain = bool(os.environ.get("NO_COLOR"))
    table = Table(box=None, pad_edge=False, header_style=None if plain else "bold")
    for title in ("check", "verdict", "found, and what to do"):
        table.add_column(title, overflow="fold")
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    for finding in findings:
        name = f"{finding.service}: {finding.check}" if finding.service else finding.check
        style = None if plain else colours[finding.verdict]
        text = printable(finding.found, 700)
        if finding.todo:
            text += f"\n-> {printable(finding.todo)}"
        table.add_row(name, Text(finding.verdict, style=style or ""), text)
    Console(highlight=False, markup=False).print(table)


def examine() -> Iterator[Finding]:
    """Yield what every check finds, in the order in which one thing depends on another."""
    version = ".".join(map(str, sys.version_info[:3]))
    package = os.path.dirname(os.path.abspath(__file__))
    yield Finding("package", "ok", f"llmenv {ensure.__version__}, Python {version}, {package}")
    yield from _safely("state directory", _state_directory)
    yield from _safely("hook", _hooks)
    try:
        config = ensure.load_config()
    except Problem as problem:
        yield Finding("config", "fail", str(problem), "mend it; then: llmenv config check")
        return
    there = config.path if os.path.exists(config.path) else f"{config.path} (none: the default)"
    names = ", ".join(service.name for service in config.services) or "no service"
    yield Finding("config", "ok", f"{there}: {names}")
    if config.server_host is not None:
        where = "this host" if config.here else "another host, nothing runs here"
        yield Finding("server_host", "ok", f"{config.server_host}: {where}")
    if config.here and any(service.bridge for service in config.services):
        yield from _safely("mcp-proxy", _bridge)
    for service in config.services:
        if config.here:
            for name, check in SERVICE_CHECKS.items():
                yield from _safely(name, check, service)
        if not config.here or ensure.probe(service.host, service.port):
            yield from _safely("round trip", _round_trip, service, config)


def _safely(name: str, check: Callable[..., Iterator[Finding]], *about: Any) -> Iterator[Finding]:
    """Yield what *check* finds; that it cannot look is a finding too."""
    service = next((one.name for one in about if isinstance(one, Service)), None)
    try:
        yield from check(*about)
    except (Problem, OSError) as problem:
        yield Finding(name, "fail", str(problem), service=service)


# --- the installation -----------------------------------------------------------------------------


def _state_directory() -> Iterator[Finding]:
    state = ensure.state_dir()
    try:
        seen = os.lstat(state)
    except FileNotFoundError:
        yield Finding("state directory", "ok", f"{state}, made at the first start")
        return
    mode = stat.S_IMODE(seen.st_mode)
    found = f"{state}, mode {mode:04o}"
    if not stat.S_ISDIR(seen.st_mode):
        yield Finding("state directory", "fail", f"{state} is no directory", "move it away")
    elif seen.st_uid != os.geteuid():
        owner = f"{found}, of user {seen.st_uid}"
        yield Finding("state directory", "fail", owner, "run this as that user, or set HOME")
    elif mode & 0o022:
        yield Finding("state directory", "fail", found, f"chmod 700 {state}")
    else:
        yield Finding("state directory", "ok", found)


def _hooks() -> Iterator[Finding]:
    """Find the lines in rc files that bring the hook, and whether what they source is current."""
    found = False
    for shell in render.QUOTE:
        for path in install.startup_files(shell):
            content = userfile.load(path) or b""
            block, line = install.has_block(content), install.has_eval(content)
            if not (block or line):
                continue
            found = True
            where = f"{shell}: {path}"
            static = userfile.load(install.static_path(shell)) if block else None
            again = f"llmenv install {shell}"
            if not block:
                yield Finding("hook", "ok", f"{where}, by llmenv hook (llmenv install is faster)")
            elif static is None:
                yield Finding("hook", "fail", f"{where}: the file it sources is gone", again)
            elif static != _current(shell):
                old = "is of another version, config or Python"
                yield Finding("hook", "warn", f"{where}: the file it sources {old}", again)
            else:
                yield Finding("hook", "ok", f"{where}, llmenv {ensure.__version__}")
    if not found:
        yield Finding("hook", "warn", "in no rc file of bash, zsh or fish", "llmenv install")


def _current(shell: str) -> bytes | None:
    """Return what the static file of *shell* would be now, or None with a wrong config."""
    static, state, config = install.static_path(shell), ensure.state_dir(), ensure.config_path()
    try:
        return os.fsencode(render.static(shell, static, state, config))
    except Problem:
        return None


def _bridge() -> Iterator[Finding]:
    program, leading = ensure.mcp_proxy_command()
    yield Finding("mcp-proxy", "ok", " ".join([program, *leading]))


# --- a service --------------------------------------------------------------------------------


def _command(service: Service) -> Iterator[Finding]:
    meant = ensure.expanded(service)
    meant.bridge = False  # the bridge has a row of its own
    yield Finding("command", "ok", " ".join(ensure.command_line(meant)), service=service.name)


def _address(service: Service) -> Iterator[Finding]:
    if ipaddress.ip_address(service.host).is_loopback:
        yield Finding("address", "ok", f"{service.bind}, this host alone", service=service.name)
    else:
        open_to = f"{service.bind}: others can reach it, and nobody is asked for a password"
        todo = f'bind = "127.0.0.1:{service.port}" in the config, and a tunnel for others'
        yield Finding("address", "warn", open_to, todo, service.name)


def _state(service: Service) -> Iterator[Finding]:
    """Judge the port, the process and what is recorded of it."""
    seen = ensure.inspect(service, ensure.state_dir())
    found = f"{seen.state}, pid {seen.pid}" if seen.pid else seen.state
    found += f": {seen.detail}" if seen.detail else ""
    start = f"llmenv start {service.name}"
    down = "warn" if service.autostart else "ok"
    verdict, todo = {
        "running": ("warn", f"llmenv logs {service.name}") if seen.detail else ("ok", ""),
        "broken": ("fail", f"llmenv restart {service.name}"),
        "starting": ("warn", f"wait, or look: llmenv logs {service.name}"),
        "stopped": ("warn", start),
        "failed": ("fail", f"mend it, then: {start}; its output: llmenv logs {service.name}"),
        "taken": ("fail", "stop that process, or give the service another bind"),
    }.get(seen.state, (down, start))
    yield Finding("state", verdict, found, todo, service.name)
    try:
        written = ensure.read_pidfile(seen.files.pid)
    except (Problem, OSError) as problem:
        yield Finding("pidfile", "warn", str(problem), "llmenv-ensure writes it anew", service.name)
    else:
        if seen.state == "running" and written != seen.pid:
            wrong = f"{seen.files.pid} says {written or 'nothing'}"
            yield Finding("pidfile", "warn", wrong, "llmenv-ensure writes it anew", service.name)
    failure = ensure.read_failure(seen.files)
    if failure and seen.state not in ("failed", "running"):
        ago = f"{max(0, time.time() - failure.when):.0f} s ago, {failure.count} in a row"
        said = f"{failure.message} ({ago})"
        yield Finding("last failure", "warn", said, f"llmenv logs {service.name}", service.name)


SERVICE_CHECKS = {"command": _command, "address": _address, "state": _state}


def _round_trip(service: Service, config: Config) -> Iterator[Finding]:
    """Say hello as an agent would, through the URL that agents get."""
    url = config.url(service)
    parts = urlsplit(url)
    began = time.monotonic()
    try:
        answer = ensure.call_mcp(parts.hostname or "", parts.port or 0, "initialize", HELLO)
        server = answer["result"]["serverInfo"]["name"]
    except TimeoutError:
        why = f"no answer within {ensure.DEEP_TIMEOUT_S:.0f} s"
    except OSError as error:
        why = error.strerror or str(error)
    except (HTTPException, ValueError, LookupError, TypeError):
        why = "what answers there is no MCP server"
    else:
        took = (time.monotonic() - began) * 1000
        found = f"{url}: {server} answered in {took:.0f} ms"
        yield Finding("round trip", "ok", found, service=service.name)
        return
    todo = f"llmenv logs {service.name}" if config.here else f"look on {config.server_host}"
    yield Finding(
        "round trip", "fail" if service.bridge else "warn", f"{url}: {why}", todo, service.name
    )
