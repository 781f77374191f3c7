"""What a command said: how `llmenv` is run, and what a refusal looks like."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from packed import ENSURE

if TYPE_CHECKING:
    import subprocess

    from daemons import World


def llmenv(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `llmenv` with *words* in *world* to its end."""
    return world.run([sys.executable, "-m", "llmenv_hooks", *words])


def refused(done: subprocess.CompletedProcess[str], status: int, *words: str) -> str:
    """Assert that *done* failed with *status* and said nothing but one harmless line; return it.

    The line begins with the name of the program that was run, and has all *words* in it.
    """
    assert (done.returncode, done.stdout) == (status, ""), done
    program = "llmenv-ensure" if str(ENSURE) in done.args else "llmenv"
    assert done.stderr.startswith(f"{program}: "), done
    assert done.stderr.endswith("\n"), done
    assert done.stderr[:-1].isprintable(), done
    for word in words:
        assert word in done.stderr, done
    return done.stderr[:-1]


def refused_at_once(
    world: World, done: subprocess.CompletedProcess[str], status: int, *words: str
) -> None:
    """Assert that *done* was refused, and that nothing was started for it."""
    refused(done, status, *words)
    assert world.told("starts") == []


def recovers(world: World) -> None:
    """Assert that nothing of what failed is in the way, and that nothing of it still runs."""
    assert world.daemons() == []
    assert not os.path.lexists(world.path("pid.lock"))
    assert world.ensure().returncode == 0
    world.check(starts=None)
