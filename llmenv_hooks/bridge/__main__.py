"""`python -m llmenv_hooks.bridge`: the bridge."""

from __future__ import annotations

import sys

from llmenv_hooks.bridge import lean  # noqa: F401  (before what imports asyncio)
from llmenv_hooks.bridge.program import main

if __name__ == "__main__":
    sys.exit(main())
