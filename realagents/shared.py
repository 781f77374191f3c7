#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Share the servers of four real coding agents, and give them back: `make agents`.

    PYTHONPATH=tests .venv/bin/python realagents/shared.py [AGENT ...]

Claude Code, Codex, Gemini CLI and opencode have npm's memory server, its "everything", and one of
the Python SDK's in their files.  All run at once, in front of a model that has each call a tool of
each server.  The processes of the servers are counted while all are there: with servers of their
own, after `llmenv share --all`, and after `--undo`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import World, kill
from headless import HEADLESS, INSTALLED
from modelserver import Model
from outages import left
from rounds import Round, Step

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.commands import tables
from llmenv_hooks.helper.errors import printable
from llmenv_hooks.helper.processes import command_of
from llmenv_hooks.sharing.copies import memory_of, shown_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
LLMENV = Path(sys.executable).with_name("llmenv")
NPM = ROOT / ".venv" / "servers" / "node_modules" / ".bin"
LONGEST_S = 300.0
SERVERS = {
    "graph": [str(NPM / "mcp-server-memory")],
    "everything": [str(NPM / "mcp-server-everything"), "stdio"],
    "memory": [str(ROOT / ".venv" / "proxy" / "bin" / "python"), "SDK_SERVER"],
}
# Of the SDK 1.x, which mcp-proxy has.  One of 2.x speaks but one era of MCP on a pipe, so that the
# bridge has one for each era that an agent speaks.
SDK_SERVER = """
from mcp.server.fastmcp import FastMCP

server = FastMCP("memory")


@server.tool()
def store(text: str) -> str:
    return f"created: {text}"


server.run()
"""
MARKS = ("mcp-server-memory", "mcp-server-everything", "sdk_server.py")
STEPS = (
    Step(r"(^|_)read_graph$", {}, "relations"),
    Step(r"(^|_)echo$", {"message": "the answer"}, "the answer"),
    Step(r"(^|_)store$", {"text": "the answer"}, "created"),
)
# An agent may ask its model before it has a server's tools.  By these tools it waits until it has.
WAITING = {
    "ToolSearch": {
        "query": "select:mcp__graph__read_graph,mcp__everything__echo,mcp__memory__store"
    },
    "list_mcp_resources": {"server": "memory"},
}


@dataclass
class Found:
    """What one round has found: the *servers* that ran at once, and what they took in *bytes*."""

    what: str
    servers: int = 0
    bytes: int = 0
    wrong: list[str] = field(default_factory=list)


