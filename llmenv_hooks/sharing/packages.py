"""What the command of a server runs: which package, and with which arguments of its own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

# What comes before the package, and which options there are followed by a word of their own.
# https://docs.npmjs.com/cli/commands/npx, https://docs.astral.sh/uv/reference/cli/,
# https://pipx.pypa.io/stable/reference/cli/, https://docs.docker.com/reference/cli/docker/container/run/
_LAUNCHERS: dict[tuple[str, ...], set[str]] = {
    ("npx",): {"-p", "--package", "-c", "--call", "-w", "--workspace"},
    ("npm", "exec"): {"-p", "--package", "-c", "--call", "-w", "--workspace"},
    ("pnpm", "dlx"): {"--package"},
    ("yarn", "dlx"): {"-p", "--package"},
    ("bunx",): {"-p", "--package"},
    ("bun", "x"): {"-p", "--package"},
    ("uvx",): {"--from", "-p", "--python", "--with", "--with-editable", "--index-url"},
    ("uv", "tool", "run"): {"--from", "-p", "--python", "--with", "--with-editable", "--index-url"},
    ("pipx", "run"): {"--spec", "--python", "--pip-args"},
}
_CONTAINERS = ("docker", "podman", "nerdctl")
_CONTAINER_FLAGS = {"-i", "-t", "-it", "-ti", "-d", "--rm", "--init", "--interactive", "--tty"}
_CONTAINER_FLAGS |= {"--privileged", "--read-only"}
_UV_RUN = {"--directory", "--project", "--with", "-p", "--python", "--extra", "--env-file"}
_NAMED = ("--from", "-p", "--package", "--spec")  # options that name the package
_INTERPRETERS = re.compile(r"python[\d.]*|node|bun|deno|tsx|ts-node|ruby|perl|bash|sh|zsh")
_SCRIPT = re.compile(r"\.(py|[cm]?[jt]s|sh|rb|pl|jar)$")


class Run(NamedTuple):
    """What a command runs.

    *names* are all that its package goes by; *script* is a file that an interpreter is given, or
    ""; *own* are the server's own arguments.
    """

    names: list[str]
    script: str
    own: list[str]


def run_of(argv: Sequence[str]) -> Run:
    """Return what *argv* runs."""
    words = [os.path.basename(argv[0]).removesuffix(".cmd").removesuffix(".exe"), *argv[1:]]
    if words[0] == "env":
        rest = [word for word in _after(words[1:], {"-u", "--unset"}) if word]
        while rest and "=" in rest[0]:
            rest = rest[1:]
        return run_of(rest) if rest else Run(["env"], "", [])
    for launcher, valued in _LAUNCHERS.items():
        if tuple(words[: len(launcher)]) == launcher:
            return _launched(words[len(launcher) :], valued)
    if words[0] in _CONTAINERS and "run" in words[1:3]:
        return _contained(words[words.index("run") + 1 :])
    if words[:2] == ["uv", "run"]:
        rest = _after(words[2:], _UV_RUN)
        return run_of(rest) if rest else Run(["uv"], "", [])
    if _INTERPRETERS.fullmatch(words[0]) and len(words) > 1:
        return _interpreted(words)
    script = words[0] if _SCRIPT.search(words[0]) else ""
    return Run([_SCRIPT.sub("", words[0])], script, words[1:])


def _launched(words: Sequence[str], valued: set[str]) -> Run:
    named = [words[at + 1] for at, word in enumerate(words[:-1]) if word in _NAMED]
    named += [word.partition("=")[2] for word in words if word.startswith(("--from=", "--spec="))]
    rest = _after(words, valued)
    named += rest[:1]
    return Run([_plain(name) for name in named], "", list(rest[1:]))


def _contained(words: Sequence[str]) -> Run:
    """Take what follows `docker run`: an option there has a word of its own, unless it is known."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        alone = words[at] in _CONTAINER_FLAGS or "=" in words[at]
        at += 1 if alone else 2
    names = [_plain(image) for image in words[at : at + 1]]
    return Run(names, "", [*words[:at], *words[at + 1 :]])  # a mount is an argument, too


def _interpreted(words: Sequence[str]) -> Run:
    if "-m" in words[1:-1] and words[0].startswith("python"):
        at = words.index("-m")
        return Run([words[at + 1]], "", list(words[at + 2 :]))
    rest = _after(words[1:], {"-c", "--import", "--require", "-r", "--loader", "-e", "--eval"})
    rest = rest[1:] if rest[:1] == ["run"] else rest
    if not rest:
        return Run([words[0]], "", list(words[1:]))
    found = re.findall(r"node_modules/((?:@[^/]+/)?[^/]+)", rest[0])
    names = found[-1:] or [_SCRIPT.sub("", os.path.basename(rest[0]))]
    return Run(names, rest[0], list(rest[1:]))


def _after(words: Sequence[str], valued: set[str]) -> list[str]:
    """Return *words* from the first on that is no option, nor the value of one that is *valued*."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in valued else 1
        if words[at - 1] == "--":
            break
    return list(words[at:])


def _plain(name: str) -> str:
    """Return the name of a package without its version, its extras, or where it is fetched from."""
    if "://" in name:  # git+https://github.com/OWNER/NAME.git@REF
        name = name.partition("://")[2].partition("#")[0].rstrip("/").rpartition("/")[2]
        return name.partition("@")[0].removesuffix(".git")
    scope, slash, rest = name.partition("/")
    if name.startswith("@") and slash:
        return f"{scope}/{rest.partition('@')[0]}"
    host, slash, image = name.rpartition("/")  # a host may have a port
    return host + slash + re.split(r"[@:=<>~!\[; ]", image, maxsplit=1)[0]
