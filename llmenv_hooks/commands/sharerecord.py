"""What `llmenv share` has changed, so that `--undo` can give it back.

Owns share.json in the state directory.  It is written before each change, so that whatever ends
`share` half-way can be undone.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

from llmenv_hooks import userfile
from llmenv_hooks.helper.directories import make_directory
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import state_dir
from llmenv_hooks.sharing.rewriting import Turned

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "share.json"


class Shared:
    """One server that is shared: *entry* is its name in the agents' files, *turned* by agent.

    *made* says that the service is in the config by us.
    """

    def __init__(self, entry: str, made: bool, turned: dict[str, Turned] | None = None) -> None:
        self.entry = entry
        self.made = made
        self.turned = turned or {}


class ShareRecord:
    """What is shared, by the names of the services.

    Raises:
        Problem: it cannot be read.
    """

    def __init__(self) -> None:
        self._path = os.path.join(state_dir(), FILE)
        self.shared: dict[str, Shared] = {}
        content = userfile.load(self._path)
        try:
            found = json.loads(content or b"{}")
            for service, one in found.items():
                turned = {agent: Turned(*was) for agent, was in one["turned"].items()}
                self.shared[service] = Shared(one["entry"], one["made"], turned)
        except (ValueError, TypeError, LookupError, AttributeError):
            raise Problem(f"{printable(self._path)} is not as llmenv has written it") from None

    def agents_of(self, entry: str) -> list[str]:
        """Return the agents whose *entry* is shared."""
        return [agent for one in self._of(entry) for agent in one.turned]

    def _of(self, entry: str) -> Iterator[Shared]:
        return (one for one in self.shared.values() if one.entry == entry)

    def keep(self) -> None:
        """Write it down; remove it where nothing is shared.

        Raises:
            Problem: the state directory cannot be used.
        """
        made: dict[str, dict[str, Any]] = {
            service: {"entry": one.entry, "made": one.made, "turned": one.turned}
            for service, one in self.shared.items()
        }
        try:
            if made:
                make_directory(state_dir())
                content = json.dumps(made, indent=1).encode()
                userfile.write_beside(self._path, content, 0o600, None)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)
        except OSError as error:
            raise Problem(f"cannot write {printable(self._path)}: {error.strerror}") from None


def shared_names() -> set[str]:
    """Return the names of the services that are shared; none where that cannot be told."""
    try:
        return set(ShareRecord().shared)
    except Problem:
        return set()