class Home:
    """The home in which all agents run, each with a file of its own."""

    def __init__(self, world: World, agents: Sequence[str]) -> None:
        """Write the agents' files."""
        self.world = world
        self.agents = agents
        server = world.root / "sdk_server.py"
        server.write_text(SDK_SERVER)
        store = {
            "MEMORY_FILE_PATH": f"{world.root}/graph.jsonl",
            "LLMENV_MEMORY_DB": f"{world.root}/memory.db",
        }
        for name in agents:
            HEADLESS[name].prepare(world.home)
            agent, path = AGENTS[name], self.path(name)
            text = path.read_text() if path.exists() else None
            for service, argv in SERVERS.items():
                argv = [str(server) if word == "SDK_SERVER" else word for word in argv]
                entry = dict(agent.by_command(argv))
                entry.pop("env_vars", None)
                if name != "codex":
                    entry["environment" if name == "opencode" else "env"] = store
                text = agent.format.put(text, (*agent.keys, service), entry)
                for key, value in store.items() if name == "codex" else ():
                    text += f'env.{key} = "{value}"\n'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text or "")

    def path(self, name: str) -> Path:
        """Return the file of the agent *name*, as its own variables have it in this home."""
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "environ", self.world.env)
            return Path(AGENTS[name].path(False))

    def contents(self) -> list[bytes]:
        """Return what the agents' files hold."""
        return [self.path(name).read_bytes() for name in self.agents]

    def llmenv(self, *words: str) -> str:
        """Run `llmenv`; return what it says.

        Raises:
            RuntimeError: it failed.
        """
        done = self.world.run([str(LLMENV), *words])
        if done.returncode:
            raise RuntimeError(f"llmenv {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def round(self, what: str) -> Found:
        """Run all agents at once; count the servers while all are there."""
        found = Found(what)

        def count() -> None:
            pids = {pid for pid in left(self.world) if _is_a_server(command_of(pid))}
            found.servers, found.bytes = len(pids), memory_of(pids)

        all_there = threading.Barrier(len(self.agents), count, timeout=LONGEST_S)
        rounds = {name: Round(STEPS, WAITING, all_there) for name in self.agents}
        with ExitStack() as stack:
            children = {
                name: self._begin(name, stack.enter_context(Model(rounds[name])), what)
                for name in self.agents
            }
            for name, child in children.items():
                try:
                    child.wait(LONGEST_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    found.wrong.append(f"{name} did not end")
        for name, one in rounds.items():
            found.wrong += [f"{name}: {printable(line, 400)}" for line in one.wrong()]
            if one.wrong():
                log = self.world.root / f"{name}.{what.replace(' ', '-')}.log"
                last = " ".join(log.read_text(errors="replace").split())[-500:]
                found.wrong.append(f"{name} said: {printable(last, 500)}")
        return found

    def _begin(self, name: str, model: Model, what: str) -> subprocess.Popen[str]:
        allowed = ",".join(f"mcp__{server}" for server in SERVERS)
        words = [word.replace("mcp__memory", allowed) for word in HEADLESS[name].argv(model.url)]
        log = self.world.root / f"{name}.{what.replace(' ', '-')}.log"
        with log.open("wb") as output:
            return self.world.begin(
                words,
                env={**self.world.env, **HEADLESS[name].environment(model.url)},
                cwd=self.world.home,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=False,
                errors=None,
            )


def _is_a_server(command: str) -> bool:
    """Say whether *command* is that of a server, and not of a bridge that has it in its words."""
    return "--child-note" not in command and any(mark in command for mark in MARKS)


def run(world: World, agents: Sequence[str]) -> list[Found]:
    """Go through all rounds in *world*."""
    home = Home(world, agents)
    rounds = [home.round("of their own")]
    before = home.contents()
    home.llmenv("share", "--all")
    home.llmenv("share", "--undo")
    if home.contents() != before:
        rounds[0].wrong.append("--undo at once: the files are not what they were")
    entries = [_entries(home, name) for name in agents]
    home.llmenv("share", "--all")
    rounds.append(home.round("shared"))
    rows = json.loads(home.llmenv("status", "--json"))
    if [row["service"] for row in rows if row["state"] != "running"]:
        rounds[1].wrong.append("a service does not run")
    home.llmenv("share", "--undo")
    if [_entries(home, name) for name in agents] != entries:
        rounds[1].wrong.append("--undo: the entries are not what they were")
    rounds.append(home.round("of their own again"))
    return rounds


def _entries(home: Home, name: str) -> str:
    """Return the text of the entries in the file of the agent *name*, which it may have changed."""
    agent, text = AGENTS[name], home.path(name).read_text()
    keys = agent.entries(text)[0]
    spans = [agent.format.span(text, (*keys, server)) for server in SERVERS]
    return "\n".join(text[start:end] for start, end in spans)


def main() -> None:
    """Run all agents, or those that are named; print what was found; 1: something was wrong."""
    parser = argparse.ArgumentParser(description="Share the servers of real agents, and undo it.")
    parser.add_argument("agents", nargs="*", metavar="AGENT", help=", ".join(HEADLESS))
    agents = parser.parse_args().agents or list(HEADLESS)
    if not INSTALLED.is_dir():
        sys.exit("realagents: the agents are not installed; `make agents` does that")
    with (
        tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True) as place,
        World(Path(place) / "w") as world,
    ):
        try:
            rounds = run(world, agents)
        finally:
            for pid in left(world):
                kill(pid)
    table = tables.new("round", "agents", "server processes", "memory")
    for one in rounds:
        table.add_row(one.what, str(len(agents)), str(one.servers), shown_bytes(one.bytes))
    tables.show(table, whole=True)
    expected = [len(SERVERS) * len(agents), len(SERVERS), len(SERVERS) * len(agents)]
    for one, due in zip(rounds, expected, strict=True):
        if one.servers != due:
            one.wrong.append(f"{one.servers} servers ran at once, and not {due}")
        for line in one.wrong:
            print(f"{one.what}: {line}")
    sys.exit(any(one.wrong for one in rounds))


if __name__ == "__main__":
    main()
