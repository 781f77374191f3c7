"""What is wrong with the state directory itself: told where that is not needed.

Owns llmenv-DIGEST.fail in a place that any user may write to, and that lies on no disk if there is
one.  The prompt hook takes its first line for a message, as that of NAME.fail, if it is the user's.
"""

from __future__ import annotations

import errno
import os

from llmenv_hooks.helper.checksums import checksum
from llmenv_hooks.helper.directories import refuse_anothers
from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.files import remove_file, replace_file

PLACES = ("/dev/shm", "/tmp")


def complaint_paths(state: str) -> list[str]:
    """Return where a complaint about *state* may lie, the same in every environment.

    So a hook that was rendered in one finds what a helper in another has written.
    """
    return [os.path.join(place, f"llmenv-{checksum([state])}.fail") for place in PLACES]


def complain(state: str, message: str) -> None:
    """Leave *message* for the prompt, in the first place that can be written to."""
    for path in complaint_paths(state):
        try:
            replace_file(path, f"{printable(message, 700)}\n".encode(errors="replace"))
        except OSError:
            continue
        return


def withdraw_complaint(state: str) -> None:
    """Remove what `complain` has left about *state*."""
    for path in complaint_paths(state):
        remove_file(path)


def state_trouble(state: str) -> str:
    """Return why nothing can be written to the directory *state*, with what to do; "" if it can.

    *state* need not exist: then it is about where it would be made.  Nothing is written.
    """
    above = state
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    try:
        refuse_anothers(state)
    except Problem as problem:
        return str(problem)
    if not os.path.isdir(above):
        return f"{printable(above)} is no directory; move it away"
    if os.access(above, os.W_OK | os.X_OK):
        free = os.statvfs(above)
        blocks = free.f_bfree if os.geteuid() == 0 else free.f_bavail
        if blocks or not free.f_blocks:
            return ""
        return _cannot_write(above, errno.ENOSPC, "make room on that disk")
    if os.statvfs(above).f_flag & os.ST_RDONLY:
        return _cannot_write(above, errno.EROFS, "mount it for writing, or set XDG_STATE_HOME")
    mine = os.stat(above).st_uid == os.geteuid()
    todo = f"chmod 700 {above!r}" if mine else "set XDG_STATE_HOME to a directory of yours"
    return _cannot_write(above, errno.EACCES, todo)


def _cannot_write(directory: str, number: int, todo: str) -> str:
    return f"cannot write to {printable(directory)}: {os.strerror(number)}; {todo}"
