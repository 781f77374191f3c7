"""The documents name things that exist."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from bench_report import PAGES, publish

ROOT = Path(__file__).parent.parent


def test_every_promise_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert len(named) > 50
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_case_of_the_research_has_a_test_or_an_excuse() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    tested = {int(number) for number in re.findall(r"def test_case_(\d\d)_", tests)}
    page = (ROOT / "docs" / "reliability.md").read_text()
    excused = {int(number) for number in re.findall(r"Case (\d+) of the\s+research", page)}
    assert tested ^ excused == set(range(1, 71))


def test_every_link_and_path_in_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
        paths = re.findall(r"`((?:examples|docs|tests|templates|llmenv_hooks)/[\w./-]+)`", text)
        missing = [link for link in links if not (page.parent / link).exists()]
        missing += [path for path in paths if not (ROOT / path).exists()]
        assert missing == [], page


def test_the_figures_in_the_documents_are_those_of_the_last_benchmark(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for page in (*PAGES, "docs/bench.json"):
        shutil.copy(ROOT / page, tmp_path / page)
    publish(tmp_path)
    for page in PAGES:
        assert (tmp_path / page).read_text() == (ROOT / page).read_text(), f"{page}: make bench"


def test_a_prompt_is_within_its_limits() -> None:
    """Of the last `make bench`: 60 us, 60 times less than direnv, 3 times that for 10 services."""
    found = json.loads((ROOT / "docs" / "bench.json").read_text())["rows"]
    rows = {(row["shell"], row["variant"]): row for row in found if row["section"] == "prompts"}
    for shell in ("bash", "zsh", "fish"):
        assert 0 < rows[shell, "llmenv"]["added"] <= 0.060
        assert rows[shell, "direnv"]["ratio"] >= 60
        assert rows[shell, "llmenv, 10 services"]["ratio"] <= 3


def test_a_new_shell_is_within_its_limit() -> None:
    """With what `llmenv install` writes: under 3 ms in bash and zsh."""
    found = json.loads((ROOT / "docs" / "bench.json").read_text())["rows"]
    added = {
        row["shell"]: row["added"]
        for row in found
        if (row["section"], row["variant"]) == ("starts", "llmenv")
    }
    assert 0 < added["bash"] < 3
    assert 0 < added["zsh"] < 3
