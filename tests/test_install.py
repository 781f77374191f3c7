"""`llmenv install` and `uninstall`, on rc files as people have them, and in real shells."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pexpect
import pytest
import shellingham  # type: ignore[import-untyped]
from daemons import World, need, need_root, wait_until
from shells import SHELLS, Shell

from llmenv_hooks import cli, ensure, install, render, userfile
from llmenv_hooks.interpreters import interpreters
from llmenv_hooks.pty_shell import PROMPTS

if TYPE_CHECKING:
    from collections.abc import Iterator

EACH = pytest.mark.parametrize("name", SHELLS)
COMMAND = [sys.executable, "-m", "llmenv_hooks"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "w") as made:
        made.write_config()
        made.env |= {
            "XDG_CACHE_HOME": str(made.root / "cache"),
            "XDG_DATA_HOME": str(made.root / "data"),
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "fish_features": "no-query-term",
        }
        yield made


def done(world: World, *words: str) -> str:
    """Run `llmenv` with *words*, which must succeed; return what it said.

    In this process, since the tests would take long if each step were one of its own.
    """
    said = io.StringIO()
    with mock.patch.dict(os.environ, world.env, clear=True), contextlib.redirect_stdout(said):
        cli.app(list(words), standalone_mode=False)
    return said.getvalue()


def refused(world: World, *words: str, status: int = 1) -> str:
    """Run `llmenv` with *words*, which must fail with one line; return that line."""
    seen = world.run([*COMMAND, *words])
    assert (seen.returncode, seen.stdout) == (status, ""), seen
    (line,) = seen.stderr.splitlines()
    return line


def rc_file(world: World, name: str = "bash") -> Path:
    """Return the file that the block of shell *name* goes into."""
    if name == "fish":
        return world.config.parent.parent / "fish" / "conf.d" / "llmenv.fish"
    return world.home / f".{name}rc"


def static(world: World, name: str = "bash") -> Path:
    return Path(world.env["XDG_DATA_HOME"]) / "llmenv" / f"hook.{name}"


def backup(world: World, path: Path) -> Path:
    return world.state / "backup" / str(path).lstrip("/")


class Real(Shell):
    """An interactive *name* with the rc files of *world*'s home."""

    def __init__(self, name: str, world: World) -> None:
        need(name)
        self.name, self.world, self.count, self.entered = name, world, 0, []
        self.child = pexpect.spawn(
            name, ["-i"], env=world.env, encoding="utf-8", dimensions=(40, 400), timeout=20
        )
        self.child.delaybeforesend = None
        assert self.child.pid is not None
        self.pid = self.child.pid
        self.startup = self.next_prompt()[1]


def with_prompt(world: World, name: str) -> None:
    """Give *name* the prompt by which the tests follow it, from a file of the user's."""
    path = rc_file(world, name)
    path = path.parent.parent / "config.fish" if name == "fish" else path
    path.parent.mkdir(parents=True, exist_ok=True)
    greeting = "set -g fish_greeting\n" if name == "fish" else ""
    path.write_text(greeting + PROMPTS[name])


def start(world: World, name: str, code: str = ":") -> subprocess.CompletedProcess[str]:
    """Start *name* as an interactive shell that runs *code* and leaves, without a prompt."""
    need(name)
    return world.run([name, "-i", "-c", code], start_new_session=True)


def silent(seen: subprocess.CompletedProcess[str]) -> None:
    lines = [line for line in seen.stderr.splitlines() if "job control" not in line]
    # bash says so where it has no terminal
    lines = [line for line in lines if "terminal process group" not in line]
    assert (seen.returncode, seen.stdout, lines) == (0, "", [])


# --- in the shells -------------------------------------------------------------------


@EACH
def test_a_new_shell_starts_the_service(world: World, name: str) -> None:
    with_prompt(world, name)
    before = rc_file(world, name).read_bytes() if rc_file(world, name).exists() else None
    said = done(world, "install", name)
    assert said.splitlines()[-1] == f"next: exec {name}, or open a new terminal"
    with Real(name, world) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
        assert f"http://{world.bind}/mcp" in shell.run("env | grep ^LLMENV_MCP_URL=")[1]
    world.check()
    assert str(rc_file(world, name)) in done(world, "uninstall", name)
    if before is None:
        assert not rc_file(world, name).exists()
    else:
        assert rc_file(world, name).read_bytes() == before
    assert not static(world, name).exists()


@EACH
def test_the_hook_in_it_is_the_one_that_llmenv_hook_prints(world: World, name: str) -> None:
    done(world, "install", name)
    hook = world.run([*COMMAND, "hook", name]).stdout
    text = static(world, name).read_text()
    text = shlex.split(text)[-1] if name == "zsh" else text
    assert "__llmenv_hook" in hook
    assert hook in text


