"""The block in an rc file: put in, updated and taken out, to the byte."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands.install.support import EACH, Real, backup, done, rc_file, refused_line, static
from commands.support import llmenv
from daemons import need_root, wait_until
from shells import SHELLS, helpers

from llmenv_hooks import userfile
from llmenv_hooks.commands.rcblock import BEGIN, END, has_block, source_line
from llmenv_hooks.helper.errors import Problem
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.pty_shell import PROMPTS

if TYPE_CHECKING:
    from daemons import World


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
    assert installed.count(BEGIN) == 1
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


OLDER = BEGIN + b"\nsource /old/place # \xff\n" + END + b"\n"


@pytest.mark.parametrize("old", [OLDER, OLDER.replace(b"\n", b"\r\n"), BEGIN + b"\n" + END + b"\n"])
def test_an_older_block_is_replaced_in_place(world: World, old: bytes) -> None:
    path = rc_file(world)
    path.write_bytes(b"# above\n" + old + b"# below\n" + old)  # and a second one goes
    assert f"updated the block in {path}" in done(world, "install", "bash")
    text = path.read_bytes()
    assert text.startswith(b"# above\n" + BEGIN)
    assert text.endswith(END + b"\n# below\n")
    assert text.count(BEGIN) == 1
    assert b"/old/place" not in text
    done(world, "uninstall")
    assert path.read_bytes() == b"# above\n# below\n"


def test_a_block_at_the_very_end_is_found(world: World) -> None:
    rc_file(world).write_bytes(b"# above\n" + OLDER.removesuffix(b"\n"))
    done(world, "uninstall")
    assert rc_file(world).read_bytes() == b"# above\n"


@pytest.mark.parametrize("half", [BEGIN + b"\n# mine\n", END + b"\n", BEGIN + b"\n" + OLDER])
def test_half_a_block_is_refused(world: World, half: bytes) -> None:
    rc_file(world).write_bytes(b"# mine\n" + half)
    for command in ("install", "uninstall"):
        assert f"{rc_file(world)}:2: half a block" in refused_line(world, command, "bash")
        assert rc_file(world).read_bytes() == b"# mine\n" + half
        assert not static(world).exists()


def test_half_a_block_behind_a_whole_one_is_told_with_its_line(world: World) -> None:
    done(world, "install", "bash")
    text = rc_file(world).read_bytes() + b"# mine\n" + END + b"\n"
    rc_file(world).write_bytes(text)
    assert f"{rc_file(world)}:6: half a block" in refused_line(world, "uninstall")
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
    assert BEGIN in real.read_bytes()
    assert stat.S_IMODE(real.stat().st_mode) == (0o644 if before is None else 0o600)
    done(world, "uninstall", "bash")
    assert path.is_symlink()
    assert (real.read_bytes() if real.exists() else None) == before


def test_a_read_only_file_is_told_with_the_line(world: World) -> None:
    path = rc_file(world)
    path.write_text(PROMPTS["bash"])
    path.chmod(0o444)
    line = refused_line(world, "install", "bash")
    assert f"cannot write {path}: it is read-only; add this line to it by hand: " in line
    path.chmod(0o644)
    path.write_text(PROMPTS["bash"] + line.partition("by hand: ")[2])
    with Real("bash", world):  # and the line works
        wait_until(world.proved)
    path.chmod(0o444)
    assert "nothing changed" in done(world, "install", "bash")
    number = len(path.read_text().splitlines())
    assert refused_line(world, "uninstall").endswith(
        f"read-only; take out by hand what is at {path}:{number}"
    )
    assert static(world).exists()


@EACH
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n# below\n", b""])
def test_the_line_added_by_hand_is_known(world: World, name: str, end: bytes) -> None:
    """To install, to doctor, and to uninstall, which takes it out."""
    path = rc_file(world, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"# above\n" + source_line(name, str(static(world, name))) + end)
    assert "installed already" in done(world, "install", name)
    seen = llmenv(world, "doctor", "--json")
    hooks = [row["found"] for row in json.loads(seen.stdout) if row["check"] == "hook"]
    assert hooks == [f"{name}: {path}, llmenv {__version__}"]
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
    seen = llmenv(world, "uninstall")
    number = 2 if name == ".bashrc" else before.count(b"\n") + 2
    assert seen.stderr.startswith(f"llmenv: {path}:{number} sources the hook")
    assert (seen.returncode, path.read_bytes()) == (1, line)
    assert static(world).exists()


def test_a_read_only_file_keeps_its_block(world: World) -> None:
    done(world, "install", "bash")
    rc_file(world).write_bytes(b"# mine\n" + rc_file(world).read_bytes())
    rc_file(world).chmod(0o444)
    line = refused_line(world, "uninstall")
    assert f"cannot write {rc_file(world)}: it is read-only" in line
    assert f"{rc_file(world)}:2" in line
    assert has_block(rc_file(world).read_bytes())
    assert static(world).exists()


def test_uninstall_goes_on_after_what_it_cannot_do(world: World) -> None:
    for name in SHELLS:
        done(world, "install", name)
    rc_file(world).chmod(0o444)
    static(world, "zsh").unlink()
    static(world, "zsh").mkdir()
    seen = llmenv(world, "uninstall")
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
    with pytest.raises(Problem, match="No space left"):
        done(world, "install", "bash")
    assert rc_file(world).read_bytes() == b"# mine\n"
    assert not (world.state / "backup").exists()


def test_what_is_no_file_is_left_alone(world: World) -> None:
    rc_file(world).mkdir()
    assert str(rc_file(world)) in refused_line(world, "install", "bash")
    assert str(rc_file(world)) in refused_line(world, "uninstall", "bash")
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
        assert f"{world.config}:2: " in refused_line(world, *words, status=2)
    assert not rc_file(world).exists()


def test_uninstall_without_a_shell_takes_all_out(world: World) -> None:
    for name in SHELLS:
        done(world, "install", name)
    Path(f"{static(world)}@another.host").touch()
    wait_until(lambda: not helpers(world))  # of the shells in which install tried the hook
    said = done(world, "uninstall").splitlines()
    assert said[: len(SHELLS)] == [f"removed {rc_file(world, name)}" for name in SHELLS]
    assert said[len(SHELLS)].startswith(f"left: {world.config}")
    assert not list(static(world).parent.iterdir())
