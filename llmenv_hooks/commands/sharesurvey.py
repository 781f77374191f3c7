"""Which servers the agents start for themselves, and which of them can be shared: for `share`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llmenv_hooks.agents import launcher
from llmenv_hooks.commands.agentfiles import AgentFile, agent_files
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.programs import expanded
from llmenv_hooks.helper.services import GUARDED, Service, valid_name
from llmenv_hooks.sharing import harm
from llmenv_hooks.sharing.copies import Copies, copies_of
from llmenv_hooks.sharing.meaning import Meaning, Unshareable, is_disabled, meaning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from llmenv_hooks.helper.configs import Config


@dataclass
class Own:
    """One agent's own entry of a server, in its *file*; *project* is the one that it is of, or "".

    *meant* is None where *why* says what is wrong with it.
    """

    file: AgentFile
    words: list[str]
    project: str
    disabled: bool
    meant: Meaning | None = None
    why: str = ""

    @property
    def where(self) -> str:
        """Whose it is, for people."""
        of = f" in {self.project}" if self.project else ""
        return f"{self.file.agent.title}{of}"


@dataclass
class Candidate:
    """A server of the name *name*, by the agents that have one: the *owns*.

    *why* says why it cannot be shared, *doubt* why it should not be.  *joins* says that the service
    is in the config already, and only more agents come to it.
    """

    name: str
    owns: list[Own] = field(default_factory=list)
    why: str = ""
    doubt: str = ""
    joins: bool = False

    @property
    def meant(self) -> Meaning:
        """What it means, of one that can be shared."""
        found = self.owns[0].meant
        assert found
        return found

    def service(self) -> Service:
        """Return the service that it would be."""
        meant = self.meant
        return Service(self.name, meant.command, "", bridge=GUARDED, env=meant.env, cwd=meant.cwd)

    def copies(self, processes: dict[int, list[str]]) -> Copies:
        """Return which of *processes* are copies of it."""
        found: set[int] = set()
        size = 0
        for words in {tuple(_expanded(own)) for own in self.owns}:
            one = copies_of(words, processes)
            size += one.bytes if not found & set(one.pids) else 0
            found |= set(one.pids)
        return Copies(sorted(found), size)


def survey(config: Config) -> list[Candidate]:
    """Return each server over stdio that is in an agent's file and not ours, by its name.

    A file that cannot be read is left out: `client` and `doctor` say so.

    Raises:
        Problem: there is no home.
    """
    by_name: dict[str, Candidate] = {}
    for name, own in _owns(config):
        by_name.setdefault(name, Candidate(name)).owns.append(own)
    for one in by_name.values():
        _judge(one, config)
    return list(by_name.values())


def _owns(config: Config) -> Iterator[tuple[str, Own]]:
    files = agent_files(config, False)
    paths = {file.path for file in files}
    for file in files:
        if file.agent.private:
            continue
        try:
            found, projects = file.entries(), _local_entries(file)
        except Problem:
            continue
        yield from _stdio(file, found, "")
        for project, entries in projects:
            yield from _stdio(file, entries, project)
    try:
        in_project = [one for one in agent_files(config, True) if one.path not in paths]
    except Problem:  # the directory was deleted
        return
    for file in in_project:
        try:
            yield from _stdio(file, file.entries(), os.getcwd())
        except Problem:
            continue


def _local_entries(file: AgentFile) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each project of Claude Code's own file, and its servers there.

    `claude mcp add` puts a server there unless it is told otherwise
    (https://code.claude.com/docs/en/mcp, "Local scope").
    """
    if file.name != "claude":
        return
    projects = file.agent.format.read(file.text() or "").get("projects")
    for project, values in projects.items() if isinstance(projects, Mapping) else ():
        servers = values.get("mcpServers") if isinstance(values, Mapping) else None
        if isinstance(servers, Mapping):
            yield str(project), servers


def _stdio(file: AgentFile, found: Mapping[str, Any], project: str) -> Iterator[tuple[str, Own]]:
    for name, entry in found.items():
        if not isinstance(entry, Mapping) or file.agent.command_key not in entry:
            continue
        words = file.agent.command_of(entry)
        if words and launcher.is_connect(words, words[-1]):
            continue
        own = Own(file, words, project, is_disabled(entry))
        try:
            own.meant = meaning(file.name, file.agent, entry)
        except Unshareable as why:
            own.why = str(why)
        yield name, own


def _judge(one: Candidate, config: Config) -> None:
    """Say of the candidate *one* why it cannot be shared, or should not be."""
    of_user = [own for own in one.owns if not own.project]
    wrong = next((own for own in of_user if own.why), None)
    taken = config.find(one.name)
    if not of_user:
        one.why = f"it is of the project {printable(one.owns[0].project, 200)} alone"
        return
    one.owns = of_user
    if not valid_name(one.name):
        one.why = "its name cannot be a service's: letters, digits, - and _"
    elif wrong:
        one.why = f"{wrong.where}: {wrong.why}"
    elif any(own.meant != one.meant for own in of_user):
        one.why = "it is not the same in all of them"
    elif all(own.disabled for own in of_user):
        one.why = "it is switched off"
    elif taken and not _is_same(taken, one):
        one.why = "the config has another service of that name"
    one.joins = bool(taken)
    if not one.why:
        project = harm.project_of(one.meant)
        one.doubt = harm.by_package(one.meant)
        one.doubt = one.doubt or (project and f"it is told of the project {printable(project)}")


def _is_same(service: Service, one: Candidate) -> bool:
    would = one.service()
    return (service.command, service.env, service.cwd, service.bridge) == (
        would.command,
        would.env,
        would.cwd,
        would.bridge,
    )


def _expanded(own: Own) -> list[str]:
    """Return the command line of *own* as it is when it runs, as far as that can be told."""
    if own.meant:
        try:
            return expanded(Service("x", own.meant.command, "", bridge=GUARDED)).command
        except Problem:
            pass
    return own.words or ["-"]
