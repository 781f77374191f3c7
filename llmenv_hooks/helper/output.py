"""What is said: one line in one write, and the descriptors that it goes to."""

from __future__ import annotations

import os

from llmenv_hooks.helper.files import write_all


def say(fd: int, line: str) -> None:
    """Write one line in one call, so that lines of several processes never mix."""
    try:
        write_all(fd, (line + "\n").encode(errors="surrogateescape"))
    except OSError:
        return  # nobody listens


def say_json(**values: object) -> None:
    """Write *values* as one line of JSON to standard output."""
    import json

    say(1, json.dumps(values))


def open_standard_descriptors() -> None:
    """See that 0, 1 and 2 are open, so that no state file ever becomes one of them."""
    fd = os.open(os.devnull, os.O_RDWR)
    while fd < 3:
        fd = os.dup(fd)
    os.close(fd)
