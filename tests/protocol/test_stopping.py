"""Stopping ends the whole family, and nothing that no record proves ours."""

from __future__ import annotations

import os
import signal
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from daemons import (
    DEADLINE_S,
    PYTHON,
    World,
    alive,
    kill,
    start_time,
    wait_until,
)
from outcomes import llmenv, refused
from packed import ENSURE, LOAD, ensure, patch

from llmenv_hooks.helper.status import inspect

if TYPE_CHECKING:
    from collections.abc import Callable


def stop(world: World, *modes: str) -> bool:
    return ensure.stop(world.service(*modes), str(world.state))


def test_a_stopped_service_stays_stopped_until_it_is_started(world: World) -> None:
    world.write_config()
    assert world.run(world.bare()).returncode == 0
    pid = world.check()
    assert stop(world) is True
    assert not alive(pid)
    assert (world.pidfile(), world.proved()) == (None, True), "shells have nothing to do"
    assert stop(world) is False
    refused(world.run(world.bare()), 1, "was stopped; llmenv start stub")
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 1
    assert not world.path("fail").exists()
    assert inspect(world.service(), str(world.state)).state == "stopped"
    revive = f"{LOAD}\nservice = ensure.load_config().services[0];"
    revive += "print(ensure.ensure(service, ensure.state_dir(), revive=True).outcome)"
    done = world.run([PYTHON, "-c", revive, str(ENSURE)])
    assert done.stdout == "spawned\n"
    world.check(starts=2)
    assert world.run(world.bare()).returncode == 0


def faster(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Let the helper's monotonic clock run *factor* times faster than it does."""
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() * factor,
        sleep=lambda seconds: time.sleep(seconds / factor),
        time=time.time,
        strftime=time.strftime,
    )
    patch(monkeypatch, "time", clock)


def watch_signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the list to which each (pid, signal) that is sent from now on will be added."""
    sent: list[tuple[int, int]] = []
    send: Callable[[int, str | None, int], None] = ensure.send_signal

    def watched(pid: int, start: str | None, number: int) -> None:
        sent.append((pid, number))
        send(pid, start, number)

    patch(monkeypatch, "send_signal", watched)
    return sent


def test_stop_of_a_daemon_that_ignores_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = world.up("deaf")
    faster(monkeypatch, 20)
    sent = watch_signals(monkeypatch)
    assert stop(world, "deaf") is True
    assert sent == [(pid, signal.SIGINT), (pid, signal.SIGTERM), (pid, signal.SIGKILL)]
    assert world.daemons() == []


@pytest.mark.parametrize("mode", ["wrap", "fork"])
def test_stop_ends_the_whole_family(
    world: World, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    world.up(mode)
    faster(monkeypatch, 20)
    assert stop(world, mode) is True
    assert world.daemons() == []


def test_stop_leaves_no_child_in_another_session(world: World) -> None:
    world.up("child")
    (child,) = wait_until(lambda: world.told("children"))
    assert stop(world, "child") is True
    assert world.daemons() == []
    assert not alive(child)


def test_stop_after_the_leader_was_killed(world: World) -> None:
    worker = world.up("wrap")
    kill(next(pid for pid in world.told("starts") if pid != worker))
    assert stop(world, "wrap") is True
    assert world.daemons() == []


def test_stop_of_a_daemon_that_closed_its_descriptors(world: World) -> None:
    pid = world.up("close-fds")
    assert stop(world, "close-fds") is True
    assert not alive(pid)


def test_stop_never_signals_what_no_record_proves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = watch_signals(monkeypatch)
    by_hand = world.begin(world.stub())
    wait_until(lambda: world.told("listening"))
    assert world.ensure().returncode == 0
    with pytest.raises(ensure.Problem, match=rf"pid {by_hand.pid} .*not started by llmenv"):
        stop(world)
    # A record with this very pid, but of an earlier process.
    service = world.service()
    start = str(int(start_time(by_hand.pid) or 0) - 1)
    realm = ensure.realm()
    old = ensure.Identity(by_hand.pid, start, realm, os.getuid(), service.bind, service.digest)
    world.path("life").write_bytes(old.encode())
    with pytest.raises(ensure.Problem, match="not started by llmenv"):
        stop(world)
    assert (sent, by_hand.poll()) == ([], None)


@pytest.mark.usefixtures("configured")
def test_stop_does_not_wait_for_a_start_to_time_out(world: World) -> None:
    world.write_config("mute")
    starter = world.begin(world.bare("--timeout", "60"))
    wait_until(world.daemons)
    done = llmenv(world, "stop")
    assert (done.returncode, done.stdout) == (0, "stub was not running\n"), done
    assert starter.wait(5) == 1
    assert "was stopped" in starter.communicate()[1]
    assert not world.daemons()
    assert not world.path("pid.lock").exists()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("word", ["/no/such", "${NO_SUCH}/x", "~nobody"])
def test_what_cannot_be_started_does_not_end_what_runs(world: World, word: str) -> None:
    """An edit, or one shell's lack of a variable; the next prompt hears what is wrong."""
    pid = world.up()
    text = world.config.read_text()
    world.config.write_text(text.replace('command = ["', f'command = ["{word}", "', 1))
    for argv in (world.bare(), world.hook_argv()):
        assert world.run(argv).returncode == 1
        assert world.path("life").stat().st_mtime_ns < world.config.stat().st_mtime_ns
    assert ensure.read_failure(world.files)
    assert alive(pid)
    world.config.write_text(text)
    assert world.run(world.hook_argv()).returncode == 0
    assert world.check() == pid


def test_a_signal_goes_to_no_later_process(world: World) -> None:
    """Its pid was noted with the start time of one that has died since."""
    child = world.begin(["sleep", "1000"])
    ensure.send_signal(child.pid, "1", signal.SIGKILL)
    ensure.send_signal(child.pid, start_time(child.pid), signal.SIGTERM)
    assert child.wait(DEADLINE_S) == -signal.SIGTERM
