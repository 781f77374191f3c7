"""`make run`: what a newcomer sees first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from daemons import need, processes_with

if TYPE_CHECKING:
    from daemons import World

DEMO = Path(__file__).parent.parent / "examples" / "demo.py"
HOME = DEMO.parent.parent / ".demo"


def demo(world: World, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DEMO)],
        env={**world.env, "PATH": path},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_the_demo_shows_it_all_and_leaves_nothing(world: World) -> None:
    """One test, since there is one `.demo` in a checkout."""
    need("bash")
    done = demo(world, str(world.root))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
    assert done.stderr.startswith("demo: bash is not on PATH")

    done = demo(world, world.env["PATH"])
    assert (done.returncode, done.stderr) == (0, ""), done
    for said in (
        "a bash prompt started it: pid ",
        "its tools: forget, list, search, store",
        "a forged Host (DNS rebinding) got 403: ",
        "user 65534's request was not read" if os.geteuid() == 0 else "so not shown",
        "the next call waited for that one: it found 1 memory",
        "of pressing Enter it was back, too",
        f"stopped it, and removed {HOME}",
        " hook zsh)",
    ):
        assert said in done.stdout, said
    assert not HOME.exists()
    assert not processes_with(f"{HOME}/")
    assert not any(world.home.iterdir())
