"""JSON-RPC 2.0 as MCP has it: one message, one line of JSON, and its errors."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    Message = dict[str, Any]

MOST_MESSAGE_BYTES = 4 << 20
PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602
METHOD_NOT_FOUND = -32601
# JSON-RPC leaves what lies outside -32768..-32000 to applications.
SERVER_DIED = -31001
SERVER_DOWN = -31002
# What the bridge says last at its socket: what it has not answered, it has not taken.
LEAVING = "notifications/llmenv/leaving"
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"  # in _meta, from MCP 2026-07-28 on


class NotAMessage(Exception):
    """What came is no JSON-RPC message.

    Attributes:
        code: of the JSON-RPC error to answer with.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def decode(line: bytes) -> Message:
    """Return the JSON-RPC message that *line* holds.

    Raises:
        NotAMessage: it is no JSON, nested too deep, a batch, or not of the form that JSON-RPC
            gives requests, notifications and responses.
    """
    try:
        message = _coders()[0](line.decode())
    except RecursionError:
        raise NotAMessage(PARSE_ERROR, "nested too deep") from None
    except ValueError as error:
        raise NotAMessage(PARSE_ERROR, f"not JSON: {error}"[:200]) from None
    if isinstance(message, list):
        # 2025-03-26 had batches; 2025-06-18 took them out again.
        raise NotAMessage(INVALID_REQUEST, "batches are not supported: send one message at a time")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise NotAMessage(INVALID_REQUEST, "not a JSON-RPC 2.0 message")
    _check_form(message)
    return message


def _check_form(message: Message) -> None:
    """See that *message* is a request, a notification or a response."""
    number = message.get("id")
    # The answer to what could not be read carries no id, or a null.
    unread = number is None and ("error" in message or "id" not in message)
    if not is_id(number) and not unread:
        raise NotAMessage(INVALID_REQUEST, "an id is a string or an integer")
    if "method" in message:
        if not isinstance(message["method"], str):
            raise NotAMessage(INVALID_REQUEST, "the method is not a string")
        if not isinstance(message.get("params", {}), dict):
            raise NotAMessage(INVALID_PARAMS, "params is not an object")
    elif ("result" in message) == ("error" in message):
        raise NotAMessage(INVALID_REQUEST, "neither a request nor a response")
    elif "error" in message and not _is_error(message["error"]):
        raise NotAMessage(INVALID_REQUEST, "an error is an object with a code")


def _is_error(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("code"), int)


def is_id(value: object) -> bool:
    """True when *value* can name a request, or a progress."""
    return isinstance(value, (str, int)) and not isinstance(value, bool)


def encode(message: Message) -> bytes:
    """Return *message* as JSON, in ASCII, on one line without its end.

    Raises:
        NotAMessage: a number in it is none that JSON has, or it is nested too deep.
    """
    try:
        text = _coders()[1](message)
    except (ValueError, RecursionError) as error:
        raise NotAMessage(PARSE_ERROR, f"not JSON: {error}"[:200]) from None
    return text.encode("ascii")


_made: list[tuple[Callable[[str], Any], Callable[[Message], str]]] = []


def _coders() -> tuple[Callable[[str], Any], Callable[[Message], str]]:
    """Return what reads JSON and what writes it, made once; json is loaded when it is needed."""
    if not _made:
        import json

        encoder = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False)
        _made.append((json.JSONDecoder(parse_constant=_no_constant).decode, encoder.encode))
    return _made[0]


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def failure(number: object, code: int, text: str) -> Message:
    """Return the error that answers the request *number*; None: its id could not be read."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}}


def params_of(message: Message) -> Message:
    """Return the params of *message*, empty when it has none."""
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def stated_version(message: Message) -> str | None:
    """Return the protocol version that *message* states for itself, as from 2026-07-28 on."""
    meta = params_of(message).get("_meta")
    version = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    return version if isinstance(version, str) else None
