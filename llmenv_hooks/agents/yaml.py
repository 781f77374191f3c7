"""Edits one server of a YAML text whose servers are the list `mcpServers`, as Continue has it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmenv_hooks.agents.formats import Format, Unreadable, newline_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEAD = """\
# Written by `llmenv client continue --write`; other servers belong into other files.
name: llmenv
version: 0.0.1
schema: v1
mcpServers:
"""
_LIST = re.compile(r"mcpServers:(?P<none> \[\])?[ \t]*(?:[ \t]#.*)?\s*")
_LINE = re.compile(r"(?P<blanks> *)(?P<dash>- +)?(?P<rest>.*)")
_PAIR = re.compile(
    r"""(?P<key>[\w.-]+):(?!\S)\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:(?!\s\#).)*?)"""
    r"(?:\s+\#.*)?\s*"
)


@dataclass
class _Server:
    """One server of the list: from line *start* to before *end*.

    *values* has the value of each key as (line, column, what stands there).  *apart* are the lines
    among them that belong to none: comments and empty lines.
    """

    start: int
    end: int
    values: dict[str, tuple[int, int, str]]
    apart: list[int]

    def get(self, key: str) -> str:
        """Return the value of *key* without its quotes; "" when it has none."""
        value = self.values.get(key, (0, 0, ""))[2]
        return value[1:-1] if value[:1] in ('"', "'") else value

    def read(self, key: str) -> str | list[str]:
        """Return the value of *key*: a list where it stands as one in its line."""
        value = self.get(key)
        try:
            return [str(word) for word in json.loads(value)] if value.startswith("[") else value
        except ValueError:
            return value


class _Document:
    """The list of servers in a text, read line by line, so that the lines can be edited.

    *lines* are those of the text. The list begins behind line *head*, which is -1 when there is
    none, and its dashes stand behind *indent*.
    """

    def __init__(self, text: str) -> None:
        self.lines = re.findall(r"[^\n]*\n|[^\n]+", text)
        self.servers: list[_Server] = []
        self.indent = "  "
        code = [n for n, line in enumerate(self.lines) if re.match(r"\s*[^\s#]", line)]
        self.head = next((n for n in code if self.lines[n].startswith("mcpServers:")), -1)
        if self.head >= 0:
            self._read_list()
        elif code:
            raise self._unreadable(code[0], "no list of mcpServers comes before this")

    def _read_list(self) -> None:
        column = 0  # where the keys of the last server begin
        goes_on = False  # whether what stands deeper is a value, and a # in it may be too
        if not _LIST.fullmatch(self.lines[self.head]):
            raise self._unreadable(self.head, "mcpServers is no list in lines of its own")
        for number in range(self.head + 1, len(self.lines)):
            line = self.lines[number]
            found = _LINE.match(line)
            assert found
            blanks, dash, rest = found["blanks"], found["dash"], found["rest"].strip()
            depth = len(blanks)
            if not dash and (not rest or rest.startswith("#")):
                if self.servers and (not goes_on or (rest and depth <= column)):
                    self.servers[-1].apart.append(number)
                if self.servers and rest and depth > column:
                    self.servers[-1].end = number + 1
                continue
            if line[0] not in " -\t":
                break  # the next key of the file
            begins = dash and (not self.servers or blanks == self.indent)
            if begins:
                self.indent, column = blanks, found.end("dash")
                self.servers.append(_Server(number, number, {}, []))
            elif not self.servers or depth < column:
                raise self._unreadable(number, "llmenv cannot read this line")
            self.servers[-1].end = number + 1
            if begins or (depth == column and not dash):
                goes_on = self._read_pair(number, column)

    def _read_pair(self, number: int, column: int) -> bool:
        """Read the key and value of the last server that line *number* has from *column* on.

        Return whether the value goes on in the lines that stand deeper.
        """
        pair = _PAIR.fullmatch(self.lines[number], column)
        if not pair:
            raise self._unreadable(number, "llmenv cannot read this line")
        value = (number, pair.start("value"), pair["value"])
        self.servers[-1].values[pair["key"]] = value
        return pair["value"][:1] in ("", "|", ">")

    def _unreadable(self, number: int, what: str) -> Unreadable:
        return Unreadable(what, number + 1, 1)

    def server(self, name: str) -> _Server:
        """Return the server *name*, of several the last."""
        return next(one for one in reversed(self.servers) if one.get("name") == name)


def _read(text: str) -> Any:
    servers = [(one.get("name"), one) for one in _Document(text).servers]
    return {name: {k: one.read(k) for k in one.values if k != "name"} for name, one in servers}


def _put(text: str | None, path: Sequence[str], value: object) -> str:
    document = _Document(text or "")
    lines, newline = document.lines, newline_of(text or "")
    if not isinstance(value, dict):
        number, column, old = document.server(path[0]).values[path[1]]
        line = lines[number]
        shown = json.dumps(value, ensure_ascii=False)
        lines[number] = line[:column] + shown + line[column + len(old) :]
        return "".join(lines)
    entry = _entry(document.indent, path[0], value)
    if document.head < 0:
        at, added = len(lines), HEAD + entry
    else:
        head = document.head
        at, added = document.servers[-1].end if document.servers else head + 1, entry
        if (found := _LIST.fullmatch(lines[head])) and found["none"]:
            lines[head] = lines[head].replace(found["none"], "", 1)
    added = added.replace("\n", newline)
    if at == len(lines) and text is not None and not text.endswith("\n"):
        added = newline * bool(text) + added.removesuffix(newline)
    return "".join([*lines[:at], added, *lines[at:]])


def _entry(indent: str, name: str, value: Mapping[str, Any]) -> str:
    """Return the lines of one server; JSON is YAML."""
    lines = [f'- name: "{name}"']
    for key in value:
        shown = value[key] if key == "type" else json.dumps(value[key], ensure_ascii=False)
        lines.append(f"  {key}: {shown}")
    return "".join(f"{indent}{line}\n" for line in lines)


def _drop(text: str, path: Sequence[str]) -> str | None:
    document = _Document(text)
    lines, newline, server = document.lines, newline_of(text), document.server(path[0])
    # If `_put` has appended the list together with this entry, all of that is cut off.
    entry = _entry("  ", path[0], {k: server.read(k) for k in server.values if k != "name"})
    if text == HEAD + entry:
        return None
    whole = (HEAD + entry).replace("\n", newline)
    if text.endswith(whole):
        return text.removesuffix(whole)
    if text.endswith(whole.removesuffix(newline)):
        return text.removesuffix(whole.removesuffix(newline)).removesuffix(newline)
    kept = [lines[number] for number in server.apart if number < server.end]
    lines[server.start : server.end] = kept
    if len(document.servers) == 1:
        lines[document.head] = lines[document.head].replace(":", ": []", 1)
    if not text.endswith("\n"):
        lines[-1] = lines[-1].rstrip("\r\n")
    return "".join(lines)


def _span(text: str, path: Sequence[str]) -> tuple[int, int]:
    document = _Document(text)
    server = document.server(path[0])
    ends = [0]
    for line in document.lines:
        ends.append(ends[-1] + len(line))
    return ends[server.start], ends[server.end]


YAML = Format(_read, _put, _drop, _span)
