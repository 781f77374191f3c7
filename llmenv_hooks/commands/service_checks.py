"""What `llmenv doctor` looks at of the services: one function a check, each yields its findings."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from llmenv_hooks.agents.launcher import user_command
from llmenv_hooks.bridge.tokens import read_token
from llmenv_hooks.commands.bridge_checks import needs_token, processes_left_behind, who_may_ask
from llmenv_hooks.commands.findings import Finding
from llmenv_hooks.commands.hello import tools_of
from llmenv_hooks.commands.keeper_checks import kept
from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.failures import read_failure
from llmenv_hooks.helper.identity import DEAD, ELSEWHERE, HERE, read_record
from llmenv_hooks.helper.locks import start_lock_holder, start_lock_is_held
from llmenv_hooks.helper.mcp import say_hello
from llmenv_hooks.helper.pidfile import read_pidfile
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.programs import expanded, expanded_headers, program_path
from llmenv_hooks.helper.realms import find
from llmenv_hooks.helper.records import is_anothers, left_over
from llmenv_hooks.helper.services import GUARDED, open_to_others
from llmenv_hooks.helper.status import BEFORE, Status, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmenv_hooks.helper.configs import Config
    from llmenv_hooks.helper.services import Service


def _command(service: Service) -> Iterator[Finding]:
    """Find the service's own program; mcp-proxy has a row of its own."""
    meant = expanded(service)
    command = [program_path(meant), *meant.command[1:]]
    yield Finding("command", "ok", " ".join(command), service=service.name)


def _address(service: Service) -> Iterator[Finding]:
    """Judge who can reach the service."""
    warning = open_to_others(service)
    if warning is None:
        found = f"{service.place}, this {'host' if service.port else 'user'} alone"
        yield Finding("address", "ok", found, service=service.name)
    else:
        todo = f'bind = "127.0.0.1:{service.port}" in the config, and a tunnel for others'
        yield Finding("address", "warn", warning, todo, service.name)


def left_over_services(config: Config) -> Iterator[Finding]:
    """Find the services that run though the config does not have them any more."""
    for service in left_over(config, state_dir()):
        if is_anothers(service.config, config):
            continue
        gone = f"runs on {service.place}, and is not in the config any more"
        yield Finding("left over", "warn", gone, f"llmenv stop {service.name}", service.name)


def proxy(service: Service, config: Config) -> Iterator[Finding]:
    """Find a proxy that agents would ask for the service; we ourselves never ask one."""
    if not service.has_url:
        return
    import urllib.request

    host = urlsplit(config.url(service)).hostname or ""
    known = urllib.request.getproxies_environment()
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]
    passed_by = bypass(host, known) or host in known.get("no", "").split(",")
    if ("http" in known or "all" in known) and not passed_by:
        found = f"a proxy is set, and no_proxy does not have {host}: agents that obey that ask the"
        todo = f"where agents start: export no_proxy={host},localhost NO_PROXY={host},localhost"
        yield Finding("proxy", "warn", f"{found} proxy", todo, service.name)


def _state(service: Service) -> Iterator[Finding]:
    """Judge the port, the process and what is recorded of it."""
    seen = inspect(service, state_dir())
    found = f"{seen.state}, pid {seen.pid}" if seen.pid else seen.state
    found += f": {seen.detail}" if seen.detail else ""
    start = f"llmenv start {service.name}"
    down = "fail" if service.autostart else "ok"
    look = f"llmenv logs {service.name}"
    if seen.detail.startswith("root's"):
        look = "stop that process, or give the service another bind"
    elif seen.detail.startswith(BEFORE):
        look = start
    verdict, todo = {
        "running": ("warn", look) if seen.detail else ("ok", ""),
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
    failure = read_failure(seen.files)
    if failure and seen.state not in ("failed", "running"):
        ago = f"{max(0, time.time() - failure.when):.0f} s ago, {failure.count} in a row"
        said = f"{failure.message.removeprefix(f'{service.name}: ')} ({ago})"
        yield Finding("last failure", "warn", said, f"llmenv logs {service.name}", service.name)


def _pidfile(service: Service, seen: Status) -> Finding:
    anew = "llmenv-ensure writes it anew"
    try:
        written = read_pidfile(seen.files.pid)
    except (Problem, OSError) as problem:
        return Finding("pidfile", "warn", str(problem), anew, service.name)
    found = f"{seen.files.pid}: {written or 'none'}"
    if seen.state == "running" and written != seen.pid:
        return Finding("pidfile", "warn", found, anew, service.name)
    return Finding("pidfile", "ok", found, service=service.name)


def _identity(service: Service, seen: Status) -> Finding:
    """Say which process the record in NAME.life means, and whether that lives."""
    record = read_record(seen.files.life)
    if record is None:
        return Finding("identity", "ok", "nothing is recorded", service=service.name)
    how = {HERE: "lives", DEAD: "is dead", ELSEWHERE: "is of another boot, container or host"}
    whose = f"pid {record.pid} of user {record.uid}, on {record.bind or 'its socket'}"
    found = f"{whose}: {how[record.whereabouts()]}"
    return Finding("identity", "ok", found, service=service.name)


def _lock(service: Service, seen: Status) -> Finding:
    """Say who holds the start lock."""
    files = seen.files
    if not os.path.lexists(files.lock):
        return Finding("lock", "ok", "free", service=service.name)
    if start_lock_is_held(files):
        found = f"{start_lock_holder(files)} holds {files.lock}: it starts or stops the service"
        return Finding("lock", "ok", found, service=service.name)
    return Finding("lock", "ok", "free; the next start sweeps what was left", service=service.name)


def round_trip(service: Service, config: Config) -> Iterator[Finding]:
    """Say hello as an agent would, through the URL that agents get, or else through `connect`."""
    url = config.url(service)
    began = time.monotonic()
    try:
        if not service.has_url:
            tools = tools_of(user_command(service.name), service.start_timeout)
            found = f"llmenv connect {service.name}: it has {len(tools)} tools"
            yield Finding("round trip", "ok", found, service=service.name)
            return
        headers = expanded_headers(service) | (_token(service) if config.here else {})
        server = say_hello(url, headers)
    except Problem as problem:
        todo = f"llmenv logs {service.name}" if config.here else f"look on {config.server_host}"
        if service.url:
            todo = "look there, and at url and headers of this service in the config"
        serious = service.bridge or service.url
        yield Finding("round trip", "fail" if serious else "warn", str(problem), todo, service.name)
    else:
        took = (time.monotonic() - began) * 1000
        found = f"{url}: {server} answered in {took:.0f} ms"
        yield Finding("round trip", "ok", found, service=service.name)


def _token(service: Service) -> dict[str, str]:
    """Return the header that the bridge of *service* asks for; empty where it knows us without.

    Raises:
        Problem: the token's file cannot be read.
    """
    if service.bridge != GUARDED:
        return {}
    files, _ = find(service, state_dir())
    if not needs_token(service, files):
        return {}
    return {"Authorization": f"Bearer {read_token(files.token)}"}


SERVICE_CHECKS = {
    "command": _command,
    "address": _address,
    "who may ask": who_may_ask,
    "state": _state,
    "kept by": kept,
    "left behind": processes_left_behind,
}
