"""asyncio without ssl, which the bridge has no use for: 4.5 MB and 10 ms less.

Where a Python was built without ssl, asyncio does without it.  Import this before anything that
imports asyncio.
"""

from __future__ import annotations

import sys

if "asyncio" not in sys.modules and "ssl" not in sys.modules:
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio  # noqa: F401

    del sys.modules["ssl"]
