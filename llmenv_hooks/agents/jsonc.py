"""Edits one member of a JSON text and leaves the rest as it is, comments and commas included.

`drop` undoes `put` to the byte, without a record of what `put` did.  It goes by the blank after a
brace: `put` turns an object that was there, but empty, into `{"name": ...}`, and makes a new object
as `{ "name": ...}` or in several lines.
The libraries that keep comments do not fit: json-five takes seconds for 100 KB and reads more than
the agents do, and jsonc-edit needs Node.
"""

from __future__ import annotations

import functools
import json
import operator
import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from llmenv_hooks.agents.formats import Format, Unreadable, newline_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_BLANK = " \t\r\n"
_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"({_STRING})|//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_VALUE = re.compile(rf'({_STRING}|[^\s"{{\[,:]+)(?:(\s*),(?=\s*[}}\]]))?', re.DOTALL)


class _Member(NamedTuple):
    """One member of an object, from *start* to before *end*."""

    key: str
    start: int
    value: int  # where the value begins
    end: int


class _Object(NamedTuple):
    """An object, from the brace at *start* to the one at *close*."""

    start: int
    members: list[_Member]
    close: int

    def find(self, key: str) -> _Member | None:
        """Return the member *key*: of several the last, as every reader of JSON does."""
        return next((one for one in reversed(self.members) if one.key == key), None)


class _Document:
    """A text and the places in it; *value* is what it holds, {} for blanks and comments alone.

    *plain* and *bare* are the text with blanks for its comments, and for its trailing commas too.
    """

    def __init__(self, text: str) -> None:
        def blank(found: re.Match[str]) -> str:
            return found[1] or re.sub(r"[^\r\n]", " ", found[0])

        def without_comma(found: re.Match[str]) -> str:
            return found[0] if found[2] is None else f"{found[1]}{found[2]} "

        def refuse(word: str) -> NoReturn:
            raise json.JSONDecodeError(f"{word} is no JSON", text, self.bare.find(word))

        self.text = text
        self.plain = _COMMENT.sub(blank, text)
        # Strict JSON, of the same length as *text*, so that each value is where it was.
        self.bare = _VALUE.sub(without_comma, self.plain)
        self.root = self.skip(0)
        try:
            empty = self.root == len(text)
            # Integers as floats: `int` refuses a very long one with an error of its own.
            load = json.JSONDecoder(parse_int=float, parse_constant=refuse)
            self.value: Any = {} if empty else load.decode(self.bare)
        except RecursionError:
            raise json.JSONDecodeError("Nested too deeply", text, 0) from None

    def skip(self, at: int) -> int:
        """Return where the next character is that is no blank and in no comment."""
        while self.plain[at : at + 1] in tuple(_BLANK):
            at += 1
        return at

    def object(self, start: int) -> _Object:
        """Return what is where in the object at *start*."""
        if self.bare[start] != "{":
            raise json.JSONDecodeError("Expecting an object", self.text, start)
        decode = json.JSONDecoder(parse_int=float).raw_decode
        members = []
        at = self.skip(start + 1)
        while self.text[at] != "}":
            key, end = decode(self.bare, at)
            value = self.skip(self.skip(end) + 1)
            members.append(_Member(key, at, value, decode(self.bare, value)[1]))
            comma = self.comma(members[-1].end)
            at = self.skip(members[-1].end if comma is None else comma + 1)
        return _Object(start, members, at)

    def comma(self, end: int) -> int | None:
        """Return where the comma is after the value that ends at *end*, if there is one."""
        at = self.skip(end)
        return at if self.text[at] == "," else None

    def behind(self, at: int) -> int:
        """Return the end of what stands before *at*, be it a comment."""
        return len(self.text[:at].rstrip(_BLANK))

    def ends_in_line_comment(self, end: int) -> bool:
        """True when a comment up to the end of its line is what stands before *end*."""
        code = len(self.plain[:end].rstrip(_BLANK))
        comments = self.comments(code, end)
        return bool(comments) and comments[-1].startswith("//")

    def comments(self, start: int, end: int) -> list[str]:
        """Return the comments from *start* to before *end*."""
        return [found[0] for found in _COMMENT.finditer(self.text, start, end) if not found[1]]

    def indent(self, at: int) -> str:
        """Return the blanks at the beginning of the line of *at*."""
        line = self.text[self.text.rfind("\n", 0, at) + 1 : at]
        return line[: len(line) - len(line.lstrip(" \t"))]


def parse(text: str) -> Any:
    """Return what *text* holds, {} for nothing but blanks and comments.

    Raises:
        json.JSONDecodeError: it is not JSON with comments and trailing commas.
    """
    return _Document(text).value


