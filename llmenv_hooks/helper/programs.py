"""What is run: programs on PATH, what runs a script, and what stands in a command."""

from __future__ import annotations

import os
import stat
import sys

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.services import Service


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


def refuse_dead_script(program: str) -> None:
    """See that what the `#!` line of *program*, an absolute path, names is there, if it has one.

    execve(2) fails with ENOENT otherwise, as if the script itself were missing.

    Raises:
        Problem: it is not.
    """
    interpreter = _interpreter(program)
    if os.path.isabs(interpreter):
        dead = not is_executable(interpreter)
    else:
        dead = bool(interpreter) and which(interpreter) is None
    if dead:
        raise Problem(
            f"cannot run {printable(program)}: its first line names {printable(interpreter, 200)}:"
            " No such file, or it cannot be executed; install that, or the program anew"
        )


def _interpreter(script: str) -> str:
    """Return what the `#!` line of *script* names, through env(1) if it does; "" for none.

    The kernel reads 256 bytes of the line, and env takes options and variables first.
    """
    try:
        with open(script, "rb") as file:
            line = file.read(256).partition(b"\n")[0]
    except OSError:
        return ""
    words = os.fsdecode(line).removeprefix("#!").split()
    if not line.startswith(b"#!") or not words:
        return ""
    if os.path.basename(words[0]) == "env" and is_executable(words[0]):
        meant = (word for word in words[1:] if not word.startswith("-") and "=" not in word)
        return next(meant, words[0])
    return words[0]


def mcp_proxy_command() -> tuple[str, list[str]]:
    """Return mcp-proxy's absolute path and leading arguments; `uvx mcp-proxy` is the fallback.

    An mcp-proxy beside this interpreter counts as installed.

    Raises:
        Problem: neither is there.
    """
    proxy = which("mcp-proxy")
    beside = os.path.join(os.path.dirname(sys.executable or "/"), "mcp-proxy")
    if proxy is None and is_executable(beside):
        proxy = beside
    if proxy is not None:
        refuse_dead_script(proxy)
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
        Problem: it is not there, or what its first line says shall run it is not.
    """
    program = which(service.command[0])
    if program is None:
        raise Problem(
            f"{printable(service.command[0], 100)} is not an executable file, nor one on PATH;"
            " install it, or name another command for this service in the config"
        )
    refuse_dead_script(program)
    return program
