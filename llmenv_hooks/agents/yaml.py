"""Edits one server of a YAML text, line by line: Continue has them in a list, Goose in a mapping.

mcpServers:             extensions:
  - name: "memory"        "memory":
    type: stdio             name: "memory"
                            enabled: true
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from llmenv_hooks.agents.formats import Format, Unreadable, newline_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class _Style(NamedTuple):
    """How an agent has its servers: under *key*, below *head*, which we write where it is missing.

    They are *listed*, or each has a key of its own.  *none* stands behind *key* where are none.
    """

    key: str
    head: str
    listed: bool
    none: str


_CONTINUE = _Style(
    "mcpServers",
    """\
# Written by `llmenv client continue --write`; other servers belong into other files.
name: llmenv
version: 0.0.1
schema: v1
mcpServers:
""",
    True,
    " []",
)
_GOOSE = _Style(
    "extensions", "# Added by `llmenv client goose --write`.\nextensions:\n", False, " {}"
)

_LINE = re.compile(r"(?P<blanks> *)(?P<dash>- +)?(?P<rest>.*)")
_KEY = r"""(?P<key>[\w.-]+|"[^"\\]*"|'[^']*'):(?!\S)"""
_PAIR = re.compile(
    rf"""{_KEY}\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:(?!\s\#).)*?)(?:\s+\#.*)?\s*"""
)
_TOP = re.compile(rf"---\s*|- .*|{_KEY}.*", re.DOTALL)


@dataclass
class _Server:
    """One server: from line *start* to before *end*.

    *values* has the value of each key as (line, column, what stands there), and *items* the list
    that follows a key in lines of its own.  *apart* are the lines among them that belong to none:
    comments and empty lines.
    """

    start: int
    end: int
    name: str = ""
    values: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    items: dict[str, list[str]] = field(default_factory=dict)
    apart: list[int] = field(default_factory=list)

    def read(self) -> dict[str, Any]:
        """Return the value of each key but the name, if it stands in one line or is a list."""
        shown = {key: value for key, (_, _, value) in self.values.items() if key != "name"}
        return {key: self.items.get(key) or _scalar(value) for key, value in shown.items()}


def _scalar(shown: str) -> Any:
    """Return what *shown* stands for: a text where it is none of what we write."""
    if shown[:1] == "'":
        return shown[1:-1].replace("''", "'")
    try:
        return json.loads(shown) if shown[:1] in ("[", '"') or shown == "true" else shown
    except ValueError:
        return shown


class _Document:
    """The servers in a text, read line by line, so that the lines can be edited.

    *lines* are those of the text. The servers begin behind line *head*, which is -1 when there are
    none, and each stands behind *indent*.
    """

    def __init__(self, style: _Style, text: str) -> None:
        self.style = style
        self.lines = re.findall(r"[^\n]*\n|[^\n]+", text)
        self.servers: list[_Server] = []
        self.indent = "  "
        code = [n for n, line in enumerate(self.lines) if re.match(r"\s*[^\s#]", line)]
        self.head = next((n for n in code if self.lines[n].startswith(f"{style.key}:")), -1)
        if self.head >= 0:
            self._read_servers()
        elif style.listed and code:
            raise self._unreadable(code[0], f"no list of {style.key} comes before this")
        else:
            self._see_that_a_key_may_follow(code)

    def _see_that_a_key_may_follow(self, code: list[int]) -> None:
        for number in code:
            line = self.lines[number]
            if (number == code[0] or line[0] not in " \t") and not _TOP.fullmatch(line):
                raise self._unreadable(number, "llmenv cannot read this line")

    def none(self) -> str:
        """Return what stands behind the key to say that there are no servers.

        Raises:
            Unreadable: something else does.
        """
        behind = rf"{self.style.key}:(?P<none>{re.escape(self.style.none)})?[ \t]*(?:[ \t]#.*)?\s*"
        if not (found := re.fullmatch(behind, self.lines[self.head])):
            kind = "list" if self.style.listed else "mapping"
            says = f"{self.style.key} is no {kind} in lines of its own"
            raise self._unreadable(self.head, says)
        return found["none"] or ""

    def _read_servers(self) -> None:
        column = 0  # where the keys of the last server begin
        goes_on = ""  # the key whose value is what stands deeper, where a # may be of it too
        self.none()
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
            if line[0] not in (" -\t" if self.style.listed else " \t"):
                break  # the next key of the file
            same = bool(dash) == self.style.listed
            if same and (not self.servers or blanks == self.indent):
                self.indent, column = blanks, found.end("dash") if dash else depth + 1
                self.servers.append(_Server(number, number))
                goes_on = self._read_pair(number, column) if dash else self._read_name(number)
            elif not self.servers or depth < column:
                raise self._unreadable(number, "llmenv cannot read this line")
            elif not dash and (depth == column or not self.servers[-1].values):
                column, goes_on = depth, self._read_pair(number, depth)
            elif dash and goes_on:
                self._read_item(goes_on, rest)
            self.servers[-1].end = number + 1

    def _read_name(self, number: int) -> str:
        """Read the name of the last server, which is the key in line *number*."""
        pair = _PAIR.fullmatch(self.lines[number], len(self.indent))
        if not pair:
            raise self._unreadable(number, "llmenv cannot read this line")
        self.servers[-1].name = _scalar(pair["key"])
        return ""

    def _read_pair(self, number: int, column: int) -> str:
        """Read the key and value of the last server that line *number* has from *column* on.

        Return the key if its value goes on in the lines that stand deeper, else "".
        """
        pair = _PAIR.fullmatch(self.lines[number], column)
        if not pair:
            raise self._unreadable(number, "llmenv cannot read this line")
        self.servers[-1].values[pair["key"]] = (number, pair.start("value"), pair["value"])
        if pair["key"] == "name" and self.style.listed:
            self.servers[-1].name = _scalar(pair["value"])
        return pair["key"] if pair["value"][:1] in ("", "|", ">") else ""

    def _read_item(self, key: str, rest: str) -> None:
        if item := _PAIR.fullmatch(f"item: {rest}"):
            self.servers[-1].items.setdefault(key, []).append(str(_scalar(item["value"])))

    def _unreadable(self, number: int, what: str) -> Unreadable:
        return Unreadable(what, number + 1, 1)

    def server(self, name: str) -> _Server:
        """Return the server *name*, of several the last."""
        return next(one for one in reversed(self.servers) if one.name == name)


