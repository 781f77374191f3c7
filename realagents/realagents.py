#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Run real coding agents through the death of the service they use: `make agents`.

    PYTHONPATH=tests .venv/bin/python realagents/realagents.py [AGENT ...] [--only connect|http]

Each agent gets a home of its own, `llmenv client AGENT --write`, and a model that has it call the
memory server twenty times.  Between the calls the bridge, its server, or both are killed, twelve
times.  By `connect` the service is down at the start, and each call must be answered; with
`--http` it is up, and no more calls may fail than were made while nothing listened.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from daemons import World, kill
from headless import HEADLESS, INSTALLED
from modelserver import Model
from outages import Memory, Outages, left
from script import Script

from llmenv_hooks.commands import tables
from llmenv_hooks.helper.errors import printable

CALLS = 20
LONGEST_S = 900.0
SERVER = Path(__file__).resolve().parents[1] / "examples" / "memory_server.py"
LLMENV = Path(sys.executable).with_name("llmenv")


@dataclass
class Run:
    """How one agent went through it; *wrong* says what should not have been."""

    agent: str
    way: str
    calls: int
    answers: int
    unheard: int
    kills: int
    seconds: float
    wrong: list[str]


def run(agent: str, way: str, world: World, calls: int = CALLS) -> Run:
    """Run *agent* in *world*; *way* is connect or http."""
    memory = Memory(world, SERVER, LLMENV)
    outages = Outages(memory, revive=way == "http")
    script = Script(calls, outages.between)
    HEADLESS[agent].prepare(world.home)
    memory.run("client", agent, "--write", *["--http"] * (way == "http"))
    if way == "http":
        memory.run("start", "memory")
    log = world.root / f"{agent}.log"
    began = time.monotonic()
    with Model(script) as model, log.open("wb") as output:
        child = world.begin(
            HEADLESS[agent].argv(model.url),
            env={**world.env, **HEADLESS[agent].environment(model.url)},
            cwd=world.home,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=False,
            errors=None,
        )
        try:
            child.wait(LONGEST_S)
        except subprocess.TimeoutExpired:
            child.kill()
        status = child.wait()
    seconds = time.monotonic() - began
    answered = script.answered()
    found = Run(
        *(agent, way, len(answered), sum(answered), len(outages.unheard), outages.kills, seconds),
        wrong=[
            f"call {number} failed: {printable(script.results.get(number, 'no answer'), 300)}"
            for number, fine in enumerate(answered, 1)
            if not fine and (way == "connect" or number not in outages.unheard)
        ],
    )
    if status or len(answered) < calls:
        last = printable(" ".join(log.read_text(errors="replace").split())[-500:], 500)
        found.wrong.append(f"it ended with status {status} after {len(answered)} calls: {last}")
    kept = memory.stored() if memory.database.exists() else []
    due = [text for text, fine in zip(script.texts, answered, strict=True) if fine]
    if [text for text in kept if text in due] != due:
        found.wrong.append(f"{len(kept)} memories are kept, {len(due)} were confirmed")
    memory.run("stop", "memory")
    return found


def show(runs: list[Run]) -> None:
    """Print what was found: a table, and below it what was wrong."""
    titles = "agent version way calls answers kills unheard failures seconds".split()
    table = tables.new(*titles)
    for one in runs:
        numbers = (one.calls, one.answers, one.kills, one.unheard, one.calls - one.answers)
        version = HEADLESS[one.agent].version
        table.add_row(one.agent, version, one.way, *map(str, numbers), f"{one.seconds:.0f}")
    tables.show(table, whole=True)
    for one in runs:
        for line in one.wrong:
            print(f"{one.agent}, {one.way}: {line}")


def main() -> None:
    """Run the agents that are named, else all of them, one after the other; 1: one was wrong."""
    parser = argparse.ArgumentParser(description="Run real agents through kills of their server.")
    parser.add_argument("agents", nargs="*", metavar="AGENT", help=", ".join(HEADLESS))
    parser.add_argument("--only", choices=["connect", "http"], help="in this way alone")
    options = parser.parse_args()
    if not INSTALLED.is_dir():
        sys.exit("realagents: the agents are not installed; `make agents` does that")
    runs = []
    for way in [options.only] if options.only else ["connect", "http"]:
        for agent in options.agents or HEADLESS:
            with tempfile.TemporaryDirectory(prefix="agents-", ignore_cleanup_errors=True) as place:
                with World(Path(place) / "w") as world:
                    try:
                        runs.append(run(agent, way, world))
                    finally:
                        for pid in left(world):
                            kill(pid)
                print(f"{agent}, {way}: {runs[-1].answers} of {runs[-1].calls}", file=sys.stderr)
    show(runs)
    sys.exit(any(one.wrong for one in runs))


if __name__ == "__main__":
    main()
