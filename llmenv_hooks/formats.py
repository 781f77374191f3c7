"""The formats of the agents' files: each is edited in its text, so that the rest stays as it is."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
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
YAML_ENTRY = """\
{indent}- name: "{name}"
{indent}  type: streamable-http
{indent}  url: "{url}"
"""
_YAML_LIST = re.compile(r"mcpServers:(?P<none> \[\])?[ \t]*(?:[ \t]#.*)?\s*")
_YAML_LINE = re.compile(r"(?P<blanks> *)(?P<dash>- +)?(?P<rest>.*)")
_YAML_PAIR = re.compile(
    r"""(?P<key>[\w.-]+):(?!\S)\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|(?:(?!\s\#).)*?)"""
    r"(?:\s+\#.*)?\s*"
)


@dataclass
class _Server:
    """One server of the list: from line *start* to before *end*.

    *values* has the value of each key as (line, column, what stands there).
    """

    start: int
    end: int
    values: dict[str, tuple[int, int, str]]

    def get(self, key: str) -> str:
        value = self.values.get(key, (0, 0, ""))[2]
        return value[1:-1] if value[:1] in ('"', "'") else value


class _Yaml:
    """The list of servers in a text, as far as its lines show it: no parser here keeps the rest.

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
        column = 0
        if not _YAML_LIST.fullmatch(self.lines[self.head]):
            raise self._unreadable(self.head, "mcpServers is no list in lines of its own")
        for number in range(self.head + 1, len(self.lines)):
            line = self.lines[number]
            found = _YAML_LINE.match(line)
            assert found
            blanks, dash, rest = found["blanks"], found["dash"], found["rest"].strip()
            depth = len(blanks)
            comment = rest.startswith("#") and (not self.servers or depth <= column)
            if not dash and (not rest or comment):
                continue
            if line[0] not in " -\t":
                break  # the next key of the file
            begins = dash and (not self.servers or blanks == self.indent)
            if begins:
                self.indent, column = blanks, found.end("dash")
                self.servers.append(_Server(number, number, {}))
            elif not self.servers or depth < column:
                raise self._unreadable(number, "llmenv cannot read this line")
            self.servers[-1].end = number + 1
            if begins or (depth == column and not dash):
                pair = _YAML_PAIR.fullmatch(line, column)
                if not pair:
                    raise self._unreadable(number, "llmenv cannot read this line")
                value = (number, pair.start("value"), pair["value"])
                self.servers[-1].values[pair["key"]] = value

    def _unreadable(self, number: int, what: str) -> Unreadable:
        return Unreadable(what, number + 1, 1)

    def server(self, name: str) -> _Server:
        return next(one for one in reversed(self.servers) if one.get("name") == name)


def _yaml_read(text: str) -> Any:
    servers = [(one.get("name"), one) for one in _Yaml(text).servers]
    return {name: {k: one.get(k) for k in one.values if k != "name"} for name, one in servers}


def _yaml_put(text: str | None, path: Sequence[str], value: object) -> str:
    document = _Yaml(text or "")
    lines, newline = document.lines, _newline(text or "")
    if not isinstance(value, dict):
        number, column, old = document.server(path[0]).values[path[1]]
        line = lines[number]
        lines[number] = line[:column] + json.dumps(value) + line[column + len(old) :]
        return "".join(lines)
    entry = YAML_ENTRY.format(indent=document.indent, name=path[0], url=value["url"])
    if document.head < 0:
        at, added = len(lines), YAML_HEAD + entry
    else:
        head = document.head
        at, added = document.servers[-1].end if document.servers else head + 1, entry
        if (found := _YAML_LIST.fullmatch(lines[head])) and found["none"]:
            lines[head] = lines[head].replace(found["none"], "", 1)
    added = added.replace("\n", newline)
    if at == len(lines) and text is not None and not text.endswith("\n"):
        added = newline * bool(text) + added.removesuffix(newline)
    return "".join([*lines[:at], added, *lines[at:]])


def _yaml_drop(text: str, path: Sequence[str]) -> str | None:
    document = _Yaml(text)
    lines, newline, server = document.lines, _newline(text), document.server(path[0])
    # What was appended with its head is cut off.
    entry = YAML_ENTRY.format(indent="  ", name=path[0], url=server.get("url"))
    if text == YAML_HEAD + entry:
        return None
    whole = (YAML_HEAD + entry).replace("\n", newline)
    if text.endswith(whole):
        return text.removesuffix(whole)
    if text.endswith(whole.removesuffix(newline)):
        return text.removesuffix(whole.removesuffix(newline)).removesuffix(newline)
    del lines[server.start : server.end]
    if len(document.servers) == 1:
        lines[document.head] = lines[document.head].replace(":", ": []", 1)
    if not text.endswith("\n"):
        lines[-1] = lines[-1].rstrip("\r\n")
    return "".join(lines)


JSON = Format(_json_read, jsonc.put, jsonc.drop)
TOML = Format(_toml_read, _toml_put, _toml_drop)
YAML = Format(_yaml_read, _yaml_put, _yaml_drop)
