"""What `status` and `doctor` tell of who keeps a service: a unit, another keeper, or prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmenv_hooks import userfile
from llmenv_hooks.commands.findings import Finding
from llmenv_hooks.commands.unittexts import units
from llmenv_hooks.helper.keepers import keeper_of
from llmenv_hooks.helper.managers import manager_of
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.proofs import is_stopped
from llmenv_hooks.helper.realms import find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmenv_hooks.helper.managers import Manager
    from llmenv_hooks.helper.places import Files
    from llmenv_hooks.helper.services import Service


def who_keeps(service: Service, files: Files) -> str | None:
    """Return who stays in front of the daemon of *service*, or None: prompts start it."""
    keeper = keeper_of(files)
    if keeper is None:
        return None
    manager = manager_of(service.name)
    name = manager.unit(service.name) if manager else "llmenv-ensure --foreground"
    return f"{name}, pid {keeper.pid}"


def kept(service: Service) -> Iterator[Finding]:
    """Judge the unit of *service*, and who keeps it; nothing where prompts do, as usual."""
    files, _ = find(service, state_dir())
    manager, who = manager_of(service.name), who_keeps(service, files)
    if manager and _is_outdated(manager, service):
        old = f"{manager.unit(service.name)} is not what llmenv would write now"
        todo = f"llmenv unit {manager.name} {service.name} --write"
        yield Finding("kept by", "warn", old, todo, service.name)
    elif who:
        yield Finding("kept by", "ok", who, service=service.name)
    elif manager and not is_stopped(files):
        idle = f"{manager.unit(service.name)} is there, and does not keep it: prompts do"
        yield Finding("kept by", "warn", idle, f"llmenv start {service.name}", service.name)


def _is_outdated(manager: Manager, service: Service) -> bool:
    """True when a unit runs another program, or listens elsewhere, than one of today would.

    The rest is the environment of the shell that wrote it, and differs from one to the next.
    """
    wanted = units(manager.name, service)
    for path in manager.paths(service.name):
        there = (userfile.load(path) or b"").decode(errors="replace")
        if _what_matters(there) != _what_matters(wanted.get(path, "")):
            return True
    return False


def _what_matters(text: str) -> list[str]:
    """Return the lines of a unit of systemd's, or of launchd's, that say what it keeps."""
    lines = [line.strip() for line in text.splitlines()]
    if "<array>" in lines:
        return lines[lines.index("<array>") : lines.index("</array>")]
    return [line for line in lines if line.startswith(("ExecStart=", "ListenStream=", "Sockets="))]
