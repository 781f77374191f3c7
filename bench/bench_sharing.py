#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What agents take with a copy of a server each, and with one that they share.

    PYTHONPATH=tests .venv/bin/python bench/bench_sharing.py [AGENTS]

The servers are npm's memory server, by `npx` and by its own program, and the example of the Python
SDK.  Memory is Pss (proc_pid_smaps(5)): a page that several processes share counts by its part.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from daemons import World, processes_with
from stdio_agent import Agent

from llmenv_hooks.commands import tables
from llmenv_hooks.commands.configedit import put_service
from llmenv_hooks.helper.places import instances
from llmenv_hooks.helper.processes import descendants
from llmenv_hooks.helper.sockets import ask_bridge
from llmenv_hooks.sharing.copies import memory_of, shown_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
LLMENV = Path(sys.executable).with_name("llmenv")
PROGRAM = ROOT / ".venv/servers/node_modules/.bin/mcp-server-memory"
SERVERS = {
    "npx -y @modelcontextprotocol/server-memory": [
        *("npx", "-y", "@modelcontextprotocol/server-memory@2026.8.31"),
    ],
    "mcp-server-memory": [str(PROGRAM)],
    "examples/memory_server.py": [sys.executable, str(ROOT / "examples" / "memory_server.py")],
}


class Taken(NamedTuple):
    """How many processes there were, and how many bytes and seconds they took."""

    processes: int
    bytes: int
    seconds: float


def own_copies(world: World, argv: Sequence[str], count: int) -> Taken:
    """Let *count* agents start *argv* each."""
    began = time.monotonic()
    agents = [Agent(world, argv=argv, **store(world)) for _ in range(count)]
    for agent in agents:
        agent.initialize()
    seconds = time.monotonic() - began
    family = descendants({agent.process.pid for agent in agents})
    taken = Taken(len(family), memory_of(family), seconds)
    end(agents)
    return taken


def shared(world: World, argv: Sequence[str], count: int) -> tuple[Taken, int]:
    """Let *count* agents share one; return also what server, bridge and `connect` say it is."""
    put_service(str(world.config), "x", {"command": argv, "bind": False, "env": store(world)})
    began = time.monotonic()
    first = Agent(world, argv=[str(LLMENV), "connect", "x"])
    first.initialize()
    seconds = time.monotonic() - began
    told = ask_bridge(instances("x", str(world.state))[0])
    assert told
    one = memory_of([told["pid"]]) + count * memory_of([first.process.pid])
    began = time.monotonic()
    agents = [Agent(world, argv=[str(LLMENV), "connect", "x"]) for _ in range(count - 1)]
    for agent in agents:
        agent.initialize()
    seconds += time.monotonic() - began
    agents.append(first)
    family = descendants({told["pid"], *(agent.process.pid for agent in agents)})
    taken = Taken(len(family), memory_of(family), seconds)
    end(agents)
    subprocess.run([LLMENV, "stop"], env=world.env, check=True, stdout=subprocess.DEVNULL)
    return taken, one


def store(world: World) -> dict[str, str]:
    """Return where the servers are to keep what they are told."""
    return {
        "MEMORY_FILE_PATH": f"{world.root}/memory.jsonl",
        "LLMENV_MEMORY_DB": f"{world.root}/memory.db",
        "npm_config_cache": str(ROOT / ".venv" / "npm"),
    }


def end(agents: Sequence[Agent]) -> None:
    """End *agents*, and with them what they have started."""
    for agent in agents:
        agent.end()


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    table = tables.new("server", "agents", "processes", "memory", "until all were answered", "sum")
    for name, argv in SERVERS.items():
        for is_shared in (False, True):
            with (
                tempfile.TemporaryDirectory(prefix="sharing-") as place,
                World(Path(place) / "w") as world,
            ):
                expected = 0
                if is_shared:
                    taken, expected = shared(world, argv, count)
                else:
                    own_copies(world, argv, 1)  # what is downloaded once is not of the measure
                    taken = own_copies(world, argv, count)
                assert not [pid for pid in processes_with(f"{world.root}/") if pid]
            table.add_row(
                name,
                f"{count} share one" if is_shared else f"{count} with one each",
                str(taken.processes),
                shown_bytes(taken.bytes),
                f"{taken.seconds:.1f} s",
                f"{taken.bytes / expected:.2f}" if expected else "",
            )
    tables.show(table, whole=True)


if __name__ == "__main__":
    main()
