"""How a file is written: under its agent's lock, and in place where nothing can replace it."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from agents.support import parsed
from daemons import PYTHON, need, need_root

from llmenv_hooks import userfile
from llmenv_hooks.agents import foreignlock
from llmenv_hooks.helper.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path

    from agents.support import Home

BEFORE = b'{"mcpServers": {"x": {}}}'


# --- Claude Code's lock ---------------------------------------------------------------------------


def test_claudes_file_is_written_under_its_lock(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home.put("claude", BEFORE)
    lock = path.with_name(".claude.json.lock")
    seen = []
    replace = userfile.replace

    def looked(*words: object, **options: object) -> object:
        seen.append(lock.is_dir())
        return replace(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(userfile, "replace", looked)
    home("claude", "write")
    home("gemini", "write")
    assert seen == [True, False]
    assert not lock.exists()


def test_it_is_waited_for_and_what_was_written_meanwhile_is_kept(home: Home) -> None:
    path = home.put("claude", BEFORE)
    lock = path.with_name(".claude.json.lock")
    lock.mkdir()

    def other() -> None:
        path.write_bytes(b'{"new": 1}')
        lock.rmdir()

    timer = threading.Timer(0.3, other)
    timer.start()
    home("claude", "write")
    timer.join()
    found = parsed("claude", path.read_bytes())
    assert found["new"] == 1
    assert set(found["mcpServers"]) == {"memory", "tunnel"}


def test_one_that_nobody_has_touched_for_long_is_taken_over(home: Home) -> None:
    path = home.put("claude", BEFORE)
    lock = path.with_name(".claude.json.lock")
    lock.mkdir()
    os.utime(lock, (1, 1))
    home("claude", "write")
    assert not lock.exists()


def test_one_that_stays_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home.put("claude", BEFORE)
    lock = path.with_name(".claude.json.lock")
    lock.mkdir()
    monkeypatch.setattr(foreignlock, "PATIENCE_S", 0.1)
    with pytest.raises(Problem, match=r"claude\.json is locked by another program \(.*\.lock\)"):
        home("claude", "write")
    assert path.read_bytes() == BEFORE
    assert lock.is_dir()


def test_a_file_of_a_project_has_no_lock(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.root)
    (home.root / ".mcp.json.lock").mkdir()
    home("claude", "write", "project")
    assert (home.root / ".mcp.json").exists()


# --- files that no other can take the place of ----------------------------------------------------

MOUNTED = """
mount --bind "$1" "$2" || exit 77
shift 2
exec "$@"
"""


@pytest.fixture
def mounted(home: Home) -> Path:
    """A file that is to be mounted at Cursor's."""
    need("unshare", "mount")
    real = home.root / "real.json"
    real.write_bytes(BEFORE)
    home.put("cursor", BEFORE)
    return real


def in_a_mount(home: Home, real: Path, *words: str) -> subprocess.CompletedProcess[str]:
    need_root()
    shell = ["sh", "-c", MOUNTED, "sh", str(real), str(home.path("cursor"))]
    argv = ["unshare", "-m", *shell, PYTHON, "-m", "llmenv_hooks", "client", "cursor", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("no bind mount here")
    return done


def test_a_mounted_file_is_written_in_place(home: Home, mounted: Path) -> None:
    number = mounted.stat().st_ino
    done = in_a_mount(home, mounted, "--write")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert set(parsed("cursor", mounted.read_bytes())["mcpServers"]) == {"x", "memory", "tunnel"}
    assert mounted.stat().st_ino == number
    assert home.backup("cursor").read_bytes() == BEFORE
    assert f"(backup: {home.backup('cursor')})" in done.stdout
    done = in_a_mount(home, mounted, "--remove")
    assert (done.returncode, mounted.read_bytes()) == (0, BEFORE)
    assert not list(home.backup("cursor").parents[1].rglob("*.json*"))
    assert home.path("cursor").read_bytes() == BEFORE  # below the mount
    assert os.listdir(home.path("cursor").parent) == ["mcp.json"]


@pytest.mark.parametrize("fails", [1, 2], ids=["once", "and again"])
def test_a_disk_that_is_full_in_the_middle_loses_nothing(
    home: Home, monkeypatch: pytest.MonkeyPatch, fails: int
) -> None:
    path = home.put("cursor", BEFORE)
    saved = home.backup("cursor").with_name("mcp.json.whole")
    tries = []
    fsync = os.fsync

    def busy(source: str, target: str) -> None:
        if target == str(path):
            raise OSError(errno.EBUSY, "busy")
        os.replace(source, target)

    def full(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), path.stat()):
            assert saved.read_bytes() == BEFORE
            tries.append(fd)
            if len(tries) <= fails:
                raise OSError(errno.ENOSPC, "full")
        fsync(fd)

    monkeypatch.setattr(os, "rename", busy)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Problem, match=r"cannot write .*: full") as caught:
        home("cursor", "write")
    assert len(tries) == 2
    if fails == 1:
        assert path.read_bytes() == BEFORE
        assert not saved.exists()
    else:
        assert str(caught.value).endswith(f"what it held is in {saved}")
        assert saved.read_bytes() == BEFORE


def test_a_directory_that_is_not_ours_to_write_is_no_reason(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file that a container's builder has put there, and given to us."""
    path = home.put("cursor", BEFORE)
    path.parent.chmod(0o500)

    def refused(source: str, target: str) -> None:  # as for anybody but root, who may write there
        if target == str(path):
            raise OSError(errno.EACCES, "not yours")
        os.replace(source, target)

    monkeypatch.setattr(os, "rename", refused)
    home("cursor", "write")
    assert b"memory" in path.read_bytes()
    path.parent.chmod(0o700)
