"""What `llmenv setup` has made, so that `--undo` can take away that and no more.

Owns setup.json in the state directory: the config as it was written, by its digest, and what was
not there before.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

from llmenv_hooks import userfile
from llmenv_hooks.helper.directories import make_directory
from llmenv_hooks.helper.places import state_dir

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "setup.json"


class SetupRecord:
    """What was *missing* before, files and directories, and the digests of the configs by path."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.configs: dict[str, str] = {}
        self._path = os.path.join(state_dir(), FILE)
        content = userfile.load(self._path)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found = json.loads(content or b"{}")
            self.missing = [str(one) for one in found["missing"]]
            self.configs = {str(path): str(digest) for path, digest in found["configs"].items()}

    def note_missing(self, files: Iterable[str]) -> None:
        """Note which of *files*, and of the directories above them, are about to be made."""
        for path in files:
            missing = path
            while not (os.path.lexists(missing) or missing in self.missing):
                self.missing.append(missing)
                missing = os.path.dirname(missing)

    def has_made(self, path: str) -> bool:
        """Say whether *path* was not there before."""
        return path in self.missing

    def note_config(self, path: str, content: bytes) -> None:
        """Note that the config *path* is made by us, with *content*."""
        self.configs[path] = _digest(content)

    def made_config(self, path: str) -> bool:
        """Say whether the config *path* is what we have made, and nobody has changed."""
        content = userfile.load(path)
        return content is not None and self.configs.get(path) == _digest(content)

    def keep(self) -> None:
        """Write it down.

        Raises:
            Problem: the state directory cannot be used.
            OSError: it cannot be written.
        """
        make_directory(state_dir())
        made = {"missing": self.missing, "configs": self.configs}
        userfile.write_beside(self._path, json.dumps(made, indent=1).encode(), 0o600, None)

    def forget(self) -> None:
        """Remove the directories that are empty, and the record."""
        for directory in sorted(self.missing, key=len, reverse=True):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
        with contextlib.suppress(OSError):
            os.unlink(self._path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
