"""`llmenv client`: the configuration by which each coding agent uses the services.

After a change of port or a new service, `--write` brings one agent up to date, or all that have
something of ours.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks.agents import entries
from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands import tables
from llmenv_hooks.commands.agentfiles import RESTART, AgentFile, agent_file, agent_files
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config


def client(
    agents: Annotated[
        list[str] | None,
        typer.Argument(metavar="AGENT", help=", ".join(AGENTS), autocompletion=lambda: [*AGENTS]),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Merge them into the agent's file.")
    ] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take the services out of the agent's file again.")
    ] = False,
    project: Annotated[
        bool, typer.Option("--project", help="Use the file of the project in this directory.")
    ] = False,
    http: Annotated[
        bool, typer.Option("--http", help="Give the agent the URL instead of `llmenv connect`.")
    ] = False,
) -> None:
    """Show, write or remove the services in an agent's config.

    The agent then starts `llmenv connect`, which starts the service if it is down. Without AGENT it
    lists the agents, their files, and whether the services are in them; with --write it updates
    every file that has something of ours.
    """
    if write and remove:
        raise UsageError("--write and --remove exclude each other")
    if not agents:
        if remove or http:
            raise UsageError(f"which agent? there is: {', '.join(AGENTS)}")
        (_update_all if write else _print_agents)(load_config(), project)
        return
    for agent in agents:
        if agent not in AGENTS:
            unknown = printable(agent, 80)
            raise UsageError(f"no agent {unknown!r}; there is: {', '.join(AGENTS)}")
    config = load_config()
    if http and not remove:
        _refuse_http(config, agents)
    files = {agent: agent_file(agent, config, project) for agent in agents}
    if remove:
        for file in files.values():
            file.edit(entries.removed)
        return
    change = functools.partial(entries.merged, kind=entries.HTTP if http else entries.CONNECT)
    if write:
        edited = [file.edit(change) for file in files.values()]
        if any(edited):
            print(RESTART)
        return
    for agent, file in files.items():
        print(change(file.agent, None, file.known), end="")
        again = f"llmenv client {agent} --write{' --project' * project}{' --http' * http}"
        print(f"llmenv: goes into {printable(file.path)}; {again} merges it", file=sys.stderr)


def _refuse_http(config: Config, agents: list[str]) -> None:
    for agent in agents:
        if not AGENTS[agent].url_key:
            raise UsageError(f"{AGENTS[agent].title} takes no URL; leave out --http")
    for service in config.services:
        if service.headers:
            raise UsageError(
                f"{service.name} has headers, which only `llmenv connect` sends; leave out --http"
            )


def _update_all(config: Config, in_project: bool) -> None:
    """Write each file that has something of ours, old or not all; go on after one that fails.

    Raises:
        Exit: one could not be written.
    """
    found = failed = False
    for file in agent_files(config, in_project):
        try:
            if file.outdated():
                found |= file.edit(entries.merged)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    if found:
        print(RESTART)
    if failed:
        raise typer.Exit(1)
    if not found:
        print("no agent that has our servers has an old address or none; nothing was changed")


def _print_agents(config: Config, in_project: bool) -> None:
    table = tables.new("agent", "file", "has our servers")
    for file in agent_files(config, in_project):
        table.add_row(file.name, printable(file.path), _summary(file))
    tables.show(table, whole=True)


def _summary(file: AgentFile) -> str:
    try:
        found = file.presences()
    except Problem as problem:
        return str(problem).removesuffix("; nothing was changed")
    if len(set(found.values())) == 1:
        return next(iter(found.values()))
    return ", ".join(f"{name}: {presence}" for name, presence in found.items())
