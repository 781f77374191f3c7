"""`llmenv doctor`: looks at all that can be wrong, says what was found and what to do about it."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmenv_hooks.commands import tables
from llmenv_hooks.commands.agent_checks import agents
from llmenv_hooks.commands.findings import Finding
from llmenv_hooks.commands.fixing import fix
from llmenv_hooks.commands.installation import bridge_program, hooks, state_directory
from llmenv_hooks.commands.service_checks import (
    SERVICE_CHECKS,
    left_over_services,
    proxy,
    round_trip,
)
from llmenv_hooks.commands.this_shell import this_shell
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.listeners import answers
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.ports import probe
from llmenv_hooks.helper.realms import find
from llmenv_hooks.helper.services import MCP_PROXY, Service
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.places import PACKAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, no table.")] = False,
    mend: Annotated[
        bool, typer.Option("--fix", help="Do what it advises, asking before each step.")
    ] = False,
) -> None:
    """Find what is wrong, and say what to do about it.

    Changes nothing by itself. The exit status is 1 when something is wrong.
    """
    findings = list(examine())
    if mend and fix(findings):
        findings = list(examine())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    if any(finding.verdict == "fail" for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    from rich.text import Text

    table = tables.new("check", "verdict", "found, and what to do")
    colours = {"ok": "green", "warn": "yellow", "fail": "red"} if tables.coloured() else {}
    for finding in findings:
        name = f"{finding.service}: {finding.check}" if finding.service else finding.check
        text = printable(finding.found, 700)
        if finding.todo:
            text += f"\n-> {printable(finding.todo)}"
        table.add_row(name, Text(finding.verdict, style=colours.get(finding.verdict, "")), text)
    tables.show(table)
    print(f"\n{_summary(findings)}")


def _summary(findings: list[Finding]) -> str:
    counts = {"failure": "fail", "warning": "warn"}
    parts = []
    for word, verdict in counts.items():
        if number := sum(finding.verdict == verdict for finding in findings):
            parts.append(f"{number} {word}{'s' * (number != 1)}")
    return ", ".join(parts) or "all is well"


def examine() -> Iterator[Finding]:
    """Yield what every check finds, in the order in which one thing depends on another."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("package", "ok", f"llmenv {__version__}, Python {version}, {PACKAGE}")
    yield from _safely("state directory", state_directory)
    yield from _safely("hook", hooks)
    try:
        config = load_config()
    except Problem as problem:
        yield Finding("config", "fail", str(problem), "mend it; then: llmenv config check")
        return
    there = config.path if os.path.exists(config.path) else f"{config.path} (none: the default)"
    names = ", ".join(service.name for service in config.services) or "no service"
    yield Finding("config", "ok", f"{there}: {names}")
    where = "this host" if config.here else "another host, nothing runs here"
    yield Finding("server_host", "ok", f"{config.server_host or 'not set'}: {where}")
    yield from _safely("this shell", this_shell, config)
    if config.here and any(service.bridge == MCP_PROXY for service in config.services):
        yield from _safely("mcp-proxy", bridge_program)
    yield from _safely("left over", left_over_services, config)
    for service in config.services:
        if service in config.run_here:
            for name, check in SERVICE_CHECKS.items():
                yield from _safely(name, check, service)
        yield from _safely("proxy", proxy, service, config)
        if service not in config.run_here or _answers(service):
            yield from _safely("round trip", round_trip, service, config)
    yield from _safely("agents", agents, config)


def _answers(service: Service) -> bool:
    """Say whether *service* answers; what is wrong with the state directory is found elsewhere."""
    if service.port:
        return probe(service.host, service.port)
    try:
        return answers(service, find(service, state_dir())[0])
    except Problem:
        return False


def _safely(name: str, check: Callable[..., Iterator[Finding]], *about: Any) -> Iterator[Finding]:
    """Yield what *check* finds; that it cannot look is a finding too."""
    service = next((one.name for one in about if isinstance(one, Service)), None)
    try:
        yield from check(*about)
    except (Problem, OSError) as problem:
        yield Finding(name, "fail", str(problem), service=service)
