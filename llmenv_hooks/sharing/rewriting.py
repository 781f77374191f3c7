"""Turns an agent's entry of a server into `llmenv connect`, and back to what it was.

All of the entry that says nothing of how the server is started stays: comments, timeouts, flags.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from llmenv_hooks.agents import launcher
from llmenv_hooks.agents.formats import Unreadable, newline_of
from llmenv_hooks.sharing.meaning import environment_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmenv_hooks.agents.agent import Agent


class Turned(NamedTuple):
    """One entry that was turned, as the record keeps it.

    *before* is what stood in the file's text, and *values* that in data; *tail* is what of it now
    stands behind the entry: comments on what was dropped.
    """

    path: str
    before: str
    tail: str
    values: dict[str, Any]


def turned(name: str, agent: Agent, text: str, entry: str, argv: Sequence[str]) -> str:
    """Return *text*, the file of the agent *name*, in which *entry* starts *argv*.

    Raises:
        Unreadable: it cannot be edited so.
    """
    keys, entries = agent.entries(text)
    path = (*keys, entry)
    start, end = agent.format.span(text, path)
    wanted = agent.by_command(argv)
    new: str | None = text
    for key in _how_it_starts(name, agent):
        if key in entries[entry] and key not in wanted:
            new = agent.format.drop(new or "", (*path, key))
    for key, value in wanted.items():
        if _plain(agent.entries(new or "")[1][entry].get(key)) != value:
            new = agent.format.put(new, (*path, key), value)
    if new is None or new[:start] != text[:start] or not new.endswith(text[end:]):
        raise Unreadable(f"llmenv cannot edit {entry} in it")
    return new


def what_turned(agent: Agent, path: str, entry: str, old: str, new: str) -> Turned:
    """Return what an edit of *entry* from the text *old* to *new* has replaced."""
    keys, entries = agent.entries(old)
    start, end = agent.format.span(old, (*keys, entry))
    to = len(new) - (len(old) - end)
    behind = agent.format.span(new, (*keys, entry))[1]
    return Turned(path, old[start:end], new[behind:to], _plain(entries[entry]))


def restored(name: str, agent: Agent, text: str, entry: str, was: Turned, service: str) -> str:
    """Return *text* in which *entry* is again what it *was* before it was turned to *service*.

    To the byte, unless something of it was edited since (a comment does not count): that stays.  An
    entry that is gone, or that is another by now, is left alone.

    Raises:
        Unreadable: it cannot be edited so.
    """
    keys, entries = agent.entries(text)
    now = entries.get(entry)
    if not isinstance(now, Mapping) or not launcher.is_connect(agent.command_of(now), service):
        return text
    path = (*keys, entry)
    start, end = agent.format.span(text, path)
    ours = {*_how_it_starts(name, agent), *agent.by_command([""])}
    if _but(now, ours) == _but(was.values, ours):
        before, rest = was.before, text[end:].removeprefix(was.tail)
        if text[:end].endswith("\n") and not before.endswith("\n"):
            before += newline_of(text)
        return text[:start] + before + rest
    return _with_values(agent, text, path, was.values, ours)


def _with_values(
    agent: Agent, text: str, path: Sequence[str], values: Mapping[str, Any], ours: set[str]
) -> str:
    """Return *text* in which the keys *ours* of the entry at *path* have what *values* say."""
    for key in sorted(ours):
        now = agent.entries(text)[1][path[-1]]
        if key in values and _plain(now.get(key)) != values[key]:
            text = agent.format.put(text, (*path, key), values[key])
        elif key in now and key not in values:
            text = agent.format.drop(text, (*path, key)) or ""
    return text


def _how_it_starts(name: str, agent: Agent) -> tuple[str, ...]:
    return (agent.command_key, "args", environment_key(name), "env_vars", "cwd")


def _but(entry: Mapping[str, Any], keys: set[str]) -> dict[str, Any]:
    return {key: value for key, value in _plain(entry).items() if key not in keys}


def _plain(value: Any) -> Any:
    """Return *value* of an agent's file as JSON has it."""
    return json.loads(json.dumps(value, default=str))
