"""Failures, surroundings and left-overs: cases 41-70 of the research, and what DESIGN.md adds.

Cases 41, 57, 59 and 60 are in test_ensure_alone.py.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import platformdirs.unix
import pytest
from daemons import (
    DEADLINE_S,
    ENSURE,
    PYTHON,
    STUB,
    World,
    alive,
    first,
    free_port,
    holders,
    kill,
    missing,
    need,
    need_root,
    nobody,
    processes_with,
    start_time,
    wait_until,
)
from shells import SHELLS, Shell, hook_text

from llmenv_hooks import ensure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def one_line(done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert that *done* failed with *status* and one harmless line that has *words* in it."""
    assert (done.returncode, done.stdout) == (status, ""), done
    assert done.stderr.startswith("llmenv-ensure: ")
    assert done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable()
    for word in words:
        assert word in done.stderr


def recovers(world: World) -> None:
    """Assert that nothing of what failed is in the way, and that nothing of it still runs."""
    assert world.daemons() == []
    assert not os.path.lexists(world.path("pid.lock"))
    assert world.ensure().returncode == 0
    world.check(starts=None)


# --- places ---


@pytest.mark.parametrize("value", [None, "", "/x/y", "/with space/and\nnewline", "/", "/x/../y/"])
def test_config_path_is_that_of_platformdirs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("LLMENV_CONFIG", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    if value is not None:
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
    theirs = platformdirs.unix.Unix("llmenv").user_config_path / "config.toml"
    assert ensure.config_path() == str(theirs) or Path(ensure.config_path()) == theirs


def test_llmenv_config_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMENV_CONFIG", "/some/where.toml")
    assert ensure.config_path() == "/some/where.toml"
    monkeypatch.setenv("LLMENV_CONFIG", "relative.toml")
    with pytest.raises(ensure.UsageError, match="absolute"):
        ensure.config_path()


# --- failures and pauses ---


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        (b"\x00\x01junk", 0o755, "Exec format error"),
        (b"#!/no/such/interpreter\n", 0o755, "No such file"),
        (b"#!/bin/sh\n", 0o644, "not an executable file"),
        (b"#!/bin/sh\n", 0o755, "Text file busy"),
    ],
)
def test_case_42_a_program_that_cannot_be_run(
    world: World, text: bytes, mode: int, words: str
) -> None:
    program = world.root / "program"
    program.write_bytes(text)
    program.chmod(mode)
    argv = world.argv()
    with program.open("ab") if words == "Text file busy" else nullcontext():
        one_line(world.run([*argv[: argv.index("--") + 1], str(program)]), 1, str(program), words)
    assert holders(world.path("life")) == [] if world.path("life").exists() else True
    recovers(world)


def test_case_43_a_daemon_that_exits_is_quoted_and_made_harmless(world: World) -> None:
    world.state.mkdir(parents=True)
    world.path("log").write_text("an older run's line\n")
    began = time.monotonic()
    done = world.ensure("--timeout", "60", modes=["die=3"])
    assert time.monotonic() - began < 10, "it did not wait for the timeout"
    one_line(done, 1, "exited with status 3", "one line", "no ?[31mluck? today", "stub.log")
    assert "older" not in done.stderr
    message, data, rest = world.path("fail").read_text().split("\n")
    assert message.isprintable()
    assert message in done.stderr
    assert (data.split()[:2], rest) == (["v1", "1"], "")
    recovers(world)


def naps(child: subprocess.Popen[str]) -> int:
    """Return how often *child* has waited for something."""
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


def test_case_43_those_who_wait_for_a_start_that_fails_do_not_try_in_turn(world: World) -> None:
    argv = world.argv("--timeout", "60", modes=["gate", "die=1"])
    callers = [world.begin(argv)]
    wait_until(lambda: world.told("starts"))
    callers += [world.begin(argv) for _ in range(5)]
    wait_until(lambda: all(naps(caller) > 20 for caller in callers))  # they poll
    world.tell("go")
    said = {caller.communicate(timeout=DEADLINE_S) for caller in callers}
    assert [caller.returncode for caller in callers] == [1] * 6
    assert [(out, err.count("exited with status 1")) for out, err in said] == [("", 1)]
    assert len(world.told("starts")) == 1


def age_failure(world: World, seconds: float, count: int | None = None) -> None:
    """Make the noted failure *seconds* older, and the *count*-th in a row."""
    message, data, _ = world.path("fail").read_text().split("\n")
    words = data.split()
    words[1] = str(count or words[1])
    words[2] = f"{float(words[2]) - seconds:.3f}"
    world.path("fail").write_text(f"{message}\n{' '.join(words)}\n")


def test_case_44_the_hook_pauses_longer_and_longer(world: World) -> None:
    world.write_config("die=1")
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=6)  # a pause too long for a slow machine to pass by itself
    for attempt, pause in enumerate([32, 64, 128], start=1):
        for passed in (0, pause - 15):
            age_failure(world, passed)
            assert world.run(world.hook_argv()).returncode == 1
            assert len(world.told("starts")) == attempt
        age_failure(world, 16)
        assert world.run(world.hook_argv()).returncode == 1
        assert len(world.told("starts")) == attempt + 1
    assert world.run(world.bare()).returncode == 1
    assert len(world.told("starts")) == 5, "a direct call always tries"


def test_case_44_the_pauses_double_to_five_minutes() -> None:
    boot, now = ensure.realm()[0], time.time()
    pauses = [
        ensure.Failure("", count, now, boot, "d").pause_left("d")
        for count in (1, 2, 3, 4, 8, 9, 10, 1000, 1 << 30)
    ]
    expected = [1, 2, 4, 8, 128, 256, 300, 300, 300]
    assert pauses == pytest.approx(expected, abs=1)


