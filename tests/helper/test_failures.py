"""The note of a failure: what it may hold, and how long it makes the hook pause."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from packed import ensure

from llmenv_hooks.helper.status import inspect

if TYPE_CHECKING:
    from daemons import (
        World,
    )


def test_the_pauses_double_to_five_minutes() -> None:
    boot, now = ensure.realm()[0], time.time()
    pauses = [
        ensure.Failure("", count, now, boot, "d").pause_left("d")
        for count in (1, 2, 3, 4, 8, 9, 10, 1000, 1 << 30)
    ]
    expected = [1, 2, 4, 8, 128, 256, 300, 300, 300]
    assert pauses == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    "data",
    [
        "v1 9 {future} {boot} {digest} .",
        "v1 9 {now} another-boot {digest} .",
        "v1 9 {now} {boot} 00000000 .",
        "v1 9 {now} {boot} {digest}",
        "v1 0 {now} {boot} {digest} .",
        "v1 -9 {now} {boot} {digest} .",
        "v1 9 nan {boot} {digest} .",
        "v1 9 -inf {boot} {digest} .",
        "v1 99999999999999999999 {now} {boot} {digest} .",
        "v2 9 {now} {boot} {digest} .",
        "",
        "\0",
        "\udcff",
    ],
)
def test_a_note_that_cannot_be_ours_is_no_pause(world: World, data: str) -> None:
    world.write_config("die=1")
    assert world.run(world.hook_argv()).returncode == 1
    _, boot, digest = world.path("fail").read_text().split()[-4:-1]
    now = time.time()
    note = data.format(now=now, future=now + 86400, boot=boot, digest=digest)
    world.path("fail").write_bytes(f"message\n{note}\n".encode(errors="surrogateescape"))
    assert world.run(world.hook_argv()).returncode == 1
    assert len(world.told("starts")) == 2


def test_what_a_failure_file_holds_is_harmless(world: World) -> None:
    world.state.mkdir(parents=True)
    world.path("fail").write_bytes(b"\x1b]0;title\x07\x9b2J\xff\nv1 1 1.0 boot digest .\n")
    failure = ensure.read_failure(world.files)
    assert failure is not None
    assert failure.message.isprintable()
    status = inspect(world.service(), str(world.state))
    assert (status.state, status.detail.isprintable()) == ("failed", True)
