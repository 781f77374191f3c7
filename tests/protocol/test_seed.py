"""The seed's behaviours, a test or more for each row of the table in DESIGN.md."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import (
    PYTHON,
    STUB,
    World,
    alive,
    kill,
    wait_until,
)
from hypothesis import example, given
from hypothesis import strategies as st
from packed import ensure, patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


DEAD = 2**22 + 1  # above the highest pid that Linux gives (pid_max), so never alive


@pytest.fixture
def world(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world whose environment is that of the test itself."""
    for name in ("XDG_RUNTIME_DIR", "LLMENV_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in world.env.items():
        monkeypatch.setenv(name, value)
    return world


@pytest.fixture
def pid_path(world: World) -> str:
    return str(world.state / "mcp-proxy.pid")


class Spawner:
    """A `spawn` that counts its calls and returns *pid*."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.calls: list[str] = []

    def __call__(self, bind: str) -> int:
        self.calls.append(bind)
        return self.pid


@pytest.fixture
def sleeper(world: World) -> Iterator[int]:
    """A live process, older than any file the test writes, that listens on nothing."""
    child = world.begin(["sleep", "1000"])
    yield child.pid
    kill(child.pid)


def program(directory: Path, name: str, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text(text)
    path.chmod(mode)
    return path


def test_there_are_two_outcomes() -> None:
    assert ensure.EnsureOutcome.ALREADY_RUNNING != ensure.EnsureOutcome.SPAWNED


def test_spawn_gets_the_bind_and_its_pid_is_written(
    world: World, pid_path: str, sleeper: int
) -> None:
    spawn = Spawner(sleeper)
    assert ensure.ensure_running(world.bind, pid_path, spawn) == ensure.EnsureOutcome.SPAWNED
    assert spawn.calls == [world.bind]
    assert ensure.read_pidfile(pid_path) == sleeper


def test_what_spawn_raises_goes_through(world: World, pid_path: str) -> None:
    def spawn(bind: str) -> int:
        raise RuntimeError(bind)

    with pytest.raises(RuntimeError, match=world.bind):
        ensure.ensure_running(world.bind, pid_path, spawn)
    assert os.listdir(world.state) == []


def test_a_live_process_in_the_pidfile_is_accepted(
    world: World, pid_path: str, sleeper: int
) -> None:
    world.state.mkdir(parents=True)
    ensure.write_pidfile_atomic(pid_path, sleeper)
    spawn = Spawner(DEAD)
    assert (
        ensure.ensure_running(world.bind, pid_path, spawn) == ensure.EnsureOutcome.ALREADY_RUNNING
    )
    assert spawn.calls == []
    assert ensure.read_pidfile(pid_path) == sleeper


def test_a_dead_process_in_the_pidfile_is_replaced(
    world: World, pid_path: str, sleeper: int
) -> None:
    world.state.mkdir(parents=True)
    ensure.write_pidfile_atomic(pid_path, DEAD)
    assert (
        ensure.ensure_running(world.bind, pid_path, Spawner(sleeper))
        == ensure.EnsureOutcome.SPAWNED
    )
    assert ensure.read_pidfile(pid_path) == sleeper


def test_a_pid_younger_than_its_file_is_somebody_else(
    world: World, pid_path: str, sleeper: int
) -> None:
    world.state.mkdir(parents=True)
    ensure.write_pidfile_atomic(pid_path, sleeper)
    os.utime(pid_path, (1e9, 1e9))
    spawn = Spawner(sleeper)
    assert ensure.ensure_running(world.bind, pid_path, spawn) == ensure.EnsureOutcome.SPAWNED


def test_parent_directories_are_made_0700(world: World, sleeper: int) -> None:
    before = os.umask(0)
    try:
        path = world.root / "a" / "b" / "llmenv" / "x.pid"
        ensure.ensure_running(world.bind, str(path), Spawner(sleeper))
        assert os.umask(0) == 0, "the caller's umask is what it was"
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_lock_is_a_sibling_held_while_spawning(
    world: World, pid_path: str, sleeper: int
) -> None:
    assert ensure.lockfile_path(pid_path) == pid_path + ".lock"
    seen: list[bytes] = []

    def spawn(bind: str) -> int:
        seen.append(Path(ensure.lockfile_path(pid_path)).read_bytes())
        return sleeper

    ensure.ensure_running(world.bind, pid_path, spawn)
    assert seen[0].split()[0] == b"%d" % os.getpid()


def test_a_seed_style_lock_counts_while_its_pid_lives(
    world: World, pid_path: str, sleeper: int
) -> None:
    world.state.mkdir(parents=True)
    lock = Path(ensure.lockfile_path(pid_path))
    lock.write_text(str(sleeper))
    spawn = Spawner(sleeper)
    with pytest.raises(ensure.NotYet, match=str(sleeper)):
        ensure.ensure_running(world.bind, pid_path, spawn, timeout=0.1)
    assert (spawn.calls, lock.read_text()) == ([], str(sleeper))


@pytest.mark.parametrize("left", ["", str(DEAD), "garbage", "99999999999", "\0" * 9, "-1", "0"])
def test_a_seed_style_lock_of_nobody_is_not_held(
    world: World, pid_path: str, sleeper: int, left: str
) -> None:
    world.state.mkdir(parents=True)
    Path(ensure.lockfile_path(pid_path)).write_text(left)
    assert (
        ensure.ensure_running(world.bind, pid_path, Spawner(sleeper))
        == ensure.EnsureOutcome.SPAWNED
    )
    assert not os.path.lexists(ensure.lockfile_path(pid_path))


def test_it_looks_again_under_the_lock(
    world: World, pid_path: str, sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = ensure.take_start_lock

    def slow_take(files: ensure.Files) -> int | None:
        # Another process wins between our look and our lock.
        ensure.write_pidfile_atomic(pid_path, sleeper)
        return take(files)

    patch(monkeypatch, "take_start_lock", slow_take)
    spawn = Spawner(DEAD)
    assert (
        ensure.ensure_running(world.bind, pid_path, spawn) == ensure.EnsureOutcome.ALREADY_RUNNING
    )
    assert spawn.calls == []


def test_losers_wait_for_the_winner(
    world: World, pid_path: str, sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The winner is held in its spawn until the loser is known to wait.

    The umask, which the two share as threads of one process, is in the end what it was.
    """
    os.umask(umask := os.umask(0))
    spawning, waited = threading.Event(), threading.Event()
    outcomes: dict[str, str] = {}

    def slow(bind: str) -> int:
        spawning.set()
        assert waited.wait(20)
        return sleeper

    def winner() -> None:
        outcomes["winner"] = ensure.ensure_running(world.bind, pid_path, slow)

    def loser() -> None:
        outcomes["loser"] = ensure.ensure_running(world.bind, pid_path, Spawner(DEAD))

    first, second = threading.Thread(target=winner), threading.Thread(target=loser)
    first.start()
    assert spawning.wait(20)
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        real_sleep(seconds)

    real_sleep = time.sleep
    monkeypatch.setattr(time, "sleep", nap)
    try:
        second.start()
        while len(naps) < 4 and second.is_alive():  # it polls
            real_sleep(0.001)
        assert "loser" not in outcomes
    finally:
        waited.set()
        first.join(20)
        second.join(20)
    assert outcomes == {
        "winner": ensure.EnsureOutcome.SPAWNED,
        "loser": ensure.EnsureOutcome.ALREADY_RUNNING,
    }
    assert os.umask(umask) == umask


def test_losers_fail_loudly_at_their_timeout(world: World, pid_path: str) -> None:
    world.state.mkdir(parents=True)
    lock = ensure.take_start_lock(ensure.Files(pid_path))
    assert lock is not None
    try:
        with pytest.raises(ensure.NotYet, match=str(os.getpid())):
            ensure.ensure_running(world.bind, pid_path, Spawner(DEAD), timeout=0.1)
    finally:
        os.close(lock)


def test_the_lock_goes_away_on_every_way_out(world: World, pid_path: str, sleeper: int) -> None:
    def raising(error: BaseException) -> Callable[[str], int]:
        def spawn(bind: str) -> int:
            raise error

        return spawn

    for error in (OSError("no"), ValueError("no"), KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises((ensure.Problem, type(error))):
            ensure.ensure_running(world.bind, pid_path, raising(error))
        assert not os.path.lexists(ensure.lockfile_path(pid_path))
    ensure.ensure_running(world.bind, pid_path, Spawner(sleeper))
    assert not os.path.lexists(ensure.lockfile_path(pid_path))


def test_a_lock_left_by_a_kill_is_swept(world: World) -> None:
    pid = world.up()
    world.path("pid.lock").write_text(f"{DEAD} 12345\n")
    done = world.ensure()
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={pid}\n")
    world.check()


def test_the_pidfile_is_written_by_rename(
    world: World, pid_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.state.mkdir(parents=True)
    ensure.write_pidfile_atomic(pid_path, 7)
    with open(pid_path) as old:
        ensure.write_pidfile_atomic(pid_path, 8)
        assert (old.read(), Path(pid_path).read_text()) == ("7\n", "8\n")
    assert os.listdir(world.state) == ["mcp-proxy.pid"]

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        ensure.write_pidfile_atomic(pid_path, 9)
    assert os.listdir(world.state) == ["mcp-proxy.pid"]
    assert Path(pid_path).read_text() == "8\n"


def test_a_failed_rename_leaves_no_temporary_file(world: World) -> None:
    target = world.state / "directory.pid"
    target.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        ensure.write_pidfile_atomic(str(target), 9)
    assert os.listdir(world.state) == ["directory.pid"]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_STATE_HOME": "/x/state", "HOME": "/h"}, "/x/state/llmenv/mcp-proxy.pid"),
        ({"HOME": "/h"}, "/h/.local/state/llmenv/mcp-proxy.pid"),
        ({"XDG_STATE_HOME": "", "HOME": "/h"}, "/h/.local/state/llmenv/mcp-proxy.pid"),
        ({"XDG_STATE_HOME": "rel", "HOME": "/h"}, "/h/.local/state/llmenv/mcp-proxy.pid"),
        ({"XDG_STATE_HOME": "rel", "HOME": ""}, None),
        ({"HOME": "rel"}, None),
        ({}, None),
    ],
)
def test_the_default_pid_path(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str | None
) -> None:
    for name in ("XDG_STATE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if expected is None:
        with pytest.raises(ensure.Problem, match="HOME"):
            ensure.default_pid_path()
    else:
        assert ensure.default_pid_path() == expected


def test_mcp_proxy_else_uvx_else_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}/one:{tmp_path}/two")
    with pytest.raises(ensure.Problem, match=r"mcp-proxy.*uvx"):
        ensure.mcp_proxy_command()
    uvx = program(tmp_path / "one", "uvx")
    assert ensure.mcp_proxy_command() == (str(uvx), ["mcp-proxy"])
    proxy = program(tmp_path / "two", "mcp-proxy")
    assert ensure.mcp_proxy_command() == (str(proxy), [])


def test_on_path_and_is_executable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = program(tmp_path / "bin", "good")
    plain = program(tmp_path / "bin", "plain", mode=0o644)
    (tmp_path / "bin" / "directory").mkdir()
    (tmp_path / "bin" / "dangling").symlink_to("nowhere")
    (tmp_path / "bin" / "linked").symlink_to("good")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert ensure.is_executable(str(good))
    assert not ensure.is_executable(str(plain))
    assert not ensure.is_executable(str(tmp_path / "bin"))
    assert not ensure.is_executable("no\0such")
    known = [
        n for n in ("good", "plain", "directory", "dangling", "linked", "gone") if ensure.on_path(n)
    ]
    assert known == ["good", "linked"]


@pytest.mark.parametrize("entries", [".", "", "bin", "./bin", ":", "bin:."])
def test_only_absolute_entries_of_path_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entries: str
) -> None:
    program(tmp_path, "planted")
    program(tmp_path / "bin", "planted")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", entries)
    assert not ensure.on_path("planted")
    assert not ensure.on_path("bin/planted")


