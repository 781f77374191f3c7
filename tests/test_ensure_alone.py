"""ensure.py as one file with nothing installed: what it needs, what it touches, what it refuses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import ENSURE, World, alive, missing, need

from llmenv_hooks import ensure

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path) as made:
        yield made


def pythons() -> list[str]:
    """Return every Python on this machine that is new enough, one of each version."""
    candidates = [sys.executable]
    candidates += [found for minor in range(11, 20) if (found := shutil.which(f"python3.{minor}"))]
    candidates += map(str, sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3")))
    known: dict[tuple[int, ...], str] = {}
    for candidate in candidates:
        asked = subprocess.run(
            [candidate, "-I", "-S", "-c", "import sys; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        version = tuple(map(int, asked.stdout.split()))
        if version >= (3, 11):
            known.setdefault(version, candidate)
    return list(known.values())


PYTHONS = pythons()


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """ensure.py, copied to a place where nothing of the package is near."""
    path = tmp_path / "some where" / "ensure.py"
    path.parent.mkdir()
    shutil.copy(ENSURE, path)
    return path


# --- with nothing installed ---


@pytest.mark.parametrize("python", PYTHONS)
def test_it_does_the_whole_job_with_every_python(world: World, alone: Path, python: str) -> None:
    argv = [python, "-I", "-S", str(alone), *world.argv()[4:]]
    cold = world.run(argv, cwd="/")
    pid = world.check()
    assert (cold.returncode, cold.stdout, cold.stderr) == (0, f"stub spawned pid={pid}\n", "")
    again = world.run(argv, cwd="/")
    assert (again.returncode, again.stdout, again.stderr) == (
        0,
        f"stub already-running pid={pid}\n",
        "",
    )
    world.check()
    assert sorted(path.name for path in alone.parent.iterdir()) == ["ensure.py"]


def test_it_says_its_version_and_how_it_is_used(world: World) -> None:
    for word in ("--help", "-h"):
        done = world.run(world.bare(word))
        assert (done.returncode, done.stderr) == (0, "")
        for option in ensure._Arguments.VALUES + ensure._Arguments.SWITCHES[:-2]:
            assert option in done.stdout
    assert world.run(world.bare("--version")).stdout == f"llmenv-ensure {ensure.__version__}\n"


# --- what a look costs ---


UNUSED = "subprocess signal json argparse socket enum typing re tomllib http pathlib logging"


@pytest.mark.parametrize("configured", [False, True])
def test_a_look_imports_nothing_that_it_does_not_use(world: World, configured: bool) -> None:
    world.write_config()
    argv = world.bare() if configured else world.argv()
    assert world.run(argv).returncode == 0
    assert world.run(argv).returncode == 0  # before the first there was no place for the cache
    argv[1:1] = ["-X", "importtime"]
    done = world.run(argv)
    assert done.stdout.startswith("stub already-running")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fcntl" in imported  # so that we know how to read it
    assert imported.isdisjoint(UNUSED.split())


@pytest.mark.parametrize("configured", [False, True])
def test_case_02_a_look_writes_nothing(world: World, tmp_path: Path, configured: bool) -> None:
    need("strace")
    world.write_config()
    argv = world.bare() if configured else world.argv()
    assert world.run(argv).returncode == 0
    assert world.run(argv).returncode == 0
    trace = tmp_path / "trace"
    calls = "file,ftruncate,write,pwrite64,writev,fchmod,fchown,fsync,fork,vfork,clone,kill"
    done = world.run(["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", str(trace), *argv])
    assert done.stdout.startswith("stub already-running")
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    assert any("stub.life" in line for line in lines)
    changing = re.compile(
        r"(rename|unlink|mkdir|symlink|link|chmod|fchmod|utime|trunc|ftrunc|mknod|kill|clone|fork)"
    )
    wrong = [
        line for line in lines if changing.match(line) or "O_CREAT" in line or "O_TRUNC" in line
    ]
    wrong += [
        line for line in lines if line.startswith(("write", "pwrite")) and "write(1," not in line
    ]
    assert wrong == []


def test_a_config_that_looks_unchanged_is_read_anew(world: World) -> None:
    world.write_config()
    for _ in range(2):
        assert world.run(world.bare()).returncode == 0
    text, seen = world.config.read_text(), world.config.stat()
    world.config.write_text(text.replace("bridge = false", "bridge = FALSE"))
    os.utime(world.config, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    done = world.run(world.bare())
    assert (done.returncode, done.stdout) == (2, "")
    assert "config.toml" in done.stderr


@pytest.mark.parametrize("form", ["empty", "torn", "garbage", "of another Python", "link"])
def test_a_kept_config_that_is_not_whole_is_none(world: World, form: str) -> None:
    world.write_config()
    for _ in range(2):
        assert world.run(world.bare()).returncode == 0
    kept = world.state / ensure.CONFIG_PARSED
    whole = kept.read_bytes()
    kept.unlink()
    data = b"\xff" * 40
    contents = {"empty": b"", "torn": whole[:-9], "garbage": data}
    contents["of another Python"] = zlib.crc32(data).to_bytes(4, "big") + data
    if form == "link":
        (world.root / "victim").write_bytes(whole)
        kept.symlink_to(world.root / "victim")
    else:
        kept.write_bytes(contents[form])
    done = world.run(world.bare())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("stub already-running")
    assert not kept.is_symlink()
    assert kept.read_bytes() == whole


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def read_only(world: World) -> list[str]:
    """Return the words that run a command with the state directory mounted read-only."""
    prefix = [*world.unshare("-m"), "sh", "-c", READ_ONLY, str(world.state)]
    if world.run([*prefix, "true"]).returncode:
        missing("nothing can be mounted here")
    return prefix


def test_case_59_a_look_works_on_a_read_only_disk(world: World) -> None:
    pid = world.up()
    done = world.run([*read_only(world), *world.argv()])
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"stub already-running pid={pid}\n",
        "",
    )


def test_case_59_and_so_it_does_with_something_to_repair(world: World) -> None:
    pid = world.up()
    world.path("pid").unlink()
    done = world.run([*read_only(world), *world.argv()])
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={pid}\n")
    assert "Traceback" not in done.stderr


def test_case_60_a_read_only_disk_and_no_daemon_is_one_line(world: World) -> None:
    world.state.mkdir(parents=True)
    done = world.run([*read_only(world), *world.argv()])
    refused(world, done, 1, "Read-only file system")


# --- bad input ---


def refused(world: World, done: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Assert that *done* said no in one line with *words* in it, and started nothing."""
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("llmenv-ensure: ")
    assert done.stderr.endswith("\n")
    assert done.stderr[:-1].isprintable()
    for word in words:
        assert word in done.stderr
    assert world.told("starts") == []


