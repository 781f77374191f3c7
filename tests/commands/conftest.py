"""What the tests of the commands start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
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
