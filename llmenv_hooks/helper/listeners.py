"""What answers for a service, and who that is: at its port, or at its bridge's socket alone.

A service without a port (`bind = false`) is up when its bridge takes a connection to NAME.sock.
That lies in a directory of ours alone, and the kernel says which process listens there (unix(7),
SO_PEERCRED; on macOS unix(4), LOCAL_PEERPID).
"""

from __future__ import annotations

import _socket
import sys

from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.ports import Listener, find_listener, probe
from llmenv_hooks.helper.processes import command_words
from llmenv_hooks.helper.services import Service
from llmenv_hooks.helper.sockets import TAKEN_S, connected, socket_path

MACOS_SOL_LOCAL, MACOS_PEERCRED, MACOS_PEERPID = 0, 1, 2  # sys/un.h
MACOS_XUCRED_BYTES = 76


def answers(service: Service, files: Files) -> bool:
    """True when something takes a connection where *service* should answer."""
    if service.port:
        return probe(service.host, service.port)
    return _socket_listener(files) is not None


def who_listens(service: Service, files: Files, likely: int | None = None) -> Listener | None:
    """Return who listens where *service* should, or None where that cannot be seen.

    *likely* is as for `find_listener`.
    """
    return find_listener(service, likely) if service.port else _socket_listener(files)


def _socket_listener(files: Files) -> Listener | None:
    try:
        sock = connected(socket_path(files), TAKEN_S)
    except OSError:
        return None
    try:
        pid, uid = _other_end(sock)
    except OSError:
        return None
    finally:
        sock.close()
    return Listener(uid, pid or None, command_words(pid) if pid else [])


def _other_end(sock: _socket.socket) -> tuple[int, int]:
    """Return the pid and the user of who listens at the other end of *sock*; 0 for a pid unseen.

    Raises:
        OSError: the kernel will not say.
    """
    import struct

    if sys.platform == "darwin":
        user = sock.getsockopt(MACOS_SOL_LOCAL, MACOS_PEERCRED, MACOS_XUCRED_BYTES)
        return sock.getsockopt(MACOS_SOL_LOCAL, MACOS_PEERPID), struct.unpack_from("=II", user)[1]
    pid, uid, _ = struct.unpack("iII", sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12))
    return pid, uid