def needs_a_cure(world: World) -> Path:
    """Have the service fail until the file that is returned exists."""
    cure, script = world.root / "cure", world.root / "program"
    script.write_text(f'#!/bin/sh\n[ -e "{cure}" ] || exit 1\nexec "$@"\n')
    script.chmod(0o755)
    world.write_config()
    text = world.config.read_text().replace('command = ["', f'command = ["{script}", "', 1)
    world.config.write_text(text)
    return cure


def test_case_44_it_comes_back_once_its_cause_is_gone(world: World) -> None:
    """The program is the same, what it needs is not: found after one pause."""
    cure = needs_a_cure(world)
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=6)
    cure.touch()
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 33)
    assert world.run(world.hook_argv()).returncode == 0
    world.check()


@pytest.mark.parametrize(
    "data",
    [
        "v1 9 {future} {boot} {digest} .",
        "v1 9 {now} another-boot {digest} .",
        "v1 9 {now} {boot} 00000000 .",
        "v1 9 {now} {boot} {digest}",
        "v1 0 {now} {boot} {digest} .",
        "v1 -9 {now} {boot} {digest} .",
        "v1 9 nan {boot} {digest} .",
        "v1 9 -inf {boot} {digest} .",
        "v1 99999999999999999999 {now} {boot} {digest} .",
        "v2 9 {now} {boot} {digest} .",
        "",
        "\0",
        "\udcff",
    ],
)
def test_case_45_a_note_that_cannot_be_ours_is_no_pause(world: World, data: str) -> None:
    world.write_config("die=1")
    assert world.run(world.hook_argv()).returncode == 1
    _, boot, digest = world.path("fail").read_text().split()[-4:-1]
    now = time.time()
    note = data.format(now=now, future=now + 86400, boot=boot, digest=digest)
    world.path("fail").write_bytes(f"message\n{note}\n".encode(errors="surrogateescape"))
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 2


@pytest.mark.parametrize("word", ["{0}/program", "{0}/link", "~/program", "${{HOME}}/program"])
def test_case_46_a_mended_program_is_tried_at_once(world: World, word: str) -> None:
    linked = "link" in word
    script = world.home / "program"
    named = word.format(world.home)
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    if linked:
        Path(named).symlink_to(script)
    world.write_config()
    text = world.config.read_text().replace('command = ["', f'command = ["{named}", "', 1)
    world.config.write_text(text)
    for _ in range(2):
        assert world.run(world.hook_argv()).returncode == 1
    script.write_text('#!/bin/sh\nexec "$@"\n')
    assert world.run(world.hook_argv()).returncode == 0
    world.check()


def test_case_46_an_edited_config_is_tried_at_once(world: World) -> None:
    world.write_config("die=1")
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=9)  # in the middle of a pause of minutes
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 1
    world.config.write_text(world.config.read_text() + "\n")
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 2


def test_case_46_llmenv_start_tries_at_once(world: World) -> None:
    cure = needs_a_cure(world)
    assert world.run(world.hook_argv()).returncode == 1
    age_failure(world, 0, count=9)
    start = [PYTHON, "-m", "llmenv_hooks", "start"]
    done = world.run(start)
    assert (done.returncode, done.stdout) == (1, "")
    assert "exited with status 1" in done.stderr
    failure = ensure.read_failure(world.files)
    assert failure is not None
    assert failure.count == 10, "it was tried"
    cure.touch()
    assert world.run(world.hook_argv()).returncode == 1, "the pause goes on"
    assert world.run(start).returncode == 0
    world.check()
    assert not world.path("fail").exists()


def test_case_47_sigchld_ignored_by_the_caller(world: World) -> None:
    ignore = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    done = world.run(first(ignore, world.argv(modes=["die=7"])))
    one_line(done, 1, "exited with status 7")
    done = world.run(first(ignore, world.argv()))
    assert done.returncode == 0
    world.check(starts=2)


def test_a_bad_config_is_noted_for_the_prompt_and_forgotten(world: World) -> None:
    world.config.write_text("nonsense = \x1b 3\n")
    assert world.run(world.hook_argv()).returncode == 2
    note = world.state / "config.toml.fail"
    lines = note.read_text().splitlines()
    assert str(world.config) in lines[0]
    assert lines[0].isprintable()
    assert len(lines) == 2
    world.write_config()
    assert world.run(world.hook_argv()).returncode == 0
    assert not note.exists()
    world.check()


def test_what_a_failure_file_holds_is_harmless(world: World) -> None:
    world.state.mkdir(parents=True)
    world.path("fail").write_bytes(b"\x1b]0;title\x07\x9b2J\xff\nv1 1 1.0 boot digest .\n")
    failure = ensure.read_failure(world.files)
    assert failure is not None
    assert failure.message.isprintable()
    status = ensure.inspect(world.service(), str(world.state))
    assert (status.state, status.detail.isprintable()) == ("failed", True)


