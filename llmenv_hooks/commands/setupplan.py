"""What `llmenv setup` will do: the questions that it asks, and what is shown before it is done."""

from __future__ import annotations

import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from llmenv_hooks import onefile, places, render
from llmenv_hooks.agents import entries
from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands.agentfiles import AgentFile, agent_files
from llmenv_hooks.commands.init import at_a_free_port, choose_command, config_text, store
from llmenv_hooks.commands.install import current_shell
from llmenv_hooks.commands.rcfiles import rc_files
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.configs import Config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import config_path, xdg_directory
from llmenv_hooks.helper.programs import which
from llmenv_hooks.install import static_path

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class SetupPlan:
    """What is to be done.

    *config* is as it will be; *config_text* what is written for it, None where there is one.  The
    *previews* are those of *agents*.
    """

    config: Config
    config_text: bytes | None
    shells: list[str]
    agents: list[AgentFile]
    previews: list[str] = field(default_factory=list)

    def files(self) -> list[str]:
        """Return the paths of all files that will be made, or may be."""
        cache = xdg_directory("XDG_CACHE_HOME", ".cache", "the cache")
        made = [self.config.path, os.path.join(onefile.directory(), onefile.NEWEST), store()]
        made += [os.path.join(cache, "hook"), *map(static_path, self.shells)]
        made += [path for shell in self.shells for path in rc_files(shell)]
        if "fish" in self.shells:  # makes it itself when `install` tries it
            made.append(os.path.join(os.path.dirname(onefile.directory()), "fish", "fish_history"))
        return [*made, *(file.path for file in self.agents)]

    def shown(self) -> str:
        """Return the plan, for a person to read."""
        lines = []
        for service in self.config.services:
            runs = shlex.join(service.command) if not service.url else service.url
            lines.append(f"  {service.name}: {printable(runs, 200)}")
        path = printable(self.config.path)
        head = f"the config {path}" + (", which is there already" * (self.config_text is None))
        lines.insert(0, f"{head}:")
        for shell in self.shells:
            files = ", ".join(map(printable, rc_files(shell)))
            lines.append(f"a block in {files} that sources {printable(static_path(shell))}")
        if not self.agents:
            lines.append("no agent was found on this machine; see llmenv client")
        for file, preview in zip(self.agents, self.previews, strict=True):
            where = f"{file.agent.title}, {printable(file.path)}"
            lines.append(f"{where}:" if preview else f"{where}, which has our servers already")
            lines += [f"  {line}" for line in preview.splitlines()]
        return "".join(f"{line}\n" for line in lines)


def plan(*, asks: bool) -> SetupPlan:
    """Return what is to be done; *asks* says whether there is somebody to ask.

    Raises:
        UsageError: a wrong config.
        Problem: there is no home, no free port, or no server.
    """
    path = config_path()
    text = None
    if os.path.lexists(path):
        config = load_config()
    else:
        service = at_a_free_port(choose_command(not asks))
        text = config_text(service).encode()
        config = Config([service], None, path)
    shells, agents = _shells(), [name for name, agent in AGENTS.items() if agent.is_here()]
    if asks:
        named = ", ".join(render.QUOTE)
        shells = _chosen(f"Which shells keep it running? ({named}, none)", shells, [*render.QUOTE])
        which = "Which agents use it? (names as in `llmenv client`, or none)"
        agents = _chosen(which, agents, list(AGENTS))
    planned = SetupPlan(config, text, shells, [])
    for file in agent_files(config, False):
        if file.name in agents:
            _add(planned, file)
    return planned


def _add(planned: SetupPlan, file: AgentFile) -> None:
    """Add *file* to what is *planned*, or say why it cannot be edited."""
    try:
        planned.previews.append(file.preview(entries.merged))
    except Problem as problem:
        print(f"llmenv: {problem}", file=sys.stderr)
    else:
        planned.agents.append(file)


def _shells() -> list[str]:
    """Return the shells that have an rc file, or else the one that this runs in."""
    found = [shell for shell in render.QUOTE if which(shell) and _has_rc_file(shell)]
    return found or [current_shell()]


def _has_rc_file(shell: str) -> bool:
    if shell == "fish":  # ours is one of many, and the directory is made by fish itself
        return os.path.isdir(os.path.join(places.config_home(), "fish"))
    return any(map(os.path.exists, rc_files(shell)))


def _chosen(question: str, usual: Sequence[str], known: Sequence[str]) -> list[str]:
    """Ask for some of the *known* names, until all of the answer are; yes takes the *usual*."""

    def names(answer: str) -> list[str]:
        said = set(re.split(r"[\s,]+", answer.strip().lower())) - {"", "none", "n", "no"}
        said = {*usual} if said in ({"y"}, {"yes"}) else said
        if unknown := sorted(said - {*known}):
            there = ", ".join(known)
            raise typer.BadParameter(f"no {printable(unknown[0], 80)!r}; there is: {there}")
        return [name for name in known if name in said]

    default = " ".join(usual) or "none"
    chosen: list[str] = typer.prompt(question, default=default, value_proc=names, err=True)
    return chosen
