"""The helper with nothing installed around it: every Python runs it, and a look imports little."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packed import ENSURE, ensure

from llmenv_hooks.helper.version import __version__

if TYPE_CHECKING:
    from daemons import World


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


@pytest.mark.parametrize("python", PYTHONS)
def test_it_does_the_whole_job_with_every_python(world: World, alone: Path, python: str) -> None:
    argv = [python, "-I", "-S", str(alone), *world.arguments()]
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
        for option in {*ensure.Arguments.VALUES, *ensure.Arguments.SWITCHES} - {
            "--help",
            "--version",
        }:
            assert option in done.stdout
    assert world.run(world.bare("--version")).stdout == f"llmenv-ensure {__version__}\n"


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
