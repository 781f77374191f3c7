"""`llmenv doctor`: looks at all that can be wrong, says what was found and what to do about it."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import re
import shlex
import shutil
import stat
import sys
import time
from dataclasses import asdict, dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.text import Text

from llmenv_hooks import ensure, install, render, tables, userfile
from llmenv_hooks.ensure import Config, Problem, Service, Status, printable

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
    table = tables.new("check", "verdict", "found, and what to do")
    colours = {"ok": "green", "warn": "yellow", "fail": "red"} if tables.coloured() else {}
    for finding in findings:
        name = f"{finding.service}: {finding.check}" if finding.service else finding.check
        text = printable(finding.found, 700)
        if finding.todo:
            text += f"\n-> {printable(finding.todo)}"
        table.add_row(name, Text(finding.verdict, style=colours.get(finding.verdict, "")), text)
    tables.show(table)


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
    where = "this host" if config.here else "another host, nothing runs here"
    yield Finding("server_host", "ok", f"{config.server_host or 'not set'}: {where}")
    if config.here and any(service.bridge for service in config.services):
        yield from _safely("mcp-proxy", _bridge)
    yield from _safely("left over", _left_over, config)
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
    """Find the lines in rc files that bring the hook, and whether what they lead to is right."""
    found = False
    for shell in render.QUOTE:
        for path in install.startup_files(shell):
            where, again = f"{shell}: {path}", f"llmenv install {shell}"
            try:
                content = userfile.load(path) or b""
                install._refuse_half(path, content)
            except Problem as problem:
                yield Finding("hook", "fail", f"{shell}: {problem}", f"mend it; then: {again}")
                found = True
                continue
            if install.has_block(content):
                yield from _sourced(shell, where, again)
            elif install.has_eval(content):
                yield from _evaluated(where, content)
            else:
                continue
            found = True
    if not found:
        yield Finding("hook", "warn", "in no rc file of bash, zsh or fish", "llmenv install")


def _sourced(shell: str, where: str, again: str) -> Iterator[Finding]:
    """Judge the static file, which the block in *where* sources."""
    static = userfile.load(install.static_path(shell))
    if static is None:
        yield Finding("hook", "fail", f"{where}: the file it sources is gone", again)
        return
    code = os.fsdecode(static)
    if static == _current(shell):
        yield Finding("hook", "ok", f"{where}, llmenv {ensure.__version__}")
    else:
        version = re.match(r"# llmenv (\S+)\n", code)
        old = f"is of llmenv {version[1] if version else '(no version)'}"
        if version and version[1] == ensure.__version__:
            old += ", but of another config or Python"
        yield Finding("hook", "warn", f"{where}: the file it sources {old}", again)
    python = _interpreter(shell, code)
    if ensure.is_executable(python):
        yield Finding("interpreter", "ok", f"{shell}: {python}")
    else:
        gone = f"{shell}: {python or 'what the hook calls'} is gone"
        yield Finding("interpreter", "fail", gone, again)


def _interpreter(shell: str, code: str) -> str:
    """Return the first path that *code*, a static file, tests with -x; "" for none."""
    try:
        if shell == "zsh":  # where the code is one word
            code = shlex.split(code)[-1]
        words = shlex.shlex(code.partition(" -x ")[2], posix=True)
        words.whitespace_split, words.commenters = True, ""
        if shell == "fish":
            words.escapedquotes = "'"
        return words.get_token() or ""
    except (ValueError, IndexError):  # cut, or edited
        return ""


def _evaluated(where: str, content: bytes) -> Iterator[Finding]:
    """Judge a line that runs `llmenv hook`: whether a shell finds that."""
    yield Finding("hook", "ok", f"{where}, by llmenv hook (llmenv install is faster)")
    named = re.search(rb"^[^#\n]*?([^\s\"'`(]*\bllmenv) hook\b", content, re.M)
    word = os.fsdecode(named[1]) if named else "llmenv"
    program = os.path.expanduser(os.path.expandvars(word))
    if path := shutil.which(program):
        yield Finding("interpreter", "ok", f"{where} runs {path}")
    else:
        todo = "put its directory on PATH, before that line"
        yield Finding("interpreter", "fail", f"{where} runs {program}, which is not on PATH", todo)


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


def _left_over(config: Config) -> Iterator[Finding]:
    for service in ensure.left_over(config, ensure.state_dir()):
        gone = f"runs on {service.bind}, and is not in the config any more"
        yield Finding("left over", "warn", gone, f"llmenv stop {service.name}", service.name)


def _state(service: Service) -> Iterator[Finding]:
    """Judge the port, the process and what is recorded of it."""
    seen = ensure.inspect(service, ensure.state_dir())
    found = f"{seen.state}, pid {seen.pid}" if seen.pid else seen.state
    found += f": {seen.detail}" if seen.detail else ""
    start = f"llmenv start {service.name}"
    down = "fail" if service.autostart else "ok"
    verdict, todo = {
        "running": ("warn", f"llmenv logs {service.name}") if seen.detail else ("ok", ""),
        "broken": ("fail", f"llmenv restart {service.name}"),
        "starting": ("warn", f"wait, or look: llmenv logs {service.name}"),
        "stopped": ("warn", start),
        "failed": ("fail", f"mend it, then: {start}; its output: llmenv logs {service.name}"),
        "taken": ("fail", "stop that process, or give the service another bind"),
    }.get(seen.state, (down, start))
    yield Finding("state", verdict, found, todo, service.name)
    yield _pidfile(service, seen)
    yield _identity(service, seen)
    yield _lock(service, seen)
    failure = ensure.read_failure(seen.files)
    if failure and seen.state not in ("failed", "running"):
        ago = f"{max(0, time.time() - failure.when):.0f} s ago, {failure.count} in a row"
        said = f"{failure.message.removeprefix(f'{service.name}: ')} ({ago})"
        yield Finding("last failure", "warn", said, f"llmenv logs {service.name}", service.name)


def _pidfile(service: Service, seen: Status) -> Finding:
    anew = "llmenv-ensure writes it anew"
    try:
        written = ensure.read_pidfile(seen.files.pid)
    except (Problem, OSError) as problem:
        return Finding("pidfile", "warn", str(problem), anew, service.name)
    found = f"{seen.files.pid}: {written or 'none'}"
    if seen.state == "running" and written != seen.pid:
        return Finding("pidfile", "warn", found, anew, service.name)
    return Finding("pidfile", "ok", found, service=service.name)


def _identity(service: Service, seen: Status) -> Finding:
    """Say which process the record in NAME.life means, and whether that lives."""
    record = ensure.read_record(seen.files.life)
    if record is None:
        return Finding("identity", "ok", "nothing is recorded", service=service.name)
    lives = {True: "lives", False: "is dead", None: "is of another boot, container or host"}
    found = f"pid {record.pid} of user {record.uid}, on {record.bind}: {lives[record.lives()]}"
    return Finding("identity", "ok", found, service=service.name)


def _lock(service: Service, seen: Status) -> Finding:
    """Say who holds the start lock."""
    files = seen.files
    try:
        fd = ensure._open_ours(files.lock, os.O_RDONLY)
    except FileNotFoundError:
        return Finding("lock", "ok", "free", service=service.name)
    try:
        held = not ensure._flock(fd, fcntl.LOCK_SH) or ensure._held_by_seed(fd)
    finally:
        os.close(fd)
    if held:
        found = f"{ensure._lock_holder(files)} holds {files.lock}: it starts or stops the service"
        return Finding("lock", "ok", found, service=service.name)
    return Finding("lock", "ok", "free; the next start sweeps what was left", service=service.name)


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
