"""`llmenv share`: the servers that agents start for themselves become shared ones, and back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands import tables
from llmenv_hooks.commands.agentfiles import RESTART
from llmenv_hooks.commands.sharedoing import share_one
from llmenv_hooks.commands.shareplan import (
    plan_of,
    refuse_open_secrets,
    refuse_to_lose_the_default,
)
from llmenv_hooks.commands.sharerecord import ShareRecord
from llmenv_hooks.commands.sharesurvey import Candidate, survey
from llmenv_hooks.commands.shareundo import unshare
from llmenv_hooks.helper.configfiles import load_config
from llmenv_hooks.helper.errors import Problem, UsageError, printable
from llmenv_hooks.sharing.copies import running, shown_bytes
from llmenv_hooks.sharing.secrets import shown

if TYPE_CHECKING:
    from llmenv_hooks.helper.configs import Config


def share(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="A server in the agents' files.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that can be shared; with --undo, all that are.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also share servers that keep state for a single agent.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Give each agent its own back; all, without NAME.")
    ] = False,
) -> None:
    """Share the servers that agents start.

    Each agent has a process of its own of every server in its file; shared, they have one.

    Without NAME: which there are, how many copies run, what those take, and which can be shared.
    With NAME: each becomes a service on a socket, and the entry of every agent that has it
    `llmenv connect`.
    """
    if every and names:
        raise UsageError("--all and NAME exclude each other")
    if undo and (dry_run or force):
        raise UsageError(f"--undo and {'--dry-run' if dry_run else '--force'} exclude each other")
    config = load_config()
    if not config.here:
        raise Problem(config.not_here)
    if undo:
        unshare(names or [])
        return
    candidates = survey(config)
    if not (names or every):
        if dry_run or force:
            raise UsageError("which server? llmenv share lists them; or --all")
        _print_list(candidates)
        return
    _share(_chosen(candidates, names, force), config, dry_run, force)


def _chosen(candidates: list[Candidate], names: list[str] | None, force: bool) -> list[Candidate]:
    """Return those that *names* name, each once; without names, all that can be shared.

    Raises:
        UsageError: there is none of such a name.
        Problem: one cannot be shared, or should not be and is not to be by *force*.
    """
    if not names:
        return [one for one in candidates if not one.why and (force or not one.doubt)]
    known = {one.name: one for one in candidates}
    for name in dict.fromkeys(names):
        if name not in known:
            have = ", ".join(known) or "none"
            raise UsageError(f"no server {printable(name, 80)!r} of an agent's own; have: {have}")
        if known[name].why:
            raise Problem(f"{name} cannot be shared: {known[name].why}")
        if known[name].doubt and not force:
            raise Problem(f"{name} should not be shared: {known[name].doubt}; --force does it")
    return [known[name] for name in dict.fromkeys(names)]


def _share(chosen: list[Candidate], config: Config, dry_run: bool, force: bool) -> None:
    """Share all that are *chosen*, one after the other; go on after one that fails.

    Raises:
        Problem: a secret would be open to others, or a service would end; nothing was done.
        Exit: one failed.
    """
    if not chosen:
        print("nothing can be shared; llmenv share says why")
        return
    refuse_to_lose_the_default(config)
    refuse_open_secrets(chosen, config)
    processes = running()
    failed = False
    for one in chosen:
        print(plan_of(one, processes), end="")
        if dry_run:
            continue
        try:
            share_one(one, forced=force)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    print("nothing was done" if dry_run else f"{RESTART}; back: llmenv share --undo")
    if failed:
        raise typer.Exit(1)


def _print_list(candidates: list[Candidate]) -> None:
    table = tables.new("server", "agents", "copies", "memory", "can be shared", "command")
    processes = running()
    for one in candidates:
        copies = one.copies(processes)
        can = one.why or (f"by --force: {one.doubt}" if one.doubt else "yes")
        table.add_row(
            printable(one.name, 80),
            ", ".join(own.file.agent.title for own in one.owns),
            str(len(copies.pids)),
            shown_bytes(copies.bytes) if copies.pids else "-",
            can,
            shown(one.owns[0].words),
        )
    for service, shared in ShareRecord().shared.items():
        agents = ", ".join(AGENTS[name].title for name in shared.turned)
        table.add_row(shared.entry, agents, "-", "-", "is shared", f"llmenv connect {service}")
    if not table.row_count:
        print("no agent has a server of its own")
        return
    tables.show(table, whole=True)
    for one in candidates:
        if len({tuple(own.words) for own in one.owns}) > 1:
            for own in one.owns:
                print(f"{printable(one.name, 80)} in {own.where}: {shown(own.words)}")
