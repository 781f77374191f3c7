"""Deep checks: a bridge whose server is gone is replaced, and nothing else."""

from __future__ import annotations

import os
import signal
import time

import pytest
from daemons import (
    PYTHON,
    STUB,
    World,
    alive,
    kill,
)
from packed import ensure, patch


def bridge(world: World) -> list[str]:
    """Put a stub that plays mcp-proxy on PATH; return the argv of `llmenv-ensure --deep` for it.

    Each start of it answers `tools/list` well, until a test tells it otherwise.
    """
    proxy = world.root / "bin" / "mcp-proxy"
    proxy.parent.mkdir()
    proxy.write_text(
        f"#!/bin/sh\necho '{OK}' >'{world.oracle}/answer'\n"
        f'exec "{PYTHON}" -I -S "{STUB}" "{world.oracle}" "$2:$4" "$@"\n'
    )
    proxy.chmod(0o755)
    world.env["PATH"] = f"{proxy.parent}:{world.env['PATH']}"
    return world.bare("--service", "stub", "--bind", world.bind, "--deep", "--", "sleep", "1000")


OK = '{"jsonrpc": "2.0", "id": 1, "result": {"tools": []}}'


GONE = '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32603, "message": "Connection closed"}}'


NO_TOOLS = '{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "Method not found"}}'


def test_deep_restarts_a_bridge_whose_child_is_gone(world: World) -> None:
    argv = bridge(world)
    assert world.run(argv).returncode == 0
    old = world.check()
    world.tell("answer", GONE)
    done = world.run(argv)
    assert (done.returncode, done.stderr) == (0, "")
    assert world.check(starts=2) != old
    assert not alive(old)


def test_passes_in_between_put_off_no_deep_check(world: World) -> None:
    """As the prompts of several shells send them, each by a clock of its own."""
    bridge(world)
    world.config.write_text(
        f"[services.stub]\ncommand = ['sleep', '1000']\nbind = '{world.bind}'\n"
        "bridge = 'mcp-proxy'\n"
    )
    assert world.run(world.hook_argv()).returncode == 0
    old = world.check()
    world.tell("answer", GONE)
    for starts in (1, 2):
        for path in (world.path("life"), world.path("proof")):
            then = path.stat().st_mtime - 30
            os.utime(path, (then, then))
        assert world.run(world.hook_argv()).returncode == 0
        world.check(starts=starts)
    assert not alive(old)


def test_a_config_of_the_future_puts_off_no_deep_check(world: World) -> None:
    world.write_config()
    os.utime(world.config, (time.time() + 1e7,) * 2)
    assert world.run(world.hook_argv()).returncode == 0
    world.check()
    assert world.path("life").stat().st_mtime_ns > world.config.stat().st_mtime_ns
    assert 0 < world.path("proof").stat().st_mtime - time.time() <= 60


@pytest.mark.parametrize("text", ["", "<html>", "[]", "null", '{"result": {}}', '{"jsonrpc": "1"}'])
def test_deep_leaves_what_it_does_not_understand_alone(world: World, text: str) -> None:
    argv = bridge(world)
    assert world.run(argv).returncode == 0
    world.tell("answer", text)
    done = world.run(argv)
    assert done.returncode == 0
    assert "deep check says unknown" in done.stderr
    world.check()


@pytest.mark.parametrize(
    ("text", "verdict"),
    [(OK, "ok"), (NO_TOOLS, "ok"), (GONE, "gone"), ("{", "unknown"), (f"data: {OK}\n", "ok")],
)
def test_deep_check(world: World, text: str, verdict: str) -> None:
    world.up()
    world.tell("answer", text)
    assert ensure.deep_check(world.service()) == verdict


def test_deep_check_of_a_busy_server(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = world.up()
    patch(monkeypatch, "DEEP_TIMEOUT_S", 0.1)
    os.kill(pid, signal.SIGSTOP)
    assert ensure.deep_check(world.service()) == "busy"
    kill(pid)
    assert ensure.deep_check(world.service()) == "unknown"
