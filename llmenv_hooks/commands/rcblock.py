"""The marked block in an rc file, as text: `install` puts it in, `uninstall` takes it out.

Also the other ways in which an rc file may bring the hook: the line of the block alone, which
`install` asks people to add where it may not write, and `llmenv hook`, the way without a block.
"""

from __future__ import annotations

import os
import re

from llmenv_hooks import render
from llmenv_hooks.helper.errors import Problem, printable

BEGIN = b"# >>> llmenv >>>"
END = b"# <<< llmenv <<<"
# What uninstall must undo besides the block.  The block itself says it: no other place is as sure
# to be there when the block is.
_NOTHING_MORE = b" again."
_WITH_LINE = b", and the empty line before it."
_WITH_NEWLINE = b", and the newline before it."  # as earlier versions put it
_WITH_BOTH = b", and the empty line before it, and a newline."
_WITH_FILE = b", and this file."
_BLOCK = re.compile(
    rb"^%b[ \t\r]*\n(?P<body>(?:(?!%b).*\n)*?)%b[ \t\r]*(?:\n|\Z)" % (BEGIN, BEGIN, END), re.M
)
_HALF = re.compile(rb"%b|%b" % (BEGIN, END))
_SOURCED = re.compile(
    rb"^(?![ \t]*#).*(?:\.|\bsource)[ \t].*\bllmenv/hook\.(?:bash|zsh|fish)\b", re.M
)
_EVAL = re.compile(rb"^[^#\n]*\bllmenv hook\b", re.M)


def has_whole_block(content: bytes) -> bool:
    """Say whether *content* has the block in it."""
    return _BLOCK.search(content) is not None


def has_block(content: bytes) -> bool:
    """Say whether *content* of an rc file has the block in it, or a line that sources the hook."""
    return has_whole_block(content) or find_source(content) is not None


def find_source(content: bytes) -> re.Match[bytes] | None:
    """Return the first line of *content* that sources a static hook file, in a block or not."""
    return _SOURCED.search(content)


def find_eval(content: bytes) -> re.Match[bytes] | None:
    """Return the first line of *content* that runs `llmenv hook`."""
    return _EVAL.search(content)


def place(path: str, content: bytes, found: re.Match[bytes]) -> str:
    """Return PATH:LINE of *found* in *content*, for a message."""
    number = content.count(b"\n", 0, found.start()) + 1
    return f"{printable(path)}:{number}"


def place_of_hook(path: str, content: bytes, line: bytes) -> str:
    """Return PATH:LINE of the block in *content*, or of *line* alone; one of them must be there."""
    found = filter(None, (_BLOCK.search(content), _alone(line).search(content)))
    return place(path, content, min(found, key=re.Match.start))


def source_line(shell: str, static: str) -> bytes:
    """Return the line of code by which *shell* sources the file *static*.

    It is silent where that file is missing: homes get copied to other machines.
    """
    path = render.QUOTE[shell](static)
    code = {
        # A sh that is no bash may read .profile.
        "bash": f'if [ -n "${{BASH_VERSION-}}" ] && [ -r {path} ]; then \\builtin . {path}; fi',
        "zsh": f"if [ -r {path} ]; then \\builtin . {path}; fi",
        "fish": f"if builtin test -r {path}; builtin source {path}; end",
    }[shell]
    # git or an editor may add a CR at the end, which does no harm in a comment.
    return os.fsencode(f"{code} #")


def _alone(line: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^%b[ \t\r]*(?:\n|\Z)" % re.escape(line), re.M)


def with_block(path: str, old: bytes | None, line: bytes) -> bytes:
    """Return *old* with one block around *line*: in the place of the one it has, else at its end.

    Raises:
        Problem: half a block is there.
    """
    content = old or b""
    refuse_half(path, content)
    undo, before, after = _NOTHING_MORE, content, b""
    if found := _BLOCK.search(content):
        kinds = (_WITH_LINE, _WITH_NEWLINE, _WITH_BOTH, _WITH_FILE)
        undo = next((kind for kind in kinds if kind in found["body"]), undo)
        before, after = content[: found.start()], _BLOCK.sub(b"", content[found.end() :])
    elif _alone(line).search(content):
        return content  # a person has added the line, as `install` asks where it cannot write
    elif old is None:
        undo = _WITH_FILE
    elif content:
        # A last line that ends in a backslash goes on in the empty one.  Not CRLF, also where the
        # file has CRLF: the CR would become part of the user's last line.
        undo = _WITH_LINE if content.endswith(b"\n") else _WITH_BOTH
        before += b"\n" if undo == _WITH_LINE else b"\n\n"
    # Nothing in this that a shell would execute, should it not take it for a comment.
    says = b"# Added by llmenv install; llmenv uninstall takes it out" + undo
    return before + b"\n".join([BEGIN, says, line, END, b""]) + after


def without_block(path: str, content: bytes | None) -> bytes | None:
    """Return *content* as it was before there was a block in it; None: there was no file.

    Raises:
        Problem: half a block is there.
    """
    if content is None:
        return None
    refuse_half(path, content)
    undo = b""
    while found := _BLOCK.search(content):
        undo = found["body"]
        before, after = content[: found.start()], content[found.end() :]
        if _WITH_LINE in undo or _WITH_BOTH in undo:
            before = before.removesuffix(b"\n")
        if (_WITH_NEWLINE in undo or _WITH_BOTH in undo) and not after:
            before = before.removesuffix(b"\n")
        content = before + after
    return content if content or _WITH_FILE not in undo else None


def refuse_half(path: str, content: bytes) -> None:
    """See that *content*, of the file *path*, has no line of a block but in whole blocks.

    Raises:
        Problem: it has.
    """
    rest = _BLOCK.sub(lambda block: b"\n" * block[0].count(b"\n"), content)
    if half := _HALF.search(rest):
        raise Problem(
            f"{place(path, rest, half)}: half a block of llmenv's; take out by hand what is left"
            f" of {BEGIN.decode()} ... {END.decode()}"
        )


def without_hook(path: str, content: bytes | None, line: bytes) -> bytes | None:
    """Return *content* without the block and without each *line* alone.

    Raises:
        Problem: half a block is there.
    """
    left = without_block(path, content)
    return None if left is None else _alone(line).sub(b"", left)
