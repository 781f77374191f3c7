"""NAME.fail: the last failure, the message for the prompt and the pause before the next try."""

from __future__ import annotations

import os
import time

from llmenv_hooks.helper.checksums import checksum
from llmenv_hooks.helper.complaints import complain, state_trouble
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import modified, read_regular, replace_file
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import realm
from llmenv_hooks.helper.programs import expanded, mcp_proxy_command, which
from llmenv_hooks.helper.services import MCP_PROXY, Service

LONGEST_PAUSE_S = 300.0
MESSAGE_LIMIT = 700  # characters


class Failure:
    """The last failure of a service: what to say, how often in a row, when, of what."""

    def __init__(self, message: str, count: int, when: float, boot: str, digest: str) -> None:
        self.message = message
        self.count = count
        self.when = when
        self.boot = boot
        self.digest = digest

    def pause_left(self, digest: str) -> float:
        """Return for how many seconds the hook should still leave the service alone."""
        passed = time.time() - self.when
        if digest != self.digest or self.boot != realm()[0] or passed < 0:
            return 0.0
        return min(LONGEST_PAUSE_S, 2.0 ** min(self.count - 1, 9)) - passed


def read_failure(files: Files) -> Failure | None:
    """Return what NAME.fail holds, or None when there is none or it cannot be read."""
    try:
        message, data, *_ = read_regular(files.fail).decode(errors="replace").split("\n")
        version, count, when, boot, digest, end = data.split()
        if (version, end) != ("v1", ".") or not 0 < int(count) < 1 << 31:
            return None
        return Failure(printable(message, MESSAGE_LIMIT), int(count), float(when), boot, digest)
    except (OSError, ValueError):
        return None


def note_failure(files: Files, cause: str, details: str, digest: str) -> None:
    """Write down in NAME.fail that the service failed for *cause*, and the *details* of this try.

    While the cause and the *digest* of `attempt_digest` are the same, the first message stays: a
    shell tells each message once, and would tell each try otherwise.
    """
    last, message = read_failure(files), printable(cause + details, MESSAGE_LIMIT)
    count = 1
    if last and last.digest == digest:
        count = last.count + 1
        if last.message.startswith(printable(cause, MESSAGE_LIMIT)):
            message = last.message
    write_failure(files.fail, message, f"v1 {count} {time.time():.3f} {realm()[0]} {digest} .")


def write_failure(path: str, message: str, data: str) -> None:
    """Write a *message* for the prompt to the file *path*, and a line of *data* below it."""
    try:
        replace_file(
            path, f"{printable(message, MESSAGE_LIMIT)}\n{data}\n".encode(errors="replace")
        )
    except OSError:
        state = os.path.dirname(path)
        complain(state, state_trouble(state) or message)


def attempt_digest(service: Service) -> str:
    """Return a digest that changes with the config and with the programs that would run."""
    parts = [service.digest, service.stamp]
    try:
        programs = [which(expanded(service).command[0]) or ""]
        programs += [mcp_proxy_command()[0]] if service.bridge == MCP_PROXY else []
    except Problem as problem:
        return checksum([*parts, str(problem)])
    return checksum([*parts, *(f"{path} {modified(os.path.realpath(path))}" for path in programs)])
