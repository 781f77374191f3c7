"""The real home is out of reach of the tests, in this process and in those that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from homes import REAL, VARIABLES, RealHome, is_real
from packed import ENSURE

HOME = next(iter(REAL), Path("/no/home"))
CONFIG = HOME / ".config" / "llmenv" / "config.toml"

pytestmark = pytest.mark.skipif(not REAL, reason="this user's home is /")


def test_no_variable_names_it() -> None:
    assert not any(is_real(os.environ.get(variable)) for variable in VARIABLES)


def test_to_read_what_is_ours_there_is_an_error() -> None:
    with pytest.raises(RealHome, match=r"config\.toml"):
        CONFIG.read_text()


def test_to_write_there_is_an_error() -> None:
    with pytest.raises(RealHome, match="bashrc"):
        (HOME / ".bashrc").open("a")
    with pytest.raises(RealHome, match="llmenv"):
        os.mkdir(CONFIG.parent)
    with pytest.raises(RealHome, match="moved"):
        os.rename("/no/such/file", HOME / "moved")


def test_a_temporary_directory_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not is_real(tmp_path)


@pytest.mark.parametrize("argv", [[str(ENSURE)], ["-m", "llmenv_hooks", "install", "bash"]])
def test_a_program_that_was_given_no_home_fails(argv: list[str]) -> None:
    done = subprocess.run([sys.executable, *argv], capture_output=True, text=True)
    assert done.returncode != 0
    assert "this-test-has-no-home" in done.stderr
