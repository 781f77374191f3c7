"""The documents name things that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_promise_names_tests_that_exist() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "reliability.md").read_text())
    tests = "".join(path.read_text() for path in (ROOT / "tests").glob("test_*.py"))
    assert len(named) > 50
    assert [name for name in named if f"def {name}(" not in tests] == []


def test_every_link_and_path_in_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
        paths = re.findall(r"`((?:examples|docs|tests|templates|llmenv_hooks)/[\w./-]+)`", text)
        missing = [link for link in links if not (page.parent / link).exists()]
        missing += [path for path in paths if not (ROOT / path).exists()]
        assert missing == [], page
