"""The documents name things that exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import generate
from bench_report import PAGES, publish

from llmenv_hooks.helper.statefiles import STATE_FILES

ROOT = Path(__file__).parent.parent


def test_every_promise_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 50
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_link_and_path_in_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
        paths = re.findall(
            r"`((?:bench|chaos|docs|examples|llmenv_hooks|realagents|templates|tests)/[\w./-]+)`",
            text,
        )
        missing = [link for link in links if not (page.parent / link).exists()]
        missing += [path for path in paths if not (ROOT / path).exists()]
        assert missing == [], page


def test_the_tables_in_the_documents_are_those_of_the_code() -> None:
    for page in generate.pages():
        assert page.read_text() == generate.generated(page.read_text()), f"{page}: make docs"
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    assert all(f"`{name}`" in architecture for name, _ in STATE_FILES)


def test_the_floors_have_every_room_of_the_helper() -> None:
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    rooms = (ROOT / "llmenv_hooks" / "helper").glob("*.py")
    named = {room.stem for room in rooms} - {"__init__"}
    assert {name for name in named if name not in architecture} == set()


def test_the_figures_in_the_documents_are_those_of_the_last_benchmark(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for page in (*PAGES, "docs/bench.json"):
        shutil.copy(ROOT / page, tmp_path / page)
    publish(tmp_path)
    for page in PAGES:
        assert (tmp_path / page).read_text() == (ROOT / page).read_text(), f"{page}: make bench"
