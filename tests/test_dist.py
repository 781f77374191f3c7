"""What a release has: the same bytes from the same source, wherever and whenever it is built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from llmenv_hooks.helper.version import __version__

ROOT = Path(__file__).parent.parent
# What git does not have is no source, and may change meanwhile, as .demo does in another test.
NOT_SOURCE = (".?*", "dist", "node_modules", "__pycache__")


def built(place: Path, umask: int, zone: str) -> dict[str, bytes]:
    """Copy the checkout to *place*, build there, and return what it makes."""
    ignore = shutil.ignore_patterns(*NOT_SOURCE)
    shutil.copytree(ROOT, place, ignore=ignore, copy_function=shutil.copyfile)
    binaries = Path(sys.executable).parent
    subprocess.run(
        ["make", "-o", "setup", "dist", f"BIN={binaries}"],
        cwd=place,
        env=os.environ | {"SOURCE_DATE_EPOCH": "1795676751", "TZ": zone},
        umask=umask,
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in (place / "dist").iterdir()}


def test_two_builds_are_the_same_bytes(tmp_path: Path) -> None:
    first = built(tmp_path / "a", 0o022, "UTC0")
    second = built(tmp_path / "another place", 0o077, "Asia/Tokyo")
    assert first == second
    stem = f"llmenv_hooks-{__version__}"
    packed = {f"llmenv-{part}.py" for part in ("ensure", "bridge", "connect")}
    assert set(first) == {f"{stem}-py3-none-any.whl", f"{stem}.tar.gz", *packed, "SHA256SUMS"}
    assert first["SHA256SUMS"].count(b"\n") == 5


def test_the_changelog_has_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## \[([^]]+)\]", text, re.MULTILINE)[:2] == ["Unreleased", __version__]
