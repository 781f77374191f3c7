"""Who has the port, the lock, the files: ours, or somebody else; and what that does to us.

Each of these once went wrong.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from daemons import (
    PYTHON,
    World,
    add,
    alive,
    first,
    free_port,
    kill,
    missing,
    need,
    nobody,
    wait_until,
)
from test_services import listening, llmenv

from llmenv_hooks import ensure

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = """
import os, socket, sys
os.setuid(int(sys.argv[3]))
listener = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind((sys.argv[1], int(sys.argv[2])))
listener.listen(50)
print("up", flush=True)
while True:
    listener.accept()[0].close()
"""


def stranger(world: World, host: str = "127.0.0.1", uid: int | None = None) -> int:
    """Start something else that listens on the world's port; return its pid."""
    words = [PYTHON, "-I", "-S", "-c", LISTEN, host, str(world.port), str(uid or os.getuid())]
    child = world.begin([*words, f"{world.root}/"])
    assert child.stdout
    assert child.stdout.readline() == "up\n"
    return child.pid


def refused(done: subprocess.CompletedProcess[str], pid: int) -> None:
    assert done.returncode == 1, done
    assert f"is taken by pid {pid}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def starting(world: World, *modes: str) -> None:
    """Leave a daemon that has not bound its port."""
    assert world.ensure("--timeout", "0.3", modes=modes).returncode == 75


# --- a stranger on the port, beside a daemon of ours ----------------------------------------------


def test_a_stranger_is_refused_while_ours_is_on_its_way(world: World) -> None:
    starting(world, "gate")
    pid = stranger(world)
    refused(world.ensure(modes=["gate"]), pid)
    assert world.pidfile() is None
    world.tell("go")
    wait_until(lambda: world.told("bindfail") and not world.daemons())
    refused(world.ensure(), pid)
    kill(pid)
    assert world.ensure().returncode == 0


def test_stop_signals_no_stranger_beside_a_worker_whose_wrapper_died(world: World) -> None:
    starting(world, "wrap", "gate")
    leader, worker = world.told("starts")
    pid = stranger(world)
    kill(leader)
    refused(world.ensure(modes=["wrap", "gate"]), pid)
    assert ensure.stop(world.service("wrap", "gate"), str(world.state))
    assert not alive(worker)
    assert alive(pid)


def test_a_daemon_that_lost_its_port_to_a_stranger_is_not_up(world: World) -> None:
    ours = world.up("shut")
    world.tell("shut")
    wait_until(lambda: world.told("closed"))
    pid = stranger(world)
    refused(world.ensure(modes=["shut"]), pid)
    assert alive(ours)


def test_an_ipv4_wildcard_takes_no_ipv6_connects(tmp_path: Path) -> None:
    with World(tmp_path / "w", f"[::1]:{free_port('::1')}") as world:
        stranger(world, "0.0.0.0")
        pid = world.up()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()


def test_ours_is_found_beside_a_wildcard_of_the_other_family(world: World) -> None:
    pid = world.up()
    with socket.socket(socket.AF_INET6) as other:
        other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        other.bind(("::", world.port))
        other.listen()
        shutil.rmtree(world.state)
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        assert world.pidfile() == pid


def test_a_live_pid_in_the_pidfile_does_not_make_another_users_listener_ours(world: World) -> None:
    if os.getuid():
        missing("root, to be another user")
    sleeper = world.begin([PYTHON, "-c", "input()", f"{world.root}/"], stdin=subprocess.PIPE)
    pid = stranger(world, uid=65534)
    world.state.mkdir(parents=True, mode=0o700)
    world.path("pid").write_text(f"{sleeper.pid}\n")
    done = world.ensure()
    assert done.returncode == 1
    assert f"pid {pid} of user nobody" in done.stderr


# --- other realms ---------------------------------------------------------------------------------