def _read(style: _Style, text: str) -> Any:
    return {one.name: one.read() for one in _Document(style, text).servers}


def _put(style: _Style, text: str | None, path: Sequence[str], value: object) -> str:
    document = _Document(style, text or "")
    lines, newline = document.lines, newline_of(text or "")
    if not isinstance(value, dict):
        number, column, old = document.server(path[0]).values[path[1]]
        line = lines[number]
        shown = json.dumps(value, ensure_ascii=False)
        lines[number] = line[:column] + shown + line[column + len(old) :]
        return "".join(lines)
    entry = _entry(style, document.indent, path[0], value)
    if document.head < 0:
        at, added = len(lines), style.head + entry
    else:
        head = document.head
        at, added = document.servers[-1].end if document.servers else head + 1, entry
        lines[head] = lines[head].replace(document.none(), "", 1)
    added = added.replace("\n", newline)
    if at == len(lines) and text is not None and not text.endswith("\n"):
        added = newline * bool(text) + added.removesuffix(newline)
    return "".join([*lines[:at], added, *lines[at:]])


def _entry(style: _Style, indent: str, name: str, value: Mapping[str, Any]) -> str:
    """Return the lines of one server; JSON is YAML."""
    lines = [f'- name: "{name}"'] if style.listed else [f'"{name}":', f'  name: "{name}"']
    for key in value:
        shown = value[key] if key == "type" else json.dumps(value[key], ensure_ascii=False)
        lines.append(f"  {key}: {shown}")
    return "".join(f"{indent}{line}\n" for line in lines)


def _drop(style: _Style, text: str, path: Sequence[str]) -> str | None:
    document = _Document(style, text)
    lines, newline, server = document.lines, newline_of(text), document.server(path[0])
    # If `_put` has appended the key together with this entry, all of that is cut off.
    whole = style.head + _entry(style, "  ", path[0], server.read())
    if text == whole:
        return None
    whole = whole.replace("\n", newline)
    if text.endswith(whole):
        return text.removesuffix(whole)
    if text.endswith(whole.removesuffix(newline)):
        return text.removesuffix(whole.removesuffix(newline)).removesuffix(newline)
    kept = [lines[number] for number in server.apart if number < server.end]
    lines[server.start : server.end] = kept
    if len(document.servers) == 1:
        lines[document.head] = lines[document.head].replace(":", f":{style.none}", 1)
    if not text.endswith("\n"):
        lines[-1] = lines[-1].rstrip("\r\n")
    return "".join(lines)


def _format(style: _Style) -> Format:
    bound = functools.partial
    words = f"name {style.head}"
    return Format(bound(_read, style), bound(_put, style), bound(_drop, style), words)


CONTINUE, GOOSE = _format(_CONTINUE), _format(_GOOSE)
