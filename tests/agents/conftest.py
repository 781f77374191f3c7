"""What the tests of the agents start from."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import TYPE_CHECKING

import pytest
from agents.support import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Home:
    for variable in list(os.environ):
        if variable.endswith(("_HOME", "_DIR", "_GLOBAL_CONFIG")):
            monkeypatch.delenv(variable)
    made = Home(tmp_path, capsys, tmp_path_factory.mktemp("bin") / "llmenv")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LLMENV_CONFIG", str(made.config))
    monkeypatch.setattr(sys, "platform", "linux")
    # A link to `llmenv` on PATH, as pipx makes one, in what is not a temporary directory.
    made.program.symlink_to(os.path.join(os.path.dirname(sys.executable), "llmenv"))
    monkeypatch.setenv("PATH", f"{made.program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return made