def test_one_of_several_services_fails_and_the_others_run(world: World) -> None:
    world.write_config()
    bind = f"127.0.0.1:{free_port()}"
    world.config.write_text(
        world.config.read_text()
        + f'[services.other]\ncommand = ["/no/such"]\nbind = "{bind}"\nbridge = false\n'
    )
    done = world.run(world.bare("--json"))
    assert done.returncode == 1
    said = {line["service"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert said["other"]["state"] == "failed"
    assert "/no/such" in said["other"]["error"]
    pid = world.check()
    assert said["stub"] == {"service": "stub", "state": "spawned", "pid": pid, "bind": world.bind}
    assert world.run(world.bare("--quiet", "--service", "stub")).stdout == ""


# --- signals, session, inheritance ---


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGHUP, -1), (signal.SIGKILL, -9)],
)
def test_case_48_a_signal_to_the_group_while_it_waits(
    world: World, number: signal.Signals, status: int
) -> None:
    caller = world.begin(world.argv(modes=["gate"]), start_new_session=True)
    wait_until(lambda: world.told("starts"))
    os.killpg(caller.pid, number)
    _, err = caller.communicate(timeout=DEADLINE_S)
    assert (caller.returncode, err) == (status, "")
    assert len(world.daemons()) == 1
    world.tell("go")
    assert world.ensure(modes=["gate"]).returncode == 0
    world.check()


def test_case_49_a_terminal_that_closes(world: World) -> None:
    ours, theirs = os.openpty()
    seize = "import fcntl, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    caller = world.begin(first(seize, world.argv(modes=["gate"])), stdin=theirs)
    os.close(theirs)
    wait_until(lambda: world.told("starts"))
    os.close(ours)
    assert caller.wait(DEADLINE_S) == -signal.SIGHUP
    world.tell("go")
    assert world.ensure(modes=["gate"]).returncode == 0
    pid = world.check()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    _, _, group, session, terminal = fields[:5]
    assert (group, session, terminal) == (str(pid), str(pid), "0")


def test_case_50_a_lock_of_the_caller_does_not_live_on_in_the_daemon(world: World) -> None:
    mine = world.root / "mine"
    take = (
        f"import fcntl; fd = os.open({str(mine)!r}, os.O_RDWR | os.O_CREAT);"
        "fcntl.flock(fd, fcntl.LOCK_EX); os.dup2(fd, 9)"
    )
    assert world.run(first(take, world.argv())).returncode == 0
    pid = world.check()
    assert holders(mine) == []
    targets = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert {target for target in targets if not target.startswith("socket:")} == {
        "/dev/null",
        str(world.path("log")),
        str(world.path("life")),
        str(world.path("proof")),
    }


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_case_51_closed_standard_descriptors(world: World, closed: tuple[int, ...]) -> None:
    close = f"[os.close(fd) for fd in {closed}]"
    assert world.run(first(close, world.argv())).returncode == 0
    pid = world.check()
    assert world.path("life").stat().st_size == ensure.RECORD_BYTES
    assert os.readlink(f"/proc/{pid}/fd/1") == str(world.path("log"))
    assert world.run(first(close, world.argv())).returncode == 0
    world.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_case_52_signals_blocked_or_ignored_in_the_caller(
    world: World, number: signal.Signals
) -> None:
    deaf = f"signal.signal({int(number)}, signal.SIG_IGN);"
    deaf += f"signal.pthread_sigmask(signal.SIG_BLOCK, [{int(number)}])"
    assert world.run(first(deaf, world.argv())).returncode == 0
    pid = world.check()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    masks = dict(line.split()[:2] for line in lines if line.startswith(("SigBlk", "SigIgn")))
    assert int(masks["SigBlk:"], 16) == 0
    assert int(masks["SigIgn:"], 16) & 1 << (number - 1) == 0
    os.kill(pid, number)
    wait_until(lambda: not alive(pid))


def test_case_53_what_it_prints_can_be_taken_while_the_daemon_lives(world: World) -> None:
    shell = ["sh", "-c", 'said=$("$@"); printf "<%s>" "$said"', "sh"]
    done = world.run([*shell, *world.argv("--quiet")])
    assert (done.returncode, done.stdout, done.stderr) == (0, "<>", "")
    world.check()


