"""For which shell `llmenv install` is, and which rc file of it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING
from unittest import mock

import pytest
import shellingham  # type: ignore[import-untyped]
from commands.install.support import EACH, Real, done, rc_file, refused_line, silent, start, static
from commands.support import COMMAND
from daemons import need, wait_until

from llmenv_hooks.commands.install import current_shell
from llmenv_hooks.commands.rcblock import has_block
from llmenv_hooks.commands.rcfiles import rc_files
from llmenv_hooks.helper.errors import UsageError
from llmenv_hooks.pty_shell import PROMPTS

if TYPE_CHECKING:
    from pathlib import Path

    from daemons import World


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
        assert current_shell() == found
    else:
        with pytest.raises(UsageError, match="bash, zsh, fish"):
            current_shell()


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
    line = refused_line(world, command, "tcsh\x1b", status=2)
    assert line == "llmenv: no hook for 'tcsh?'; there is: bash, zsh, fish"


def test_the_rc_files_of_each_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    for variable in ("ZDOTDIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, "")
    assert rc_files("bash") == [str(tmp_path / ".bashrc")]
    assert rc_files("zsh") == [str(tmp_path / ".zshrc")]
    assert rc_files("fish") == [str(tmp_path / ".config/fish/conf.d/llmenv.fish")]
    monkeypatch.setenv("ZDOTDIR", "/z")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert rc_files("zsh") == ["/z/.zshrc"]
    assert rc_files("fish") == ["/x/fish/conf.d/llmenv.fish"]
    monkeypatch.setenv("PATH", "")  # no zsh to ask
    assert rc_files("zsh") == ["/z/.zshrc"]
    monkeypatch.setenv("ZDOTDIR", "")
    assert rc_files("zsh") == [str(tmp_path / ".zshrc")]


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
    assert has_block((place / ".zshrc").read_bytes())
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
    assert "ZDOTDIR is 'relative?': " in refused_line(world, "install", "zsh")


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
    assert rc_files("bash") == files
    os.symlink(files[0], tmp_path / "link")
    os.rename(tmp_path / "link", files[1])
    assert rc_files("bash") == files[:1]
