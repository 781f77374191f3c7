"""The official conformance suite finds no difference between a server and the same behind us."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from conformance.suite import REVISIONS, SUITE_S, ask_suite, bridged, directly

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(3 * SUITE_S)
@pytest.mark.parametrize("revision", REVISIONS)
def test_bridge_passes_what_the_server_passes(tmp_path: Path, revision: str) -> None:
    with directly(tmp_path / "directly") as port:
        alone = ask_suite(port, revision, tmp_path / "alone")
    with bridged(tmp_path / "bridged") as port:
        behind = ask_suite(port, revision, tmp_path / "behind")
    assert len(alone.passed) > 80, "the server itself does not do what it should"
    assert not list((Counter(behind.failed) - Counter(alone.failed)).elements())
    lost = Counter(alone.passed) - Counter(behind.passed)
    assert not list(lost.elements())
    # All that our server fails is an extension that it does not have.
    assert all(name.startswith("tasks-") for name in alone.failed)