def test_case_54_a_deleted_directory(world: World) -> None:
    gone = str(world.root / "gone")
    leave = f"os.mkdir({gone!r}); os.chdir({gone!r}); os.rmdir({gone!r})"
    assert world.run(first(leave, world.argv())).returncode == 0
    pid = world.check()
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_case_55_a_scrubbed_environment(world: World) -> None:
    world.env |= {
        "PYTHONPATH": "/junk",
        "PYTHONHOME": "/junk",
        "VIRTUAL_ENV": "/junk",
        "LD_PRELOAD": "",
        "SSE_URL": "http://junk",
        "API_TOKEN": "secret",
        "OLDPWD": "/junk",
        "LLMENV_CONFIG": str(world.config),
        "LC_ALL": "C.UTF-8",
        "ICM_DB": "/db",
        "PATH": f".::rel:{world.env['PATH']}:",
    }
    world.write_config()
    with world.config.open("a") as file:
        file.write('env = { GIVEN = "in the config", ICM_DB = "/other" }\n')
    assert world.run(world.bare()).returncode == 0
    raw = Path(f"/proc/{world.check()}/environ").read_bytes().split(b"\0")
    env = dict(os.fsdecode(line).split("=", 1) for line in raw if line)
    assert env.pop("GIVEN") == "in the config"
    assert env.pop("ICM_DB") == "/other"
    assert all(os.path.isabs(entry) for entry in env["PATH"].split(":"))
    kept = {"HOME", "PATH", "LC_ALL", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"}
    assert set(env) == kept


def test_case_56_a_planted_program_is_not_executed(world: World) -> None:
    here = world.root / "project"
    (here / "bin").mkdir(parents=True)
    for place in (here, here / "bin"):
        for name in ("mcp-proxy", "icm", "uvx", "planted"):
            (place / name).write_text(f"#!/bin/sh\ntouch '{world.oracle}/starts'\n")
            (place / name).chmod(0o755)
    world.env["PATH"] = f":.:bin:{world.env['PATH']}"
    argv = world.bare("--bind", world.bind, "--no-bridge", "--", "planted")
    one_line(world.run(argv, cwd=here), 1, "planted")
    assert not (world.oracle / "starts").exists()


# --- resources and files ---


def tmpfs(world: World, options: str) -> list[str]:
    """Return the words that run a command twice on a state directory with these mount options."""
    world.state.mkdir(parents=True)
    mount = f'mount -t tmpfs -o mode=700,{options} none "$0" && '
    prefix = [*world.unshare("-m"), "sh", "-c"]
    if world.run([*prefix, mount + "true", str(world.state)]).returncode:
        missing("no tmpfs can be mounted here")
    show = 'cat "$0/stub.pid" 2>/dev/null; echo; ls -A "$0"'
    run = f'{{ "$@"; echo "rc=$?"; "$@"; echo "rc=$?"; {show}; }}'
    return [*prefix, mount + run, str(world.state)]


@pytest.mark.parametrize("options", ["size=4k", "size=8k", "size=12k"])
@pytest.mark.parametrize("inodes", [2, 4, 5, 7])
def test_case_58_a_full_disk(world: World, options: str, inodes: int) -> None:
    done = world.run([*tmpfs(world, f"{options},nr_inodes={inodes}"), *world.argv()])
    assert "Traceback" not in done.stderr
    statuses = [line for line in done.stdout.splitlines() if line.startswith("rc=")]
    assert len(done.stderr.splitlines()) <= 2
    assert set(statuses) <= {"rc=0", "rc=1"}
    running = world.daemons()
    assert len(running) == (1 if "rc=0" in statuses else 0)
    assert len(world.told("starts")) <= 1
    left = done.stdout.splitlines()[-6:]
    assert not {"stub.pid.lock", "stub.pid.tmp", "stub.alive.tmp", "stub.fail.tmp"} & set(left)
    pidfile = done.stdout.split("rc=")[-1].splitlines()[1]
    assert pidfile in ("", *map(str, running)), "never a part of a pid"


def limited(limit: str, value: int, argv: list[str]) -> list[str]:
    return first(f"import resource as r; r.setrlimit(r.{limit}, ({value}, {value}))", argv)


@pytest.mark.parametrize("most", [4, 5, 6, 7, 8, 9, 10, 12, 16])
def test_case_61_few_descriptors(world: World, most: int) -> None:
    done = world.run(limited("RLIMIT_NOFILE", most, world.argv()))
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        world.check()
        return
    assert most < 16
    one_line(done, 1, "Too many open files")
    assert world.daemons() == []
    recovers(world)


def test_case_61_no_file_may_grow(world: World) -> None:
    done = world.run(limited("RLIMIT_FSIZE", 0, world.argv()))
    one_line(done, 1, "File too large")
    recovers(world)


def test_case_61_no_process_may_be_made(world: World) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    world.give_to_nobody()  # of root there may be as many as it likes
    one_line(
        world.run(nobody(limited("RLIMIT_NPROC", 0, world.argv()))),
        *(1, "cannot run", "Resource temporarily unavailable"),
    )
    assert world.daemons() == []
    assert not world.path("pid.lock").exists()
    assert world.run(nobody(world.argv())).returncode == 0
    world.check()


@pytest.mark.parametrize("error", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_case_62_a_file_system_without_locks(world: World, error: str) -> None:
    need("strace")
    no_locks = ["-e", f"inject=flock:error={error}"]
    inject = ["strace", "-qq", "-o", "/dev/null", *no_locks, "-P", str(world.path("pid.lock"))]
    first_run = world.run([*inject, "-P", str(world.path("life")), *world.argv()])
    assert first_run.returncode == 0, first_run
    pid = world.check()
    for _ in range(2):
        again = world.run([*inject, *world.argv()])
        assert (again.returncode, again.stdout) == (0, f"stub already-running pid={pid}\n"), again
        world.check()
    assert ensure.instances("stub", str(world.state))[0].stem == "stub"
    kill(pid)
    shutil.rmtree(world.root / "run")  # as a reboot does
    assert world.run([*inject, *world.argv()]).returncode == 0
    world.check(starts=2)


def test_case_62_no_locks_and_no_other_place(world: World) -> None:
    need("strace")
    world.env.pop("XDG_RUNTIME_DIR")
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK"]
    one_line(world.run([*inject, *world.argv()]), 1, "has no file locks", "XDG_RUNTIME_DIR")
    recovers(world)


@pytest.mark.parametrize(("error", "status"), [("EINTR", 0), ("EACCES", 1), ("EIO", 1)])
def test_case_62_a_lock_that_fails_once(world: World, error: str, status: int) -> None:
    need("strace")
    inject = ["strace", "-qq", "-o", "/dev/null", "-e", f"inject=flock:error={error}:when=1"]
    done = world.run([*inject, *world.argv()])
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert world.ensure().returncode == 0
    world.check()


def plant(path: Path, kind: str, victim: Path) -> None:
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as sock:
            here = os.open(path.parent, os.O_RDONLY)
            sock.bind(f"/proc/self/fd/{here}/{path.name}")  # short enough for sun_path
            os.close(here)
    elif kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling":
        path.symlink_to(victim.with_name("nowhere"))
    elif kind == "loop":
        path.symlink_to(path.name)
    else:
        need_root()
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))


