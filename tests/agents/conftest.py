"""What the tests of the agents start from."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from agents.support import Home

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Home:
    for variable in list(os.environ):
        if variable.endswith(("_HOME", "_DIR")):
            monkeypatch.delenv(variable)
    made = Home(tmp_path, capsys)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LLMENV_CONFIG", str(made.config))
    monkeypatch.setattr(sys, "platform", "linux")
    return made
