"""The bridge's first promise: whatever happens to its server, it answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from bridges import Bridge, Web, Wire, gone, in_background, said
from daemons import kill, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("agent_of", [Web, Wire], ids=["http", "socket"])
def test_call_made_while_the_server_starts_waits_for_it(
    tmp_path: Path, agent_of: Callable[[Bridge], Web | Wire]
) -> None:
    """It listens before its server can answer."""
    with Bridge(tmp_path, "slow=0.5") as bridge, agent_of(bridge) as agent:
        assert bridge.status()["server"]["state"] == "starting"
        assert agent.tool(echo="early")["echo"] == "early"
        assert bridge.status()["server"]["state"] == "running"


def test_call_that_waits_longer_than_the_start_may_take_gets_an_error(tmp_path: Path) -> None:
    """So does `initialize`; and the server is started again."""
    with Bridge(tmp_path, "slow=60", options=["--start-timeout", "0.5"]) as bridge:
        with Web(bridge) as agent:
            error = agent.call("tools/list")["error"]
            assert "does not run" in error["message"]
        wait_until(lambda: bridge.status()["server"]["restarts"] > 0)


def test_dead_server_is_replaced(tmp_path: Path) -> None:
    """And agents go on as if nothing had happened, by the sessions that they have."""
    with Bridge(tmp_path) as bridge, Web(bridge) as web, Wire(bridge) as wire:
        web.initialize()
        wire.initialize()
        pid = web.tool()["pid"]
        for _ in range(5):
            kill_server(bridge, pid)
            following = web.tool()["pid"]
            assert following == wire.tool()["pid"] != pid
            pid = following
        status = bridge.status()["server"]
        assert (status["state"], status["restarts"]) == ("running", 5)
        assert not bridge.path("child").exists()


def test_call_under_way_when_the_server_dies_gets_an_error(tmp_path: Path) -> None:
    """It says that the call may have been done; and it is not sent again."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as wire:
        wire.tool()
        number = wire.ask("tools/call", {"name": "echo", "arguments": {"seconds": 60}})
        wait_until(lambda: len(bridge.came("tools/call")) == 2)
        kill(bridge.server_pid())
        error = wire.answer(number)["error"]
        assert "it was killed by SIGKILL" in error["message"]
        assert "may have been done" in error["message"]
        assert wire.tool(echo="next")["echo"] == "next"
        assert len(bridge.came("tools/call")) == 3


def test_call_that_kills_the_server_costs_no_other(tmp_path: Path) -> None:
    """What has not been written to a dead server goes to the next one."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as wire:
        wire.tool()
        numbers = [wire.ask("tools/call", {"name": "echo", "arguments": {"die": True}})]
        wait_until(lambda: len(bridge.came("tools/call")) == 2)
        numbers += [wire.ask("tools/call", {"name": "echo"}) for _ in range(20)]
        answers = [wire.next() for _ in numbers]
        failed = [answer["id"] for answer in answers if "error" in answer]
        assert numbers[0] in failed
        assert wire.tool(echo="next")["echo"] == "next"


def test_server_that_keeps_dying(tmp_path: Path) -> None:
    """The reason stands in a file and in the answers; it goes once the server runs again."""
    broken = tmp_path / "broken"
    broken.touch()
    with Bridge(tmp_path, f"dies-if={broken}") as bridge, Web(bridge) as agent:
        error = agent.call("tools/list")["error"]
        assert "it exited with status 3" in error["message"]
        status = bridge.status()["server"]
        assert status["state"] == "failing"
        assert status["reason"] == "it exited with status 3"
        note = bridge.path("child")
        told = "b: its server keeps dying: it exited with status 3; llmenv logs b\n"
        assert note.read_text() == told
        assert note.stat().st_mode & 0o777 == 0o600
        assert "no luck today" in bridge.log()
        broken.unlink()
        assert wait_until(lambda: "result" in agent.call("tools/list"))
        assert bridge.status()["server"]["state"] == "running"
        assert not note.exists()


def test_program_that_is_not_there(tmp_path: Path) -> None:
    """The bridge stays, and says which."""
    with Bridge(tmp_path, command=[str(tmp_path / "none")]) as bridge, Wire(bridge) as wire:
        error = wire.call("tools/list")["error"]
        assert f"cannot run {tmp_path}/none: No such file" in error["message"]


def test_many_kills_under_many_callers(tmp_path: Path) -> None:
    """No connection breaks, a kill costs a caller one error at most, all else is answered."""
    kills, callers = int(os.environ.get("LLMENV_TEST_KILLS", "40")), 8  # in chaos: 1000

    def calls(bridge: Bridge) -> tuple[int, int]:
        done = errors = 0
        with Web(bridge) as agent:
            agent.initialize()
            while not finished:
                answer = agent.call("tools/call", {"name": "echo", "arguments": {"echo": done}})
                if "error" in answer:
                    errors += 1
                else:
                    assert said(answer)["echo"] == done
                done += 1
        return done, errors

    finished: list[bool] = []
    with Bridge(tmp_path) as bridge:
        running = [in_background(calls, bridge) for _ in range(callers)]
        pid = bridge.server_pid()
        for _ in range(kills):
            wait_for_calls(bridge, callers)
            os.kill(pid, signal.SIGKILL)
            pid = next_server(bridge, pid)
        finished.append(True)
        wait_until(lambda: all(running))
        for [(done, errors)] in running:
            assert done > kills
            assert errors <= kills


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_end_leaves_nothing(tmp_path: Path, number: int) -> None:
    """A server that ignores everything, its child in another session, and that one's child."""
    with Bridge(tmp_path, "deaf", "child") as bridge:
        bridge.server_pid()
        wait_until(lambda: any(line.startswith("grandchild") for line in bridge.notes()))
        lines = [line.split() for line in bridge.notes() if not line.startswith("{")]
        pids = [int(pid) for _, pid in lines]
        assert len(pids) == 3
        assert bridge.end(number) == 0
        assert all(map(gone, pids))
        assert not bridge.path("sock").exists()