KINDS = ["directory", "fifo", "socket", "link", "dangling", "loop", "device"]
SUFFIXES = ["pid", "pid.lock", "life", "proof", "alive", "output", "fail", "log"]
SUFFIXES += ["log.1", "pid.tmp", "alive.tmp", "fail.tmp", "log.1.tmp"]


def want(world: World, suffix: str, argv: list[str]) -> None:
    """See to it that *argv* needs the file *suffix*, which a plain start may not."""
    if suffix.startswith("log.1"):
        world.path("log").write_bytes(b"line\n" * (1 << 18))
        shutil.chown(world.path("log"), world.state.owner())
    elif suffix.startswith("fail"):
        one_line(world.run([*argv, "die=1"]), 1, "exited with status 1")
        assert world.daemons() == []
        (world.oracle / "starts").unlink()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_case_63_something_else_at_one_of_our_paths(world: World, suffix: str, kind: str) -> None:
    world.state.mkdir(parents=True)
    victim = world.root / "victim"
    victim.write_text("untouched")
    path = world.path(suffix)
    plant(path, kind, victim)
    want(world, suffix, world.argv())
    for _ in range(2):
        began = time.monotonic()
        done = world.ensure()
        assert time.monotonic() - began < 8
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 1)
        assert len(done.stderr.splitlines()) <= 1
        assert done.stderr.rstrip("\n").isprintable()
        assert len(world.daemons()) == (1 if done.returncode == 0 else 0)
        if done.returncode:
            assert str(path) in done.stderr
    assert victim.read_text() == "untouched"
    assert not victim.with_name("nowhere").exists()
    if os.path.lexists(path) and not (path.is_file() and not path.is_symlink()):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert world.ensure().returncode == 0
    world.check()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o1777])
def test_case_64_a_directory_that_others_can_write_is_refused(world: World, mode: int) -> None:
    world.state.mkdir(parents=True)
    world.state.chmod(mode)
    one_line(world.ensure(), 1, "chmod 700", str(world.state))
    assert (list(world.state.iterdir()), world.told("starts")) == ([], [])


def test_case_64_a_directory_of_another_user_is_refused(world: World) -> None:
    need_root()
    world.state.mkdir(parents=True, mode=0o700)
    os.chown(world.state, 65534, 65534)
    one_line(world.ensure(), 1, "belongs to user nobody")
    assert (list(world.state.iterdir()), world.told("starts")) == ([], [])


@pytest.mark.parametrize("suffix", ["pid.lock", "life", "log"])
def test_case_64_a_file_of_another_user_is_refused(world: World, suffix: str) -> None:
    need_root()
    world.state.mkdir(parents=True)
    world.path(suffix).touch()
    os.chown(world.path(suffix), 65534, 65534)
    one_line(world.ensure(), 1, str(world.path(suffix)), "not a regular file of yours")
    assert world.told("starts") == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("caller", ["root", "nobody"])
def test_case_64_a_file_of_another_user_is_never_written(
    world: World, suffix: str, caller: str
) -> None:
    """Root meets a user's file; a user meets what root has left there."""
    need_root()
    world.state.mkdir(parents=True, mode=0o700)
    path, kept = world.path(suffix), world.root / "kept"
    argv = world.argv() if caller == "root" else nobody(world.argv())
    if caller == "nobody":
        world.give_to_nobody()
    path.write_text("untouched")
    path.chmod(0o600)
    os.link(path, kept)
    if caller == "root":
        os.chown(path, 65534, 65534)
    before = kept.stat()
    want(world, suffix, argv)
    for _ in range(2):
        done = world.run(argv)
        assert done.returncode in (0, 1), done
        assert len(done.stderr.splitlines()) <= 1
        assert done.stderr.rstrip("\n").isprintable()
        assert len(world.daemons()) == (1 if done.returncode == 0 else 0)
        if done.returncode:
            assert str(path) in done.stderr
    after = kept.stat()
    assert kept.read_text() == "untouched"
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    path.unlink(missing_ok=True)
    assert world.run(argv).returncode == 0
    world.check()


def test_case_64_a_link_for_a_directory_is_refused(world: World) -> None:
    world.state.parent.mkdir()
    world.state.symlink_to(world.oracle)
    one_line(world.ensure(), 1, str(world.state))
    assert world.told("starts") == []


def test_case_64_a_directory_that_others_can_read_is_closed(world: World) -> None:
    world.state.mkdir(parents=True, mode=0o755)
    world.state.chmod(0o755)
    world.up()
    assert stat.S_IMODE(world.state.stat().st_mode) == 0o700


@pytest.mark.parametrize("made", [".", ".local", ".local/state", ".local/state/llmenv"])
def test_case_65_sudo_with_a_kept_home_leaves_nothing_of_roots(world: World, made: str) -> None:
    need_root()
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        world.env.pop(name)
    (world.home / made).mkdir(parents=True, exist_ok=True)
    config = world.home / ".config" / "llmenv" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[services.stub]\ncommand = ["true"]\n')
    for path in (world.home, *world.home.rglob("*")):
        os.chown(path, 65534, 65534)
    before = sorted(world.home.rglob("*"))
    one_line(world.ensure(), 1, "belongs to user nobody")
    hooked = world.bare("--hook", str(world.home / ".local/state/llmenv"), str(config))
    assert world.run(hooked).returncode == 1
    assert sorted(world.home.rglob("*")) == before
    assert world.told("starts") == []


