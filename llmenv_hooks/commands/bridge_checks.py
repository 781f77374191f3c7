"""What `status` and `doctor` tell about a bridge: who may ask, who did, what is left over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llmenv_hooks.commands.findings import Finding
from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.marks import strays
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.processes import command_of
from llmenv_hooks.helper.proofs import linked_pid
from llmenv_hooks.helper.realms import find
from llmenv_hooks.helper.services import GUARDED, MCP_PROXY, Service, is_local
from llmenv_hooks.helper.sockets import ask_bridge
from llmenv_hooks.sharing.copies import memory_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmenv_hooks.helper.places import Files


def summary(told: dict[str, Any]) -> str:
    """Return what our bridge *told* about itself as one line: agents, calls, restarts, refusals."""
    refused: dict[str, int] = told.get("refused") or {}
    why = ", ".join(f"{reason} {count}" for reason, count in sorted(refused.items()) if count)
    parts = [
        _counted(len(told.get("agents") or []), "agent"),
        _counted(int(told.get("calls") or 0), "call"),
        _counted(int((told.get("server") or {}).get("restarts") or 0), "restart")
        + " of its server",
        _counted(sum(refused.values()), "request") + " refused" + (f" ({why})" if why else ""),
    ]
    return printable(", ".join(parts), 400)


def sharing(told: dict[str, Any]) -> tuple[int, int]:
    """Return how many agents share the server, and what that saves by what our bridge *told*.

    Without the bridge each would have a copy: what is saved is what all but one of those would
    take, in bytes.
    """
    agents = len(told.get("agents") or [])
    pids = (told.get("server") or {}).get("pids") or []
    return agents, (agents - 1) * memory_of(pids) if agents > 1 else 0


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def left_behind(files: Files) -> list[str]:
    """Return pid and command of each process that an earlier life of the service left behind."""
    return [
        f"pid {pid} ({printable(command_of(pid), 120)})"
        for pid in sorted(strays(files, linked_pid(files)))
    ]


def who_may_ask(service: Service) -> Iterator[Finding]:
    """Say who can reach the tools of a bridged *service*."""
    name = service.name
    if service.bridge == GUARDED:
        files, _ = find(service, state_dir())
        may = "this user's programs, and no web page"
        if needs_token(service, files):
            may = f"whoever can reach {service.bind} and has the token in {files.token}"
        more = f", but for the origins {', '.join(service.origins)}" if service.origins else ""
        yield Finding("who may ask", "ok", may + more, service=name)
    elif service.bridge == MCP_PROXY:
        may = "mcp-proxy lets in every user of this machine, and web pages by DNS rebinding"
        todo = f'bridge = "{GUARDED}" in the config'
        yield Finding("who may ask", "warn", may, todo, name)


def needs_token(service: Service, files: Files) -> bool:
    """True when who asks the guarded *service* over HTTP has to bring its token.

    The bridge knows whether the kernel tells users apart; while it is down, the address says it.
    """
    if not service.port:
        return False
    told = ask_bridge(files) or {}
    return bool(told.get("by_token", not is_local(service.host)))


def processes_left_behind(service: Service) -> Iterator[Finding]:
    """Find what a bridge that was killed left behind; the next start ends it."""
    files, _ = find(service, state_dir())
    for left in left_behind(files):
        todo = f"llmenv restart {service.name}"
        yield Finding("left behind", "warn", f"{left}, of an earlier start", todo, service.name)
