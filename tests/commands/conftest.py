"""What the tests of the commands start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands.agenthomes import Home
from commands.support import llmenv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from daemons import World


@pytest.fixture
def world(world: World) -> World:
    """A world with the stub daemon in its config, and with all that `llmenv` writes in it."""
    world.write_config()
    world.env |= {
        "XDG_CACHE_HOME": str(world.root / "cache"),
        "XDG_DATA_HOME": str(world.root / "data"),
    }
    return world


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home in which agents may have servers of their own; its services are ended with it."""
    with Home(tmp_path / "w") as made:
        try:
            yield made
        finally:
            llmenv(made, "stop")
