"""From nothing to one daemon, however many ask, at whatever address."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from daemons import (
    World,
    alive,
    finish,
    free_port,
    kill,
    missing,
    need,
    stopped,
    wait_until,
)
from packed import ensure, patch

if TYPE_CHECKING:
    from pathlib import Path


def test_a_cold_start_leaves_one_daemon_and_its_files(world: World) -> None:
    done = world.ensure()
    pid = world.check()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"stub spawned pid={pid}\n", "")
    listener = ensure.find_listener(world.service())
    assert listener is not None
    assert listener.pid == pid


def test_fifty_at_once_start_one_daemon(world: World) -> None:
    callers = [world.begin(world.argv("--timeout", "60")) for _ in range(50)]
    ended = [finish(caller) for caller in callers]
    pid = world.check()
    assert {status for status, _, _ in ended} == {0}
    assert {err for _, _, err in ended} == {""}
    words = sorted(out for _, out, _ in ended)
    assert words == [f"stub already-running pid={pid}\n"] * 49 + [f"stub spawned pid={pid}\n"]


def test_all_wait_for_a_slow_daemon(world: World) -> None:
    callers = [world.begin(world.argv("--timeout", "60", modes=["gate"])) for _ in range(8)]
    wait_until(lambda: world.told("starts"))
    late = world.run(world.argv("--timeout", "0.2", modes=["gate"]))
    assert (late.returncode, late.stdout) == (75, "")
    assert "not up yet" in late.stderr
    assert [caller.poll() for caller in callers] == [None] * 8
    world.tell("go")
    assert [finish(caller)[::2] for caller in callers] == [(0, "")] * 8
    world.check()


def test_nothing_is_published_before_the_port_answers(world: World) -> None:
    caller = world.begin(world.argv(modes=["gate"]))
    wait_until(lambda: world.told("waiting"))
    assert not any(os.path.lexists(world.path(kind)) for kind in ("pid", "alive", "output"))
    world.tell("go")
    assert finish(caller)[::2] == (0, "")
    world.check()


def test_a_daemon_that_is_going_down_is_waited_for(world: World) -> None:
    pid = world.up("shut")
    world.tell("shut")
    wait_until(lambda: world.told("closed"))
    caller = world.begin(world.argv(modes=["shut"]))
    wait_until(lambda: world.path("pid.lock").exists())
    assert (caller.poll(), world.daemons()) == (None, [pid])
    (world.oracle / "shut").unlink()
    kill(pid)
    assert finish(caller)[::2] == (0, "")
    world.check(starts=2)


def test_two_services_do_not_block_each_other(world: World, tmp_path: Path) -> None:
    slow = world.begin(world.argv("--timeout", "60", modes=["gate"]))
    wait_until(lambda: world.told("starts"))
    with World(tmp_path / "other") as other:
        other.env = world.env
        done = other.run(
            [word.replace("stub", "other") if word == "stub" else word for word in other.argv()]
        )
        assert (done.returncode, slow.poll()) == (0, None)
    world.tell("go")
    assert finish(slow)[0] == 0


def test_a_daemon_that_never_listens_is_ended_by_the_background_run(world: World) -> None:
    world.write_config("mute", start_timeout=0.5)
    for _ in range(2):
        done = world.run(world.bare("--timeout", "0.1"))
        assert (done.returncode, done.stdout) == (75, "")
    assert len(world.daemons()) == 1
    done = world.run(world.hook_argv())
    failure = ensure.read_failure(world.files)
    assert failure is not None
    assert (done.returncode, failure.count) == (1, 1)
    assert f"did not listen on {world.bind}" in failure.message
    assert (world.daemons(), len(world.told("starts"))) == ([], 1)


def test_a_daemon_that_never_listens_is_ended_by_its_starter(world: World) -> None:
    world.write_config("mute", start_timeout=0.3)
    done = world.run(world.bare())
    assert done.returncode == 1
    assert f"did not listen on {world.bind} within" in done.stderr
    assert (world.daemons(), len(world.told("starts"))) == ([], 1)


@pytest.mark.parametrize("host", ["[::1]", "0.0.0.0", "[::]"])
def test_other_addresses_work(tmp_path: Path, host: str) -> None:
    probed = {"0.0.0.0": "127.0.0.1"}.get(host, "::1")
    try:
        port = free_port(probed)
    except OSError:
        missing(f"no {probed} here")
    with World(tmp_path, f"{host}:{port}") as world:
        assert world.ensure().returncode == 0
        (pid,) = world.daemons()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()
        shutil.rmtree(world.state)
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"


def test_another_bind_ends_the_old_daemon(world: World) -> None:
    old = world.up()
    world.bind = f"127.0.0.1:{free_port()}"
    new = world.up()
    assert (alive(old), alive(new)) == (False, True)
    world.check(starts=2)


def test_a_full_backlog_starts_no_second_daemon(world: World) -> None:
    pid = world.up()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: stopped(pid))
    callers = [socket.socket() for _ in range(200)]
    try:
        for caller in callers:
            caller.setblocking(False)
            caller.connect_ex(("127.0.0.1", world.port))
        wait_until(lambda: not ensure.probe("127.0.0.1", world.port))
        late = world.ensure("--timeout", "0.3")
        assert late.returncode == 75
        assert f"pid {pid} is still starting" in late.stderr
    finally:
        for caller in callers:
            caller.close()
        os.kill(pid, signal.SIGCONT)
    assert world.ensure().returncode == 0
    world.check()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("call", ["socket:error=ENOMEM:when=3", "connect:error=EMFILE:when=3"])
def test_what_fails_after_the_start_is_no_failed_start(world: World, call: str) -> None:
    need("strace")
    strace = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject={call}"]
    done = world.run([*strace, *world.argv(modes=["gate"])], stdin=subprocess.DEVNULL)
    assert done.returncode == 75, done
    assert len(done.stderr.splitlines()) == 1
    assert not world.path("fail").exists()
    world.tell("go")
    assert world.ensure(modes=["gate"]).returncode == 0
    world.check()


@pytest.mark.usefixtures("configured")
def test_a_close_that_fails_takes_no_start_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """close(2): after EIO, as on a network file system, the descriptor is closed."""
    close, spawn, failed = os.close, ensure.spawn, set()

    def spawned(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        child = spawn(*args, **options)
        monkeypatch.setattr(os, "close", fails)
        return child

    def fails(fd: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        close(fd)
        if name.startswith(("stub.life", "stub.proof", "stub.pid.lock")):
            failed.add(name.removesuffix(" (deleted)"))
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    patch(monkeypatch, "spawn", spawned)
    done = ensure.ensure(world.service(), str(world.state))
    monkeypatch.undo()
    assert done.outcome == ensure.EnsureOutcome.SPAWNED
    assert failed == {"stub.life", "stub.proof", "stub.pid.lock"}
    world.check()
