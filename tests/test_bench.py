"""The benchmark itself: its plot, and one short run of a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import bench_connect
from bench_report import rows, svg
from bench_shells import place_with

import bench

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_plot_is_well_formed_and_names_each_variant() -> None:
    took = {"nothing": [1.0] * 3, "llmenv": [1.1] * 3, "a < b": [9.0] * 3, "none": [0.9] * 3}
    table = rows("prompts", "bash", took, base="nothing", added_by="llmenv")
    texts = [element.text for element in ElementTree.fromstring(svg(table)).iter()]
    assert {"bash", "llmenv", "a < b", "100 µs", "8 ms"} <= set(texts)


def test_ratios_are_of_what_is_added() -> None:
    took = {"nothing": [1.0, 2.0, 3.0], "llmenv": [1.5, 2.5, 3.5], "direnv": [6.0, 7.0, 8.0]}
    table = rows("prompts", "bash", took, base="nothing", added_by="llmenv")
    assert [row.ratio for row in table] == [0, 1, 10]
    assert [row.added for row in table] == [0, 0.5, 5]


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    names = ("bash", "zsh", "fish", "direnv", "zoxide", "mise")
    assert bench.missing() == [f"{name} is missing: not on PATH" for name in names]


def test_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bench.BIN), prepend=":")
    place = place_with(tmp_path / "place", 1)
    try:
        place.run("llmenv", "start")
        table, notes = bench.prompts("bash", {1: place}, rounds=3)
        table += bench.starts("bash", place, rounds=2)
        for shell in bench.SHELLS:
            table += bench.parts(shell, place, rounds=2)
        table += bench.commands({1: place}, rounds=2)
        place.cold()
        table += bench.crowd("bash", 2, place, rounds=2)
    finally:
        place.cold()
    table += bench_connect.measure(tmp_path / "connect", rounds=2)
    assert notes == []
    assert {row.variant for row in table} >= {"nothing", "llmenv", "llmenv, 2 at once"}
    assert all(row.median > 0 for row in table)
