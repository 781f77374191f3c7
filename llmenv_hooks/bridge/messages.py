"""JSON-RPC 2.0 as the bridge reads and writes it: one message, one line of JSON, and its errors."""

from __future__ import annotations

import json
from typing import Any, NoReturn

Message = dict[str, Any]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
# MCP 2026-07-28, basic, "Error Codes".
HEADER_MISMATCH = -32020
MISSING_CAPABILITY = -32021
UNSUPPORTED_VERSION = -32022
# JSON-RPC leaves what lies outside -32768..-32000 to applications.
SERVER_DIED = -31001
SERVER_DOWN = -31002
SERVER_BUSY = -31003


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
        message = _DECODER.decode(line.decode())
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
    return isinstance(value, str | int) and not isinstance(value, bool)


def is_request(message: Message) -> bool:
    """True when *message* wants an answer."""
    return "method" in message and "id" in message


def encode(message: Message) -> bytes:
    """Return *message* as JSON, in ASCII, on one line without its end.

    Raises:
        NotAMessage: a number in it is none that JSON has.
    """
    try:
        return _ENCODER.encode(message).encode("ascii")
    except (ValueError, RecursionError) as error:
        raise NotAMessage(PARSE_ERROR, f"not JSON: {error}"[:200]) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False)


def request(number: int | str, method: str, params: Message) -> Message:
    """Return a request."""
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def notification(method: str, params: Message) -> Message:
    """Return a notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params}


def result(number: object, value: Message) -> Message:
    """Return the answer to the request *number*."""
    return {"jsonrpc": "2.0", "id": number, "result": value}


def failure(number: object, code: int, text: str) -> Message:
    """Return the error that answers the request *number*; None: its id could not be read."""
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": text}}


def params_of(message: Message) -> Message:
    """Return the params of *message*, empty when it has none."""
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def meta_of(message: Message) -> Message:
    """Return `_meta` of the params of *message*, empty when it has none."""
    meta = params_of(message).get("_meta")
    return meta if isinstance(meta, dict) else {}