def programs(world: World, name: str) -> list[str]:
    """Return what is executed when *name* starts, itself included."""
    need("strace", name)
    log = world.root / "strace"
    argv = ["strace", "-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o", str(log)]
    silent(world.run([*argv, name, "-i", "-c", ":"], start_new_session=True))
    return [line for line in log.read_text().splitlines() if line.endswith("= 0")]


@EACH
def test_a_shell_start_runs_no_program(world: World, name: str) -> None:
    start(world, name)  # fish makes its directories at its first start
    bare = programs(world, name)
    done(world, "install", name)
    assert len(programs(world, name)) == len(bare)
    os.utime(static(world, name), (1, 1))  # and the counter would have seen one
    assert "python" in "".join(programs(world, name)[len(bare) :])


@EACH
def test_a_missing_static_file_is_silent(world: World, name: str) -> None:
    done(world, "install", name)
    static(world, name).unlink()
    code = "echo $status" if name == "fish" else "echo $?"
    assert start(world, name, code).stdout == "0\n"
    silent(start(world, name))


@EACH
@pytest.mark.parametrize("interactive", [True, False])
def test_llmenv_disable_and_scripts_are_left_alone(
    world: World, name: str, interactive: bool
) -> None:
    done(world, "install", name)
    os.utime(static(world, name), (1, 1))
    code = f"source '{static(world, name)}'; echo <$LLMENV_MCP_URL>".replace("<", '"<').replace(
        ">", '>"'
    )
    if interactive:
        world.env["LLMENV_DISABLE"] = "1"
    seen = world.run([name, *["-i"] * interactive, "-c", code], start_new_session=True)
    assert seen.stdout == "<>\n"
    assert static(world, name).stat().st_mtime == 1


@EACH
def test_any_path_works(world: World, name: str) -> None:
    place = world.root / 'a b$HOME\'s "`x`" \\ é\nnew # line'
    world.env["XDG_STATE_HOME"] = str(place)
    world.env["XDG_DATA_HOME"] = str(place / "data")
    world.state = place / "llmenv"
    with_prompt(world, name)
    done(world, "install", name)
    assert "nothing changed" in done(world, "install", name)
    os.utime(static(world, name), (1, 1))
    with Real(name, world) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
    wait_until(lambda: static(world, name).stat().st_mtime > 1)
    done(world, "uninstall")
    assert not static(world, name).exists()


def test_a_crlf_file_that_bash_can_read_goes_on_working(world: World) -> None:
    rc_file(world).write_bytes(b"# mine #\r\n" + PROMPTS["bash"].encode() + b"# more\r\n")
    done(world, "install", "bash")
    # As `git config core.autocrlf` would leave the block.
    text = rc_file(world).read_bytes()
    head, begin, block = text.partition(install.BEGIN)
    rc_file(world).write_bytes(head + begin + block.replace(b"\n", b"\r\n"))
    with Real("bash", world) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
    assert "updated the block" in done(world, "install", "bash")
    assert rc_file(world).read_bytes() == text


# --- renewal -------------------------------------------------------------------------


@EACH
def test_a_changed_config_is_rendered_anew_in_the_background(world: World, name: str) -> None:
    done(world, "install", name)
    world.config.write_text(world.config.read_text().replace("services.stub", "services.other"))
    silent(start(world, name))
    wait_until(lambda: "other.life" in static(world, name).read_text())
    wait_until(lambda: "LLMENV_OTHER_URL" in start(world, name, "env").stdout)
    assert stat.S_IMODE(static(world, name).stat().st_mode) == 0o600
    world.config.unlink()
    silent(start(world, name))
    wait_until(lambda: "mcp-proxy.life" in static(world, name).read_text())


@EACH
def test_an_older_config_is_rendered_too(world: World, name: str) -> None:
    """`mv` and `cp -p` keep the date; the background run sees that it is another."""
    done(world, "install", name)
    assert world.run(world.hook_argv()).returncode == 0
    other = world.root / "other.toml"
    other.write_text(world.config.read_text().replace("services.stub", "services.other"))
    os.utime(other, (1, 1))
    other.rename(world.config)
    os.utime(static(world, name), (time.time() - 1,) * 2)
    assert world.run(world.hook_argv()).returncode == 0
    silent(start(world, name))
    wait_until(lambda: "other.life" in static(world, name).read_text())


@EACH
def test_another_version_is_rendered_anew(world: World, name: str) -> None:
    """Whatever the times of its files are: the directory of the old version's metadata is gone."""
    done(world, "install", name)
    new = static(world, name).read_text()
    old = new.replace("dist-info", "dist-info-of-the-old").replace("LLMENV_MCP_URL", "LLMENV_OLD")
    assert old != new
    seen = static(world, name).stat()
    static(world, name).write_text(old)
    os.utime(static(world, name), ns=(seen.st_mtime_ns, seen.st_mtime_ns))
    silent(start(world, name))
    wait_until(lambda: static(world, name).read_text() == new)


