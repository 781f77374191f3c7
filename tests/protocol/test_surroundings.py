"""Whatever the caller is like: its signals, descriptors, directory, umask, clock, paths."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest
from daemons import (
    DEADLINE_S,
    World,
    alive,
    first,
    holders,
    kill,
    need,
    need_root,
    wait_until,
)
from outcomes import refused
from packed import ensure


def test_a_caller_that_ignores_sigchld(world: World) -> None:
    ignore = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)"
    done = world.run(first(ignore, world.argv(modes=["die=7"])))
    refused(done, 1, "exited with status 7")
    done = world.run(first(ignore, world.argv()))
    assert done.returncode == 0
    world.check(starts=2)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGHUP, -1), (signal.SIGKILL, -9)],
)
def test_a_signal_to_the_callers_group_leaves_the_daemon(
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


def test_a_terminal_that_closes_leaves_the_daemon(world: World) -> None:
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


def test_a_lock_of_the_caller_does_not_live_on_in_the_daemon(world: World) -> None:
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
def test_closed_standard_descriptors_do_no_harm(world: World, closed: tuple[int, ...]) -> None:
    close = f"[os.close(fd) for fd in {closed}]"
    assert world.run(first(close, world.argv())).returncode == 0
    pid = world.check()
    assert world.path("life").stat().st_size == ensure.RECORD_BYTES
    assert os.readlink(f"/proc/{pid}/fd/1") == str(world.path("log"))
    assert world.run(first(close, world.argv())).returncode == 0
    world.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_blocked_or_ignored_in_the_caller_reach_the_daemon(
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


def test_what_it_prints_can_be_taken_while_the_daemon_lives(world: World) -> None:
    shell = ["sh", "-c", 'said=$("$@"); printf "<%s>" "$said"', "sh"]
    done = world.run([*shell, *world.argv("--quiet")])
    assert (done.returncode, done.stdout, done.stderr) == (0, "<>", "")
    world.check()


def test_a_caller_in_a_deleted_directory(world: World) -> None:
    gone = str(world.root / "gone")
    leave = f"os.mkdir({gone!r}); os.chdir({gone!r}); os.rmdir({gone!r})"
    assert world.run(first(leave, world.argv())).returncode == 0
    pid = world.check()
    assert os.readlink(f"/proc/{pid}/cwd") == "/"


def test_the_daemon_gets_a_scrubbed_environment(world: World) -> None:
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
    assert env.pop("LLMENV_LIFE").startswith(f"{world.path('life')} ")
    assert env.pop("ICM_DB") == "/other"
    assert all(os.path.isabs(entry) for entry in env["PATH"].split(":"))
    kept = {"HOME", "PATH", "LC_ALL", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"}
    assert set(env) == kept


def environment_of(pid: int) -> dict[str, str]:
    """Return the environment that the process *pid* was started with."""
    raw = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return dict(os.fsdecode(line).split("=", 1) for line in raw if line)


def test_the_daemon_keeps_no_place_that_dies_with_a_shell(world: World) -> None:
    """As nix-shell, fnm and AppImages make them."""
    (world.root / "lasting" / "bin").mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="nix-shell.", dir="/tmp") as dying:
        session = Path(dying)
        (session / "link").symlink_to(world.root / "lasting")
        (session / "db").touch()
        world.env |= {
            "TMPDIR": dying,
            "XDG_CACHE_HOME": f"{dying}/cache",
            "XDG_DATA_DIRS": f"{dying}/share:/usr/share",
            "SSL_CERT_FILE": f"{dying}/certs.pem",
            "ICM_DB": f"{dying}/db",
            "SSH_AUTH_SOCK": f"{dying}/agent.1",
            "PATH": f"{dying}/bin:{dying}/link/bin:{world.root}/bin:{world.env['PATH']}",
            "LC_TIME": "C",
        }
        world.up()
    env = environment_of(world.check())
    assert env["PATH"].startswith(f"{world.root}/lasting/bin:{world.root}/bin:")
    assert env["XDG_DATA_DIRS"] == "/usr/share"
    assert env["SSH_AUTH_SOCK"] == f"{dying}/agent.1", "a socket is of a session by its nature"
    assert env["LC_TIME"] == "C"
    del env["SSH_AUTH_SOCK"]
    assert [name for name, value in env.items() if dying in value] == []
    assert "TMPDIR" not in env


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "{root}/run", "{root}/run/"])
def test_a_temporary_place_itself_is_kept(world: World, place: str) -> None:
    world.env["TMPDIR"] = place.format(root=world.root)
    world.up()
    assert environment_of(world.check())["TMPDIR"] == world.env["TMPDIR"]


@pytest.mark.parametrize("made", [".", ".local", ".local/state", ".local/state/llmenv"])
def test_sudo_with_a_kept_home_leaves_nothing_of_roots(world: World, made: str) -> None:
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
    refused(world.ensure(), 1, "belongs to user nobody")
    hooked = world.bare("--hook", str(world.home / ".local/state/llmenv"), str(config))
    assert world.run(hooked).returncode == 1
    assert sorted(world.home.rglob("*")) == before
    assert world.told("starts") == []


def test_a_wall_clock_that_jumps_changes_no_timeout(
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
def test_after_a_jump_of_the_clock_a_pidfile_of_a_stranger_is_not_believed_for_long(
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
def test_under_any_umask_files_are_0600_and_directories_0700(world: World, umask: int) -> None:
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
def test_any_path_of_the_state_directory_works(tmp_path: Path, name: str) -> None:
    with World(tmp_path / name) as world:
        pid = world.up()
        assert world.ensure().stdout == f"stub already-running pid={pid}\n"
        world.check()
        kill(pid)
        done = world.ensure(modes=["die=1"])
        refused(done, 1, "exited with status 1")
        assert len(world.path("fail").read_bytes().splitlines()) == 2


def test_locks_then_spawn_then_connect_then_files_then_unlock(world: World, tmp_path: Path) -> None:
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
