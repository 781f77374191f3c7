"""What the tests of the hooks start from: a config, and a helper that only counts its calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from daemons import World


@pytest.fixture
def world(world: World) -> World:
    """A world of its own, with the stub daemon in its config."""
    world.write_config()
    return world


@pytest.fixture
def helper(world: World) -> Path:
    """A stand-in for ensure.py that only counts its calls."""
    path = world.root / "helper.py"
    path.write_text(
        f"import os\nfd = os.open({str(world.oracle / 'calls')!r},"
        " os.O_WRONLY | os.O_CREAT | os.O_APPEND)\nos.write(fd, b'%d\\n' % os.getpid())\n"
    )
    return path
