"""What is known of a coding agent: where it keeps its MCP servers, and what an entry looks like."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmenv_hooks import places
from llmenv_hooks.agents.formats import Format, Unreadable
from llmenv_hooks.agents.jsonc import JSON
from llmenv_hooks.helper.errors import Problem, UsageError
from llmenv_hooks.helper.programs import which


@dataclass(frozen=True)
class Agent:
    """One coding agent, and how it wants to be told of a server.

    *user* is its file, `${VARIABLE:-else}` as in a shell; *mac* the one on macOS, where that is
    another; *project* the one in a project, if there is.  *keys* lead to the table of servers.  An
    entry in it is *extra* and the URL at *url_key*, which is "" for an agent that takes no URL, or
    *stdio* and a command: the program at *command_key* and its arguments apart, or with *one_list*
    together.  *private* says that all in the file is ours.  *program* is what a person starts it
    with.  *locks* says that it takes `Lock` on its *user* file.  *forked* says that it is opencode,
    or made from it: it reads its file as .jsonc too, and a newer one has the servers deeper.
    """

    title: str
    documented: str
    user: str
    project: str
    program: str
    keys: tuple[str, ...] = ("mcpServers",)
    extra: dict[str, Any] = field(default_factory=dict)
    url_key: str = "url"
    stdio: dict[str, Any] = field(default_factory=dict)
    command_key: str = "command"
    one_list: bool = False
    format: Format = JSON
    mac: str = ""
    private: bool = False
    locks: bool = False
    forked: bool = False

    def by_url(self, url: str) -> dict[str, Any]:
        """Return the entry of a server that is reached at *url*."""
        return {**self.extra, self.url_key: url}

    def by_command(self, argv: Sequence[str]) -> dict[str, Any]:
        """Return the entry of a server that *argv* starts, and that speaks stdio."""
        if self.one_list:
            return {**self.stdio, self.command_key: list(argv)}
        return {**self.stdio, self.command_key: argv[0], "args": list(argv[1:])}

    def command_of(self, entry: Mapping[str, Any]) -> list[str]:
        """Return the argv of *entry*, of any server; [] when it has none."""
        words = entry.get(self.command_key)
        if not self.one_list:
            more = entry.get("args", [])
            words = [words, *more] if isinstance(more, list) else []
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            return []
        return [str(word) for word in words]

    def is_here(self) -> bool:
        """Say whether it seems to be installed: it has a file or directory here, or is on PATH."""
        try:
            path = self.path(False)
        except Problem:
            return False
        beside = os.path.dirname(path)
        own = beside if beside not in (places.home(), places.config_home()) else path
        return os.path.exists(path) or os.path.isdir(own) or bool(which(self.program))

    def path(self, in_project: bool) -> str:
        """Return the file to edit, an absolute path.

        Raises:
            UsageError: the agent has no file in a project.
            Problem: there is no home, or no directory that this runs in.
        """
        if in_project and not self.project:
            raise UsageError(f"{self.title} has no configuration in a project")
        user = self.mac if self.mac and sys.platform == "darwin" else self.user
        path = os.path.join(_here(), self.project) if in_project else _expanded(user)
        if self.forked and not os.path.lexists(path) and os.path.lexists(path + "c"):
            return path + "c"
        return path

    def entries(self, text: str) -> tuple[tuple[str, ...], Mapping[str, Any]]:
        """Return the keys that lead to the servers in *text*, and the servers.

        Raises:
            Unreadable: *text* is broken, or has something else where the servers belong.
        """
        table: Any = {"": self.format.read(text)}
        for key in ("", *self.keys):
            table = table.get(key, {})
            if not isinstance(table, Mapping):
                raise Unreadable(f"{key or 'what it holds'} is no table of servers")
        # opencode 2 has its servers one level down.  Without that level it reads them as version 1.
        newer = table.get("servers") if self.forked else None
        if isinstance(newer, Mapping) and "type" not in newer:
            return (*self.keys, "servers"), newer
        return self.keys, table


def _expanded(path: str) -> str:
    """Return *path* with ~ and ${VARIABLE:-else} replaced; a relative value counts as unset."""

    def value(found: re.Match[str]) -> str:
        named = os.environ.get(found[1], "")
        return named if os.path.isabs(named) else found[2]

    replaced = 1
    while replaced:  # the inner one first
        path, replaced = re.subn(r"\$\{(\w+):-([^{}]*)\}", value, path)
    return path if os.path.isabs(path) else places.home() + path.removeprefix("~")


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise Problem("the directory that you are in was deleted; go to another first") from None
