"""The headers that repeat what a request of 2026-07-28 says in its body, and must agree with it.

Streamable HTTP, "Request Metadata": `MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name`, and an
`Mcp-Param-NAME` for each argument of a tool whose schema has `x-mcp-header: NAME` for it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from llmenv_hooks.bridge.messages import HEADER_MISMATCH, meta_of
from llmenv_hooks.bridge.requests import TCHARS
from llmenv_hooks.helper.jsonrpc import INVALID_PARAMS, VERSION_KEY, failure, params_of

if TYPE_CHECKING:
    from llmenv_hooks.bridge.requests import Head
    from llmenv_hooks.helper.jsonrpc import Message

NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
ENVELOPE_KEYS = (VERSION_KEY, "io.modelcontextprotocol/clientCapabilities")
PARAM = "mcp-param-"
BASE64 = re.compile(r"=\?base64\?(.*)\?=")
DECIMAL = re.compile(r"(-?[0-9]{1,400})(?:\.0+)?", re.ASCII)
TYPES = ("string", "integer", "boolean")

Schema = dict[str, Any]


def mismatch(head: Head, message: Message) -> Message | None:
    """Return the error for a request whose headers and body differ; None: they agree."""
    missing = [key for key in ENVELOPE_KEYS if key not in meta_of(message)]
    if missing:
        return _error(message, f"params._meta lacks {', '.join(missing)}", INVALID_PARAMS)
    expected = {
        "mcp-protocol-version": meta_of(message)[VERSION_KEY],
        "mcp-method": message["method"],
    }
    name = params_of(message).get(NAMED.get(message["method"], ""))
    if name is not None:
        expected["mcp-name"] = name
    for header, value in expected.items():
        said = head.all(header)
        if len(said) != 1:
            return _error(message, f"{header} is {'there twice' if said else 'missing'}")
        if (_decoded(said[0]) if header == "mcp-name" else said[0]) != value:
            return _error(message, f"{header} is not what the body says")
    return None


def needs_schema(head: Head, message: Message) -> bool:
    """True when the tool's schema is needed to tell whether a request's headers are right."""
    if message["method"] != "tools/call":
        return False
    has_header = any(name.startswith(PARAM) for name, _ in head.headers)
    return has_header or bool(params_of(message).get("arguments"))


def param_mismatch(head: Head, message: Message, schema: Schema) -> Message | None:
    """Return the error for a `tools/call` whose headers differ from its arguments.

    *schema* is the tool's `inputSchema`.  One whose annotations break the rules says nothing:
    clients leave such a tool out.
    """
    annotated = _annotations(schema)
    if annotated is None:
        return None
    for path, (name, kind) in annotated.items():
        header = PARAM + name.lower()
        said = head.all(header)
        value = params_of(message).get("arguments")
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, dict | list):
            value = None
        if len(said) > 1:
            return _error(message, f"{header} is there twice")
        if bool(said) != (value is not None):
            lacking = "the argument is missing" if said else f"{header} is missing"
            return _error(message, f"{'.'.join(path)}: {lacking}")
        if said and not _agree(_decoded(said[0]), value, kind):
            return _error(message, f"{header} is not what the body says")
    return None


def _annotations(schema: Schema) -> dict[tuple[str, ...], tuple[str, str]] | None:
    """Return (header, type) for the path of each annotated property; None: one is not allowed."""
    found: dict[tuple[str, ...], tuple[str, str]] = {}
    names: set[str] = set()
    below: list[tuple[tuple[str, ...] | None, Any]] = [((), schema)]
    while below:
        path, node = below.pop()
        if isinstance(node, list):
            below += [(None, each) for each in node]
        if not isinstance(node, dict):
            continue
        if "x-mcp-header" in node:
            name, kind = node["x-mcp-header"], node.get("type")
            if not path or not isinstance(name, str) or not re.fullmatch(TCHARS, name):
                return None
            if kind not in TYPES or name.lower() in names:
                return None
            names.add(name.lower())
            found[path] = (name, kind)
        for keyword, value in node.items():
            if keyword == "properties" and isinstance(value, dict):
                below += [
                    (None if path is None else (*path, key), sub) for key, sub in value.items()
                ]
            elif keyword in MAPS and isinstance(value, dict):
                below += [(None, sub) for sub in value.values()]
            elif keyword in SUBSCHEMAS:
                below.append((None, value))
    return found


# Keywords of JSON Schema 2020-12 whose values are schemas, or lists of them; and maps to them.
SUBSCHEMAS = frozenset(
    "items contains unevaluatedItems additionalProperties propertyNames unevaluatedProperties not "
    "if then else contentSchema allOf anyOf oneOf prefixItems".split()
)
MAPS = frozenset(["patternProperties", "dependentSchemas", "$defs", "definitions"])


def _decoded(said: str) -> str | None:
    """Return what a header says; None: it says that it is base64, and is not."""
    match = BASE64.fullmatch(said)
    if not match:
        return said
    try:
        data = base64.b64decode(match[1], validate=True)
        text = data.decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    # Bits that encode nothing would let two headers say the same.
    return text if base64.b64encode(data).decode() == match[1] else None


def _agree(said: str | None, value: object, kind: str) -> bool:
    if isinstance(value, bool):
        return said == str(value).lower()
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if kind == "integer" and whole and (match := DECIMAL.fullmatch(said or "")):
        return int(match[1]) == value
    return said == str(value)


def _error(message: Message, why: str, code: int = HEADER_MISMATCH) -> Message:
    text = f"Header mismatch: {why}" if code == HEADER_MISMATCH else why
    return failure(message["id"], code, text)
