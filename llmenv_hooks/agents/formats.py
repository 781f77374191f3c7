"""What an agent's file format must be able to do: each file is edited in its text.

So everything else in it stays as it is.  `jsonc`, `toml` and `yaml` have one `Format` each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Unreadable(ValueError):
    """A text that its agent could not read either, or that is not as we wrote it."""

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.place = f":{line}:{column}" if line else ""


def no_span(_text: str, path: Sequence[str]) -> tuple[int, int]:
    """Stand for `Format.span` of a format that cannot tell it."""
    raise Unreadable(f"llmenv cannot tell where {'.'.join(path)} stands in it")


class Format(NamedTuple):
    """How to read and edit a text; None stands for no file, which is not an empty one.

    *read* comes first: it raises Unreadable for a text that the other two could not edit.
    *put* returns the text with a value at a path of keys, *drop* the text without it, and *span*
    from where to before where all stands that makes the value at a path.  *words* are those that
    it writes beside the entries.
    """

    read: Callable[[str], Any]
    put: Callable[[str | None, Sequence[str], object], str]
    drop: Callable[[str, Sequence[str]], str | None]
    words: str = ""
    span: Callable[[str, Sequence[str]], tuple[int, int]] = no_span


def newline_of(text: str) -> str:
    """Return how the lines of *text* end."""
    return "\r\n" if "\r\n" in text else "\n"
