"""Edits one table of a TOML text, statement by statement, and leaves the rest as it is.

To tomlkit all that stands before the next header belongs to a table, the user's comments and empty
lines too, so it reads the statements here, and does not edit the whole text.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from llmenv_hooks.agents.formats import Format, Unreadable, newline_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

# https://toml.io/en/v1.0.0: a string, a comment, a bracket, the end of a line, anything else.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|'
    r"'''.*?'{3,5}|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'[^'\n]*'|"
    r"#[^\n]*|"
    r"[\[\]{}]|"
    r"\n|"
    r"""[^"'#\[\]{}\n]+""",
    re.DOTALL,
)


class _Statement(NamedTuple):
    """One header, or one key with its value: the text from *start* to before *end*.

    *line* is where its last line ends, the newline included.  *table* and *key* lead to what it
    defines; a header has no *key*.
    """

    start: int
    end: int
    line: int
    table: tuple[str, ...]
    key: tuple[str, ...]


def _statements(text: str) -> Iterator[_Statement]:
    """Yield the statements of *text*, which tomlkit can read."""
    table: tuple[str, ...] = ()
    for start, end, line in _spans(text):
        code = text[start:end]
        keys = _keys(code)
        if code.startswith("["):
            table, keys = keys, ()
        yield _Statement(start, end, line, table, keys)


def _spans(text: str) -> Iterator[tuple[int, int, int]]:
    """Yield from where to before where each statement stands, and where its last line ends."""
    start = end = depth = 0
    for token in _TOKEN.finditer(text + "\n"):
        word = token[0]
        depth += (word in "[{") - (word in "]}")
        if word == "\n" and depth == 0:
            if end > start:
                yield start, end, min(token.end(), len(text))
            start = end = token.end()
        elif not word.startswith("#") and word.strip():
            blank = len(word) - len(word.lstrip())
            start = start if end > start else token.start() + blank
            end = token.start() + len(word.rstrip())


def _keys(code: str) -> tuple[str, ...]:
    """Return the keys that the statement *code* begins with."""
    from tomlkit import parse
    from tomlkit.items import Table

    at: Any = parse(code)
    keys: list[str] = []
    while not keys or isinstance(at, Table):
        if not at:
            break
        key, at = next(iter(at.items()))
        keys.append(str(key))
    return tuple(keys)


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
    if isinstance(value, dict):
        added = _appended(text, path, value)
        try:
            _read(added)
        except Unreadable:  # the servers are an inline table, to which no [table] can be added
            pass
        else:
            return added
    try:
        return _within(text or "", path, lambda holder: holder.update({path[-1]: value}))
    except Unreadable:
        return _below_header(text or "", path, value)


def _below_header(text: str, path: Sequence[str], value: object) -> str:
    """Return *text* with a line for the key *path* below the header of its table."""
    for one in _statements(text):
        if one.table == tuple(path[:-1]) and not one.key:
            newline = newline_of(text)
            head = text[: one.line]
            head += "" if head.endswith("\n") else newline
            return f"{head}{path[-1]} = {_value(value)}{newline}{text[one.line :]}"
    raise Unreadable(f"llmenv cannot edit {'.'.join(path)} in it")


def _within(text: str, path: Sequence[str], edit: Callable[[Any], object]) -> str:
    """Return *text* after an *edit* of the table that holds *path*, in its one statement."""
    for start, end, _, table, key in _statements(text):
        if key and (*table, *key) == tuple(path[: len(table) + len(key)]):
            document = holder = _read(text[start:end])
            for name in path[len(table) : -1]:
                holder = holder[name]
            edit(holder)
            return text[:start] + str(document.as_string()) + text[end:]
    raise Unreadable(f"llmenv cannot edit {'.'.join(path)} in it")


def _appended(text: str | None, path: Sequence[str], value: Any) -> str:
    newline = newline_of(text or "")
    pairs = (f"{key} = {_value(value[key])}" for key in value)
    lines = [f"[{'.'.join(path)}]", *pairs]
    table = newline.join(lines)
    if text is None:
        return table + newline
    return text + (newline + table + newline if text.endswith("\n") else newline * 2 + table)


def _value(value: object) -> str:
    """Return a text, a list of texts or a truth as TOML has it, which is as JSON has it.

    A table of such values stands in one line.
    """
    if isinstance(value, dict):
        pairs = (f"{_value(key)} = {_value(value[key])}" for key in value)
        return f"{{ {', '.join(pairs)} }}"
    kept = value if isinstance(value, (bool, list)) else str(value)
    return json.dumps(kept, ensure_ascii=False)


def _drop(text: str, path: Sequence[str]) -> str | None:
    value = _read(text)
    for key in path:
        value = value[key]
    is_table = isinstance(value, dict)
    if is_table and text == _appended(None, path, value):
        return None
    keys = tuple(path)
    ours = [one for one in _statements(text) if (*one.table, *one.key)[: len(keys)] == keys]
    if not ours:
        return _within(text, path, lambda holder: holder.pop(path[-1]))
    if not is_table:
        return _without(text, ours)
    # The empty line that `_put` writes before a table goes with it, unless something stands below
    # that the line is now before.
    newline, head, tail = newline_of(text), text[: ours[0].start], text[ours[-1].line :]
    for before in (head.removesuffix(newline), head.removesuffix(newline * 2)):
        as_written = _appended(before, path, value) + tail == text
        if as_written and (not tail or tail.startswith(newline)):
            return before + tail
    return _without(text, ours)


def _without(text: str, ours: Sequence[_Statement]) -> str:
    """Return *text* without the statements *ours*; a comment behind one keeps the line for itself.

    A text with no newline at its end has none after that either.
    """
    kept, at = "", 0
    for one in ours:
        comment = text[one.end : one.line].lstrip(" \t")
        begin = one.start if comment.strip() else text.rfind("\n", 0, one.start) + 1
        kept += text[at:begin] + (comment if comment.strip() else "")
        at = one.line
    kept += text[at:]
    return kept if text.endswith("\n") else kept.removesuffix(newline_of(text))


def _span(text: str, path: Sequence[str]) -> tuple[int, int]:
    statements = list(_statements(text))
    found = [(*one.table, *one.key)[: len(path)] == tuple(path) for one in statements]
    count = sum(found)
    first = found.index(True) if count else 0
    if not count or not all(found[first : first + count]):
        raise Unreadable(f"{'.'.join(path)} does not stand in one piece, so llmenv cannot edit it")
    return statements[first].start, statements[first + count - 1].line


TOML = Format(_read, _put, _drop, span=_span)
