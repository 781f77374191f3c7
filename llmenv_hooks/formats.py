"""The formats of the agents' files: each is edited in its text, so that the rest stays as it is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from llmenv_hooks import jsonc

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Unreadable(ValueError):
    """A text that its agent could not read either, or that is not as we wrote it."""

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.place = f":{line}:{column}" if line else ""


class Format(NamedTuple):
    """How to edit a text, None being no file: *read* may raise Unreadable and comes first."""

    read: Callable[[str], Any]
    put: Callable[[str | None, Sequence[str], object], str]
    drop: Callable[[str, Sequence[str]], str | None]


def _json_read(text: str) -> Any:
    try:
        return jsonc.parse(text)
    except json.JSONDecodeError as error:
        raise Unreadable(error.msg, error.lineno, error.colno) from None


def _toml_read(text: str) -> Any:
    from tomlkit import exceptions, parse

    try:
        return parse(text)
    except exceptions.ParseError as error:
        raise Unreadable(str(error).split(" at line ")[0], error.line, error.col + 1) from None
    except (exceptions.TOMLKitError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None


def _toml_put(text: str | None, path: Sequence[str], value: object) -> str:
    """Set what is there where it is; append a table otherwise, after an empty line.

    A text with no newline at its end stays without, so that `_toml_drop` knows what to take back.
    """
    document = _toml_read(text or "")
    if isinstance(value, dict):
        added = _toml_appended(text, path, value)
        try:
            _toml_read(added)
        except Unreadable:  # an inline table, which takes no more from outside
            _toml_holder(document, path)[path[-1]] = value
        else:
            return added
    else:
        _toml_holder(document, path)[path[-1]] = value
    return str(document.as_string())


def _toml_appended(text: str | None, path: Sequence[str], value: dict[str, Any]) -> str:
    newline = _newline(text or "")
    lines = [f"[{'.'.join(path)}]", *(f"{key} = {json.dumps(str(value[key]))}" for key in value)]
    table = newline.join(lines)
    if text is None:
        return table + newline
    return text + (newline + table + newline if text.endswith("\n") else newline * 2 + table)


def _toml_drop(text: str, path: Sequence[str]) -> str | None:
    document = _toml_read(text)
    holder = _toml_holder(document, path)
    table, newline = dict(holder[path[-1]]), _newline(text)
    # What was appended is cut off: tomlkit may take an empty [mcp_servers] with it.
    once = text[: text.rfind(f"[{'.'.join(path)}]")].removesuffix(newline)
    for before in (None, once, once.removesuffix(newline)):
        if _toml_appended(before, path, table) == text:
            return before
    del holder[path[-1]]
    return str(document.as_string())


def _toml_holder(document: Any, path: Sequence[str]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


YAML_HEAD = """\
# Written by `llmenv client continue --write`; other servers belong into other files.
name: llmenv
version: 0.0.1
schema: v1
mcpServers:
"""
YAML_ENTRY = '  - name: "{}"\n    type: streamable-http\n    url: "{}"\n'
YAML_ENTRIES = re.compile(YAML_ENTRY.format(r"([\w-]+)", r'([^"\\\n]*)'))


def _yaml_read(text: str) -> Any:
    """Read a file of our own, which is all there is to YAML here: nobody else's is edited."""
    plain = text.replace("\r\n", "\n").strip()
    servers = dict(YAML_ENTRIES.findall(plain + "\n"))
    if plain and plain != _yaml(servers).strip():
        raise Unreadable("not as llmenv wrote it: move what is in it to another file beside it")
    return {name: {"type": "streamable-http", "url": url} for name, url in servers.items()}


def _yaml(servers: dict[str, str]) -> str:
    return YAML_HEAD + "".join(YAML_ENTRY.format(*server) for server in servers.items())


def _yaml_put(text: str | None, path: Sequence[str], value: object) -> str:
    urls = {name: entry["url"] for name, entry in _yaml_read(text or "").items()}
    urls[path[0]] = value["url"] if isinstance(value, dict) else value
    return _yaml(urls) if text is None or text.endswith("\n") else _yaml(urls).removesuffix("\n")


def _yaml_drop(text: str, path: Sequence[str]) -> str | None:
    urls = {name: entry["url"] for name, entry in _yaml_read(text).items() if name != path[0]}
    end = "\n" if text.endswith("\n") else ""
    return _yaml(urls).removesuffix("\n") + end if urls else None if end else ""


JSON = Format(_json_read, jsonc.put, jsonc.drop)
TOML = Format(_toml_read, _toml_put, _toml_drop)
YAML = Format(_yaml_read, _yaml_put, _yaml_drop)