ADDRESSES = [
    "::1:9092",
    "host:1",
    "localhost:7878",
    "1.2.3.4",
    ":0",
    ":7878",
    "1.2.3.4:0",
    "1.2.3.4:70000",
    "1.2.3.4:65536",
    "1.2.3.4:-1",
    "1.2.3.4:+1",
    "1.2.3.4: 1",
    "1.2.3.4:1 ",
    "1.2.3.4:0x50",
    "1.2.3.4:1_0",
    "1.2.3.4:\u0661\u0662",
    "1.2.3.4:\uff11",
    "1.2.3.4:\u00b2",
    "\u0661.2.3.4:80",
    "1.2.3:80",
    "1.2.3.4.5:80",
    "256.1.1.1:80",
    "01.2.3.4:80",
    "[::1]",
    "[::1]:",
    "[::1:80",
    "::1]:80",
    "[1.2.3.4]:80",
    "[::1%lo]:80",
    "[]:80",
    "--x:1",
    "",
    ":",
    "\x1b[31m:1",
    "1.2.3.4:1\n",
    "http://127.0.0.1:80",
    "1.2.3.4:" + "1" * 5000,
]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda a: repr(a)[:24])
def test_case_38_a_bad_address_is_refused(world: World, address: str) -> None:
    with pytest.raises(ensure.UsageError, match="bad address"):
        ensure.parse_bind(address)
    done = world.run(world.bare(f"--bind={address}", "--no-bridge", "--", *world.stub()))
    refused(world, done, 2, "bad address", "127.0.0.1:7878")
    assert not world.state.exists()


def test_case_38_nul_in_an_address_is_refused() -> None:
    for address in ("1.2.3.4\0:1", "\0:1", "1.2.3.4:1\0"):
        with pytest.raises(ensure.UsageError, match="bad address"):
            ensure.parse_bind(address)