@EACH
def test_what_was_rendered_before_a_template_changed_is_old(world: World, name: str) -> None:
    done(world, "install", name)
    template = Path(render.templates(), f"hook.{name}").stat().st_mtime
    os.utime(static(world, name), (template - 1, template - 1))
    silent(start(world, name))
    wait_until(lambda: static(world, name).stat().st_mtime > template)


@EACH
def test_a_renewal_keeps_the_paths_of_the_install(world: World, name: str) -> None:
    """A shell of another session may have other directories in its environment."""
    done(world, "install", name)
    text = static(world, name).read_text()
    os.utime(static(world, name), (1, 1))
    world.env["XDG_STATE_HOME"] = str(world.root / "elsewhere")
    world.env["LLMENV_CONFIG"] = str(world.root / "elsewhere.toml")
    silent(start(world, name))
    wait_until(lambda: static(world, name).stat().st_mtime > 1)
    assert static(world, name).read_text() == text
    assert not (world.root / "elsewhere").exists()


@EACH
def test_a_renewal_runs_nothing_of_the_directory_it_starts_in(world: World, name: str) -> None:
    done(world, "install", name)
    os.utime(static(world, name), (1, 1))
    planted = world.root / "project" / "llmenv_hooks"
    planted.mkdir(parents=True)
    bad = f"open({str(world.root / 'PWNED')!r}, 'w')"
    for path in (planted / "__init__.py", planted.parent / "jinja2.py", planted.parent / "re.py"):
        path.write_text(bad)
    world.env["PYTHONPATH"] = str(planted.parent)
    silent(world.run([name, "-i", "-c", ":"], cwd=planted.parent, start_new_session=True))
    wait_until(lambda: static(world, name).stat().st_mtime > 1)
    assert not (world.root / "PWNED").exists()


def test_a_wrong_config_leaves_the_old_one_until_it_is_mended(world: World) -> None:
    done(world, "install", "bash")
    text, good = static(world).read_text(), world.config.read_text()
    os.utime(static(world), (1, 1))
    world.config.write_text("[services.stub]\nport = 1\n")
    silent(start(world, "bash"))
    wait_until(lambda: static(world).stat().st_mtime > 1)
    assert static(world).read_text() == text
    assert len(programs(world, "bash")) == 1  # and is not tried again and again
    world.config.write_text(good.replace("services.stub", "services.other"))
    silent(start(world, "bash"))
    wait_until(lambda: "other.life" in static(world).read_text())


def test_a_renewal_does_not_bring_back_what_was_uninstalled(world: World) -> None:
    done(world, "install", "bash")
    done(world, "uninstall", "bash")
    argv = [sys.executable, "-m", "llmenv_hooks.install", "bash"]
    seen = world.run([*argv, str(static(world)), str(world.state), str(world.config)])
    assert (seen.returncode, seen.stderr) == (0, "")
    assert not static(world).exists()


@EACH
def test_a_vanished_interpreter_is_told_once(world: World, name: str) -> None:
    with_prompt(world, name)
    done(world, "install", name)
    text = static(world, name).read_text()
    gone = text
    for python in interpreters():
        gone = gone.replace(f" {python}", f" {world.root / 'gone-python'}")
    static(world, name).write_text(gone)
    os.utime(static(world, name), (1, 1))
    with Real(name, world) as shell:
        said = shell.startup + shell.run()[1] + shell.run()[1]
    assert said.count("is gone, or not yours to run; reinstall llmenv-hooks") == 1
    assert len(said.strip().splitlines()) == 1
    assert static(world, name).read_text() == gone


def as_of_another_host(world: World, name: str) -> None:
    """Install for *name*, as on a host that has another name than this one."""
    done(world, "install", name)
    text = static(world, name).read_text()
    host = render.QUOTE[name](os.uname().nodename)
    other = text.replace(f"!= {host}", "!= another").replace("LLMENV_MCP_URL", "LLMENV_OLD_URL")
    assert other != text
    static(world, name).write_text(other)


@EACH
def test_another_host_with_the_same_home_renders_its_own(world: World, name: str) -> None:
    """Where services run, and under which names they are recorded, depends on the host."""
    with_prompt(world, name)
    as_of_another_host(world, name)
    for _ in range(2):
        with Real(name, world) as shell:
            assert shell.startup.strip() == ""
            seen = shell.run("set | grep -a '^LLMENV_'; set | grep -a ^__llmenv_static")[1]
            assert "LLMENV_MCP_URL" in seen
            assert "OLD" not in seen
            assert "__llmenv_static" not in seen.replace("grep -a ^__llmenv_static", "")
            wait_until(world.proved)
    own = Path(f"{static(world, name)}@{os.uname().nodename}")
    assert stat.S_IMODE(own.stat().st_mode) == 0o600