def test_case_66_a_long_log_is_cut_under_a_living_writer(world: World) -> None:
    world.up("flood")
    wait_until(lambda: world.path("log").stat().st_size > 3 << 20)
    world.tell("calm")
    wait_until(lambda: world.told("calmed"))
    newest = world.path("log").read_bytes()[-(1 << 20) :]
    assert world.ensure(modes=["flood"]).returncode == 0
    assert world.path("log").stat().st_size <= 1 << 20
    assert world.path("log.1").read_bytes() + world.path("log").read_bytes() == newest
    world.check()
    assert stat.S_IMODE(world.path("log.1").stat().st_mode) == 0o600


def test_case_66_a_log_is_cut_while_it_is_written(world: World) -> None:
    world.up("flood")
    for _ in range(3):
        wait_until(lambda: world.path("log").stat().st_size > 2 << 20)
        assert world.ensure(modes=["flood"]).returncode == 0
        assert world.path("log.1").stat().st_size < 3 << 20
    world.tell("calm")
    wait_until(lambda: world.told("calmed"))
    assert world.ensure(modes=["flood"]).returncode == 0
    assert world.path("log").stat().st_size <= 1 << 20
    world.check()


def test_case_67_the_wall_clock_jumps_while_it_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = world.argv("--timeout", "60", modes=["gate"])
    starter = world.begin(lock)
    wait_until(lambda: world.told("starts"))
    jumps = iter(range(1, 10**6))

    def clock() -> float:
        step = next(jumps)
        return 1e9 + (86400.0 * step if step % 2 else -86400.0 * step)

    service = world.service("gate")
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", clock)
        with pytest.raises(ensure.NotYet):
            ensure.ensure(service, str(world.state), timeout=0.3)
    assert starter.poll() is None
    world.tell("go")
    assert starter.wait(DEADLINE_S) == 0
    world.check()


@pytest.mark.parametrize("days", [1, -1])
def test_case_67_the_wall_clock_has_jumped_since_a_pidfile_was_written_by_hand(
    world: World, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """How old a bare pidfile is, only that clock tells: it is then not waited for."""
    stranger = world.begin(["sleep", "1000"])
    world.state.mkdir(parents=True)
    world.path("pid").write_text(f"{stranger.pid}\n")
    began, real = time.monotonic(), time.time
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: real() + days * 86400)
        for said in ("spawned", "already-running"):
            result = ensure.ensure(world.service(), str(world.state), timeout=20)
            assert result.outcome == said
    assert time.monotonic() - began < 15
    assert world.check() == result.pid
    assert stranger.poll() is None
    # The clock is set right again.
    assert world.ensure().stdout == f"stub already-running pid={result.pid}\n"


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_case_68_any_umask(world: World, umask: int) -> None:
    done = world.run(first(f"os.umask({umask})", world.argv()))
    assert done.returncode == 0, done
    world.check()
    assert stat.S_IMODE(world.state.stat().st_mode) == 0o700
    for path in world.state.iterdir():
        mode = 0o700 if path.is_dir() else 0o600
        assert path.is_symlink() or stat.S_IMODE(path.stat().st_mode) == mode, path


NAMES = [
    "with space",
    "a\nb",
    "$HOME `id` \"q\" 'q' \\",
    "\u00fcml\u00e4ut",
    "\udcff\udcfe",
    "x" * 200,
]


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_case_69_any_path(tmp_path: Path, name: str) -> None:
    with World(tmp_path / name) as world:
        pid = world.up()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()
        kill(pid)
        done = world.ensure(modes=["die=1"])
        one_line(done, 1, "exited with status 1")
        assert len(world.path("fail").read_bytes().splitlines()) == 2


def test_case_70_the_order_of_things(world: World, tmp_path: Path) -> None:
    need("strace")
    trace = tmp_path / "trace"
    calls = "trace=flock,clone,vfork,fork,connect,getsockopt,rename,unlink"
    done = world.run(["strace", "-y", "-qq", "-e", calls, "-o", str(trace), *world.argv()])
    assert done.returncode == 0
    text = trace.read_text()
    order = [
        text.index("pid.lock>, LOCK_EX"),
        text.index("life>, LOCK_EX"),
        min(at for at in (text.find("clone("), text.find("vfork(")) if at >= 0),
        text.rindex("connect("),
        text.index('stub.pid.tmp", '),
        text.index('stub.alive.tmp", '),
        text.rindex('stub.pid.lock")'),
    ]
    assert order == sorted(order)
    assert "LOCK_UN" not in text


# --- what lies in the state directory ---

RUN = """#!/bin/sh
$(touch {mark})
`touch {mark}`
touch {mark}
"""
RUN_BY_PYTHON = "open({mark!r}, 'w').close()\n"
CONFIGS = ["config.toml.fail", "config.toml.fail.tmp", "config.parsed", "config.parsed.tmp"]
# What a shell, Python or anything else that we start could look for in the place where it is.
LOOKED_FOR = ["sitecustomize.py", "usercustomize.py", "ensure.py", "json.py", "signal.py"]
LOOKED_FOR += ["stub", "mcp-proxy", "icm", "uvx", "python3", "sh", ".envrc", ".profile", "config"]


def booby_trap(world: World, text: str = RUN) -> Path:
    """Plant *text* under every name that we read, and others; return what must never appear."""
    mark = world.root / "mark"
    world.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    stems = ["stub", f"stub@{ensure.hostname()}"]
    ours = [f"{stem}.{suffix}" for stem in stems for suffix in SUFFIXES]
    for name in [*ours, *CONFIGS, *LOOKED_FOR]:
        path = world.state / name
        if path.suffix == ".proof":
            path.mkdir(exist_ok=True)
            path = path / f"{path.stem}.life"
        path.unlink(missing_ok=True)
        path.write_text((RUN_BY_PYTHON if name.endswith(".py") else text).format(mark=str(mark)))
        path.chmod(0o755)
    return mark


