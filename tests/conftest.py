"""What most tests start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from daemons import World, default_signals

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

default_signals()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world of its own, with the stub daemon in its config."""
    with World(tmp_path / "w") as made:
        made.write_config()
        yield made
