"""Edits one table of a TOML text and leaves the rest as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from llmenv_hooks.agents.formats import Format, Unreadable, newline_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def _read(text: str) -> Any:
    from tomlkit import exceptions, parse

    try:
        return parse(text)
    except exceptions.ParseError as error:
        raise Unreadable(str(error).split(" at line ")[0], error.line, error.col + 1) from None
    except (exceptions.TOMLKitError, ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None


def _put(text: str | None, path: Sequence[str], value: object) -> str:
    """Set what is there where it is; append a table otherwise, after an empty line.

    A text with no newline at its end stays without, so that `_drop` knows what to take back.
    """
    document = _read(text or "")
    if isinstance(value, dict):
        added = _appended(text, path, value)
        try:
            _read(added)
        except Unreadable:  # the servers are an inline table, to which no [table] can be added
            _holder(document, path)[path[-1]] = value
        else:
            return added
    else:
        _holder(document, path)[path[-1]] = value
    return str(document.as_string())


def _appended(text: str | None, path: Sequence[str], value: dict[str, Any]) -> str:
    newline = newline_of(text or "")
    lines = [f"[{'.'.join(path)}]", *(f"{key} = {json.dumps(str(value[key]))}" for key in value)]
    table = newline.join(lines)
    if text is None:
        return table + newline
    return text + (newline + table + newline if text.endswith("\n") else newline * 2 + table)


def _drop(text: str, path: Sequence[str]) -> str | None:
    document = _read(text)
    holder = _holder(document, path)
    table, newline = dict(holder[path[-1]]), newline_of(text)
    # A table that was appended is cut off the text: tomlkit might also remove an empty
    # [mcp_servers] that the user wrote.
    once = text[: text.rfind(f"[{'.'.join(path)}]")].removesuffix(newline)
    for before in (None, once, once.removesuffix(newline)):
        if _appended(before, path, table) == text:
            return before
    del holder[path[-1]]
    return str(document.as_string())


def _holder(document: Any, path: Sequence[str]) -> Any:
    for key in path[:-1]:
        document = document[key]
    return document


TOML = Format(_read, _put, _drop)
