"""What a killed bridge leaves behind is ended by the next start, and by `stop`."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import alive, kill, missing, processes_with, wait_until

if TYPE_CHECKING:
    from daemons import World

BIN = Path(sys.executable).parent
# Answers what a bridge asks at its start, and does not end with its input.
SERVER = """
import json, os, signal, sys, time
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()}\\n")
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        result = {"tools": []}
        if message["method"] == "initialize":
            version = message["params"]["protocolVersion"]
            info = {"name": "deaf", "version": "1"}
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
        print(json.dumps(answer), flush=True)
while True:
    time.sleep(1000)
"""
# How the server is started: by itself, by a shell that waits for it, in a session of its own.
WRAPPERS = {
    "bare": ["{server}"],
    "sh": ["sh", "-c", '"$@"; exit 0', "sh", "{server}"],
    "setsid": ["sh", "-c", 'setsid "$@"; exit 0', "sh", "{server}"],
}


def configure(world: World, bridge: str, wrapper: str) -> Path:
    """Have a server that ignores the end of its input; return where each writes its pid."""
    if bridge == "mcp-proxy" and not (BIN / "mcp-proxy").exists() and not shutil.which(bridge):
        missing("mcp-proxy is not installed")
    script, pids = world.root / "server.py", world.root / "pids"
    script.write_text(SERVER)
    server = [sys.executable, "-I", "-S", str(script), str(pids)]
    words = [word for one in WRAPPERS[wrapper] for word in (server if one == "{server}" else [one])]
    world.config.write_text(
        f"[services.stub]\ncommand = {json.dumps(words)}\n"
        f'bind = "{world.bind}"\nbridge = "{bridge}"\n'
    )
    return pids


def servers(pids: Path) -> list[int]:
    """Return the servers that live."""
    return (
        [pid for pid in map(int, pids.read_text().split()) if alive(pid)] if pids.exists() else []
    )


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("bridge", ["mcp-proxy", "guarded"])
def test_a_server_that_outlives_its_bridge_is_ended(
    world: World, bridge: str, wrapper: str
) -> None:
    pids = configure(world, bridge, wrapper)
    started = world.bare("--timeout", "60")
    for _ in range(3):
        done = world.run(started)
        assert (done.returncode, done.stderr) == (0, ""), done
        wait_until(lambda: len(servers(pids)) == 1)
        (server,) = servers(pids)
        kill(world.pidfile() or 0)
        assert alive(server), "it is left over"
    assert world.run(started).returncode == 0
    wait_until(lambda: len(servers(pids)) == 1)
    assert server not in servers(pids)
    kill(world.pidfile() or 0)
    assert len(servers(pids)) == 1
    stop = [sys.executable, "-m", "llmenv_hooks", "stop"]
    assert world.run(stop).returncode == 0
    assert servers(pids) == []
    assert processes_with(f"{world.root}/") == []