ARGUMENTS: list[tuple[list[str], str]] = [
    (["--nonsense"], "--nonsense"),
    (["-x"], "-x"),
    (["word"], "word"),
    ([""], "''"),
    (["--bind"], "--bind needs a value"),
    (["--service"], "--service needs a value"),
    (["--service", ""], "bad name"),
    (["--service", "../up"], "bad name"),
    (["--service", "a b"], "bad name"),
    (["--service", "-a"], "bad name"),
    (["--service", "\u0430"], "bad name"),
    (["--service", "a" * 65], "bad name"),
    (["--service", "none"], "no service none"),
    (["--timeout", "soon"], "--timeout"),
    (["--timeout", "-1"], "--timeout"),
    (["--timeout", "nan"], "--timeout"),
    (["--timeout", "inf"], "--timeout"),
    (["--timeout="], "--timeout"),
    (["--pidfile="], "--pidfile"),
    (["--pidfile"], "--pidfile needs a value"),
    (["--quiet=yes"], "--quiet=yes"),
    (["--"], "no command after --"),
    (["--", ""], "no command after --"),
    (["--hook"], "--hook"),
    (["--hook", "/x"], "--hook"),
    (["--hook", "/x", "/y", "/z"], "--hook"),
    (["--\x1b[2J"], "[2J"),
    (["--\udcff"], "--?"),
]


@pytest.mark.parametrize(("arguments", "words"), ARGUMENTS, ids=lambda a: repr(a)[:30])
def test_bad_arguments_are_refused(world: World, arguments: list[str], words: str) -> None:
    refused(world, world.run(world.bare(*arguments)), 2, words)


S = "[services.stub]\n"
C = 'command = ["sleep", "9"]\n'
CONFIGS: list[tuple[str, str]] = [
    ("services = 3\n", ":1: services: want tables"),
    ("\n\nservice = 3\n", ":3: service: unknown key"),
    ("[[services]]\nname = 1\n", "services: want tables"),
    ("server_host = 3\n", ":1: server_host"),
    ('server_host = ""\n', ":1: server_host"),
    (S + "bind = 7878\n" + C, ":2: services.stub.bind: want an address in quotes"),
    (S + C + '\nbind = "localhost:1"\n', ":4: services.stub.bind: bad address"),
    (S + C + 'bind = "1.2.3.4\\u0000:1"\n', ":3: services.stub.bind: bad address"),
    (S + C + 'bnd = "127.0.0.1:1"\n', ":3: services.stub.bnd: unknown key"),
    (S, ":1: services.stub.command: want a list"),
    (S + 'command = "sleep 9"\n', ":2: services.stub.command: want a list"),
    (S + "command = []\n", ":2: services.stub.command: want a list"),
    (S + 'command = [""]\n', ":2: services.stub.command: want a list"),
    (S + 'command = ["a", 3]\n', ":2: services.stub.command: want a list"),
    (S + 'command = ["a\\u0000b"]\n', ":2: services.stub.command: want a list"),
    (S + C + "bridge = 1\n", ":3: services.stub.bridge: want true or false"),
    (S + C + "env = 3\n", ":3: services.stub.env: want strings"),
    (S + C + "env = { A = 1 }\n", ":3: services.stub.env: want strings"),
    (S + C + 'env = { "A=B" = "1" }\n', ":3: services.stub.env: a variable's name"),
    (S + C + 'env = { "" = "1" }\n', ":3: services.stub.env: a variable's name"),
    (S + C + 'cwd = "here"\n', ":3: services.stub.cwd: want an absolute path"),
    (S + C + "start_timeout = 0\n", ":3: services.stub.start_timeout: want seconds"),
    (S + C + "start_timeout = nan\n", ":3: services.stub.start_timeout: want seconds"),
    (S + C + "start_timeout = true\n", ":3: services.stub.start_timeout: want seconds"),
    (S + C + "start_timeout = 1979-05-27\n", ":3: services.stub.start_timeout: want seconds"),
    (f"start_timeout = {'9' * 5000}\n", "config.toml: "),
    ('[services."a b"]\n' + C, ": services.a b: a service's name"),
    ('[services."\\u001b[2J"]\n' + C, "a service's name"),
    (S + C + "[services.other]\n" + C, ": services.other.bind: 127.0.0.1:7878 is the bind of stub"),
    (
        "[services.a-b]\n" + C + "[services.a_b]\n" + C + 'bind = "127.0.0.1:1"\n',
        ":3: services.a_b: shares its variable",
    ),
    ("x = \n", "line 1"),
    ("a = 1\na = 2\n", "line 2"),
    ("x = " + "[" * 5000 + "\n", "config.toml: "),
    ("\x00", "config.toml: "),
    ("\udcff = 1\n", "config.toml: "),
]


