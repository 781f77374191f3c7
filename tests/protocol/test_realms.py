"""Other containers and other hosts that share our home, our net, or our clock."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys

import pytest
from daemons import (
    PYTHON,
    World,
    alive,
    need,
    record,
    start_time,
    wait_until,
)
from packed import ensure

from llmenv_hooks.helper.status import inspect


def test_a_clock_of_the_containers_own_keeps_no_hung_daemon(world: World) -> None:
    """lxcfs(1) puts its own file over /proc/uptime, and the times of processes are the host's."""
    pid = world.up("shut")
    world.tell("shut")
    wait_until(lambda: world.told("closed"))
    (world.root / "uptime").write_text("9.00 9.00\n")
    script = f'mount --bind {world.root}/uptime /proc/uptime && exec "$@"'
    world.write_config("shut", start_timeout=0.1)
    done = world.run([*world.unshare("-m"), "sh", "-c", script, "sh", *world.bare()])
    assert f"pid {pid}" not in done.stderr
    assert not alive(pid)


def published(world: World) -> list[object]:
    """Return all that is written about the service."""
    return [
        world.path("pid").read_text(),
        world.path("life").read_bytes(),
        os.readlink(world.path("alive")),
    ]


def test_another_pid_namespace_on_the_same_net_uses_our_daemon(world: World) -> None:
    prefix = world.container("-p", "--mount-proc")
    world.up()
    before = published(world)
    done = world.run([*prefix, *world.argv()])
    assert (done.returncode, done.stdout, done.stderr) == (0, "stub already-running pid=-\n", "")
    assert published(world) == before
    world.check()


def test_another_pid_and_net_namespace_has_files_of_its_own(world: World) -> None:
    prefix = world.container("-pn", "--mount-proc", "-n")
    world.up()
    before = published(world)
    # Both in one shell, since the namespace ends with its first process.
    twice = ["sh", "-c", '"$@" && "$@"', "sh", *world.argv()]
    done = world.run([*prefix, shutil.which("sh") or "sh", *twice[1:]])
    assert (done.returncode, done.stderr) == (0, ""), done
    spawned, again = done.stdout.splitlines()
    assert spawned.startswith("stub spawned pid=")
    assert again == spawned.replace("spawned", "already-running")
    assert published(world) == before
    assert (world.state / f"stub@{ensure.hostname()}.pid").exists()
    assert not world.told("bindfail")
    assert world.ensure().returncode == 0
    assert published(world) == before


HOLD = (
    "import fcntl, sys; fcntl.flock(f := open(sys.argv[1], 'w'), 2); print(1, flush=True); input()"
)