def put(text: str | None, path: Sequence[str], value: object) -> str:
    """Return *text* with *value* at *path*; objects on the way that are missing are made.

    *text* None stands for no file, which is not the same as an empty one.

    Raises:
        json.JSONDecodeError: *text* is no JSON, or what is on the way is no object.
    """
    if text is None:
        return json.dumps(_nested(path, value), indent=2, ensure_ascii=False) + "\n"
    document = _Document(text)
    at = document.root
    if at == len(text):
        made = _on_one_line(path, value)
        return text + made if text.endswith("\n") or not text else made + text
    for depth, key in enumerate(path):
        holder = document.object(at)
        found = holder.find(key)
        if found is None:
            return _insert(document, holder, path[depth:], value)
        at, end = found.value, found.end
    return text[:at] + json.dumps(value, ensure_ascii=False) + text[end:]


def _nested(path: Sequence[str], value: object) -> object:
    for key in reversed(path):
        value = {key: value}
    return value


def _on_one_line(path: Sequence[str], value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    for key in reversed(path):
        shown = f"{{ {json.dumps(key)}: {shown} }}"
    return shown


def _insert(document: _Document, holder: _Object, path: Sequence[str], value: object) -> str:
    text = document.text
    flat = f"{json.dumps(path[0])}: {_on_one_line(path[1:], value)}"
    if not holder.members:
        return text[: holder.start + 1] + flat + text[holder.start + 1 :]
    last = holder.members[-1]
    if "\n" not in text[holder.start : holder.members[0].start] + text[last.end : holder.close]:
        shown = " " + flat
    else:
        newline = newline_of(text)
        indent = document.indent(last.start)
        unit = indent.removeprefix(document.indent(holder.close)) or "  "
        lines = json.dumps(_nested(path, value), indent=unit, ensure_ascii=False).split("\n")[1:-1]
        shown = "".join(newline + indent + line.removeprefix(unit) for line in lines)
    at = document.behind(holder.close)
    if document.comma(last.end) is None:
        return text[: last.end] + "," + text[last.end : at] + shown + text[at:]
    return text[:at] + shown + "," + text[at:]


def drop(text: str, path: Sequence[str]) -> str | None:
    """Return *text* without what is at *path* and without what `put` made to hold it.

    None when `put` made it all, from None.

    Raises:
        json.JSONDecodeError: *text* is no JSON, or what is on the way is no object.
    """
    document = _Document(text)
    at = document.root
    if at == len(text):
        return text
    chain = []
    for key in path:
        holder = document.object(at)
        member = holder.find(key)
        if member is None:
            return text
        chain.append((holder, member))
        at = member.value
    # The innermost object that `put` has not made stays, without the member.
    while chain:
        holder, member = chain.pop()
        if not _was_made(document, holder, member):
            return _without(document, holder, member)
    # All objects look as if `put` had made them: perhaps for no file, or for one of comments.
    value = functools.reduce(operator.getitem, path, document.value)
    for before in (None, text[: holder.start] + text[holder.close + 1 :]):
        if put(before, path, value) == text:
            return before
    return text[: holder.start + 1] + text[holder.close :]


def _was_made(document: _Document, holder: _Object, member: _Member) -> bool:
    """Say whether *holder* looks as `put` makes an object: a blank, *member* and nothing else."""
    text = document.text
    before = text[holder.start + 1 : member.start]
    after = text[member.end : holder.close]
    nothing_else = len(holder.members) == 1 and not (before + after).strip(_BLANK)
    return nothing_else and before != "" and not document.comments(member.start, member.end)


def _without(document: _Document, holder: _Object, member: _Member) -> str:
    """Return the text without *member*, its comma and its line; comments stay, those in it too."""
    text, end = document.text, member.end
    comma = document.comma(end)
    end = end if comma is None else comma + 1
    blank = text[end : len(text) - len(text[end:].lstrip(_BLANK))]
    comments = document.comments(member.start, end)
    begin = _behind_line_above(text, member.start)
    if comments or (document.ends_in_line_comment(begin) and "\n" not in blank):
        begin = member.start  # keep the newline, or the next member would be in that comment
    new_line = newline_of(text) + document.indent(member.start)
    stays = new_line.join(comments)
    if stays and comments[-1].startswith("//") and "\n" not in blank:
        stays += new_line
    kept = text[:begin]
    index = holder.members.index(member)
    previous = document.comma(holder.members[index - 1].end) if index else None
    if comma is None and previous is not None:
        kept = text[:previous] + text[previous + 1 : begin]
    return kept + stays + text[end:]


def _behind_line_above(text: str, at: int) -> int:
    """Return where the line before that of *at* ends; with more than blanks before *at*, there."""
    line = text[:at].rstrip(" \t")
    return len(line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line)


def _read(text: str) -> Any:
    try:
        return parse(text)
    except json.JSONDecodeError as error:
        raise Unreadable(error.msg, error.lineno, error.colno) from None


def _span(text: str, path: Sequence[str]) -> tuple[int, int]:
    document = _Document(text)
    start, end = document.root, len(text)
    for key in path:
        member = document.object(start).find(key)
        if member is None:
            raise Unreadable(f"{'.'.join(path)} is not in it")
        start, end = member.value, member.end
    return start, end


JSON = Format(_read, put, drop, span=_span)
