"""How a service is doing, for people: `llmenv status` and `llmenv doctor`."""

from __future__ import annotations

from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.failures import read_failure
from llmenv_hooks.helper.mcp import deep_check
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import process_age
from llmenv_hooks.helper.proofs import is_stopped, linked_pid
from llmenv_hooks.helper.realms import find
from llmenv_hooks.helper.services import GUARDED, MCP_PROXY, Service
from llmenv_hooks.helper.sight import ROOTS
from llmenv_hooks.helper.sockets import ask_bridge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BEFORE = "as configured before,"  # begins the detail of what runs until it is started anew


class Status:
    """What `inspect` found.

    *state* is running, broken (its stdio server is gone), starting, stopped, failed, taken, down or
    manual (down, and autostart = false); *pid* the listener's, *uptime* in seconds, both None where
    not known; *detail* one line; *bridge* what our bridge tells about itself, where there is one.
    """

    def __init__(
        self,
        state: str,
        files: Files,
        pid: int | None,
        uptime: float | None,
        detail: str,
        bridge: dict[str, Any] | None = None,
    ) -> None:
        self.state = state
        self.files = files
        self.pid = pid
        self.uptime = uptime
        self.detail = detail
        self.bridge = bridge


def inspect(service: Service, state: str) -> Status:
    """Return how *service*, whose files are in *state*, is doing; changes nothing.

    Raises:
        Problem: a state file is not what it should be, or cannot be read.
    """
    files, sight = find(service, state)
    failure = read_failure(files)
    pid = linked_pid(files) or sight.pid
    uptime = process_age(pid) if pid else None
    if sight.answers and sight.detail == ROOTS:
        whose = f"root's process has {service.place}; llmenv did not start it, and leaves it alone"
        return Status("running", files, None, None, whose)
    if sight.answers and service.bridge == GUARDED:
        return _behind_our_bridge(service, files, pid, uptime)
    if sight.answers:
        verdict = deep_check(service) if service.bridge == MCP_PROXY else "ok"
        words = {"gone": "its stdio server is gone", "ok": ""}.get(verdict, f"answers: {verdict}")
        return Status("broken" if verdict == "gone" else "running", files, pid, uptime, words)
    if sight.state in ("starting", "bare", "waking"):
        return Status("starting", files, pid, uptime, f"no answer on {service.place} yet")
    if sight.state == "taken":
        return Status("taken", files, None, None, f"{service.place} is taken by {sight.detail}")
    if sight.state == "changed":
        before = f"{BEFORE} on {sight.detail}; llmenv start {service.name} restarts it"
        return Status("running", files, pid, uptime, before)
    if is_stopped(files):
        return Status(
            "stopped", files, None, None, f"by llmenv stop; llmenv start {service.name} starts it"
        )
    if failure:
        said = failure.message.removeprefix(f"{service.title}: ")
        return Status("failed", files, None, None, said)
    return Status("down" if service.autostart else "manual", files, None, None, "")


def _behind_our_bridge(
    service: Service, files: Files, pid: int | None, uptime: float | None
) -> Status:
    """Return how a service behind our bridge is doing: what the bridge tells of its server."""
    told = ask_bridge(files)
    if told is None:
        return Status("running", files, pid, uptime, "its socket does not answer")
    server = told.get("server", {})
    state, reason = str(server.get("state")), printable(str(server.get("reason") or ""))
    detail = "" if state == "running" else f"its server is {state}"
    detail += f": {reason}" if detail and reason else ""
    return Status("broken" if state == "failing" else "running", files, pid, uptime, detail, told)
