"""What the bridge adds to the helper's JSON-RPC: more errors, and messages of its own."""

from __future__ import annotations

from llmenv_hooks.helper.jsonrpc import SERVER_DIED, SERVER_DOWN, params_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from llmenv_hooks.helper.jsonrpc import Message

INTERNAL_ERROR = -32603
# MCP 2026-07-28, basic, "Error Codes".
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
SERVER_BUSY = -31003
SERVER_CODES = (SERVER_DIED, SERVER_DOWN, SERVER_BUSY)


def is_request(message: Message) -> bool:
    """True when *message* wants an answer."""
    return "method" in message and "id" in message


def request(number: int | str, method: str, params: Message) -> Message:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def notification(method: str, params: Message) -> Message:
    """Return a notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def result(number: object, value: Message) -> Message:
    """Return the answer to the request *number*."""
    return {"jsonrpc": "2.0", "id": number, "result": value}


def meta_of(message: Message) -> Message:
    """Return `_meta` of the params of *message*, empty when it has none."""
    meta = params_of(message).get("_meta")
    return meta if isinstance(meta, dict) else {}
