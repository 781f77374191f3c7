"""The helper as a hook runs it where no copy of the one file can be kept: from the package.

A hook loads a module of this name from this directory and calls its `main`, as it does with
llmenv-ensure.py.
"""

from __future__ import annotations

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from llmenv_hooks.helper.__main__ import main as main
