"""The agents' files: read, edited and shown, for `client`, `setup`, `status` and `doctor`."""

from __future__ import annotations

import codecs
import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmenv_hooks import onefile, userfile
from llmenv_hooks.agents import disclosure, entries, foreignlock, launcher
from llmenv_hooks.agents.agent import Agent
from llmenv_hooks.agents.entries import Server
from llmenv_hooks.agents.formats import Unreadable
from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands.sharerecord import ShareRecord, shared_names
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.sharing.rewriting import restored

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config

RESTART = "an agent that is running takes it up when it is restarted"

# Takes an agent, the text of its file and the services; returns the new text, None for no file.
Change = Callable[[Agent, str | None, Sequence[Server]], str | None]


@dataclass(frozen=True)
class AgentFile:
    """The file at *path* of the agent that is called *name*; *known* are the services for it."""

    name: str
    agent: Agent
    path: str
    known: list[Server]
    in_project: bool

    def text(self) -> str | None:
        """Return what it holds, None for no file.

        Raises:
            Problem: it cannot be read.
        """
        with self._named_when_unreadable():
            return _decoded(userfile.load(self.path))[1]

    def entries(self) -> Mapping[str, Any]:
        """Return the servers in it, by their names.

        Raises:
            Problem: it cannot be read.
        """
        text = self.text() or ""
        with self._named_when_unreadable():
            return self.agent.entries(text)[1]

    def presences(self) -> dict[str, str]:
        """Return `entries.presence` of each service, by its name.

        Raises:
            Problem: it cannot be read.
        """
        found = self.entries()
        return {
            one.name: entries.presence(self.agent, found.get(one.name), one, self.known)
            for one in self.known
        }

    def outdated(self) -> list[str]:
        """Return what of ours in it is not as it would be written now: "NAME: why".

        Raises:
            Problem: it cannot be read.
        """
        return entries.outdated(self.agent, self.entries(), self.known)

    def has_ours(self) -> bool:
        """Say whether something of ours is in it.

        Raises:
            Problem: it cannot be read.
        """
        text = self.text()
        with self._named_when_unreadable():
            return bool(entries.owned(self.agent, text, self.known))

    def edit(self, change: Change, *, shows: bool = True) -> bool:
        """Write what *change* makes of it; return whether it was anything.

        What was done is said, and *shows* whether the lines are shown too.

        Raises:
            Problem: it cannot be read, edited or written; nothing was changed.
        """
        with self._locked():
            old = userfile.load(self.path)
            with self._named_when_unreadable():
                mark, text = _decoded(old)
                changed = change(self.agent, text, self.known)
                original = self._original(text)
            new = _encoded(mark, changed)
            if launcher.one_file() in (changed or ""):
                onefile.helpers()
            if new == old:
                state = "has nothing of ours" if change is entries.removed else "is up to date"
                print(f"{printable(self.path)} {state}; nothing was changed")
                return False
            original_bytes = _encoded(mark, original)
            backup = userfile.replace(self.path, old, new, original=original_bytes, mode=0o600)
        if shows:
            print(disclosure.shown(self.path, self.agent, text, changed, self.known), end="")
        kept = f" (backup: {printable(backup)})" if backup else ""
        print(f"{'removed' if new is None else 'wrote'} {printable(self.path)}{kept}")
        return True

    def preview(self, change: Change) -> str:
        """Return the diff of what *change* would write; "" when that is nothing.

        Raises:
            Problem: it cannot be read or edited.
        """
        text = self.text()
        with self._named_when_unreadable():
            changed = change(self.agent, text, self.known)
        if changed == text:
            return ""
        return disclosure.shown(self.path, self.agent, text, changed, self.known)

    def _original(self, text: str | None) -> str | None:
        """Return *text* without what is ours, and with what `llmenv share` has turned as it was."""
        for service, one in ShareRecord().shared.items():
            was = one.turned.get(self.name)
            if text is not None and was and was.path == self.path:
                text = restored(self.name, self.agent, text, one.entry, was, service)
        return entries.without(self.agent, text, self.known)

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        locks = self.agent.locks and not self.in_project
        return foreignlock.held(self.path) if locks else contextlib.nullcontext()

    @contextlib.contextmanager
    def _named_when_unreadable(self) -> Iterator[None]:
        """Turn what is wrong with its text into a Problem that names it."""
        try:
            yield
        except Unreadable as error:
            where, what = error.place, printable(str(error))
        except UnicodeDecodeError as error:
            where, what = "", f"byte {error.start} is no UTF-8"
        else:
            return
        raise Problem(f"{printable(self.path)}{where}: {what}; nothing was changed")


def agent_file(name: str, config: Config, in_project: bool) -> AgentFile:
    """Return the file of the agent *name*.

    Raises:
        UsageError: it has none in a project.
        Problem: there is no home, or no directory that this runs in.
    """
    agent = AGENTS[name]
    path = agent.path(in_project)
    known = entries.servers(config, agent, in_project, shared_names())
    return AgentFile(name, agent, path, known, in_project)


def agent_files(config: Config, in_project: bool) -> list[AgentFile]:
    """Return the file of each agent, of those that have one.

    Raises:
        Problem: there is no home, or no directory that this runs in.
    """
    return [
        agent_file(name, config, in_project)
        for name, agent in AGENTS.items()
        if agent.project or not in_project
    ]


def outdated_files(config: Config) -> Iterator[tuple[str, str]]:
    """Yield what is outdated in each agent's file, here and in this directory: it, and what to do.

    A file that cannot be read has nothing of ours that its agent could use.

    Raises:
        Problem: there is no home.
    """
    files = agent_files(config, False)
    paths = {file.path for file in files}
    with contextlib.suppress(Problem):  # the directory was deleted
        files += [file for file in agent_files(config, True) if file.path not in paths]
    for file in files:
        with contextlib.suppress(Problem):
            if old := file.outdated():
                again = f"llmenv client --write{' --project' * file.in_project}"
                yield f"{file.path} has {', '.join(old)}", f"{again}; {RESTART}"


def one_file_is_used() -> bool:
    """Say whether an agent's file of this user names the one file, which then has to stay.

    Raises:
        Problem: there is no home, or a file cannot be read.
    """
    name = os.fsencode(launcher.one_file())
    return any(name in (userfile.load(agent.path(False)) or b"") for agent in AGENTS.values())


def _decoded(content: bytes | None) -> tuple[bytes, str | None]:
    """Return the byte order mark of *content*, if it has one, and its text."""
    if content is None:
        return b"", None
    mark = codecs.BOM_UTF8 if content.startswith(codecs.BOM_UTF8) else b""
    return mark, content.removeprefix(mark).decode()


def _encoded(mark: bytes, text: str | None) -> bytes | None:
    return None if text is None else mark + text.encode()
