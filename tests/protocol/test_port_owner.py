"""Who has the port: ours, or somebody else, who is named, refused and never signalled."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from daemons import (
    DEADLINE_S,
    PYTHON,
    World,
    alive,
    free_port,
    kill,
    missing,
    need_root,
    nobody,
    starting,
    take_port,
    wait_until,
)
from outcomes import refused
from packed import ensure

if TYPE_CHECKING:
    from pathlib import Path


def test_a_daemon_that_was_started_by_hand_is_adopted(world: World) -> None:
    child = world.begin(world.stub())
    wait_until(lambda: world.told("listening"))
    done = world.ensure()
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={child.pid}\n")
    assert (world.pidfile(), world.told("starts")) == (child.pid, [child.pid])


def test_a_stranger_on_the_port_is_named(world: World) -> None:
    host = world.bind.rpartition(":")[0]
    server = [PYTHON, "-m", "http.server", str(world.port), "--bind", host]
    child = world.begin(
        server, cwd=world.home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until(lambda: ensure.probe(host, world.port))
    for _ in range(2):
        done = world.ensure()
        assert (done.returncode, done.stdout) == (1, "")
        assert f"pid {child.pid}" in done.stderr
        assert "http.server" in done.stderr
    assert (world.told("starts"), world.pidfile()) == ([], None)
    assert child.poll() is None
    child.kill()
    child.wait()
    assert world.ensure().returncode == 0
    world.check()


def test_a_listener_of_another_user_is_never_accepted(world: World) -> None:
    need_root()
    listen = f"s = socket.create_server(('127.0.0.1', {world.port}))"
    serve = f"import os, socket, time; os.setuid(65534); {listen}; time.sleep(1000)"
    child = world.begin([PYTHON, "-c", serve])
    wait_until(lambda: ensure.probe("127.0.0.1", world.port))
    done = world.ensure()
    assert (done.returncode, done.stdout, world.told("starts")) == (1, "", [])
    assert f"pid {child.pid} of user nobody" in done.stderr


SERVE = "import socket, sys; s = socket.create_server(('', int(sys.argv[1]))); input()"


def test_a_stranger_on_every_address_is_named_too(world: World) -> None:
    child = world.begin(
        [PYTHON, "-m", "http.server", str(world.port)],
        cwd=world.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: ensure.probe("127.0.0.1", world.port))
    refused(world.ensure(), 1, f"pid {child.pid}", "http.server", world.bind)
    assert world.told("starts") == []


ON_4 = ["127.0.0.1", "0.0.0.0"]


ON_6 = ["::1", "::"]


BOTH = "dual-stack"  # `::`, which takes the connections to IPv4 addresses too


def listener(host: str, port: int) -> socket.socket:
    """Listen as a server of the family of *host* does, or of both."""
    if host == BOTH:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    # With create_server, `::` is IPv6 alone.
    return socket.create_server(
        (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
    )


def on(tmp_path: Path, host: str) -> World:
    """Return a world whose service binds *host*."""
    try:
        port = free_port(host)
    except OSError:
        missing(f"no {host} here")
    return World(tmp_path / "w", f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(ours, theirs) for family in (ON_4, ON_6) for ours in family for theirs in (*family, BOTH)],
)
def test_a_stranger_on_any_address_that_takes_our_connects_is_refused(
    tmp_path: Path, ours: str, theirs: str
) -> None:
    with on(tmp_path, ours) as world:
        with listener(theirs, world.port):
            for _ in range(2):
                refused(world.ensure(), 1, f"pid {os.getpid()}", world.bind)
            assert (world.told("starts"), world.pidfile()) == ([], None)
        assert world.ensure().returncode == 0
        world.check()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(ours, theirs) for ours in ON_4 for theirs in ON_6]
    + [(ours, theirs) for ours in ON_6[:1] for theirs in ON_4],
)
def test_a_stranger_on_the_port_of_the_other_family_is_nothing_to_us(
    tmp_path: Path, ours: str, theirs: str
) -> None:
    with on(tmp_path, ours) as world, listener(theirs, world.port):
        assert world.ensure().returncode == 0
        pid = world.check()
        world.path("pid").unlink()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        assert world.check() == pid


def test_a_listener_of_root_is_accepted_and_not_recorded(world: World) -> None:
    """Root could take all of a user's anyway; which process it is, the user may not see."""
    world.give_to_nobody()
    argv = nobody(world.argv())
    with socket.create_server(("127.0.0.1", world.port)):
        for _ in range(2):
            done = world.run(argv)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout == "stub already-running pid=-\n"
        assert world.told("starts") == []
        assert not world.path("pid").exists()
        assert not os.path.lexists(world.path("alive"))
    assert world.run(argv).returncode == 0
    world.check()


def test_a_strangers_command_line_is_made_harmless(world: World) -> None:
    hostile = ["-X", "\x1b]0;title\x07\x9b2J\u202e\n$(id)\udcff"]  # an option that Python ignores
    argv = [PYTHON, *hostile, "-c", SERVE, str(world.port)]
    child = world.begin(argv, stdin=subprocess.PIPE)
    wait_until(lambda: ensure.probe("127.0.0.1", world.port))
    refused(world.ensure(), 1, f"pid {child.pid}", "-X ?]0;title??2J? $(id)")


