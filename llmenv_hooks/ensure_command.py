"""The command `llmenv-ensure`, whose start is most of what it takes."""

from __future__ import annotations

import gc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def entry() -> NoReturn:
    """Run `llmenv-ensure`; nothing is garbage while its rooms are loaded, nor what they hold."""
    gc.disable()
    from llmenv_hooks.helper.__main__ import entry as run

    gc.freeze()
    gc.enable()
    run()
