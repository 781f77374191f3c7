"""What a daemon gets of the environment of whichever shell happened to be first.

No secrets; and no path that may be gone when that shell is, as that of nix-shell's TMPDIR, of fnm's
directory on PATH, or of a program that was mounted for one run.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.services import Service

KEPT_ENVIRONMENT = frozenset(
    "HOME PATH USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR SSH_AUTH_SOCK SSL_CERT_FILE SSL_CERT_DIR"
    " HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy"
    " HF_HOME UV_CACHE_DIR UV_DEFAULT_INDEX UV_INDEX_URL UV_TOOL_DIR UV_TOOL_BIN_DIR".split()
)
KEPT_PREFIXES = ("LC_", "XDG_", "ICM_")
# The user's own places, wherever they lie, and a socket that lies in a temporary one by its nature.
KEPT_ANYWHERE = frozenset({"HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"})


def daemon_environment(service: Service) -> dict[str, str]:
    """Return what the daemon of *service*, which is `expanded`, gets of our environment."""
    kept = {}
    for key, value in os.environ.items():
        if key in KEPT_ENVIRONMENT or key.startswith(KEPT_PREFIXES):
            meant = value if key in KEPT_ANYWHERE else _lasting(value, own=key != "TMPDIR")
            if meant or not value:
                kept[key] = meant
    entries = kept.get("PATH", os.defpath).split(os.pathsep)
    kept["PATH"] = os.pathsep.join(entry for entry in entries if os.path.isabs(entry))
    return {**kept, **service.env}


def _lasting(value: str, *, own: bool) -> str:
    """Return *value* without the paths in it that may die with the shell.

    A link in such a place stands for what it leads to, if that lasts.  *own*: what lies beside the
    home or the state lasts as long as those do, wherever they are.
    """
    kept = []
    for path in value.split(os.pathsep):
        meant = os.path.realpath(path) if _may_die(path, own) else path
        if not _may_die(meant, own):
            kept.append(meant)
    return os.pathsep.join(kept)


def _may_die(path: str, own: bool) -> bool:
    """True when *path*, or the directory of a file, lies in a temporary place, and is none."""
    directory = os.path.dirname(path) if os.path.isfile(path) else os.path.normpath(path)
    home, state = (os.path.normpath(os.environ.get(one, "")) for one in ("HOME", "XDG_STATE_HOME"))
    places = _temporary_places() - {home}
    if directory in places:
        return False
    for place in places:
        below = _first_below(place, directory)
        beside_ours = below in (_first_below(place, home), _first_below(place, state))
        if below and not (own and beside_ours):
            return True
    return False


def _temporary_places() -> set[str]:
    """Return the directories, absolute, in which programs make others for a while."""
    places = ["/tmp", "/var/tmp", "/dev/shm", f"/run/user/{os.getuid()}"]
    places.append(os.environ.get("XDG_RUNTIME_DIR", ""))
    if hasattr(os, "confstr") and "CS_DARWIN_USER_TEMP_DIR" in os.confstr_names:
        places.append(os.confstr("CS_DARWIN_USER_TEMP_DIR") or "")
    known = {os.path.normpath(place) for place in places if os.path.isabs(place)}
    return known | {os.path.realpath(place) for place in known}


def _first_below(place: str, path: str) -> str:
    """Return the name of what lies in the directory *place* on the way to *path*; "" for none."""
    return path[len(place) :].split("/")[1] if path.startswith(place + "/") else ""
