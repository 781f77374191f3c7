"""What the command line refuses, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from outcomes import refused_at_once

if TYPE_CHECKING:
    from daemons import World

ARGUMENTS: list[tuple[list[str], str]] = [
    (["--nonsense"], "--nonsense"),
    (["-x"], "-x"),
    (["word"], "word"),
    ([""], "''"),
    (["--bind"], "--bind needs a value"),
    (["--service"], "--service needs a value"),
    (["--service", ""], "bad name"),
    (["--service", "../up"], "bad name"),
    (["--service", "a b"], "bad name"),
    (["--service", "-a"], "bad name"),
    (["--service", "\u0430"], "bad name"),
    (["--service", "a" * 65], "bad name"),
    (["--service", "none"], "no service 'none'"),
    (["--timeout", "soon"], "--timeout"),
    (["--timeout", "-1"], "--timeout"),
    (["--timeout", "nan"], "--timeout"),
    (["--timeout", "inf"], "--timeout"),
    (["--timeout="], "--timeout"),
    (["--pidfile="], "--pidfile"),
    (["--pidfile"], "--pidfile needs a value"),
    (["--quiet=yes"], "--quiet=yes"),
    (["--"], "no command after --"),
    (["--", ""], "no command after --"),
    (["--hook"], "--hook"),
    (["--hook", "/x"], "--hook"),
    (["--hook", "/x", "/y", "/z"], "--hook"),
    (["--\x1b[2J"], "[2J"),
    (["--\udcff"], "--?"),
]


@pytest.mark.parametrize(("arguments", "words"), ARGUMENTS, ids=lambda a: repr(a)[:30])
def test_bad_arguments_are_refused(world: World, arguments: list[str], words: str) -> None:
    refused_at_once(world, world.run(world.bare(*arguments)), 2, words)
