"""Shares one server: config, start, hello, and then the agents' entries; or nothing of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from llmenv_hooks import onefile
from llmenv_hooks.agents.launcher import one_file, user_command
from llmenv_hooks.commands.agentfiles import agent_file
from llmenv_hooks.commands.configedit import put_service
from llmenv_hooks.commands.hello import tools_of
from llmenv_hooks.commands.sharerecord import Shared, ShareRecord
from llmenv_hooks.commands.shareundo import end_service
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import instances, state_dir
from llmenv_hooks.helper.protocol import ensure, patience
from llmenv_hooks.helper.realms import our_files
from llmenv_hooks.helper.sockets import ask_bridge
from llmenv_hooks.sharing import harm
from llmenv_hooks.sharing.copies import memory_of, shown_bytes
from llmenv_hooks.sharing.rewriting import turned, what_turned

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from llmenv_hooks.agents.agent import Agent
    from llmenv_hooks.agents.entries import Server
    from llmenv_hooks.commands.sharesurvey import Candidate, Own

SHOWN_TOOLS = 300  # characters


def share_one(one: Candidate, *, forced: bool) -> None:
    """Share *one*; the agents' files come last, when an agent would be answered already.

    *forced* says that it is shared although its tools speak against it.

    Raises:
        Problem: it cannot be; what was done before is taken back, but for the files that were
            written before one that could not be.
    """
    record = ShareRecord()
    if one.name not in record.shared:
        record.shared[one.name] = Shared(one.name, made=not one.joins)
    record.keep()
    try:
        if not one.joins:
            put_service(load_config().path, one.name, _table(one))
        tools = _start(one.name)
        if not (forced or one.joins):
            _refuse_harm(one.name, tools)
    except BaseException:
        if not record.shared[one.name].turned:
            if not one.joins:
                end_service(one.name, "it is not to be shared")
            del record.shared[one.name]
            record.keep()
        raise
    names = printable(", ".join(tool["name"] for tool in tools), SHOWN_TOOLS)
    print(f"{one.name} runs{_size(one.name)}; an agent sees {len(tools)} tools: {names}")
    for own in one.owns:
        _turn(own, one.name, record)


def _refuse_harm(name: str, tools: Sequence[dict[str, Any]]) -> None:
    if why := harm.by_tools(tools):
        raise Problem(f"{name} should not be shared: {why}; --force does it")


def _table(one: Candidate) -> dict[str, Any]:
    meant = one.meant
    table: dict[str, Any] = {"command": meant.command, "bind": False}
    table |= {"env": meant.env} if meant.env else {}
    return table | ({"cwd": meant.cwd} if meant.cwd != "/" else {})


def _start(name: str) -> list[dict[str, Any]]:
    """Start the service *name*, and return the tools that an agent sees."""
    service = load_config().named(name)
    ensure(service, state_dir(), timeout=patience(service), revive=True)
    argv = user_command(name)
    if one_file() in argv:
        onefile.helpers()
    try:
        return tools_of(argv, service.start_timeout)
    except Problem as problem:
        raise Problem(
            f"{name}: {problem}; its environment may lack what the agents' has; nothing is shared"
        ) from None


def _turn(own: Own, name: str, record: ShareRecord) -> None:
    """Turn one agent's entry; what that changes is written down first."""
    file = agent_file(own.file.name, load_config(), False)

    def change(agent: Agent, text: str | None, _: Sequence[Server]) -> str:
        old = text or ""
        new = turned(file.name, agent, old, name, user_command(name))
        record.shared[name].turned[file.name] = what_turned(agent, file.path, name, old, new)
        record.keep()
        return new

    file.edit(change)


def _size(name: str) -> str:
    """Return what the server of the service *name* takes, for a message."""
    told = ask_bridge(our_files(instances(name, state_dir()))) or {}
    with contextlib.suppress(LookupError, TypeError):
        return f" once and takes {shown_bytes(memory_of(told['server']['pids']))}"
    return ""