def test_another_net_namespaces_daemon_is_left_alone(world: World) -> None:
    need("unshare", "ip")
    ours = world.up()
    world.write_config(start_timeout=2)
    wait_until(lambda: (ensure._age(ours) or 0) > 2)
    start, stop = world.bare("--service", "stub"), [PYTHON, "-m", "llmenv_hooks", "stop"]
    script = f"ip link set lo up && {shlex.join(start)} && {shlex.join(stop)}"
    done = world.run(["unshare", "--net", "sh", "-c", script])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert re.fullmatch(r"stub spawned pid=\d+\nstub stopped\n", done.stdout)
    assert world.pidfile() == ours
    assert alive(ours)
    assert world.proved()
    assert not ensure.is_stopped(world.files)


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


# --- what stands in the way -----------------------------------------------------------------------


def test_a_hung_daemon_without_a_record_is_ended_although_the_hook_passes(world: World) -> None:
    starting(world, "mute")
    (old,) = world.daemons()
    world.path("life").write_bytes(b"")
    world.write_config(start_timeout=0.5)  # what runs now is older than that
    wait_until(lambda: (ensure._age(old) or 0) > 1)
    asked = world.begin(world.hook_argv())

    def ended() -> bool:
        os.utime(world.path("life"))  # as each pass does
        return not alive(old)

    wait_until(ended)
    asked.kill()


def test_one_that_was_suspended_as_it_looked_blocks_no_start(world: World) -> None:
    kill(world.up())
    with world.path("life").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert world.ensure().returncode == 0
    world.check(starts=2)
    assert ensure._life_held(world.files)


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


def test_one_that_lets_go_of_all_and_forks_is_waited_for(world: World) -> None:
    """As `ssh -f` does."""
    asked = world.begin(world.argv(modes=["close-fds", "fork", "gate"]))
    wait_until(lambda: len(world.told("starts")) == 2 and len(world.daemons()) == 1)
    world.tell("go")
    out, err = asked.communicate(timeout=10)
    (pid,) = world.daemons()
    assert (asked.returncode, out, err) == (0, f"stub spawned pid={pid}\n", "")
    assert world.ensure(modes=["close-fds", "fork", "gate"]).stdout.endswith(f"running pid={pid}\n")


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


# --- several services -----------------------------------------------------------------------------


def test_one_that_is_killed_as_it_works_is_a_failure(world: World) -> None:
    world.write_config("gate")
    add(world, "other")
    asked = world.begin(world.bare("--timeout", "30"))
    wait_until(world.daemons)
    holder = int(wait_until(lambda: world.path("pid.lock").read_text().split())[0])
    kill(holder)
    assert asked.wait(20) == 1


def test_an_interrupt_of_several_is_no_traceback(world: World) -> None:
    world.write_config("gate")
    add(world, "other", modes="gate")
    asked = world.begin(world.bare("--timeout", "30"), start_new_session=True)
    wait_until(lambda: world.daemons() and (world.root / "other" / "starts").exists())
    os.killpg(asked.pid, signal.SIGINT)
    out, err = asked.communicate(timeout=20)
    assert (asked.returncode, out, err) == (130, "", "")


def test_without_a_process_to_be_had_they_come_one_after_the_other(world: World) -> None:
    need("strace")
    other = add(world, "other")
    strace = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=clone:error=EAGAIN:when=1"]
    done = world.run([*strace, *world.bare()])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert listening(other)
    world.check()


# --- places and locks -----------------------------------------------------------------------------


def test_a_relative_pidfile_in_a_directory_that_is_gone(world: World) -> None:
    gone = world.root / "gone"
    gone.mkdir()
    argv = world.argv("--pidfile", "x.pid")
    done = world.run(first(f"os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})", argv))
    assert done.returncode == 2
    assert "this directory is gone" in done.stderr
    assert len(done.stderr.splitlines()) == 1


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


def test_moved_locks_are_found_by_a_shell_with_another_runtime_directory(world: World) -> None:
    """As tmux, ssh and cron have another or none."""
    need("strace")
    no_locks = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK"]
    watched = ["-P", str(world.path("pid.lock")), "-P", str(world.path("life"))]
    assert world.run([*no_locks, *watched, *world.argv()]).returncode == 0
    pid = world.check()
    world.env.pop("XDG_RUNTIME_DIR")
    assert world.ensure().stdout == f"stub already-running pid={pid}\n"
    world.check()


