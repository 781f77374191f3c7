"""Says hello to a service as an agent does: through the command that an agent's file has."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# As the oldest that agents still speak; the server answers with what it has (MCP, "Lifecycle").
PROTOCOL = "2025-06-18"


def tools_of(argv: Sequence[str], timeout: float) -> list[dict[str, Any]]:
    """Return the tools that an agent sees which starts *argv*, within *timeout* s.

    Raises:
        Problem: it cannot be started, or does not answer as an MCP server.
    """
    try:
        server = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError as error:
        raise Problem(f"cannot run {printable(argv[0])}: {error.strerror}") from None
    ended = threading.Timer(timeout, server.kill)
    ended.start()
    try:
        with server:
            hello = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": _US}
            _ask(server, 1, "initialize", hello)
            _send(server, {"method": "notifications/initialized"})
            return [
                tool | {"name": str(tool["name"])}
                for tool in _ask(server, 2, "tools/list", {})["tools"]
            ]
    except (OSError, ValueError, LookupError, TypeError) as error:
        if ended.finished.is_set():
            raise Problem(f"it does not answer within {timeout:g} s") from None
        why = printable(str(error), 200)
        raise Problem(f"it does not answer as an MCP server: {why}") from None
    finally:
        ended.cancel()


_US = {"name": "llmenv", "version": __version__}


def _send(server: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert server.stdin
    server.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
    server.stdin.flush()


def _ask(
    server: subprocess.Popen[bytes], number: int, method: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Send a request and return its result.

    Raises:
        Problem: it was answered with an error.
        ValueError: the server ended, or what it says is no JSON.
    """
    assert server.stdout
    _send(server, {"id": number, "method": method, "params": params})
    for line in server.stdout:
        answer = json.loads(line)
        if answer.get("id") == number:
            if "error" in answer:
                raise Problem(printable(str(answer["error"].get("message")), 700))
            return dict(answer["result"])
    raise ValueError("it ended")
