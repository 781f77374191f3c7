"""`llmenv client`: the configuration by which each coding agent uses the services.

After a change of port, `--write` brings one agent up to date, or all that have an old entry.
"""

from __future__ import annotations

import codecs
import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from llmenv_hooks import userfile
from llmenv_hooks.agents import entries
from llmenv_hooks.agents.formats import Unreadable
from llmenv_hooks.agents.table import AGENTS, Agent
from llmenv_hooks.commands import tables
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import Problem, UsageError, printable

# Takes an agent, the text of its file and the config; returns the new text, None for no file.
Change = Callable[[Agent, str | None, Config], str | None]


def client(
    agent: Annotated[
        str | None,
        typer.Argument(metavar="AGENT", help=", ".join(AGENTS), autocompletion=lambda: [*AGENTS]),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Merge it into the agent's file.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take it out of the agent's file again.")
    ] = False,
    project: Annotated[
        bool, typer.Option("--project", help="Use the file of the project in this directory.")
    ] = False,
) -> None:
    """Print the configuration by which an agent uses the services.

    Without AGENT: the agents, their files, and whether the services are in them. --write then
    brings every file up to date that has an old URL.
    """
    if write and remove:
        raise UsageError("--write and --remove exclude each other")
    if agent is None:
        if remove:
            raise UsageError(f"which agent? there is: {', '.join(AGENTS)}")
        (_update_all if write else _print_agents)(load_config(), project)
        return
    if agent not in AGENTS:
        unknown = printable(agent, 80)
        raise UsageError(f"no agent {unknown!r}; there is: {', '.join(AGENTS)}")
    row = AGENTS[agent]
    path = row.path(project)
    if write or remove:
        change = entries.removed if remove else entries.merged
        _edit(path, row, change, load_config())
    else:
        print(entries.merged(row, None, load_config()), end="")
        again = f"llmenv client {agent} --write{' --project' * project}"
        print(f"llmenv: goes into {printable(path)}; {again} merges it", file=sys.stderr)


# --- one agent ------------------------------------------------------------------------------------


def _edit(path: str, agent: Agent, change: Change, config: Config) -> None:
    """Write what *change* makes of *path*, the file of *agent*, and say what was done.

    Raises:
        Problem: it cannot be read, edited or written; nothing was changed.
    """
    old = userfile.load(path)
    with _named_when_unreadable(path):
        mark, text = _decoded(old)
        changed = change(agent, text, config)
        original = entries.without(agent, text, config)
    new = _encoded(mark, changed)
    if new == old:
        state = "has nothing of ours" if change is entries.removed else "is up to date"
        print(f"{printable(path)} {state}; nothing was changed")
        return
    original_bytes = _encoded(mark, original)
    backup = userfile.replace(path, old, new, original=original_bytes, mode=0o600)
    print(userfile.diff(path, old, new), end="")
    kept = f" (backup: {printable(backup)})" if backup else ""
    print(f"{'removed' if new is None else 'wrote'} {printable(path)}{kept}")


@contextlib.contextmanager
def _named_when_unreadable(path: str) -> Iterator[None]:
    """Turn what is wrong with the text of *path* into a Problem that names it."""
    try:
        yield
    except Unreadable as error:
        where, what = error.place, printable(str(error))
    except UnicodeDecodeError as error:
        where, what = "", f"byte {error.start} is no UTF-8"
    else:
        return
    raise Problem(f"{printable(path)}{where}: {what}; nothing was changed")


def _decoded(content: bytes | None) -> tuple[bytes, str | None]:
    """Return the byte order mark of *content*, if it has one, and its text."""
    if content is None:
        return b"", None
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    return mark, content.removeprefix(mark).decode()


def _encoded(mark: bytes, text: str | None) -> bytes | None:
    return None if text is None else mark + text.encode()


# --- all agents -----------------------------------------------------------------------------------


def _update_all(config: Config, in_project: bool) -> None:
    """Write each file that has an old entry of ours; go on after one that cannot be written.

    Raises:
        Exit: one could not be written.
    """
    found = failed = False
    for path, agent in _files(in_project).values():
        try:
            if _is_outdated(agent, _entries(path, agent), config):
                found = True
                _edit(path, agent, entries.merged, config)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    if failed:
        raise typer.Exit(1)
    if not found:
        print("no agent has an old URL of ours; nothing was changed")


def _files(in_project: bool) -> dict[str, tuple[str, Agent]]:
    """Return the path of each agent's file, and the agent, by its name."""
    return {
        name: (agent.path(in_project), agent)
        for name, agent in AGENTS.items()
        if agent.project or not in_project
    }


def _entries(path: str, agent: Agent) -> Mapping[str, Any]:
    """Return the servers in *path*, the file of *agent*.

    Raises:
        Problem: it cannot be read.
    """
    with _named_when_unreadable(path):
        return agent.entries(_decoded(userfile.load(path))[1] or "")[1]


def _presences(agent: Agent, servers: Mapping[str, Any], config: Config) -> dict[str, str]:
    """Return `entries.presence` of each service, by its name."""
    return {
        service.name: entries.presence(
            agent, servers.get(service.name), config.url(service), config
        )
        for service in config.services
    }


def _is_outdated(agent: Agent, servers: Mapping[str, Any], config: Config) -> bool:
    if "old URL" in _presences(agent, servers, config).values():
        return True
    return any(entries.is_stale(agent, name, entry, config) for name, entry in servers.items())


def _print_agents(config: Config, in_project: bool) -> None:
    table = tables.new("agent", "file", "has our servers")
    for name, (path, agent) in _files(in_project).items():
        table.add_row(name, printable(path), _summary(path, agent, config))
    tables.show(table, whole=True)


def _summary(path: str, agent: Agent, config: Config) -> str:
    try:
        servers = _entries(path, agent)
    except Problem as problem:
        return str(problem).removesuffix("; nothing was changed")
    found = _presences(agent, servers, config)
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{name}: {presence}" for name, presence in found.items())