@EACH
def test_only_the_first_start_on_another_host_runs_python(world: World, name: str) -> None:
    start(world, name)
    bare = programs(world, name)
    as_of_another_host(world, name)
    first = programs(world, name)[len(bare) :]
    (ours,) = (line for line in first if "llmenv_hooks" in line)  # it looks for other Pythons too
    assert "python" in ours
    assert ours == first[0]
    own = Path(f"{static(world, name)}@{os.uname().nodename}")
    assert own.read_text() != static(world, name).read_text()
    assert len(programs(world, name)) == len(bare)
    world.config.write_text(world.config.read_text().replace("services.stub", "services.other"))
    silent(start(world, name))  # which has that file renewed, not the other
    wait_until(lambda: "other.life" in own.read_text())
    assert "other.life" not in static(world, name).read_text()
    done(world, "uninstall")
    assert not own.exists()


@EACH
def test_where_no_file_can_be_written_another_host_has_the_hook(world: World, name: str) -> None:
    as_of_another_host(world, name)
    text = static(world, name).read_text()
    too_long = text.replace("@$", f"@{'x' * 300}$")
    assert too_long != text
    static(world, name).write_text(too_long)
    assert "LLMENV_MCP_URL" in start(world, name, "env").stdout
    assert [file.name for file in static(world).parent.glob("hook.*")] == [f"hook.{name}"]


def test_the_static_file_is_ours_alone(world: World) -> None:
    """What it holds is evaluated by the user's shell."""
    done(world, "install", "bash")
    assert stat.S_IMODE(static(world).stat().st_mode) == 0o600
    assert stat.S_IMODE(static(world).parent.stat().st_mode) == 0o700
    done(world, "uninstall")
    static(world).parent.chmod(0o777)
    assert "others can write to" in refused(world, "install", "bash")
    assert not rc_file(world).exists()


@EACH
def test_the_static_file_is_clean_code(world: World, name: str) -> None:
    done(world, "install", name)
    path = str(static(world, name))
    check = {
        "bash": ["shellcheck", "--shell=bash", "--exclude=SC2016", path],
        "zsh": ["zsh", "-f", "-n", path],
        "fish": ["fish", "--no-config", "-n", path],
    }[name]
    need(check[0])
    seen = world.run(check)
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "", "")
    if name == "zsh":
        (world.root / "inner").write_text(shlex.split(static(world, name).read_text())[-1])
        silent(world.run(["zsh", "-f", "-n", str(world.root / "inner")]))


# --- the rc file ---------------------------------------------------------------------