def test_a_full_disk_does_not_lose_the_newest_of_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.up()
    newest = b"the newest line\n"
    world.path("log").write_bytes(b"x" * (2 << 20) + newest)
    replace, calls = ensure._replace, []

    def full_at_first(path: str, content: bytes) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(28, "No space left on device", path)
        replace(path, content)

    monkeypatch.setattr(ensure, "_replace", full_at_first)
    ensure._cut_log(world.files)
    assert world.path("log").stat().st_size == 0
    assert world.path("log.1").read_bytes().endswith(newest)


def test_a_log_that_cannot_be_moved_is_left_as_it_is(world: World) -> None:
    world.up()
    world.path("log").write_bytes(b"x" * (2 << 20))
    world.path("log.1").mkdir()
    with pytest.raises(OSError, match="directory"):
        ensure._cut_log(world.files)
    assert world.path("log").stat().st_size == 2 << 20


def test_the_log_stays_short_while_it_is_flooded(world: World) -> None:
    world.up("flood")
    world.write_config("flood")
    wait_until(lambda: world.path("log").stat().st_size > ensure.LOG_BYTES)
    helper = world.begin(world.hook_argv())
    wait_until(lambda: world.path("log.1").exists())
    cuts, before = 0, 0
    while cuts < 5:
        assert helper.poll() is None, "nobody keeps it short"
        size = world.path("log").stat().st_size
        assert size < 256 << 20, "nobody keeps it short"
        cuts += size < before
        before = size
    assert world.run(world.hook_argv()).returncode == 0, "a second one must not stay"
    world.tell("calm")
    wait_until(lambda: world.told("calmed"))
    assert helper.wait(20 + ensure.FLOOD_S) == 0


# --- who is who -----------------------------------------------------------------------------------


def test_a_process_that_cannot_be_looked_at_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """proc(5), hidepid."""

    def not_permitted(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_permitted)
    monkeypatch.setattr(ensure, "_proc", lambda *parts: b"")
    assert ensure.is_alive(1) is True


def test_a_start_time_reads_the_same_in_every_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensure, "_HAS_PROC", False)
    seen = set()
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        seen.add(ensure._start_time(os.getpid()))
    assert len(seen) == 1
    assert None not in seen


def test_what_spawn_raises_goes_through(world: World) -> None:
    trouble = FileNotFoundError(2, "no such file", "/opt/my-proxy")

    def spawn(bind: str) -> int:
        raise trouble

    with pytest.raises(FileNotFoundError) as raised:
        ensure.ensure_running(world.bind, str(world.path("pid")), spawn)
    assert raised.value is trouble


# --- config ---------------------------------------------------------------------------------------


def test_on_another_host_than_the_server_nothing_is_started_by_name_either(world: World) -> None:
    world.config.write_text('server_host = "nas"\n' + world.config.read_text())
    done = world.run(world.bare("--service", "stub"))
    assert done.returncode == 1
    assert "services run on nas" in done.stderr
    assert not world.told("starts")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('services.a.command = ["x"]\nservices.a.bnd = 3', ":2: services.a.bnd: unknown key"),
        ('[services.a]\ncommand = ["x${FOO"]', ":2: services.a.command: a ${ begins"),
        ('[services.a]\ncommand = ["x"]\nenv = { A = "${C D}" }', ":3: services.a.env: a ${"),
        ('[services.a]\ncommand = ["x"]\ncwd = "${}/x"', ":3: services.a.cwd: want an absolute"),
        (
            '[services.a]\ncommand = ["x"]\n[services.mcp]\ncommand = ["x"]\nbind = "127.0.0.1:9"',
            ":3: services.mcp: LLMENV_MCP_URL is the first service's",
        ),
    ],
)
def test_a_wrong_config_is_told_with_its_line(world: World, line: str, told: str) -> None:
    world.config.write_text(line + "\n")
    done = world.run(world.bare())
    assert done.returncode == 2
    assert told in done.stderr


