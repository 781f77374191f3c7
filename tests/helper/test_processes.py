"""What is asked about processes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from daemons import (
    PYTHON,
    World,
    start_time,
)
from packed import ensure, patch

if TYPE_CHECKING:
    import pytest


def test_a_process_that_cannot_be_looked_at_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """proc(5), hidepid."""

    def not_permitted(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", not_permitted)
    patch(monkeypatch, "proc_file", lambda *parts: b"")
    assert ensure.is_alive(1) is True


def test_a_start_time_reads_the_same_in_every_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    patch(monkeypatch, "_HAS_PROC", False)
    seen = set()
    for zone in ("UTC", "Asia/Tokyo"):
        monkeypatch.setenv("TZ", zone)
        seen.add(ensure.start_time(os.getpid()))
    assert len(seen) == 1
    assert None not in seen


def test_the_start_time_of_a_process_whose_name_has_parentheses(world: World) -> None:
    rename = "open('/proc/self/comm', 'w').write('a) b (c')"
    child = world.begin([PYTHON, "-c", f"{rename}; print(flush=True); input()"], stdin=-1)
    assert child.stdout is not None
    child.stdout.readline()
    assert ensure.start_time(child.pid) == start_time(child.pid)
    assert ensure.is_alive(child.pid) is True
    assert child.pid in ensure.descendants({os.getpid()})