def fake_programs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put an `icm` and an mcp-proxy first on PATH; the latter says how it was called, and serves.

    Its --host and --port are words 2 and 4, which its test checks.
    """
    oracle = world.oracle
    program(world.root / "bin", "icm")
    program(
        world.root / "bin",
        "mcp-proxy",
        f'#!/bin/sh\nprintf "%s\\n" "$@" >"{oracle}/argv"\n'
        f'exec "{PYTHON}" -I -S "{STUB}" "{oracle}" "$2:$4"\n',
    )
    monkeypatch.setenv("PATH", f"{world.root}/bin:{os.environ['PATH']}")


def test_spawn_mcp_proxy_passes_address_and_port_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_programs(world, monkeypatch)
    pid = ensure.spawn_mcp_proxy(world.bind)
    wait_until(lambda: world.told("listening") == [pid])
    host, _, port = world.bind.rpartition(":")
    argv = (world.oracle / "argv").read_text().splitlines()
    assert argv[:4] == ["--host", host, "--port", port]
    assert "--stateless" in argv
    assert argv[-3:] == ["--", f"{world.root}/bin/icm", "serve"]
    kill(pid)
    os.waitpid(pid, 0)


def test_with_spawn_mcp_proxy_the_whole_protocol_runs(
    world: World, pid_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_programs(world, monkeypatch)
    assert (
        ensure.ensure_running(world.bind, pid_path, ensure.spawn_mcp_proxy)
        == ensure.EnsureOutcome.SPAWNED
    )
    (pid,) = world.told("listening")
    assert ensure.read_pidfile(pid_path) == pid
    files = ensure.Files(pid_path)
    assert os.path.samefile(files.alive, files.life)
    again = ensure.ensure_running(world.bind, pid_path, ensure.spawn_mcp_proxy)
    assert again == ensure.EnsureOutcome.ALREADY_RUNNING
    kill(pid)
    os.waitpid(pid, 0)


@pytest.mark.parametrize("bind", ["127.0.0.1", "", ":", "localhost:7878", "127.0.0.1:", "::1:7878"])
def test_a_bind_without_address_or_port_is_an_error(bind: str, pid_path: str) -> None:
    with pytest.raises(ensure.UsageError, match="bad address"):
        ensure.spawn_mcp_proxy(bind)
    with pytest.raises(ensure.UsageError, match="bad address"):
        ensure.ensure_running(bind, pid_path, Spawner(1))


def test_read_pidfile_gives_the_pid_or_none(tmp_path: Path) -> None:
    path = tmp_path / "some.pid"
    assert ensure.read_pidfile(str(path)) is None
    for text, expected in {"": None, " \n": None, "12": 12, " 12\n": 12}.items():
        path.write_text(text)
        assert ensure.read_pidfile(str(path)) == expected


@pytest.mark.parametrize(
    "text", ["12abc", "-1", "0", "1.5", "1 2", "\u0661\u0662", "9" * 11, "1\0"]
)
def test_garbage_is_an_error_naming_text_and_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.pid"
    path.write_text(text)
    with pytest.raises(ensure.Problem, match=r"some\.pid") as caught:
        ensure.read_pidfile(str(path))
    assert text.isascii() is False or repr(ensure.printable(text))[1:-1] in str(caught.value)


def test_garbage_is_replaced_with_a_warning(world: World, pid_path: str, sleeper: int) -> None:
    world.state.mkdir(parents=True)
    Path(pid_path).write_text("garbage")
    assert (
        ensure.ensure_running(world.bind, pid_path, Spawner(sleeper))
        == ensure.EnsureOutcome.SPAWNED
    )
    assert ensure.read_pidfile(pid_path) == sleeper
    world.path("pid").write_text("garbage")
    done = world.ensure()
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "'garbage'" in done.stderr
    assert "stub.pid" in done.stderr
    world.check()


def test_is_alive_is_true_false_or_not_known(
    world: World, sleeper: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ensure.is_alive(os.getpid()) is True
    assert ensure.is_alive(sleeper) is True
    assert ensure.is_alive(1) is True  # EPERM, unless we are root
    for pid in (0, -1, DEAD, 2**31, 2**63):
        assert ensure.is_alive(pid) is False
    zombie = subprocess.Popen(["true"])
    wait_until(lambda: not alive(zombie.pid))
    assert ensure.is_alive(zombie.pid) is False
    zombie.wait()
    kinds: list[tuple[OSError, bool | None]] = [
        (PermissionError(1, "no"), True),
        (ProcessLookupError(3, "no"), False),
        (OSError(38, "no"), None),
    ]
    for error, expected in kinds:

        def refuse(pid: int, number: int, error: OSError = error) -> None:
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(os, "kill", refuse)
            assert ensure.is_alive(os.getpid()) is expected


@given(st.integers(1, 2**32 - 1))
@example(1)
@example(2**32 - 1)
def test_any_pid_written_reads_back(pid: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "x.pid")
        ensure.write_pidfile_atomic(path, pid)
        assert ensure.read_pidfile(path) == pid


@given(st.text().filter(lambda text: not any("0" <= c <= "9" for c in text)))
@example("\u0661\u0662")  # digits, but not decimal ASCII
@example("\u00b2")
@example("\uff11")
def test_no_text_without_digits_ever_yields_a_pid(text: str) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.flush()
        try:
            pid = ensure.read_pidfile(file.name)
        except ensure.Problem as problem:
            pid = None
            message = str(problem)
        else:
            message = ""
        assert pid is None
        assert message.isprintable()


@given(st.binary(max_size=200))
def test_no_bytes_ever_break_it(raw: bytes) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(raw)
        file.flush()
        try:
            pid = ensure.read_pidfile(file.name)
        except ensure.Problem:
            return
        assert pid is None or raw.strip() == raw.strip().lstrip(b"+ ")
        assert pid is None or int(raw) == pid


def test_it_runs_only_on_the_server(world: World) -> None:
    world.write_config()
    text = world.config.read_text()
    world.config.write_text('server_host = "some-other-host"\n' + text)
    done = world.run(world.bare())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert world.run(world.hook_argv()).returncode == 0
    assert world.told("starts") == []
    world.config.write_text(f'server_host = "{os.uname().nodename}"\n' + text)
    assert world.run(world.hook_argv()).returncode == 0
    world.check()