def executed(trace: Path) -> set[str]:
    """Return the paths that were executed, as strace saw it."""
    return set(re.findall(r'execve(?:at)?\((?:AT_FDCWD, )?"([^"]+)"', trace.read_text()))


def test_nothing_in_the_state_directory_is_executed(world: World, tmp_path: Path) -> None:
    need("strace")
    world.write_config()
    mark = booby_trap(world)
    trace = tmp_path / "trace"
    llmenv = str(Path(PYTHON).with_name("llmenv"))
    calls = [[llmenv, *words.split()] for words in ("hook bash", "status", "logs", "start")]
    calls += [world.bare("--deep"), world.hook_argv(), [llmenv, "restart"], world.argv()]
    calls += [[llmenv, "doctor"], [llmenv, "stop"]]
    everything = "\n".join(map(shlex.join, calls))
    strace = ["strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", str(trace)]
    done = world.run([*strace, "sh", "-c", everything], cwd=world.state)
    assert "stub spawned" in done.stdout, done
    assert "stub stopped" in done.stdout, done
    assert PYTHON in executed(trace)  # so that we know how to read it
    assert [path for path in executed(trace) if path.startswith(str(world.state))] == []
    assert not mark.exists()


# What a shell reads of a file is its first line.
FIRST_LINES = ["$(touch {mark})", "`touch {mark}`", "path[$(touch {mark})]", "; touch {mark} #"]
FIRST_LINES += ["' ; touch {mark} ; '", "-1 -o (touch {mark})"]


@pytest.mark.parametrize("proc", [True, False])
@pytest.mark.parametrize("name", SHELLS)
def test_no_shell_executes_anything_of_the_state_directory(
    world: World, name: str, proc: bool
) -> None:
    need("strace", name)
    world.write_config()
    hook, trace = hook_text(world, name, proc=proc, helper=ENSURE), world.root / "trace"
    traced = world.root / "bin" / name
    traced.parent.mkdir()
    strace = ["strace", "-f", "-qq", "-e", "trace=execve,execveat", "-o", str(trace)]
    traced.write_text(f'#!/bin/sh\nexec {shlex.join([*strace, str(shutil.which(name))])} "$@"\n')
    traced.chmod(0o755)
    path = {"PATH": f"{traced.parent}:{world.env['PATH']}"}
    for line in FIRST_LINES:
        mark = booby_trap(world, f"{line}\nv1 1 1.0 boot digest .\n{RUN}")
        with Shell(name, world, hook=hook, environment=path) as shell:
            assert line.format(mark=mark) in shell.startup + shell.run()[1]  # it was read
            wait_until(lambda: world.told("listening"))
            wait_until(lambda: not processes_with(str(world.config)))  # the helper
            booby_trap(world, f"{line}\n")
            shell.run()  # now a shell without /proc reads the pidfile too
            wait_until(lambda: not processes_with(str(world.config)))
            kill(*world.daemons())
        assert not mark.exists()
        paths = executed(trace)
        assert {PYTHON, str(shutil.which(name))} <= paths  # so that we know how to read it
        assert [path for path in paths if path.startswith(str(world.state))] == []
        (world.oracle / "listening").unlink()


@pytest.mark.parametrize("umask", [0o000, 0o022])
@pytest.mark.parametrize("what", ["a start", "a failure", "a wrong config", "a long log"])
def test_modes_are_set_at_creation(world: World, tmp_path: Path, what: str, umask: int) -> None:
    """Not after: nobody may open in between what is then closed to them."""
    need("strace")
    world.write_config(*(["die=1"] if what == "a failure" else []))
    if what == "a wrong config":
        world.config.write_text("nonsense")
    argv = world.hook_argv()
    if what == "a long log":
        world.state.mkdir(parents=True, mode=0o700)
        want(world, "log.1", [])
        argv = world.bare()  # which does not stay to see whether it grows on
    trace = tmp_path / "trace"
    strace = [str(shutil.which("strace")), "-qq", "-o", str(trace)]
    strace += ["-e", "trace=file,fchmod,umask"]
    world.run(first(f"os.umask({umask})", [*strace, *argv]))
    now, made = umask, []
    for line in trace.read_text().splitlines():
        call = line.partition("(")[0]
        assert not re.match(r"f?chmod|mknod|creat", call), line
        if call == "umask":
            now = int(line[len("umask(") :].partition(")")[0], 8)
        elif found := re.search(r'"([^"]*)".*, (0[0-7]+)\) += \d', line):
            if call.startswith("mkdir"):
                assert int(found[2], 8) & ~now == 0o700, line
                made.append(found[1])
            elif "O_CREAT" in line:
                assert int(found[2], 8) == 0o600, line
                made.append(found[1])
    wanted = {
        "a start": "stub.pid.tmp",
        "a failure": "stub.fail.tmp",
        "a long log": "stub.log.1.tmp",
    }
    assert str(world.state / wanted.get(what, "config.toml.fail.tmp")) in made
    if what != "a long log":
        assert made[:2] == [str(world.state.parent), str(world.state)]


