"""What a service manager hands to what it starts: a socket that listens, and where to say "ready".

sd_listen_fds(3) and sd_notify(3), by hand: two variables and one datagram.
"""

from __future__ import annotations

import _socket
import fcntl
import os

from llmenv_hooks.helper.files import close_quietly
from llmenv_hooks.helper.services import GUARDED, Service

FIRST_FD = 3  # SD_LISTEN_FDS_START


def handed_socket(service: Service) -> int | None:
    """Return the descriptor that listens where *service* is bound, or None: none was handed over.

    Those that were and are not it are closed, so that nobody waits there for an answer: the
    service was moved since its unit was written, or takes no socket.
    """
    count = os.environ.pop("LISTEN_FDS", "")
    meant = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    found = None
    for fd in range(FIRST_FD, FIRST_FD + int(count)) if meant and count.isdigit() else ():
        if found is None and listens_for(service, fd):
            fcntl.fcntl(fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            found = fd
        else:
            close_quietly(fd)
    return found


def listens_for(service: Service, fd: int) -> bool:
    """True when *fd* is a socket that listens on the address of *service*, which can take one."""
    if service.bridge != GUARDED or not service.bind:
        return False
    try:
        sock = _socket.socket(fileno=fd)
    except OSError:
        return False
    try:
        host, port = sock.getsockname()[:2]
        there = (_socket.inet_pton(sock.family, host), port)
        wanted = (_socket.inet_pton(sock.family, service.host), service.port)
        listens = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN)
        return bool(listens) and there == wanted
    except (OSError, ValueError):  # of another family
        return False
    finally:
        sock.detach()


def notify(*lines: str) -> None:
    """Tell the service manager *lines*, such as READY=1, if one wants to know."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    try:
        # An abstract name begins with NUL, which is written as @.
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        sock.send("\n".join(lines).encode(errors="surrogateescape"))
    except OSError:
        return  # it has gone, or is none of ours
    finally:
        sock.close()