@pytest.mark.parametrize(("text", "words"), CONFIGS, ids=lambda a: repr(a)[:40])
def test_a_bad_config_is_refused_naming_file_key_and_line(
    world: World, text: str, words: str
) -> None:
    world.config.write_bytes(text.encode(errors="surrogateescape"))
    refused(world, world.run(world.bare()), 2, str(world.config), words)
    refused(world, world.run(world.argv()), 2, str(world.config), words)


def test_a_config_that_cannot_be_read_is_refused(world: World) -> None:
    world.config.mkdir()
    refused(world, world.run(world.bare()), 2, str(world.config), "Is a directory")


@pytest.mark.parametrize(("value", "words"), [("rel.toml", "absolute"), ("/none.toml", "no such")])
def test_a_config_that_was_named_must_be_there(world: World, value: str, words: str) -> None:
    world.env["LLMENV_CONFIG"] = value
    refused(world, world.run(world.bare()), 2, value, words)


@pytest.mark.parametrize("home", ["", "relative", None])
def test_case_57_no_place_for_the_state_is_one_line(
    world: World, tmp_path: Path, home: str | None
) -> None:
    for name in ("HOME", "XDG_STATE_HOME"):
        world.env.pop(name)
        if home is not None:
            world.env[name] = home
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(world, world.run(world.argv(), cwd=empty), 1, "XDG_STATE_HOME", "HOME")
    world.env.pop("XDG_CONFIG_HOME")
    refused(world, world.run(world.argv(), cwd=empty), 1, "HOME")
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize("command", ["no-such-program", "./here", "/etc/passwd", "/", "a\nb"])
def test_case_41_a_missing_program_is_named_before_anything_is_spawned(
    world: World, tmp_path: Path, command: str
) -> None:
    here = tmp_path / "here"
    here.write_text("#!/bin/sh\n")
    here.chmod(0o755)
    argv = world.bare("--bind", world.bind, "--no-bridge", "--", command)
    refused(world, world.run(argv, cwd=tmp_path), 1, ensure.printable(command), "not an executable")
    assert not (world.state / "mcp-proxy.pid.lock").exists()
    assert not (world.state / "mcp-proxy.life").exists()


def test_case_41_a_missing_icm_and_a_missing_proxy_are_named(world: World, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    python = tools / "python"
    python.symlink_to(os.path.realpath(sys.executable))
    world.env["PATH"] = str(tools)
    argv = [str(python), *world.bare("--bind", world.bind)[1:]]
    refused(world, world.run(argv), 1, "icm", "not an executable file, nor one on PATH")
    icm = tools / "icm"
    icm.write_text("#!/bin/sh\n")
    icm.chmod(0o755)
    refused(world, world.run(argv), 1, "neither mcp-proxy nor uvx")


PIDFILES = [b"", b"0", b"-1", b"1", b"2147483648", b"99999999999", b" 12 ", b"12abc", b"\xd9\xa1"]
PIDFILES += [b"\0" * 9, b"9" * (1 << 20), b"\n" * (1 << 20), b"\x1b[2J", b"1\n2\n"]


@pytest.mark.parametrize("raw", PIDFILES, ids=lambda raw: repr(raw)[:20])
@pytest.mark.parametrize("running", [True, False])
def test_case_22_a_wrong_pidfile_never_stops_a_start(
    world: World, raw: bytes, running: bool
) -> None:
    pid = world.up() if running else None
    world.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    world.path("pid").write_bytes(raw)
    os.utime(world.path("pid"), (1e9, 1e9))  # older than any process, so that it can mean none
    done = world.ensure()
    assert (done.returncode, done.stderr.count("\n") <= 1) == (0, True)
    assert done.stderr.rstrip("\n").isprintable()
    assert world.check() == pid or not running
    assert alive(os.getpid())
