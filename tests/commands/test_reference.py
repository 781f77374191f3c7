"""docs/commands.md, against what the commands say of themselves."""

from __future__ import annotations

import io
import os
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from llmenv_hooks.commands import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from daemons import World

REFERENCE = Path(__file__).parents[2] / "docs" / "commands.md"


def words_of(command: Any, *words: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of *command* and of all below it."""
    yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from words_of(below, *words, name)


COMMANDS = list(words_of(typer.main.get_command(app.app)))


def help_of(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return what `llmenv WORDS --help` prints, by running it in this process."""
    monkeypatch.setattr(sys, "argv", ["llmenv", *words, "--help"])
    with redirect_stdout(io.StringIO()) as said:
        assert app.run() == 0
    return said.getvalue()


def reference(world: World, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the reference page as the program describes itself."""
    for name, value in {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    parts = ["# Commands\n\nGenerated from `--help`; `UPDATE=1 make test` writes it anew.\n"]
    for words in COMMANDS:
        text = help_of(words, monkeypatch)
        title = " ".join(("llmenv", *words))
        parts.append(f"## {title}\n\n```\n{re.sub(r' +$', '', text, flags=re.M).strip()}\n```\n")
    text = world.run(world.bare("--help")).stdout.strip()
    parts.append(f"## llmenv-ensure\n\n```\n{text}\n```\n")
    return "\n".join(parts)


def test_the_reference_is_current_and_reads_well_in_80_columns(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = reference(world, monkeypatch)
    if os.environ.get("UPDATE"):
        REFERENCE.parent.mkdir(exist_ok=True)
        REFERENCE.write_text(text)
    assert REFERENCE.read_text() == text, "run: UPDATE=1 .venv/bin/pytest tests/test_cli.py"
    lines = text.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    cut = [line for line in lines if line.endswith("...") and "Usage:" not in line]
    assert cut == []
    assert re.findall(r"<.*>|\{.*\}", text) == [], "SHELL <list[str]>, {SHELL}"