def test_dead_server_leaves_nothing_behind(tmp_path: Path) -> None:
    """What was below it is ended before the next one runs."""
    with Bridge(tmp_path, "child") as bridge:
        pid = bridge.server_pid()
        wait_until(lambda: any(line.startswith("grandchild") for line in bridge.notes()))
        lines = [line.split() for line in bridge.notes() if not line.startswith("{")]
        kill(pid)
        next_server(bridge, pid)
        assert all(gone(int(pid)) for _, pid in lines)


def test_end_lets_calls_end(tmp_path: Path) -> None:
    """For two seconds: the doors are closed, but who has asked gets the answer."""
    with Bridge(tmp_path) as bridge, Web(bridge) as agent:
        agent.initialize()
        answer = in_background(lambda: agent.tool(echo="last", seconds=0.5))
        wait_until(lambda: bridge.came("tools/call"))
        assert bridge.end() == 0
        assert wait_until(lambda: answer)[0]["echo"] == "last"


def test_well_behaved_server_is_not_signalled(tmp_path: Path) -> None:
    """The end of its input is enough."""
    script = tmp_path / "server.sh"
    script.write_text(f'"$@"; echo "status $?" >>{tmp_path}/ended\n')
    command = ["/bin/sh", str(script)]
    with Bridge(tmp_path) as bridge:
        pass
    bridge.command = command + bridge.command
    with bridge:
        bridge.server_pid()
        assert bridge.end() == 0
        assert (tmp_path / "ended").read_text() == "status 0\n"


def test_log_never_grows_beyond_its_size(tmp_path: Path) -> None:
    """Nor is a line lost that fits."""
    with Bridge(tmp_path) as bridge, Wire(bridge) as wire:
        for _ in range(6):
            wire.tool(stderr=700_000)
        sizes = [bridge.path("log").stat().st_size, bridge.path("log.1").stat().st_size]
        assert sizes[1] == 1 << 20
        assert sizes[0] < 1 << 20


def test_what_the_server_writes_that_is_no_message_is_said_in_the_log(tmp_path: Path) -> None:
    """And costs nothing."""
    with Bridge(tmp_path, "noise") as bridge, Wire(bridge) as wire:
        assert wire.tool(echo=1)["echo"] == 1
        assert "hello there" in bridge.log()


def test_program_wants_a_command() -> None:
    """Wrong usage is said in a line or two, with status 2."""
    argv = [sys.executable, "-m", "llmenv_hooks.bridge", "--name", "b", "--socket", "/nowhere"]
    run = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


def test_port_that_is_taken(tmp_path: Path) -> None:
    """The bridge ends, and says so in a line."""
    with Bridge(tmp_path / "a") as first:
        second = Bridge(tmp_path / "b")
        second.port = first.port
        with second:
            assert second.process
            assert second.process.wait() == 1
            lines = second.log().splitlines()
            assert len(lines) == 1
            assert f"cannot listen on 127.0.0.1 port {first.port}: Address" in lines[0]


def test_status_tells_how_it_is(tmp_path: Path) -> None:
    """Who is there, how many calls, what was refused."""
    with Bridge(tmp_path) as bridge, Web(bridge) as web, Wire(bridge) as wire:
        web.initialize()
        wire.initialize()
        web.tool()
        with Web(bridge, Host="evil.example") as evil:
            assert evil.request("POST", b"{}").status == 403
        status = bridge.status()
        assert status["agents"] == ["tester", "tester"]
        assert status["calls"] == 3
        assert status["refused"] == {"Host": 1}
        assert status["pid"] == bridge.pid
        assert json.dumps(status)


def wait_for_calls(bridge: Bridge, count: int) -> None:
    """Return once *count* more calls have come."""
    before = bridge.status()["calls"]
    wait_until(lambda: bridge.status()["calls"] > before + count)


def kill_server(bridge: Bridge, pid: int) -> None:
    """Kill its server *pid*, and return once the bridge knows.

    Before that a call may still reach the pipe: a thread of the dead holds it open a moment longer.
    """
    kill(pid)
    wait_until(lambda: pid not in bridge.status()["server"]["pids"])


def next_server(bridge: Bridge, before: int) -> int:
    """Return the pid of the server that follows *before*, once it is up."""
    wait_until(lambda: bridge.status()["server"]["pids"] not in ([], [before]))
    return bridge.server_pid()
