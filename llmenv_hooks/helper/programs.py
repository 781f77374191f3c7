"""What is run: programs on PATH, what stands in a command, and a daemon's environment."""

from __future__ import annotations

import os
import stat
import sys

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.services import Service

# What the daemon gets of the environment of whichever shell happened to be first.
KEPT_ENVIRONMENT = frozenset(
    "HOME PATH USER LOGNAME SHELL LANG LANGUAGE TZ TMPDIR SSH_AUTH_SOCK SSL_CERT_FILE SSL_CERT_DIR"
    " HTTP_PROXY HTTPS_PROXY NO_PROXY ALL_PROXY http_proxy https_proxy no_proxy all_proxy"
    " HF_HOME UV_CACHE_DIR UV_DEFAULT_INDEX UV_INDEX_URL UV_TOOL_DIR UV_TOOL_BIN_DIR".split()
)
KEPT_PREFIXES = ("LC_", "XDG_", "ICM_")


def is_executable(path: str) -> bool:
    """True when *path* is a regular file that we may execute (the seed's: any x bit)."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and os.access(path, os.X_OK)
    except (OSError, ValueError):
        return False


def which(program: str) -> str | None:
    """Return the absolute path that *program* means, or None.

    Only absolute entries of PATH count, so that no project directory can slip in a program.
    """
    if os.path.isabs(program):
        return program if is_executable(program) else None
    if "/" in program:
        return None
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        if os.path.isabs(directory):
            candidate = os.path.join(directory, program)
            if is_executable(candidate):
                return candidate
    return None


def on_path(program: str) -> bool:
    """True when *program* names an executable file in an absolute directory on PATH."""
    return which(program) is not None


def mcp_proxy_command() -> tuple[str, list[str]]:
    """Return mcp-proxy's absolute path and leading arguments; `uvx mcp-proxy` is the fallback.

    An mcp-proxy beside this interpreter (the extra `proxy`) counts as installed.

    Raises:
        Problem: neither is there.
    """
    proxy = which("mcp-proxy")
    beside = os.path.join(os.path.dirname(sys.executable or "/"), "mcp-proxy")
    if proxy is None and is_executable(beside):
        proxy = beside
    if proxy is not None:
        return proxy, []
    uvx = which("uvx")
    if uvx is not None:
        return uvx, ["mcp-proxy"]
    raise Problem("neither mcp-proxy nor uvx is on PATH; install one, e.g. pipx install mcp-proxy")


def expanded(service: Service) -> Service:
    """Return *service* with what `~` and `${NAME}` stand for in its command, cwd and env.

    Done when it is started, and not when the config is read: a variable that one shell lacks then
    concerns this one service, and only where it has to be started.

    Raises:
        Problem: a variable is not set, or the cwd is then not absolute.
    """
    cwd = _expand(service.cwd)
    if not os.path.isabs(cwd):
        raise Problem(f"its cwd {printable(service.cwd, 100)} is no absolute path")
    command = [_expand(word) for word in service.command]
    env = {name: _expand(value) for name, value in service.env.items()}
    meant = service.but(command=command, env=env, cwd=cwd)
    meant.digest = service.digest  # whatever the variables are in each shell, it is this service
    return meant


def expanded_headers(service: Service) -> dict[str, str]:
    """Return the headers of *service* with what `${NAME}` stands for in them.

    Raises:
        Problem: a variable is not set, or holds what no header can have.
    """
    try:
        headers = {name: _expand(value) for name, value in service.headers.items()}
    except Problem as problem:
        raise Problem(f"{service.name}: {problem}") from None
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise Problem(f"{service.name}: the header {name} has more than visible ASCII")
    return headers


def _references(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Split *text* at each ${NAME}: what comes first, then each NAME with what follows it.

    `$${` stands for `${`.  A NAME that is not closed is none, and comes back empty.
    """
    first, *parts = text.replace("$${", "$\0").split("${")
    pairs = []
    for part in parts:
        name, brace, rest = part.partition("}")
        pairs.append((name if brace else "", rest.replace("$\0", "${")))
    return first.replace("$\0", "${"), pairs


def expandable(text: str) -> bool:
    """True when each `${` in *text* begins a ${NAME} that can be a variable's."""
    return all(name.isascii() and name.isidentifier() for name, _ in _references(text)[1])


def _expand(text: str) -> str:
    """Replace a leading ~/, and each ${NAME}; `$${` stands for `${`, all else for itself."""
    if text == "~" or text.startswith("~/"):
        text = "${HOME}" + text[1:]
    done, pairs = _references(text)
    for name, rest in pairs:
        if name not in os.environ:
            raise Problem(f"${{{printable(name, 60)}}} in the config is not set in this shell")
        done += os.environ[name] + rest
    return done


def program_path(service: Service) -> str:
    """Return the absolute path of the program that *service*, which is `expanded`, runs.

    Raises:
        Problem: it is not there.
    """
    program = which(service.command[0])
    if program is None:
        raise Problem(
            f"{printable(service.command[0], 100)} is not an executable file, nor one on PATH;"
            " install it, or name another command for this service in the config"
        )
    return program


def daemon_environment(service: Service) -> dict[str, str]:
    """Return what the daemon of *service*, which is `expanded`, gets of our environment."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key in KEPT_ENVIRONMENT or key.startswith(KEPT_PREFIXES)
    }
    entries = kept.get("PATH", os.defpath).split(os.pathsep)
    kept["PATH"] = os.pathsep.join(entry for entry in entries if os.path.isabs(entry))
    return {**kept, **service.env}
