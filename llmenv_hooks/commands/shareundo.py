"""`llmenv share --undo`: each agent's entry is again what it was, and the service goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from llmenv_hooks.commands.agentfiles import RESTART, agent_file
from llmenv_hooks.commands.configedit import drop_service
from llmenv_hooks.commands.sharerecord import ShareRecord
from llmenv_hooks.commands.stopped import forget_stop
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.helper.stopping import stop
from llmenv_hooks.sharing.rewriting import restored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmenv_hooks.agents.agent import Agent
    from llmenv_hooks.agents.entries import Server


def unshare(names: Sequence[str]) -> None:
    """Give back what was shared, of the servers *names*, or all; go on after one that fails.

    Raises:
        UsageError: one is not shared.
        Exit: something could not be given back.
    """
    record = ShareRecord()
    services = _services_of(names, record)
    if not services:
        print("nothing is shared")
        return
    failed = False
    for service in services:
        failed |= not _give_back(service, record)
        record.keep()
    print(RESTART)
    if failed:
        raise typer.Exit(1)


def _services_of(names: Sequence[str], record: ShareRecord) -> list[str]:
    services = {one.entry: service for service, one in record.shared.items()}
    for name in names:
        if name not in services:
            have = ", ".join(services) or "none"
            raise UsageError(f"{printable(name, 80)!r} is not shared; have: {have}")
    # The last first, as they were put into the config: so nothing of ours is left in that.
    chosen = set(names or services)
    return [services[name] for name in reversed(services) if name in chosen]


def _give_back(service: str, record: ShareRecord) -> bool:
    """Undo all of one *service*; return whether that was done.

    It stays in the config, and in the *record*, as long as an agent's file could not be written.
    """
    shared = record.shared[service]
    for agent in list(shared.turned):
        try:
            _restore(agent, service, record)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
        else:
            del shared.turned[agent]
    if shared.turned:
        print(f"llmenv: {service} runs on: an agent still has it", file=sys.stderr)
        return False
    try:
        if shared.made:
            end_service(service, "llmenv share --undo")
    except Problem as problem:
        print(f"llmenv: {problem}", file=sys.stderr)
        return False
    del record.shared[service]
    return True


def _restore(agent: str, service: str, record: ShareRecord) -> None:
    """Put the entry of *agent* back.

    Raises:
        Problem: its file cannot be read, edited or written.
    """
    entry, was = record.shared[service].entry, record.shared[service].turned[agent]
    file = agent_file(agent, load_config(), False)
    if file.path != was.path:
        raise Problem(f"{entry} was shared in {printable(was.path)}, which is not the file now")

    def change(agent_: Agent, text: str | None, _: Sequence[Server]) -> str | None:
        return None if text is None else restored(agent, agent_, text, entry, was, service)

    if not file.edit(change):
        print(f"{printable(entry)} in it is another by now, and was left alone")


def end_service(service: str, why: str) -> None:
    """Stop *service*, and take it out of the config; *why* is for its log.

    One that is not there has been taken out.

    Raises:
        Problem: it cannot be stopped, or the config cannot be written.
    """
    config = load_config()
    found = config.find(service)
    if found is None:
        return
    if not found.url:
        stop(found, state_dir(), why=why)
    drop_service(config.path, service)
    forget_stop(service)
    print(f"stopped {service}, and took it out of {printable(config.path)}")