def test_a_first_service_named_mcp_has_one_variable(world: World) -> None:
    world.config.write_text('[services.mcp]\ncommand = ["x"]\n')
    assert llmenv(world, "export", "bash").stdout.count("LLMENV_MCP_URL") == 1


def test_an_address_that_others_can_reach_is_warned_about_at_its_start(world: World) -> None:
    world.bind = f"0.0.0.0:{world.port}"
    warned = world.ensure()
    assert warned.returncode == 0
    assert "can be reached by other machines" in warned.stderr
    assert world.ensure().stderr == ""


def test_an_address_that_others_can_reach_is_warned_about_by_the_hook_once(world: World) -> None:
    world.bind = f"0.0.0.0:{world.port}"
    world.write_config()
    assert "stub: 0.0.0.0" in llmenv(world, "hook", "bash").stderr
    assert llmenv(world, "hook", "bash").stderr == ""


@pytest.mark.parametrize("kind", ["broken", "of the future"])
def test_such_a_config_does_not_ask_at_every_prompt(world: World, kind: str) -> None:
    world.run(world.hook_argv())
    if kind == "broken":
        world.config.write_text("[")
    else:
        os.utime(world.config, (time.time() + 9e6,) * 2)
    for _ in range(2):  # the first leaves it to the prompt to tell what is wrong
        assert newer(world.config, world.path("life"))
        world.run(world.hook_argv())
        if kind != "broken":
            break
    assert newer(world.path("life"), world.config)


def newer(one: Path, other: Path) -> bool:
    """As `-nt` of a shell."""
    return one.stat().st_mtime_ns > other.stat().st_mtime_ns


def test_our_pidfile_does_not_outlive_its_daemon_beside_roots_listener(world: World) -> None:
    world.give_to_nobody()
    argv = nobody(world.argv())
    assert world.run(argv).returncode == 0
    kill(world.check())
    stranger(world)
    assert world.run(argv).stdout == "stub already-running pid=-\n"
    assert not world.path("pid").exists()
    assert not os.path.lexists(world.path("alive"))


def test_a_listener_that_root_keeps_for_a_daemon_of_ours_is_its_own(world: World) -> None:
    """As Docker's proxy is."""
    world.give_to_nobody()
    argv = nobody(world.argv(modes=["mute"]))
    asked = world.begin(argv)
    (pid,) = wait_until(world.daemons)
    stranger(world)
    assert asked.communicate(timeout=20)[0] == f"stub spawned pid={pid}\n"
    assert world.run(argv).stdout == f"stub already-running pid={pid}\n"
    world.check()


def test_a_live_pid_in_the_pidfile_starts_nothing_that_was_stopped(world: World) -> None:
    world.up()
    world.write_config(start_timeout=0.01)
    assert llmenv(world, "stop").returncode == 0
    other = world.begin([PYTHON, "-c", "input()", f"{world.root}/"], stdin=subprocess.PIPE)
    world.path("pid").write_text(f"{other.pid}\n")
    wait_until(lambda: time.time() - world.path("pid").stat().st_mtime > 0.1)
    for argv in (world.hook_argv(), world.bare()):
        assert world.run(argv).returncode == 1
    assert len(world.told("starts")) == 1
    assert other.poll() is None


def test_a_close_that_fails_takes_no_start_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """close(2): after EIO, as on a network file system, the descriptor is closed."""
    close, spawn, failed = os.close, ensure._spawn, set()

    def spawned(*args: Any) -> subprocess.Popen[bytes]:
        child = spawn(*args)
        monkeypatch.setattr(os, "close", fails)
        return child

    def fails(fd: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{fd}"))
        close(fd)
        if name.startswith(("stub.life", "stub.proof", "stub.pid.lock")):
            failed.add(name.removesuffix(" (deleted)"))
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(ensure, "_spawn", spawned)
    done = ensure.ensure(world.service(), str(world.state))
    monkeypatch.undo()
    assert done.outcome == ensure.EnsureOutcome.SPAWNED
    assert failed == {"stub.life", "stub.proof", "stub.pid.lock"}
    world.check()
