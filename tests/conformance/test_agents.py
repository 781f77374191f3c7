"""The clients of the official SDKs, ten at once, one of them asked in the middle of its call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bridges import Bridge, Web, envelope, modern
from conformance.suite import MODULES, NODE, SERVER, SUITE_S
from daemons import missing
from packed import ENSURE
from stdio_agent import Agent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from daemons import World

HERE = Path(__file__).parent
OLD_PYTHON = Path(sys.prefix) / "proxy" / "bin" / "python"  # mcp-proxy's, which has the 1.x line
PYTHON = [str(HERE / "agents.py")]
NODEJS = [str(NODE), str(HERE / "agents.mjs"), str(MODULES / "here")]

SAID = {
    "legacy": [
        "LLM response: agent 0",
        'User response: action=accept, content={"response":"agent 0"}',
    ],
    "auto": ["Model said: agent 0", "Hello, agent 0!"],
}


PROGRAMS = [
    pytest.param([str(OLD_PYTHON), *PYTHON], "1.x", id="Python-1"),
    pytest.param(NODEJS, "auto", id="TypeScript-2"),
    pytest.param([sys.executable, *PYTHON], "legacy", id="Python-2-sessions"),
    pytest.param([sys.executable, *PYTHON], "auto", id="Python-2"),
    pytest.param(NODEJS, "1.x", id="TypeScript-1"),
    pytest.param(NODEJS, "legacy", id="TypeScript-2-sessions"),
]


@pytest.mark.timeout(2 * SUITE_S)
@pytest.mark.parametrize(("program", "mode"), PROGRAMS)
def test_one_is_asked_while_the_others_call(
    tmp_path: Path, program: Sequence[str], mode: str
) -> None:
    with Bridge(tmp_path, command=SERVER) as bridge, Web(bridge) as web:
        web.http.timeout = SUITE_S
        modern(web, "server/discover")  # SDKs give a server 10 s to start, in two eras one by one
        run(program, f"http://127.0.0.1:{bridge.port}/mcp", mode)


@pytest.mark.timeout(2 * SUITE_S)
@pytest.mark.parametrize(("program", "mode"), PROGRAMS[:2])  # an era each
def test_one_is_asked_by_connect_while_the_others_call(
    world: World, program: Sequence[str], mode: str
) -> None:
    """The bridge's other door, and what an agent runs to come in by it."""
    command = json.dumps(SERVER)
    world.config.write_text(f'[services.all]\ncommand = {command}\nbind = "{world.bind}"\n')
    agent = Agent(world, "all")
    agent.call("server/discover", envelope())
    agent.end()
    run(program, f"{sys.executable} -I -S {ENSURE} --connect all", mode, world.env)


def run(
    program: Sequence[str], target: str, mode: str, environment: dict[str, str] | None = None
) -> None:
    """Run the agents, and see that each got what is its own."""
    if not Path(program[0]).exists():
        missing(f"{program[0]} is not installed: `make tools` does it")
    done = subprocess.run(
        [*program, target, mode],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SUITE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["said"] == SAID["auto" if mode == "auto" else "legacy"]
    assert found["asked"] == [0, 0], "another was asked"
    assert found["wrong"] == []