CONTENTS = {
    "missing": None,
    "empty": b"",
    "plain": b"alias a=b\n",
    "no-newline": b"alias a=b",
    "blank-end": b"alias a=b\n\n\n",
    "newline-only": b"\n",
    "crlf": b"# one\r\n# two\r\n",
    "crlf-no-newline": b"# one\r\n# two",
    "mixed": b"# one\r\n# two\n# three\r\n",
    "not-utf-8": b"# caf\xe9 \xff\x00\n# end",
    "non-ascii": "# ümläut ✓\n".encode(),
    "backslash": b"echo a \\",
    "other-block": b"# >>> conda initialize >>>\n:\n# <<< conda initialize <<<\n",
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_uninstall_restores_every_byte(world: World, kind: str) -> None:
    path, before = rc_file(world), CONTENTS[kind]
    if before is not None:
        path.write_bytes(before)
        path.chmod(0o640)
    assert f"added a block to {path}" in done(world, "install", "bash")
    installed = path.read_bytes()
    assert installed.startswith(before or b"")
    assert installed.count(install.BEGIN) == 1
    assert b"\r" not in installed.removeprefix(before or b"")
    seen = path.stat()
    if before is not None:
        assert backup(world, path).read_bytes() == before
        assert stat.S_IMODE(seen.st_mode) == 0o640
    again = done(world, "install", "bash")
    assert again == f"llmenv is installed already in {path}, nothing changed\n"
    assert (path.read_bytes(), path.stat().st_ino) == (installed, seen.st_ino)
    done(world, "uninstall", "bash")
    assert (path.read_bytes() if path.exists() else None) == before
    assert not (world.state / "backup").exists()
    assert done(world, "uninstall") == "llmenv is not installed in any shell, nothing changed\n"


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_the_user_edits_meanwhile_stays(world: World, kind: str) -> None:
    path, before = rc_file(world), CONTENTS[kind]
    if before is not None:
        path.write_bytes(before)
    done(world, "install", "bash")
    edited = b"# above\n" + path.read_bytes() + b"# below"
    path.write_bytes(edited)
    assert "nothing changed" in done(world, "install", "bash")
    assert path.read_bytes() == edited
    done(world, "uninstall", "bash")
    middle = (before or b"") + b"\n" * (not (before or b"\n").endswith(b"\n"))
    assert path.read_bytes() == b"# above\n" + middle + b"# below"


OLDER = install.BEGIN + b"\nsource /old/place # \xff\n" + install.END + b"\n"


@pytest.mark.parametrize(
    "old", [OLDER, OLDER.replace(b"\n", b"\r\n"), install.BEGIN + b"\n" + install.END + b"\n"]
)
def test_an_older_block_is_replaced_in_place(world: World, old: bytes) -> None:
    path = rc_file(world)
    path.write_bytes(b"# above\n" + old + b"# below\n" + old)  # and a second one goes
    assert f"updated the block in {path}" in done(world, "install", "bash")
    text = path.read_bytes()
    assert text.startswith(b"# above\n" + install.BEGIN)
    assert text.endswith(install.END + b"\n# below\n")
    assert text.count(install.BEGIN) == 1
    assert b"/old/place" not in text
    done(world, "uninstall")
    assert path.read_bytes() == b"# above\n# below\n"


def test_a_block_at_the_very_end_is_found(world: World) -> None:
    rc_file(world).write_bytes(b"# above\n" + OLDER.removesuffix(b"\n"))
    done(world, "uninstall")
    assert rc_file(world).read_bytes() == b"# above\n"


@pytest.mark.parametrize(
    "half", [install.BEGIN + b"\n# mine\n", install.END + b"\n", install.BEGIN + b"\n" + OLDER]
)
def test_half_a_block_is_refused(world: World, half: bytes) -> None:
    rc_file(world).write_bytes(b"# mine\n" + half)
    for command in ("install", "uninstall"):
        assert f"{rc_file(world)}:2: half a block" in refused(world, command, "bash")
        assert rc_file(world).read_bytes() == b"# mine\n" + half
        assert not static(world).exists()


def test_half_a_block_behind_a_whole_one_is_told_with_its_line(world: World) -> None:
    done(world, "install", "bash")
    text = rc_file(world).read_bytes() + b"# mine\n" + install.END + b"\n"
    rc_file(world).write_bytes(text)
    assert f"{rc_file(world)}:6: half a block" in refused(world, "uninstall")
    assert rc_file(world).read_bytes() == text
    assert static(world).exists()


@pytest.mark.parametrize("kind", ["relative", "absolute", "chain", "dangling"])
def test_a_symbolic_link_is_written_through(world: World, kind: str) -> None:
    dotfiles = world.home / "dotfiles"
    dotfiles.mkdir()
    real, path = dotfiles / "bashrc", rc_file(world)
    if kind == "chain":
        (dotfiles / "link").symlink_to("bashrc")
    names = {"absolute": str(real), "chain": "dotfiles/link"}
    path.symlink_to(names.get(kind, "dotfiles/bashrc"))
    before = None if kind == "dangling" else b"# mine"
    if before is not None:
        real.write_bytes(before)
        real.chmod(0o600)
    done(world, "install", "bash")
    assert path.is_symlink()
    assert not real.is_symlink()
    assert install.BEGIN in real.read_bytes()
    assert stat.S_IMODE(real.stat().st_mode) == (0o644 if before is None else 0o600)
    done(world, "uninstall", "bash")
    assert path.is_symlink()
    assert (real.read_bytes() if real.exists() else None) == before


def test_a_read_only_file_is_told_with_the_line(world: World) -> None:
    path = rc_file(world)
    path.write_text(PROMPTS["bash"])
    path.chmod(0o444)
    line = refused(world, "install", "bash")
    assert f"cannot write {path}: it is read-only; add this line to it by hand: " in line
    path.chmod(0o644)
    path.write_text(PROMPTS["bash"] + line.partition("by hand: ")[2])
    with Real("bash", world):  # and the line works
        wait_until(world.proved)
    path.chmod(0o444)
    assert "nothing changed" in done(world, "install", "bash")
    number = len(path.read_text().splitlines())
    assert refused(world, "uninstall").endswith(
        f"read-only; take out by hand what is at {path}:{number}"
    )
    assert static(world).exists()


@EACH
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n# below\n", b""])
def test_the_line_added_by_hand_is_known(world: World, name: str, end: bytes) -> None:
    """To install, to doctor, and to uninstall, which takes it out."""
    path = rc_file(world, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"# above\n" + install._line(name, str(static(world, name))) + end)
    assert "installed already" in done(world, "install", name)
    seen = world.run([*COMMAND, "doctor", "--json"])
    hooks = [row["found"] for row in json.loads(seen.stdout) if row["check"] == "hook"]
    assert hooks == [f"{name}: {path}, llmenv {ensure.__version__}"]
    assert f"took the block out of {path}" in done(world, "uninstall")
    assert path.read_bytes() == b"# above\n" + end.lstrip(b" \r").removeprefix(b"\n")
    assert not static(world, name).exists()


@pytest.mark.parametrize("name", [".bashrc", ".profile"])
def test_a_line_of_the_users_own_is_told(world: World, name: str) -> None:
    """Without the file that it sources each shell would complain."""
    done(world, "install", "bash")
    path = world.home / name
    line = f"if true; then\n  source {static(world)}\nfi\n".encode()
    before = path.read_bytes() if path.exists() else b""
    path.write_bytes(before + line)
    seen = world.run([*COMMAND, "uninstall"])
    number = 2 if name == ".bashrc" else before.count(b"\n") + 2
    assert seen.stderr.startswith(f"llmenv: {path}:{number} sources the hook")
    assert (seen.returncode, path.read_bytes()) == (1, line)
    assert static(world).exists()


def test_a_read_only_file_keeps_its_block(world: World) -> None:
    done(world, "install", "bash")
    rc_file(world).write_bytes(b"# mine\n" + rc_file(world).read_bytes())
    rc_file(world).chmod(0o444)
    line = refused(world, "uninstall")
    assert f"cannot write {rc_file(world)}: it is read-only" in line
    assert f"{rc_file(world)}:2" in line
    assert install.has_block(rc_file(world).read_bytes())
    assert static(world).exists()


def test_uninstall_goes_on_after_what_it_cannot_do(world: World) -> None:
    for name in SHELLS:
        done(world, "install", name)
    rc_file(world).chmod(0o444)
    static(world, "zsh").unlink()
    static(world, "zsh").mkdir()
    seen = world.run([*COMMAND, "uninstall"])
    first, second = seen.stderr.splitlines()
    assert f"cannot write {rc_file(world)}" in first
    assert f"cannot delete {static(world, 'zsh')}" in second
    assert seen.returncode == 1
    assert not rc_file(world, "zsh").exists()
    assert not rc_file(world, "fish").exists()
    left = [file.name for file in static(world).parent.glob("hook.*") if file.is_file()]
    assert left == ["hook.bash"]


def test_the_first_backup_is_kept(world: World) -> None:
    """And goes when the file is again as it was."""
    path = rc_file(world)
    path.write_bytes(b"# mine\n")
    Path(f"{path}.llmenv-backup").write_bytes(b"# not ours")
    said = done(world, "install", "bash")
    assert f"(backup: {backup(world, path)})" in said
    path.write_bytes(path.read_bytes().replace(b"; fi #", b"; fi # old"))
    assert "updated the block" in done(world, "install", "bash")
    assert backup(world, path).read_bytes() == b"# mine\n"
    assert stat.S_IMODE(backup(world, path).stat().st_mode) == 0o600
    before = path.read_bytes()
    path.write_bytes(before + b"# later\n")
    assert f"(backup: {backup(world, path)})" in done(world, "uninstall")
    assert backup(world, path).read_bytes() == b"# mine\n"
    done(world, "install", "bash")  # the file of the user is now another
    assert backup(world, path).read_bytes() == b"# mine\n# later\n"
    assert "(backup" not in done(world, "uninstall")
    assert not (world.state / "backup").exists()
    assert Path(f"{path}.llmenv-backup").read_bytes() == b"# not ours"


def test_a_failed_write_leaves_no_backup(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rc_file(world).write_bytes(b"# mine\n")
    write = userfile.write_beside

    def full(target: str, content: bytes, mode: int, like: os.stat_result | None) -> None:
        if target == str(rc_file(world)):
            raise OSError(28, "No space left on device")
        write(target, content, mode, like)

    monkeypatch.setattr(userfile, "write_beside", full)
    with pytest.raises(ensure.Problem, match="No space left"):
        done(world, "install", "bash")
    assert rc_file(world).read_bytes() == b"# mine\n"
    assert not (world.state / "backup").exists()


def test_what_is_no_file_is_left_alone(world: World) -> None:
    rc_file(world).mkdir()
    assert str(rc_file(world)) in refused(world, "install", "bash")
    assert str(rc_file(world)) in refused(world, "uninstall", "bash")
    assert not static(world).exists()


@pytest.mark.parametrize(
    "words", [["hook", "bash"], ["init", "--yes"], ["client", "cursor", "--write"], ["install"]]
)
def test_root_leaves_nothing_of_its_own_in_a_users_home(world: World, words: list[str]) -> None:
    """As by `sudo -E`, and on macOS by any sudo."""
    need_root()
    for variable in [name for name in world.env if name.startswith(("XDG_", "LLMENV_"))]:
        world.env.pop(variable)
    world.env["SHELL"] = "/bin/bash"
    os.chown(world.home, 65534, 65534)
    seen = world.run([sys.executable, "-m", "llmenv_hooks", *words])
    assert seen.returncode == (0 if words[0] == "hook" else 1)
    if words[0] != "hook":
        assert seen.stderr.endswith(
            f"{world.home} belongs to user nobody, not to you; run this as that user, or set HOME\n"
        )
    assert list(world.home.iterdir()) == []


@EACH
def test_the_line_of_llmenv_hook_is_told_and_does_no_harm(world: World, name: str) -> None:
    with_prompt(world, name)
    path = rc_file(world, name)
    path = path.parent.parent / "config.fish" if name == "fish" else path
    world.env["PATH"] = f"{Path(sys.executable).parent}:{world.env['PATH']}"
    line = "llmenv hook fish | source" if name == "fish" else f'eval "$(llmenv hook {name})"'
    number = len(path.read_text().splitlines()) + 2
    with path.open("a") as file:
        file.write(f"# not this: llmenv hook {name}\n{line}\n")
    said = done(world, "install", name)
    assert f"{path}:{number} runs `llmenv hook` too" in said
    registered = {
        "bash": 'echo "${PROMPT_COMMAND[*]}"',
        "zsh": "echo $precmd_functions",
        "fish": "functions --handlers-type generic | grep llmenv",
    }
    with Real(name, world) as shell:
        assert shell.startup.strip() == ""
        assert shell.run(registered[name])[1].count("__llmenv_hook") == 1
        wait_until(world.proved)
    world.check()


def test_dry_run_shows_a_diff_and_changes_nothing(world: World) -> None:
    rc_file(world).write_bytes(b"# mine")
    shown = done(world, "install", "bash", "--dry-run")
    path = rc_file(world)
    assert shown.startswith(f"--- {path}\n+++ {path}\n@@ ")
    assert "+# >>> llmenv >>>\n" in shown
    assert rc_file(world).read_bytes() == b"# mine"
    assert sorted(file.name for file in world.home.iterdir()) == [".bashrc"]
    assert not static(world).parent.exists()
    done(world, "install", "bash")
    said = done(world, "install", "bash", "--dry-run")
    assert said == "llmenv is installed already, nothing would change\n"


def test_a_wrong_config_is_refused_before_anything_is_changed(world: World) -> None:
    world.config.write_text("[services.stub]\nport = 1\n")
    for words in (["install", "bash"], ["install", "bash", "--dry-run"]):
        assert f"{world.config}:2: " in refused(world, *words, status=2)
    assert not rc_file(world).exists()


def test_uninstall_without_a_shell_takes_all_out(world: World) -> None:
    for name in SHELLS:
        done(world, "install", name)
    Path(f"{static(world)}@another.host").touch()
    said = done(world, "uninstall").splitlines()
    assert said == [f"removed {rc_file(world, name)}" for name in SHELLS]
    assert not list(static(world).parent.iterdir())


# --- which shell, which file ---------------------------------------------------------


@EACH
def test_the_shell_it_runs_in_is_found(world: World, name: str) -> None:
    need(name)
    bare = {"bash": "--norc", "zsh": "-f", "fish": "--no-config"}[name]
    world.env["SHELL"] = "/bin/tcsh"
    seen = world.run([name, bare, "-c", f"{shlex.join(COMMAND)} install; true"])
    assert f"added a block to {rc_file(world, name)}" in seen.stdout, seen


@pytest.mark.parametrize(
    ("login", "found"), [("/usr/bin/zsh", "zsh"), ("/bin/tcsh", None), ("", None)]
)
def test_else_the_login_shell(
    monkeypatch: pytest.MonkeyPatch, login: str, found: str | None
) -> None:
    def fail() -> None:
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", fail)
    monkeypatch.setenv("SHELL", login)
    if found:
        assert install._detected() == found
    else:
        with pytest.raises(ensure.UsageError, match="bash, zsh, fish"):
            install._detected()


def test_the_login_shell_where_the_one_it_runs_in_has_no_hook(world: World) -> None:
    need("dash")
    world.env["SHELL"] = "/usr/bin/zsh"
    code = f"{shlex.join(COMMAND)} install; true"
    seen = world.run(["dash", "-c", code])
    assert f"added a block to {rc_file(world, 'zsh')}" in seen.stdout, seen
    world.env["SHELL"] = "/bin/tcsh"
    seen = world.run(["dash", "-c", code])
    assert "no hook for your shell 'dash'; say one" in seen.stderr, seen


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_an_unknown_shell_is_refused(world: World, command: str) -> None:
    line = refused(world, command, "tcsh\x1b", status=2)
    assert line == "llmenv: no hook for 'tcsh?'; there is: bash, zsh, fish"


def test_the_rc_files_of_each_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    for variable in ("ZDOTDIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, "")
    assert install.rc_files("bash") == [str(tmp_path / ".bashrc")]
    assert install.rc_files("zsh") == [str(tmp_path / ".zshrc")]
    assert install.rc_files("fish") == [str(tmp_path / ".config/fish/conf.d/llmenv.fish")]
    monkeypatch.setenv("ZDOTDIR", "/z")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert install.rc_files("zsh") == ["/z/.zshrc"]
    assert install.rc_files("fish") == ["/x/fish/conf.d/llmenv.fish"]
    monkeypatch.setenv("PATH", "")  # no zsh to ask
    assert install.rc_files("zsh") == ["/z/.zshrc"]
    monkeypatch.setenv("ZDOTDIR", "")
    assert install.rc_files("zsh") == [str(tmp_path / ".zshrc")]


def test_zsh_itself_says_where_its_file_is(world: World) -> None:
    """Of a ZDOTDIR that ~/.zshenv does not export only zsh knows."""
    need("zsh")
    place = world.home / "é\nelsewhere"
    place.mkdir()
    (world.home / ".zshenv").write_text(
        f"print noise; print -u 2 noise; alias print=false\nZDOTDIR={shlex.quote(str(place))}\n"
    )
    (place / ".zshrc").write_text(PROMPTS["zsh"])
    done(world, "install", "zsh")
    assert install.has_block((place / ".zshrc").read_bytes())
    with Real("zsh", world):
        wait_until(world.proved)
    (world.home / ".zshenv").unlink()
    # Now nothing says where the block is; that it has no effect is all that can be done.
    said = done(world, "uninstall")
    where = f"deleted {static(world, 'zsh')}; no block is in {world.home / '.zshrc'}, "
    assert said.startswith(where)
    silent(start(world, "zsh"))


def test_the_block_of_another_zdotdir_is_found(world: World) -> None:
    need("zsh")
    done(world, "install", "zsh")
    world.env["ZDOTDIR"] = str(world.home / "new")
    assert f"removed {rc_file(world, 'zsh')}" in done(world, "uninstall")
    (world.home / "new").mkdir()
    done(world, "install", "zsh")
    (world.home / "new" / ".zshenv").write_text(f"export ZDOTDIR={world.home}/newer\n")
    assert f"removed {world.home}/new/.zshrc" in done(world, "uninstall")


def test_a_zshenv_that_hangs_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("zsh")
    (world.home / ".zshenv").write_text("zmodload zsh/zselect; zselect -t 100000\n")
    run = subprocess.run
    impatient = mock.Mock(side_effect=lambda *words, **more: run(*words, **more | {"timeout": 0.2}))
    monkeypatch.setattr(subprocess, "run", impatient)
    assert f"added a block to {rc_file(world, 'zsh')}" in done(world, "install", "zsh")
    assert impatient.call_args.kwargs["timeout"] <= 10


@pytest.mark.parametrize("where", ["", "relative"])
@EACH
def test_without_a_home_nothing_is_written(world: World, name: str, where: str) -> None:
    world.env["HOME"] = where
    if name == "fish":
        del world.env["XDG_CONFIG_HOME"]
        world.env["LLMENV_CONFIG"] = str(world.config)
    for command in ("install", "uninstall"):
        seen = world.run([*COMMAND, command, name], cwd=world.home)
        assert (seen.returncode, seen.stdout) == (1, "")
        assert seen.stderr.endswith("HOME is no absolute path; set HOME\n")
    assert list(world.home.iterdir()) == []


def test_a_relative_zdotdir_is_refused(world: World) -> None:
    world.env["ZDOTDIR"] = "relative\x1b"
    assert "ZDOTDIR is 'relative?': " in refused(world, "install", "zsh")


@pytest.mark.parametrize("name", [None, ".profile", ".bash_login", ".bash_profile"])
def test_on_macos_the_login_file_that_bash_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str | None
) -> None:
    """A new .bash_profile would keep bash from the .profile that is there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    if name:
        (tmp_path / name).touch()
    files = [str(tmp_path / ".bashrc"), str(tmp_path / (name or ".bash_profile"))]
    assert install.rc_files("bash") == files
    os.symlink(files[0], tmp_path / "link")
    os.rename(tmp_path / "link", files[1])
    assert install.rc_files("bash") == files[:1]


def test_the_block_does_nothing_in_a_sh_that_reads_a_profile(world: World) -> None:
    need("dash")
    done(world, "install", "bash")
    silent(world.run(["dash", "-eui", "-c", f". '{rc_file(world)}'"]))