def test_a_hostile_path_is_made_harmless(tmp_path: Path) -> None:
    with World(tmp_path / "\x1b]0;title\x07\u202e\n") as world:
        world.write_config()
        llmenv = [PYTHON, "-m", "llmenv_hooks"]
        for suffix in ("pid.lock", "life", "log"):
            world.path(suffix).mkdir(parents=True)
            one_line(world.ensure(), 1, f"stub.{suffix}")
            world.path(suffix).rmdir()
        world.state.chmod(0o777)
        one_line(world.ensure(), 1, "chmod 700")
        world.state.chmod(0o700)
        world.up()
        for word in ("status", "doctor", "stop"):
            done = world.run([*llmenv, word])
            assert "stub" in done.stdout + done.stderr
            for line in (done.stdout + done.stderr).split("\n"):
                assert line.isprintable(), word
        world.config.write_text("nonsense")
        one_line(world.run(world.bare()), 2, "config.toml")


# --- the port's owner ---

SERVE = "import socket, sys; s = socket.create_server(('', int(sys.argv[1]))); input()"


def test_a_stranger_on_every_address_is_named_too(world: World) -> None:
    child = world.begin(
        [PYTHON, "-m", "http.server", str(world.port)],
        cwd=world.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: ensure.probe("127.0.0.1", world.port))
    one_line(world.ensure(), 1, f"pid {child.pid}", "http.server", world.bind)
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
                one_line(world.ensure(), 1, f"pid {os.getpid()}", world.bind)
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
    one_line(world.ensure(), 1, f"pid {child.pid}", "-X ?]0;title??2J? $(id)")


def test_a_pidfile_written_by_hand_does_not_make_a_stranger_ours(world: World) -> None:
    """Found by the random lives of model.py: the port's owner has to be the one it names."""
    other = world.begin([PYTHON, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE)
    world.state.mkdir(parents=True, mode=0o700)
    world.path("pid").write_text(f"{other.pid}\n")
    with socket.create_server(("127.0.0.1", world.port)):
        one_line(world.ensure(), 1, f"pid {os.getpid()}", world.bind)
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


# --- what a pidfile by hand means ---


def test_a_bare_pidfile_is_believed_for_a_while_and_its_process_never_signalled(
    world: World,
) -> None:
    child = world.begin(["sleep", "1000"])
    world.state.mkdir(parents=True)
    world.path("pid").write_text(f"{child.pid}\n")
    done = world.ensure()
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={child.pid}\n")
    assert world.told("starts") == []
    # Once the file is older than a start may take, it is not waited for: a minute must not pass
    # here, so the process is made old and the file with it.
    stamp = time.time() - 61
    os.utime(world.path("pid"), (stamp, stamp))
    done = world.ensure()
    assert done.returncode == 0
    world.check()
    assert child.poll() is None


# --- the deep check ---


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
    monkeypatch.setattr(ensure, "DEEP_TIMEOUT_S", 0.1)
    os.kill(pid, signal.SIGSTOP)
    assert ensure.deep_check(world.service()) == "busy"
    kill(pid)
    assert ensure.deep_check(world.service()) == "unknown"


# --- stopping ---


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
    one_line(world.run(world.bare()), 1, "was stopped; llmenv start stub")
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 1
    assert not world.path("fail").exists()
    assert ensure.inspect(world.service(), str(world.state)).state == "stopped"
    revive = "import ensure as e; s = e.load_config().services[0];"
    revive += "print(e.ensure(s, e.state_dir(), revive=True).outcome)"
    path = f"import sys; sys.path.insert(0, {str(Path(ensure.__file__).parent)!r}); "
    done = world.run([PYTHON, "-c", path + revive])
    assert done.stdout == "spawned\n"
    world.check(starts=2)
    assert world.run(world.bare()).returncode == 0


def faster(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Let ensure.py's monotonic clock run *factor* times faster than it does."""
    clock = SimpleNamespace(
        monotonic=lambda: time.monotonic() * factor,
        sleep=lambda seconds: time.sleep(seconds / factor),
        time=time.time,
    )
    monkeypatch.setattr(ensure, "time", clock)


def watch_signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return the list to which each (pid, signal) that is sent from now on will be added."""
    sent: list[tuple[int, int]] = []
    send: Callable[[int, str | None, int], None] = ensure._send

    def watched(pid: int, start: str | None, number: int) -> None:
        sent.append((pid, number))
        send(pid, start, number)

    monkeypatch.setattr(ensure, "_send", watched)
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


# --- the hook's call ---


def test_the_hooks_call_leaves_its_callers_session_and_says_nothing(world: World) -> None:
    world.write_config("gate")
    kept = world.root / "kept"
    hold = f"os.dup2(os.open({str(kept)!r}, os.O_RDWR | os.O_CREAT), 9)"
    caller = world.begin(first(hold, world.hook_argv()), cwd=world.home)
    wait_until(lambda: world.told("starts"))
    fields = Path(f"/proc/{caller.pid}/stat").read_text().rpartition(")")[2].split()
    assert fields[3] == str(caller.pid), "a session of its own"
    assert os.readlink(f"/proc/{caller.pid}/cwd") == "/"
    assert holders(kept) == []
    world.tell("go")
    out, err = caller.communicate(timeout=DEADLINE_S)
    assert (caller.returncode, out, err) == (0, "", "")
    world.check()


def test_the_hooks_call_marks_when_it_passed(world: World) -> None:
    world.write_config()
    assert world.run(world.hook_argv()).returncode == 0
    os.utime(world.path("life"), (1e9, 1e9))
    assert world.run(world.hook_argv()).returncode == 0
    assert time.time() - world.path("life").stat().st_mtime < 60
    world.check()
