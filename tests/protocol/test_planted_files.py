"""What lies at our paths, on PATH or in a project is never followed, executed or trusted."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import stat
import time
from pathlib import Path

import pytest
from daemons import (
    PYTHON,
    World,
    first,
    holders,
    kill,
    need,
    need_root,
    nobody,
    processes_with,
    wait_until,
)
from outcomes import refused
from packed import ENSURE, ensure
from shells import (
    SHELLS,
    Shell,
    hook_text,
)


def test_a_planted_program_is_not_executed(world: World) -> None:
    here = world.root / "project"
    (here / "bin").mkdir(parents=True)
    for place in (here, here / "bin"):
        for name in ("mcp-proxy", "icm", "uvx", "planted"):
            (place / name).write_text(f"#!/bin/sh\ntouch '{world.oracle}/starts'\n")
            (place / name).chmod(0o755)
    world.env["PATH"] = f":.:bin:{world.env['PATH']}"
    argv = world.bare("--bind", world.bind, "--no-bridge", "--", "planted")
    refused(world.run(argv, cwd=here), 1, "planted")
    assert not (world.oracle / "starts").exists()


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
        refused(world.run([*argv, "die=1"]), 1, "exited with status 1")
        assert world.daemons() == []
        (world.oracle / "starts").unlink()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_something_else_at_one_of_our_paths_is_refused_or_replaced(
    world: World, suffix: str, kind: str
) -> None:
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
        assert holders(victim) == []
        if done.returncode:
            assert str(path) in done.stderr
    assert victim.read_text() == "untouched"
    assert not victim.with_name("nowhere").exists()
    if os.path.lexists(path) and not (path.is_file() and not path.is_symlink()):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert world.ensure().returncode == 0
    world.check()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o1777])
def test_a_directory_that_others_can_write_is_refused(world: World, mode: int) -> None:
    world.state.mkdir(parents=True)
    world.state.chmod(mode)
    refused(world.ensure(), 1, "chmod 700", str(world.state))
    assert (list(world.state.iterdir()), world.told("starts")) == ([], [])


def test_a_directory_of_another_user_is_refused(world: World) -> None:
    need_root()
    world.state.mkdir(parents=True, mode=0o700)
    os.chown(world.state, 65534, 65534)
    refused(world.ensure(), 1, "belongs to user nobody")
    assert (list(world.state.iterdir()), world.told("starts")) == ([], [])


@pytest.mark.parametrize("suffix", ["pid.lock", "life", "log"])
def test_a_file_of_another_user_is_refused(world: World, suffix: str) -> None:
    need_root()
    world.state.mkdir(parents=True)
    world.path(suffix).touch()
    os.chown(world.path(suffix), 65534, 65534)
    refused(world.ensure(), 1, str(world.path(suffix)), "not a regular file of yours")
    assert world.told("starts") == []


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("caller", ["root", "nobody"])
def test_a_file_of_another_user_is_never_written(world: World, suffix: str, caller: str) -> None:
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


def test_a_link_for_a_directory_is_refused(world: World) -> None:
    world.state.parent.mkdir()
    world.state.symlink_to(world.oracle)
    refused(world.ensure(), 1, str(world.state))
    assert world.told("starts") == []


def test_a_directory_that_others_can_read_is_closed(world: World) -> None:
    world.state.mkdir(parents=True, mode=0o755)
    world.state.chmod(0o755)
    world.up()
    assert stat.S_IMODE(world.state.stat().st_mode) == 0o700


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
    assert "stub started" in done.stdout, done
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
            refused(world.ensure(), 1, f"stub.{suffix}")
            world.path(suffix).rmdir()
        world.state.chmod(0o777)
        refused(world.ensure(), 1, "chmod 700")
        world.state.chmod(0o700)
        world.up()
        for word in ("status", "doctor", "stop"):
            done = world.run([*llmenv, word])
            assert "stub" in done.stdout + done.stderr
            for line in (done.stdout + done.stderr).split("\n"):
                assert line.isprintable(), word
        world.config.write_text("nonsense")
        refused(world.run(world.bare()), 2, "config.toml")
