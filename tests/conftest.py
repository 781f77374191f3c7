"""What most tests start from."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from daemons import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A job of a script or of nohup ignores these, and so would every shell and daemon of the tests.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world of its own, with the stub daemon in its config."""
    with World(tmp_path / "w") as made:
        made.write_config()
        yield made