def test_a_pidfile_written_by_hand_does_not_make_a_stranger_ours(world: World) -> None:
    """Found by the random lives of model.py: the port's owner has to be the one it names."""
    other = world.begin([PYTHON, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
    world.state.mkdir(parents=True, mode=0o700)
    world.path("pid").write_text(f"{other.pid}\n")
    with socket.create_server(("127.0.0.1", world.port)):
        refused(world.ensure(), 1, f"pid {os.getpid()}", world.bind)
    assert world.pidfile() == other.pid
    assert other.poll() is None


def test_a_stranger_that_takes_the_port_during_a_start_is_not_published(world: World) -> None:
    caller = world.begin(world.argv("--timeout", "60", modes=["gate"]))
    wait_until(lambda: world.told("starts"))
    argv = [PYTHON, "-c", SERVE, str(world.port)]
    stranger = world.begin(argv, stdin=subprocess.PIPE)
    wait_until(lambda: ensure.probe("127.0.0.1", world.port))
    world.tell("go")  # now ours cannot bind
    _, err = caller.communicate(timeout=DEADLINE_S)
    assert (caller.returncode, world.pidfile()) == (1, None)
    assert "Address already in use" in err
    assert stranger.poll() is None


def names_the_owner(done: subprocess.CompletedProcess[str], pid: int) -> None:
    assert done.returncode == 1, done
    assert f"is taken by pid {pid}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("configured")
def test_a_stranger_is_refused_while_ours_is_on_its_way(world: World) -> None:
    starting(world, "gate")
    pid = take_port(world)
    names_the_owner(world.ensure(modes=["gate"]), pid)
    assert world.pidfile() is None
    world.tell("go")
    wait_until(lambda: world.told("bindfail") and not world.daemons())
    names_the_owner(world.ensure(), pid)
    kill(pid)
    assert world.ensure().returncode == 0


@pytest.mark.usefixtures("configured")
def test_stop_signals_no_stranger_beside_a_worker_whose_wrapper_died(world: World) -> None:
    starting(world, "wrap", "gate")
    leader, worker = world.told("starts")
    pid = take_port(world)
    kill(leader)
    names_the_owner(world.ensure(modes=["wrap", "gate"]), pid)
    assert ensure.stop(world.service("wrap", "gate"), str(world.state))
    assert not alive(worker)
    assert alive(pid)


@pytest.mark.usefixtures("configured")
def test_a_daemon_that_lost_its_port_to_a_stranger_is_not_up(world: World) -> None:
    ours = world.up("shut")
    world.tell("shut")
    wait_until(lambda: world.told("closed"))
    pid = take_port(world)
    names_the_owner(world.ensure(modes=["shut"]), pid)
    assert alive(ours)


@pytest.mark.usefixtures("configured")
def test_a_live_pid_in_the_pidfile_does_not_make_another_users_listener_ours(world: World) -> None:
    if os.getuid():
        missing("root, to be another user")
    sleeper = world.begin([PYTHON, "-c", "input()", f"{world.root}/"], stdin=subprocess.PIPE)
    pid = take_port(world, uid=65534)
    world.state.mkdir(parents=True, mode=0o700)
    world.path("pid").write_text(f"{sleeper.pid}\n")
    done = world.ensure()
    assert done.returncode == 1
    assert f"pid {pid} of user nobody" in done.stderr


@pytest.mark.usefixtures("configured")
def test_our_pidfile_does_not_outlive_its_daemon_beside_roots_listener(world: World) -> None:
    world.give_to_nobody()
    argv = nobody(world.argv())
    assert world.run(argv).returncode == 0
    kill(world.check())
    take_port(world)
    assert world.run(argv).stdout == "stub already-running pid=-\n"
    assert not world.path("pid").exists()
    assert not os.path.lexists(world.path("alive"))


@pytest.mark.usefixtures("configured")
def test_a_listener_that_root_keeps_for_a_daemon_of_ours_is_its_own(world: World) -> None:
    """As Docker's proxy is."""
    world.give_to_nobody()
    argv = nobody(world.argv(modes=["mute"]))
    asked = world.begin(argv)
    (pid,) = wait_until(world.daemons)
    take_port(world)
    assert asked.communicate(timeout=20)[0] == f"stub spawned pid={pid}\n"
    assert world.run(argv).stdout == f"stub already-running pid={pid}\n"
    world.check()


@pytest.mark.usefixtures("configured")
def test_a_stranger_on_the_port_is_not_taken_for_one_with_an_unset_variable(world: World) -> None:
    assert ensure.Listener(1, os.getuid(), ["x"]).runs(ensure.Service(command=["x"], bridge=False))
    odd = ensure.Service(command=["x", "${NO_SUCH_VARIABLE}"], bridge=False)
    assert not ensure.Listener(1, os.getuid(), ["x", "${NO_SUCH_VARIABLE}"]).runs(odd)
