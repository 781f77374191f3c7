"""MCP over HTTP: one call, what it is made of, and the deep check that is made of it."""

from __future__ import annotations

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.services import Service, url_of
from llmenv_hooks.helper.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    import http.client
    import ssl
    from collections.abc import Iterator
    from typing import Any

DEEP_TIMEOUT_S = 3.0
JSON_HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
    "User-Agent": f"llmenv/{__version__}",
}


HELLO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "llmenv", "version": __version__},
}


class Refused(ValueError):
    """An HTTP status of 400 or more, with nothing in JSON-RPC."""


def say_hello(url: str, headers: dict[str, str]) -> str:
    """Say hello as an agent would; return the name of the MCP server that answers at *url*.

    Raises:
        Problem: none does; it says why.
    """
    import http.client

    try:
        answer = call_mcp(url, "initialize", HELLO, headers)
        return printable(str(answer["result"]["serverInfo"]["name"]), 80)
    except TimeoutError:
        why = f"no answer within {DEEP_TIMEOUT_S:.0f} s"
    except OSError as error:
        why = error.strerror or str(error)
    except Refused as refused:
        why = str(refused)
    except (http.client.HTTPException, ValueError, LookupError, TypeError):
        why = "what answers there is no MCP server"
    raise Problem(printable(f"{url}: {why}"))


def deep_check(service: Service) -> str:
    """Ask a bridged service for its tools; return ok, gone, busy or unknown.

    mcp-proxy answers port, /status, ping and initialize even when its stdio child is dead; only
    a call that reaches the child shows it (sparfenyuk/mcp-proxy#247).  One slow call blocks all
    others, so a time-out means busy.
    """
    import http.client

    try:
        answer = call_mcp(url_of(service), "tools/list", {})
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
    url: str, method: str, params: dict[str, Any], headers: dict[str, str] | None = None
) -> Any:
    """Return the JSON that *url* answers to one call of *method*, with *headers* besides ours.

    MCP specification 2025-06-18, Transports, Streamable HTTP: a POST, answered in JSON or as the
    one event of a stream.

    Raises:
        TimeoutError: nothing came for DEEP_TIMEOUT_S.
        Refused: the HTTP status says that it was not taken.
        OSError, http.client.HTTPException, ValueError: the answer is none of HTTP, or of JSON.
    """
    import json

    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    connection, path = http_connection(url, DEEP_TIMEOUT_S)
    try:
        connection.request("POST", path, body, JSON_HEADERS | (headers or {}))
        response = connection.getresponse()
        status = f"HTTP {response.status} {response.reason}"
        kind = response.getheader("Content-Type") or ""
        if kind.startswith("text/event-stream"):
            return json.loads(next(events(response), b""))
        text = response.read(1 << 22).decode(errors="replace")
    finally:
        connection.close()
    try:
        return json.loads(text.removeprefix("data:"))  # a stream that does not say that it is one
    except ValueError:
        raise (ValueError if response.status < 400 else Refused)(status) from None


def http_connection(
    url: str, timeout: float, tls: ssl.SSLContext | None = None
) -> tuple[http.client.HTTPConnection, str]:
    """Return a connection to *url*, which connects at the first request, and what to ask there.

    Without *tls*, each to an https URL reads all certificate authorities of the system.

    Raises:
        ValueError: it is no URL.
    """
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=tls), path
    return http.client.HTTPConnection(host, port, timeout=timeout), path


def events(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Yield the data of each event that *response* brings (HTML standard, "Server-sent events")."""
    data: list[bytes] = []
    while line := response.readline():
        line = line.rstrip(b"\r\n")
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []
