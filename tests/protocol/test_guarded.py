"""A guarded service, from end to end: the helper starts our bridge, and that starts the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from bridges import Web, Wire
from daemons import alive, holders, kill, wait_until
from guarded import GuardedWorld, all_gone
from packed import ensure
from shells import EACH, ONE_MINUTE, Shell

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_SERVER = Path(__file__).parent.parent.parent / "examples" / "memory_server.py"
# A server that heeds nothing, with a child and a grandchild in a session of their own.
STUBBORN = ("deaf", "child")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[GuardedWorld]:
    """A world with a guarded service in its config."""
    with GuardedWorld(tmp_path / "w") as made:
        yield made


def changed(world: GuardedWorld, *modes: str, lines: str = "") -> GuardedWorld:
    """Return *world*, whose server has other *modes*."""
    world.modes = modes
    world.configure(lines)
    return world


# --- the life of any daemon -----------------------------------------------------------------------


def test_a_cold_start_is_over_before_the_server_answers(world: GuardedWorld) -> None:
    """The port is open; a call waits for the server."""
    pid = changed(world, "slow=1").bring_up()
    assert world.bridge_status()["server"]["state"] == "starting"
    world.calls()
    assert world.bridge_status()["server"] == {
        "state": "running",
        "pids": world.told(),
        "restarts": 0,
        "reason": "",
    }
    assert world.bring_up() == pid
    assert len(world.told()) == 1


def test_it_is_a_daemon_like_any_other(world: GuardedWorld) -> None:
    """Record, lock, pidfile, proof and log are the bridge's; the server has none of it."""
    pid = world.bring_up()
    world.calls()
    (server,) = world.told()
    record = ensure.read_record(str(world.path("life")))
    assert record
    assert (record.pid, record.bind) == (pid, world.bind)
    assert world.pidfile() == pid
    assert holders(world.path("life")) == [pid]
    assert os.path.samefile(world.path("alive"), world.path("life"))
    assert all(" llmenv: " in line for line in world.path("log").read_text().splitlines())
    assert os.getsid(server) == server != pid
    assert world.path("sock").stat().st_mode & 0o777 == 0o600
    there = {path.name.removeprefix("stub.") for path in world.state.glob("stub.*")}
    assert there == {"pid", "life", "proof", "alive", "sock", "log"}


def test_stop_and_start(world: GuardedWorld) -> None:
    """Nothing is left of it but the mark that it was stopped."""
    first = changed(world, *STUBBORN).bring_up()
    family = world.family()
    assert world.llmenv("stop")[0] == 0
    assert all_gone([first, *family])
    assert world.living() == []
    assert not world.path("sock").exists()
    assert "was stopped" in world.run(world.bare()).stderr
    assert world.llmenv("start")[0] == 0
    world.calls()
    assert world.pidfile() != first


def test_another_config_is_another_daemon(world: GuardedWorld) -> None:
    first = world.bring_up()
    world.calls()
    (server,) = world.told()
    world.configure("origins = ['http://localhost:3000']")
    second = world.bring_up()
    assert second != first
    assert all_gone([first, server])
    world.calls()
    assert len(world.told()) == 2


def test_another_command_is_another_daemon(world: GuardedWorld) -> None:
    first = changed(world, "child").bring_up()
    family = world.family()
    second = changed(world, "slow=0.1").bring_up()
    assert second != first
    assert all_gone([first, *family])
    world.calls()


def test_a_real_memory_server(world: GuardedWorld) -> None:
    """The example's, over both doors, and again after its death."""
    words = json.dumps([sys.executable, str(MEMORY_SERVER), f"{world.root}/memory.db"])
    world.config.write_text(f"[services.stub]\ncommand = {words}\nbind = '{world.bind}'\n")
    world.env["ICM_DB"] = f"{world.root}/memory.db"
    world.bring_up()
    arguments = {"name": "store", "arguments": {"text": "the blue elephant"}}
    with Web(world) as web:
        web.initialize()
        assert "error" not in web.call("tools/call", arguments)
        first = world.server_pid()
        kill(first)
        wait_until(lambda: world.bridge_status()["server"]["pids"] not in ([], [first]))
        found = web.call("tools/call", {"name": "search", "arguments": {"query": "elephant"}})
        assert "the blue elephant" in json.dumps(found)


def test_a_state_directory_too_deep_for_a_socket(world: GuardedWorld, tmp_path: Path) -> None:
    """The socket lies in a directory of ours with a short path, and a link leads to it."""
    deep = tmp_path.joinpath(*["a-directory-deep-down"] * 6)
    world.env["XDG_STATE_HOME"] = str(deep)
    world.env.pop("XDG_RUNTIME_DIR")
    world.state = deep / "llmenv"
    world.bring_up()
    link = world.path("sock")
    socket = Path(os.readlink(link))
    try:
        assert len(str(socket)) < 100
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        with Web(world) as web:
            assert web.tool(echo="deep")["echo"] == "deep"
        status, said = world.llmenv("status", "--json")
        assert (status, json.loads(said)[0]["bridge"]["calls"]) == (0, 1)
        assert world.llmenv("stop")[0] == 0
        assert not socket.exists()
    finally:
        socket.unlink(missing_ok=True)


# --- whatever ends it -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_ends_the_bridge_ends_all(world: GuardedWorld, number: int) -> None:
    """At once: it does so itself."""
    pid = changed(world, *STUBBORN).bring_up()
    family = world.family()
    os.kill(pid, number)
    wait_until(lambda: not alive(pid))
    assert all_gone(family)


@pytest.mark.parametrize("how", ["KILL", "SEGV", "STOP, KILL"])
def test_what_a_killed_bridge_left_is_ended_before_the_next_start(
    world: GuardedWorld, how: str
) -> None:
    """Found by its mark, whatever session it is in; and no second server ever ran beside it."""
    pid = changed(world, *STUBBORN).bring_up()
    family = world.family()
    for name in how.split(", "):
        os.kill(pid, signal.Signals[f"SIG{name}"])
    wait_until(lambda: not alive(pid))
    second = world.bring_up()
    assert second != pid
    assert all_gone(family)
    world.calls()
    assert len(world.told()) == 2


def test_a_server_that_behaves_ends_with_a_killed_bridge(world: GuardedWorld) -> None:
    pid = world.bring_up()
    server = world.server_pid()
    kill(pid)
    wait_until(lambda: not alive(server))


def test_status_and_doctor_show_what_is_left_over(world: GuardedWorld) -> None:
    pid = changed(world, *STUBBORN).bring_up()
    family = world.family()
    # It has answered by now: a write to a pipe without a reader would end it.
    assert world.server_pid() in family
    kill(pid)
    status, said = world.llmenv("status", "--json")
    assert status == 1
    row = json.loads(said)[0]
    assert sorted(int(each.split()[1]) for each in row["left_behind"]) == sorted(family)
    said = world.llmenv("status")[1]
    for each in family:
        assert f"pid {each} (" in said
    found = [row for row in doctor(world) if row["check"] == "left behind"]
    assert {row["verdict"] for row in found} == {"warn"}
    assert [row["todo"] for row in found] == ["llmenv restart stub"] * 3
    assert all("server.py" in row["found"] for row in found)
    world.bring_up()
    assert json.loads(world.llmenv("status", "--json")[1])[0]["left_behind"] == []
    assert all_gone(family)


def test_what_carries_no_mark_is_left_alone(world: GuardedWorld) -> None:
    """A process of the same program that somebody else has started."""
    other = world.begin(world.server(), stdin=subprocess.PIPE)
    wait_until(lambda: world.told() == [other.pid])
    kill(world.bring_up())
    world.bring_up()
    world.calls()
    assert world.llmenv("stop")[0] == 0
    assert other.poll() is None


def test_the_end_is_over_before_the_helper_loses_patience(world: GuardedWorld) -> None:
    """With a call under way, a server that heeds nothing: no signal but the first is needed."""
    pid = changed(world, *STUBBORN).bring_up()
    family = world.family()
    with Wire(world) as wire:
        wire.ask("tools/call", {"name": "echo", "arguments": {"seconds": 600}})
        wait_until(lambda: world.bridge_status()["under_way"] == 1)
        os.kill(pid, signal.SIGINT)
        wait_until(lambda: not alive(pid))
    assert all_gone(family)
    assert "Traceback" not in world.path("log").read_text()


# --- a server that dies ---------------------------------------------------------------------------


def test_a_deep_check_leaves_a_restarting_bridge_alone(world: GuardedWorld) -> None:
    """It is up while its server is not."""
    broken = world.root / "server-is-broken"
    broken.touch()
    pid = changed(world, f"dies-if={broken}").bring_up()
    wait_until(lambda: world.bridge_status()["server"]["state"] == "failing")
    done = world.run(world.bare("--deep"))
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={pid}\n")
    status, said = world.llmenv("status")
    assert status == 1
    assert "its server is failing: it exited with status 3" in said
    broken.unlink()
    world.calls()
    assert world.pidfile() == pid
    assert world.llmenv("status")[0] == 0


