"""What an edit of an agent's file changes, as it may be shown: our words, and where they stand.

What else is in the file is a neighbour's, and may be a secret.  Of a changed line, which in a file
of one line is all of it, only what is ours and the brackets, commas and blanks are shown.
"""

from __future__ import annotations

import difflib
import json
import re
from typing import TYPE_CHECKING, Any

from llmenv_hooks.agents import entries
from llmenv_hooks.helper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from llmenv_hooks.agents.agent import Agent
    from llmenv_hooks.agents.entries import Server

HIDDEN = "…"
LINE_LIMIT = 10_000  # characters
_TOKEN = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s"'{}\[\]:,=]+|.""")
_PUNCTUATION = re.compile(r"[\s{}\[\]:,=]")
_RUN = re.compile(rf"{HIDDEN}(?:[\s{{}}\[\]:,=]*{HIDDEN})+")


def shown(
    path: str, agent: Agent, old: str | None, new: str | None, known: Sequence[Server]
) -> str:
    """Return the diff of an edit of *path*, a file of *agent*'s; None stands for no file."""
    ours = {HIDDEN} | {word for text in (old, new) for word in _words(agent, text, known)}
    before, after = ([] if text is None else text.splitlines() for text in (old, new))
    names = ("/dev/null" if text is None else path for text in (old, new))
    lines = [f"{sign} {printable(name)}" for sign, name in zip(("---", "+++"), names, strict=True)]
    # A line that only gets a comma is no change.
    compared = [[line.rstrip().rstrip(",") for line in side] for side in (before, after)]
    changes = difflib.SequenceMatcher(None, compared[0], compared[1]).get_opcodes()
    for what, start, end, at, to in changes:
        if what != "equal":
            lines.append(f"@@ -{start + 1},{end - start} +{at + 1},{to - at} @@")
            lines += [f"-{line}" for line in _disclosed(before[start:end], ours)]
            lines += [f"+{line}" for line in _disclosed(after[at:to], ours)]
    return "".join(f"{line}\n" for line in lines)


def _disclosed(lines: Sequence[str], ours: set[str]) -> Iterator[str]:
    """Yield *lines* with what is not of *ours* hidden; without those of which nothing is left."""
    for line in lines:
        kept = "".join(_kept(token, ours) for token in _TOKEN.findall(line))
        kept = _RUN.sub(HIDDEN, kept)
        if HIDDEN not in kept or not all(map(_PUNCTUATION.match, kept.replace(HIDDEN, ""))):
            yield printable(kept, LINE_LIMIT)


def _kept(token: str, ours: set[str]) -> str:
    return token if _PUNCTUATION.match(token) or _plain(token) in ours else HIDDEN


def _plain(token: str) -> str:
    if token[0] == '"':
        try:
            return str(json.loads(token))
        except ValueError:
            return token
    return token[1:-1] if token[0] == "'" else token


def _words(agent: Agent, text: str | None, known: Sequence[Server]) -> Iterator[str]:
    """Yield each word of *text* that is ours: keys, names, URLs and commands."""
    yield from agent.keys
    yield from map(_plain, _TOKEN.findall(agent.format.words))
    for name, entry in entries.owned(agent, text, known).items():
        yield from (name, ".".join((*agent.keys, name)))
        ours = {*agent.extra, *agent.stdio, agent.url_key, agent.command_key, "args"}
        for key in ours & {*entry}:
            yield from (key, *_texts(entry[key]))


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    return [one if isinstance(one, str) else json.dumps(one) for one in texts]