@pytest.fixture
def another_host(world: World, stranger: int) -> list[object]:
    """All that another host, whose daemon lives, has written here; its pid is a stranger's."""
    world.state.mkdir(parents=True, mode=0o700)
    prefix = world.container("-p", "--mount-proc")
    argv = [*prefix, PYTHON, "-I", "-S", "-c", HOLD, str(world.path("life"))]
    holder = world.begin(argv, stdin=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == "1\n"
    start = start_time(stranger) or ""
    world.path("life").write_bytes(record(stranger, start, world.service(), boot="theirs"))
    world.path("pid").write_text(f"{stranger}\n")
    world.path("alive").symlink_to(f"/proc/{stranger}/fd/3")
    return published(world)


def test_two_hosts_share_a_home(world: World, another_host: list[object]) -> None:
    done = world.ensure()
    (pid,) = world.daemons()
    assert (done.returncode, done.stdout, done.stderr) == (0, f"stub spawned pid={pid}\n", "")
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    assert (world.state / f"stub@{ensure.hostname()}.pid").read_text() == f"{pid}\n"
    assert inspect(world.service(), str(world.state)).pid == pid
    assert ensure.stop(world.service(), str(world.state)) is True
    assert world.daemons() == []
    assert published(world) == another_host
    assert inspect(world.service(), str(world.state)).state == "stopped"
    (world.state / "stub.log").write_text("theirs\n")
    world.write_config()
    logs = world.run([PYTHON, "-m", "llmenv_hooks", "logs", "stub"])
    assert logs.stdout == (world.state / f"stub@{ensure.hostname()}.log").read_text()


def test_an_old_record_put_back_beside_two_hosts(
    world: World, stranger: int, another_host: list[object]
) -> None:
    """Of ours in their file, and of another boot in ours: it is the locks that tell."""
    pid = world.up()
    ours = world.state / f"stub@{ensure.hostname()}.life"
    ours.write_bytes(record(stranger, "1", world.service(), boot="before"))
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    assert ensure.stop(world.service(), str(world.state)) is True
    assert published(world) == another_host
    world.path("life").write_bytes(record(stranger, "1", world.service()))
    before = published(world)
    ours.unlink()
    assert ensure.stop(world.service(), str(world.state)) is False
    assert ensure.ensure(world.service(), str(world.state), revive=True).outcome == "spawned"
    assert published(world) == before
    assert len(world.daemons()) == 1


def test_two_hosts_and_a_stranger_on_the_port(world: World, another_host: list[object]) -> None:
    """What answers here is not what another host's record tells of."""
    with socket.create_server(("127.0.0.1", world.port)):
        done = world.ensure()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"pid {os.getpid()}" in done.stderr
    assert published(world) == another_host
    assert world.ensure().returncode == 0
    assert published(world) == another_host


def test_two_hosts_whose_file_locks_do_not_agree(world: World, stranger: int) -> None:
    """Another host has taken our daemon's lock, and put its record there."""
    pid = world.up()
    theirs = record(stranger, start_time(stranger) or "", world.service(), boot="theirs")
    world.path("life").write_bytes(theirs)
    for _ in range(2):
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    assert (world.daemons(), world.path("life").read_bytes()) == ([pid], theirs)


@pytest.mark.parametrize("realm", ["ours", "another"])
def test_a_stranger_on_the_port_beside_a_destroyed_record_is_never_published(
    world: World, realm: str
) -> None:
    """Somebody holds the lifetime lock, nothing says who, and somebody else answers."""
    world.state.mkdir(parents=True, mode=0o700)
    prefix = [] if realm == "ours" else world.container("-p", "--mount-proc")
    argv = [*prefix, PYTHON, "-I", "-S", "-c", HOLD, str(world.path("life"))]
    holder = world.begin(argv, stdin=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == "1\n"
    with socket.create_server(("127.0.0.1", world.port)):
        done = world.ensure()
    assert done.returncode == 1
    assert str(os.getpid()) in done.stderr
    assert world.pidfile() is None
    assert holder.poll() is None


@pytest.mark.usefixtures("configured")
def test_another_net_namespaces_daemon_is_left_alone(world: World) -> None:
    need("unshare", "ip")
    ours = world.up()
    world.write_config(start_timeout=2)
    wait_until(lambda: (ensure.process_age(ours) or 0) > 2)
    start, stop = world.bare("--service", "stub"), [PYTHON, "-m", "llmenv_hooks", "stop"]
    script = f"ip link set lo up && {shlex.join(start)} && {shlex.join(stop)}"
    done = world.run(["unshare", "--net", "sh", "-c", script])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert re.fullmatch(r"stub spawned pid=\d+\nstub stopped\n", done.stdout)
    assert world.pidfile() == ours
    assert alive(ours)
    assert world.proved()
    assert not ensure.is_stopped(world.files)


@pytest.mark.usefixtures("configured")
def test_stop_says_whose_a_daemon_in_another_container_is(world: World) -> None:
    need("unshare")
    ours = world.up()
    world.write_config()
    there = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    done = world.run([*there, sys.executable, "-m", "llmenv_hooks", "stop"])
    assert done.returncode == 1, done
    assert "another container" in done.stderr
    assert alive(ours)
    assert world.proved()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("error", ["EIO", "ENOLCK"])
def test_a_lock_that_cannot_be_asked_beside_this_hosts_own_files(world: World, error: str) -> None:
    need("strace")
    world.up()
    shutil.copy(world.path("life"), world.state / f"stub@{ensure.hostname()}.life")
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=flock:error={error}"]
    world.env.pop("XDG_RUNTIME_DIR")
    done = world.run([*inject, *world.argv()])
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    world.write_config()
    status = world.run([*inject, sys.executable, "-m", "llmenv_hooks", "status"])
    assert "Traceback" not in status.stderr


@pytest.mark.usefixtures("configured")
def test_on_another_host_than_the_server_nothing_is_started_by_name_either(world: World) -> None:
    world.config.write_text('server_host = "nas"\n' + world.config.read_text())
    done = world.run(world.bare("--service", "stub"))
    assert done.returncode == 1
    assert "services run on nas" in done.stderr
    assert not world.told("starts")
