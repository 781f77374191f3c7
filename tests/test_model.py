"""A short run of the random lives in model.py; `make chaos` does 2,000 steps."""

from __future__ import annotations

import model


def test_whatever_happens_one_daemon_at_most_and_no_stranger_is_signalled() -> None:
    assert model.live(examples=10, steps=40) >= 200
