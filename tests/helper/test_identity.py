"""The record of a daemon: what it says, and when it says nothing."""

from __future__ import annotations

import os

import pytest
from daemons import (
    World,
    record,
    start_time,
)
from packed import ensure


def test_a_record_of_another_boot_is_no_daemon(world: World, stranger: int) -> None:
    world.state.mkdir(parents=True)
    start = start_time(stranger) or ""
    world.path("life").write_bytes(record(stranger, start, world.service(), boot="before"))
    assert world.ensure().stdout.startswith("stub spawned")
    world.check()


def test_a_start_time_off_by_one_is_another_process(world: World, stranger: int) -> None:
    start = int(start_time(stranger) or 0)
    for off, expected in ((-1, False), (0, True), (1, False)):
        identity = ensure.Identity.decode(record(stranger, str(start + off), world.service()))
        assert identity is not None
        assert (identity.whereabouts() == ensure.HERE) is expected


def torn() -> list[bytes]:
    whole = record(os.getpid(), "1", ensure.Service())
    return [b"", whole[:100], whole[:-1], whole.replace(b" . ", b"   "), whole * 2, b"\0" * 256]


@pytest.mark.parametrize("raw", [*torn(), b"x" * (1 << 20), os.urandom(256)], ids=range(8))
@pytest.mark.parametrize("running", [True, False])
def test_a_torn_record_is_none(world: World, raw: bytes, running: bool) -> None:
    pid = world.up() if running else None
    world.state.mkdir(parents=True, exist_ok=True)
    with open(world.path("life"), "w+b") as file:
        file.write(raw)
    assert ensure.Identity.decode(raw) is None
    done = world.ensure()
    assert (done.returncode, done.stderr) == (0, "")
    assert world.check() == pid or not running
