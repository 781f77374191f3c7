"""NAME.sock: where the bridge's unix socket really lies, and one call to it.

unix(7): a socket's path has room for about 100 bytes.  Where the state directory is deeper, the
socket lies in a directory of ours under $XDG_RUNTIME_DIR or /tmp, and NAME.sock is a link to it.
"""

from __future__ import annotations

import _socket
import os

from llmenv_hooks.helper.checksums import checksum
from llmenv_hooks.helper.directories import make_directory, ours_alone
from llmenv_hooks.helper.files import link_target, make_link
from llmenv_hooks.helper.places import Files, runtime_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_PATH_BYTES = 100
MOST_ANSWER_BYTES = 1 << 20
ANSWER_S = 2.0
TAKEN_S = 0.25  # for a connection to be taken


def socket_path(files: Files) -> str:
    """Return the path to bind or to connect to; it need not exist."""
    if _fits(files.sock):
        return files.sock
    target = link_target(files.sock)
    if target and ours_alone(os.path.dirname(target)):
        return target
    return os.path.join(_short_directory(), f"{checksum([files.sock])}.sock")


def prepare_socket(files: Files) -> None:
    """Make what the socket needs: its directory, and the link to it, where it lies elsewhere.

    Raises:
        Problem: the directory is not ours alone.
        OSError: the link cannot be made.
    """
    path = socket_path(files)
    if path != files.sock:
        make_directory(os.path.dirname(path))
        make_link(path, files.sock)


def connected(path: str, seconds: float) -> _socket.socket:
    """Return a connection to the socket at *path*, taken and used within *seconds* each.

    Raises:
        OSError: nobody takes it.
    """
    sock = _socket.socket(_socket.AF_UNIX)
    try:
        sock.settimeout(seconds)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def bridge_listens(files: Files) -> bool:
    """True when the bridge has its socket open."""
    try:
        connected(socket_path(files), TAKEN_S).close()
    except OSError:
        return False
    return True


def ask_bridge(
    files: Files, method: str = "llmenv/status", params: dict[str, str] | None = None
) -> dict[str, Any] | None:
    """Return what the bridge answers to *method*, or None: it does not answer."""
    import json

    try:
        sock = connected(socket_path(files), ANSWER_S)
    except OSError:
        return None
    try:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        sock.sendall(json.dumps(asked).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n") and len(answer) < MOST_ANSWER_BYTES:
            chunk = sock.recv(65536)
            if not chunk:
                break
            answer += chunk
        told: dict[str, Any] = json.loads(answer)["result"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    finally:
        sock.close()
    return told


def _fits(path: str) -> bool:
    return len(os.fsencode(path)) + len(".new") <= MOST_PATH_BYTES


def _short_directory() -> str:
    runtime = runtime_directory()
    if runtime and _fits(os.path.join(runtime, "12345678.sock")):
        return runtime
    return f"/tmp/llmenv-{os.getuid()}/llmenv"
