"""One call of MCP over HTTP, and the deep check that is made of it."""

from __future__ import annotations

from llmenv_hooks.helper.services import Service, reachable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


DEEP_TIMEOUT_S = 3.0


def deep_check(service: Service) -> str:
    """Ask a bridged service for its tools; return ok, gone, busy or unknown.

    mcp-proxy answers port, /status, ping and initialize even when its stdio child is dead; only
    a call that reaches the child shows it (sparfenyuk/mcp-proxy#247).  One slow call blocks all
    others, so a time-out means busy.
    """
    import http.client

    try:
        answer = call_mcp(reachable(service.host), service.port, "tools/list", {})
    except TimeoutError:
        return "busy"
    except (OSError, http.client.HTTPException, ValueError):
        return "unknown"
    if not isinstance(answer, dict) or answer.get("jsonrpc") != "2.0":
        return "unknown"
    error = answer.get("error")
    # -32601, method not found: a living server that has no tools.
    alive = "result" in answer or (isinstance(error, dict) and error.get("code") == -32601)
    return "ok" if alive else "gone"


def call_mcp(
    host: str, port: int, method: str, params: dict[str, Any], token: str | None = None
) -> Any:
    """Return the JSON that http://*host*:*port*/mcp answers to one call of *method*.

    *token* is what our bridge asks for where the kernel does not tell users apart.
    MCP specification 2025-06-18, Transports, Streamable HTTP: a POST, answered in JSON or as the
    one event of a stream.

    Raises:
        TimeoutError: nothing came for DEEP_TIMEOUT_S.
        OSError, http.client.HTTPException, ValueError: the answer is none of HTTP, or of JSON.
    """
    import http.client
    import json

    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
    }
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection(host, port, timeout=DEEP_TIMEOUT_S)
    try:
        connection.request("POST", "/mcp", body, headers)
        text = connection.getresponse().read(1 << 22).decode(errors="replace")
    finally:
        connection.close()
    lines = [line.removeprefix("data:") for line in text.splitlines() if line[:1] in "{d"]
    return json.loads("".join(lines))
