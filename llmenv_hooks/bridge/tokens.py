"""The token that stands in for the kernel's word on who asks: macOS, a bind that others can reach.

Owns NAME.token: 64 hexadecimal digits and a newline, 0600, made by the bridge and by nobody else.
"""

from __future__ import annotations

import os
import re
import stat

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import open_ours, replace_file

TOKEN_BYTES = 32
TOKEN_TEXT = re.compile(rb"[0-9a-f]{64}\n")


def own_token(path: str) -> str:
    """Return the token in the file *path*, which is made if there is none.

    Raises:
        Problem: there is none that only this user can know, and none can be made.
    """
    if not os.path.lexists(path):
        try:
            replace_file(path, os.urandom(TOKEN_BYTES).hex().encode() + b"\n")
        except OSError as error:
            why = f"cannot make {printable(path)} ({error.strerror})"
            raise Problem(f"{why}: without a token anybody here could ask") from None
    return read_token(path)


def read_token(path: str) -> str:
    """Return the token in the file *path*.

    Raises:
        Problem: it is missing, a link, another user's, open to others, or not a token.
    """
    try:
        fd = open_ours(path, os.O_RDONLY)
    except OSError as error:
        raise Problem(f"cannot read {printable(path)}: {error.strerror}") from None
    with open(fd, "rb") as file:
        seen = os.fstat(fd)
        text = file.read(2 * TOKEN_BYTES + 2)
    if stat.S_IMODE(seen.st_mode) & 0o077 or seen.st_nlink != 1:
        raise Problem(f"others may know the token in {printable(path)}: remove it for a new one")
    if not TOKEN_TEXT.fullmatch(text):
        raise Problem(f"{printable(path)} holds no token: remove it for a new one")
    return text.decode().strip()
