"""`python -m llmenv_hooks.connect NAME`: what `llmenv-ensure --connect NAME` becomes."""

from __future__ import annotations

import sys

from llmenv_hooks.connect.connector import main

if __name__ == "__main__":
    sys.exit(main())
