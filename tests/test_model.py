"""A short run of the lives in model.py, always the same; `make chaos` does 2,000 new steps."""

from __future__ import annotations

import model
import pytest


def test_whatever_happens_one_daemon_at_most_and_no_stranger_is_signalled() -> None:
    assert model.live(examples=10, steps=40, same=True) >= 200


def test_without_namespaces_they_are_an_error_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "NAMESPACES", False)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeError, match="CI=true"):
        model.live(examples=1, steps=1)
