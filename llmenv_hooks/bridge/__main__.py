"""`python -m llmenv_hooks.bridge`: the bridge."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import NoReturn

from llmenv_hooks.bridge.program import serve
from llmenv_hooks.ensure import Problem


def main() -> NoReturn:
    """Run the bridge; exit with 0 when it was ended, with 1 when it could not serve."""
    try:
        asyncio.run(serve())
    except Problem as error:
        os.write(2, f"llmenv-bridge: {error}\n".encode(errors="replace"))
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
