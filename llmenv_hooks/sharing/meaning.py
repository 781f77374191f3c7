"""What an agent's entry of a stdio server means, in the words of our config.

Agents spell a variable of the environment in ways of their own; some know none.  What names the
project that an agent is in, or whatever else differs from one agent to the next, has no meaning
that could be shared.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from llmenv_hooks import places
from llmenv_hooks.agents.formats import no_span
from llmenv_hooks.sharing.packages import run_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from llmenv_hooks.agents.agent import Agent


class Spelling(NamedTuple):
    """How an agent spells what it replaces: *any* of it, and with *name* a variable's name."""

    any: re.Pattern[str]
    name: re.Pattern[str]


# https://code.claude.com/docs/en/mcp, "Environment variable expansion"
_SHELL = Spelling(re.compile(r"\$\{[^}]*\}"), re.compile(r"\$\{(\w+)\}"))
# packages/cli/src/utils/envVarResolver.ts of Gemini CLI
_SHELL_AND_BARE = Spelling(re.compile(r"\$\{[^}]*\}|\$\w+"), re.compile(r"\$\{?(\w+)\}?"))
# https://code.visualstudio.com/docs/reference/variables-reference
_EDITOR = Spelling(re.compile(r"\$\{[^}]*\}"), re.compile(r"\$\{env:(\w+)\}"))
# https://opencode.ai/docs/config, "Variables"
_BRACES = Spelling(re.compile(r"\{(?:env|file):[^}]*\}"), re.compile(r"\{env:(\w+)\}"))
_NONE = Spelling(re.compile(r"(?!)"), re.compile(r"(?!)"))
_UNKNOWN = Spelling(re.compile(r"\$\{[^}]*\}|\$\w+|\$\(.*\)"), re.compile(r"(?!)"))
_SPELLINGS = {
    "claude": _SHELL,
    "gemini": _SHELL_AND_BARE,
    "qwen": _SHELL_AND_BARE,
    "cursor": _EDITOR,
    "vscode": _EDITOR,
    "windsurf": _EDITOR,
    "roo": _EDITOR,
    "opencode": _BRACES,
    "kilo": _BRACES,
    "codex": _NONE,
    "zed": _NONE,
}
_ENVIRONMENTS = {"opencode": "environment", "kilo": "environment"}
# What is another in each project, whoever replaces it.
_VARIABLES = "(?:PWD|OLDPWD|CLAUDE_PROJECT_DIR|VIRTUAL_ENV)"
_OF_A_PROJECT = re.compile(
    r"\$\{(?:workspace|project|file|relativeFile|cwd)\w*\b[^}]*\}"
    rf"|\{{(?:env:)?{_VARIABLES}\b[^}}]*\}}|\${_VARIABLES}\b"
)
_RELATIVE = re.compile(r"(?:^|=)\.{1,2}(?:/|$)")
_USER_HOME = "${userHome}"
_ELSEWHERE = ("envFile", "env_file")  # keys that name a file of variables


class Unshareable(Exception):
    """An entry that cannot be shared; the message says why."""


class Meaning(NamedTuple):
    """A server in the words of our config, where ${NAME} is a variable and `$${` is `${`."""

    command: list[str]
    env: dict[str, str]
    cwd: str


def environment_key(name: str) -> str:
    """Return the key of the environment in an entry of the agent *name*."""
    return _ENVIRONMENTS.get(name, "env")


def is_disabled(entry: Mapping[str, Any]) -> bool:
    """Say whether *entry* is one that its agent does not start."""
    return entry.get("enabled") is False or entry.get("disabled") is True


def meaning(name: str, agent: Agent, entry: Mapping[str, Any]) -> Meaning:
    """Return what *entry*, of a stdio server in the file of the agent *name*, means.

    Raises:
        Unshareable: it means something else in each project or agent, or nothing here.
    """
    if agent.format.span is no_span:
        raise Unshareable("llmenv cannot edit an entry in YAML that is not its own")
    for key in _ELSEWHERE:
        if key in entry:
            raise Unshareable(f"it has variables from a file ({key}); write them into its env")
    words = [_meant(name, word) for word in agent.command_of(entry)]
    cwd = entry.get("cwd") or "/"
    if not (isinstance(cwd, str) and os.path.isabs(cwd := _meant(name, cwd))):
        raise Unshareable("its cwd is another in each directory")
    if not words or not words[0]:
        raise Unshareable("llmenv cannot read its command")
    env = _environment(name, entry)
    if "cwd" not in entry:
        _refuse_relative(words)
    if "/" in words[0] and not words[0].startswith(("/", "~/", "${")):
        words[0] = os.path.normpath(os.path.join(cwd, words[0]))
    return Meaning(words, env, cwd)


def _refuse_relative(words: Sequence[str]) -> None:
    """Raise Unshareable where a path in *words* depends on the directory that an agent is in."""
    script = run_of(words).script
    given = [words[0]] if "/" in words[0] else []
    given += [script] if script and "--directory" not in words else []
    relative = [one for one in given if not one.startswith(("/", "~/", "${"))]
    relative += filter(_RELATIVE.search, words[1:])
    if relative:
        raise Unshareable(f"{relative[0]} is another file in each directory; write its whole path")


def _environment(name: str, entry: Mapping[str, Any]) -> dict[str, str]:
    given = entry.get(environment_key(name)) or {}
    texts = isinstance(given, dict) and all(isinstance(one, str) for one in given.values())
    if not texts or any("=" in key or not key for key in given):
        raise Unshareable("its environment is no table of texts")
    env = {str(key): _meant(name, str(value)) for key, value in given.items()}
    # Codex: names of variables that are passed on where they are set.
    for variable in entry.get("env_vars") or []:
        if not isinstance(variable, str):
            raise Unshareable("llmenv cannot read its env_vars")
        if variable in os.environ and variable not in env:
            env[str(variable)] = f"${{{variable}}}"
    return env


def _meant(name: str, text: str) -> str:
    """Return *text* of an entry of the agent *name* in the words of our config."""
    if found := _OF_A_PROJECT.search(text):
        raise Unshareable(f"{found[0].lstrip('$')} in it is another in each project")
    spelling = _SPELLINGS.get(name, _UNKNOWN)
    meant, at = "", 0
    for found in spelling.any.finditer(text):
        meant += _escaped(text[at : found.start()])
        at = found.end()
        variable = spelling.name.fullmatch(found[0])
        if found[0] == _USER_HOME and spelling is _EDITOR:
            meant += _escaped(places.home())
        elif variable is None:
            raise Unshareable(f"{found[0]} in it is what that agent makes of it; write the value")
        elif variable[1] not in os.environ:
            raise Unshareable(
                f"{variable[1]}, which it takes from the environment, is not set here"
            )
        else:
            meant += f"${{{variable[1]}}}"
    return meant + _escaped(text[at:])


def _escaped(text: str) -> str:
    return text.replace("${", "$${")
