"""What the tests of `llmenv install` start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from daemons import World


@pytest.fixture
def world(world: World) -> World:
    """A world in which a shell says nothing of its own."""
    world.env |= {"LC_ALL": "C.UTF-8", "TERM": "dumb", "fish_features": "no-query-term"}
    return world
