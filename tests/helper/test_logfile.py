"""The log is cut to its last megabyte, whoever writes and whatever fails."""

from __future__ import annotations

import stat

import pytest
from daemons import (
    World,
    wait_until,
)
from packed import ensure, patch


def test_a_long_log_is_cut_under_a_living_writer(world: World) -> None:
    world.up("flood")
    wait_until(lambda: world.path("log").stat().st_size > 3 << 20)
    world.tell("calm")
    wait_until(lambda: world.told("calmed"))
    newest = world.path("log").read_bytes()[-(1 << 20) :]
    assert world.ensure(modes=["flood"]).returncode == 0
    assert world.path("log").stat().st_size <= 1 << 20
    assert world.path("log.1").read_bytes() + world.path("log").read_bytes() == newest
    world.check()
    assert stat.S_IMODE(world.path("log.1").stat().st_mode) == 0o600


def test_a_log_is_cut_while_it_is_written(world: World) -> None:
    world.up("flood")
    for _ in range(3):
        wait_until(lambda: world.path("log").stat().st_size > 2 << 20)
        assert world.ensure(modes=["flood"]).returncode == 0
        assert world.path("log.1").stat().st_size < 3 << 20
    world.tell("calm")
    wait_until(lambda: world.told("calmed"))
    assert world.ensure(modes=["flood"]).returncode == 0
    assert world.path("log").stat().st_size <= 1 << 20
    world.check()


@pytest.mark.usefixtures("configured")
def test_a_full_disk_does_not_lose_the_newest_of_the_log(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.up()
    newest = b"the newest line\n"
    world.path("log").write_bytes(b"x" * (2 << 20) + newest)
    replace, calls = ensure.replace_file, []

    def full_at_first(path: str, content: bytes) -> None:
        calls.append(path)
        if len(calls) == 1:
            raise OSError(28, "No space left on device", path)
        replace(path, content)

    patch(monkeypatch, "replace_file", full_at_first)
    ensure.cut_log(world.files)
    assert world.path("log").stat().st_size == 0
    assert world.path("log.1").read_bytes().endswith(newest)


@pytest.mark.usefixtures("configured")
def test_a_log_that_cannot_be_moved_is_left_as_it_is(world: World) -> None:
    world.up()
    world.path("log").write_bytes(b"x" * (2 << 20))
    world.path("log.1").mkdir()
    with pytest.raises(OSError, match="directory"):
        ensure.cut_log(world.files)
    assert world.path("log").stat().st_size == 2 << 20


@pytest.mark.usefixtures("configured")
def test_the_log_stays_short_while_it_is_flooded(world: World) -> None:
    world.up("flood")
    world.write_config("flood")
    wait_until(lambda: world.path("log").stat().st_size > ensure.LOG_BYTES)
    helper = world.begin(world.hook_argv())
    wait_until(lambda: world.path("log.1").exists())
    cuts, before = 0, 0
    while cuts < 5:
        assert helper.poll() is None, "nobody keeps it short"
        size = world.path("log").stat().st_size
        assert size < 256 << 20, "nobody keeps it short"
        cuts += size < before
        before = size
    assert world.run(world.hook_argv()).returncode == 0, "a second one must not stay"
    world.tell("calm")
    wait_until(lambda: world.told("calmed"))
    assert helper.wait(20 + ensure.FLOOD_S) == 0