@EACH
def test_the_prompt_tells_while_the_server_keeps_dying(world: GuardedWorld, name: str) -> None:
    """Once in each shell, and not in one that begins when the server runs again."""
    broken = world.root / "server-is-broken"
    broken.touch()
    changed(world, f"dies-if={broken}").bring_up()
    wait_until(world.path("child").exists)
    told = "llmenv: stub: its server keeps dying: it exited with status 3; llmenv logs stub"
    with Shell(name, world) as shell:

        def tells() -> bool:
            return told in shell.run(ONE_MINUTE[name])[1] + shell.run()[1]

        assert told in shell.startup or wait_until(tells)
        broken.unlink()
        world.calls()
        assert not world.path("child").exists()
        assert not tells()
    with Shell(name, world) as another:
        assert told not in another.startup + another.run(ONE_MINUTE[name])[1] + another.run()[1]


def test_restarts_calls_and_refusals_are_told(world: GuardedWorld) -> None:
    world.bring_up()
    world.calls()
    first = world.server_pid()
    kill(first)
    wait_until(lambda: world.bridge_status()["server"]["pids"] not in ([], [first]))
    with Web(world, Host="evil.example") as evil:
        assert evil.request("POST", b"{}").status == 403
    with Wire(world) as wire:
        wire.initialize()
        row = json.loads(world.llmenv("status", "--json")[1])[0]
        assert row["bridge"]["agents"] == ["tester"]
        told = "1 agent, 3 calls, 1 restart of its server, 1 request refused (Host 1)"
        assert told in world.llmenv("status")[1]


# --- who may ask ----------------------------------------------------------------------------------

REFUSED_SOCK_DIAG = ("SOCK_DIAG_PROTOCOL = 4\n", "SOCK_DIAG_PROTOCOL = 999\n")


def by_token(world: GuardedWorld, how: str) -> GuardedWorld:
    """Let the kernel say nothing of who asks at the bridge of *world*."""
    if how == "sock_diag refused":
        world.break_bridge(*REFUSED_SOCK_DIAG)
    else:
        world.bind = f"0.0.0.0:{world.port}"
        world.configure()
    return world


WAYS = pytest.mark.parametrize("how", ["a bind that others can reach", "sock_diag refused"])


@WAYS
def test_where_users_cannot_be_told_apart_a_token_is_asked_for(
    world: GuardedWorld, how: str
) -> None:
    by_token(world, how).bring_up()
    file = world.path("token")
    assert file.stat().st_mode & 0o777 == 0o600
    with Web(world) as stranger:
        response = stranger.post({"id": 1, "method": "tools/list"})
        assert (response.status, response.getheader("WWW-Authenticate")) == (401, "Bearer")
    token = file.read_text().strip()
    with Web(world, Authorization=f"Bearer {token}") as agent:
        agent.initialize()
        assert agent.tool(echo="mine")["echo"] == "mine"
    with Wire(world) as wire:  # there the kernel tells
        assert wire.tool(echo="wire")["echo"] == "wire"
    assert world.llmenv("restart")[0] == 0
    assert file.read_text().strip() == token


@WAYS
def test_doctor_says_who_may_ask_and_asks_with_the_token(world: GuardedWorld, how: str) -> None:
    by_token(world, how).bring_up()
    rows = {row["check"]: row for row in doctor(world)}
    assert rows["who may ask"]["found"].endswith(f"has the token in {world.path('token')}")
    assert rows["round trip"]["verdict"] == "ok"
    assert json.loads(world.llmenv("status", "--json")[1])[0]["bridge"]["by_token"] is True


def test_doctor_says_who_may_ask_where_the_kernel_tells(world: GuardedWorld) -> None:
    world.configure("origins = ['vscode-webview://abc']")
    world.bring_up()
    rows = {row["check"]: row for row in doctor(world)}
    assert rows["who may ask"]["found"] == (
        "this user's programs, and no web page, but for the origins vscode-webview://abc"
    )
    assert rows["round trip"]["verdict"] == "ok"
    assert not world.path("token").exists()


@WAYS
def test_without_a_token_it_does_not_start_and_says_so(world: GuardedWorld, how: str) -> None:
    """A directory has the place of the token's file."""
    by_token(world, how)
    world.path("token").mkdir(parents=True)
    world.state.chmod(0o700)
    done = world.run(world.bare())
    assert done.returncode == 1
    assert f"{world.path('token')} is not a regular file of yours" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "stub.token" in world.path("fail").read_text()
    assert world.living() == []


def doctor(world: GuardedWorld) -> list[dict[str, str]]:
    """Return what `llmenv doctor` finds."""
    rows: list[dict[str, str]] = json.loads(world.llmenv("doctor", "--json")[1])
    return rows
