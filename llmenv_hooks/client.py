"""`llmenv client`: the configuration by which each coding agent uses the services.

An entry has the service's name and its URL as it is, with no variable in its place: a program that
was started from a desktop does not see the shell's environment.  After a change of port `--write`
brings an agent up to date, or all that have an entry.

What is changed or removed must be ours: of a service's name, with no key that we do not write, and
with an URL that is `http`, ends in /mcp and is on this machine or on a service's host, or names one
of our variables (which it is left to follow).  Under another name it is ours when it is to the
letter what we write for a service, which then had that name before, or for the default one without
a config.  Anything else is somebody's own and left alone.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from llmenv_hooks import ensure, tables, userfile
from llmenv_hooks.ensure import Config, Problem, UsageError, printable
from llmenv_hooks.formats import JSON, TOML, YAML, Format, Unreadable


@dataclass(frozen=True)
class Agent:
    """One coding agent, and how it wants to be told of a server.

    *user* is its file, `${VARIABLE:-else}` as in a shell; *mac* the one on macOS, where that is
    another; *project* the one in a project, if there is.  *keys* lead to the table of servers; an
    entry in it is *extra* and the URL at *url_key*.  *private* says that all in the file is ours.
    """

    title: str
    documented: str
    user: str
    project: str
    keys: tuple[str, ...]
    extra: dict[str, str] = field(default_factory=dict)
    url_key: str = "url"
    format: Format = JSON
    mac: str = ""
    private: bool = False

    def path(self, in_project: bool) -> str:
        """Return the file to edit, an absolute path.

        Raises:
            UsageError: the agent has no file in a project.
            Problem: there is no home, or no directory that this runs in.
        """
        if in_project and not self.project:
            raise UsageError(f"{self.title} has no configuration in a project")
        user = self.mac if self.mac and sys.platform == "darwin" else self.user
        path = os.path.join(_here(), self.project) if in_project else _expanded(user)
        if self.title == "opencode" and not os.path.lexists(path) and os.path.lexists(path + "c"):
            return path + "c"  # it reads .jsonc as well
        return path

    def entries(self, text: str) -> tuple[tuple[str, ...], Mapping[str, Any]]:
        """Return the keys that lead to the servers in *text*, and the servers.

        Raises:
            Unreadable: *text* is broken, or has something else where the servers belong.
        """
        table: Any = {"": self.format.read(text)}
        for key in ("", *self.keys):
            table = table.get(key, {})
            if not isinstance(table, Mapping):
                raise Unreadable(f"{key or 'what it holds'} is no table of servers")
        # opencode 2 has them one level down, and reads the shape of version 1 where that is not.
        newer = table.get("servers") if self.title == "opencode" else None
        if isinstance(newer, Mapping) and "type" not in newer:
            return (*self.keys, "servers"), newer
        return self.keys, table


def _expanded(path: str) -> str:
    """Return *path* with its ${VARIABLE:-else}, which counts when absolute, and ~ replaced."""

    def value(found: re.Match[str]) -> str:
        named = os.environ.get(found[1], "")
        return named if os.path.isabs(named) else found[2]

    path = re.sub(r"\$\{(\w+):-(.*?)\}", value, path)
    return path if os.path.isabs(path) else userfile.home() + path.removeprefix("~")


def _here() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise Problem("the directory that you are in was deleted; go to another first") from None


# The variables are documented, or else read in the agent's source as named.
AGENTS = {
    "claude": Agent(
        "Claude Code",
        "https://code.claude.com/docs/en/mcp",
        "${CLAUDE_CONFIG_DIR:-~}/.claude.json",  # https://code.claude.com/docs/en/settings
        ".mcp.json",
        ("mcpServers",),
        {"type": "http"},
    ),
    "codex": Agent(
        "Codex CLI",
        "https://developers.openai.com/codex/mcp",
        "${CODEX_HOME:-~/.codex}/config.toml",
        ".codex/config.toml",
        ("mcp_servers",),
        format=TOML,
    ),
    "gemini": Agent(
        "Gemini CLI",
        "https://github.com/google-gemini/gemini-cli/blob/main/docs/tools/mcp-server.md",
        "${GEMINI_CLI_HOME:-~}/.gemini/settings.json",  # packages/core/src/utils/paths.ts
        ".gemini/settings.json",
        ("mcpServers",),
        {"type": "http"},
    ),
    "cursor": Agent(
        "Cursor",
        "https://cursor.com/docs/mcp",
        "~/.cursor/mcp.json",
        ".cursor/mcp.json",
        ("mcpServers",),
    ),
    "vscode": Agent(
        "VS Code",
        "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
        # src/vs/platform/environment/node/userDataPath.ts
        "${XDG_CONFIG_HOME:-~/.config}/Code/User/mcp.json",
        ".vscode/mcp.json",
        ("servers",),
        {"type": "http"},
        mac="~/Library/Application Support/Code/User/mcp.json",
    ),
    "windsurf": Agent(
        "Windsurf",
        "https://docs.windsurf.com/windsurf/cascade/mcp",
        "~/.codeium/windsurf/mcp_config.json",
        "",
        ("mcpServers",),
        url_key="serverUrl",
    ),
    "zed": Agent(
        "Zed",
        "https://zed.dev/docs/ai/mcp",
        "${XDG_CONFIG_HOME:-~/.config}/zed/settings.json",  # https://zed.dev/docs/configuring-zed
        ".zed/settings.json",
        ("context_servers",),
        mac="~/.config/zed/settings.json",
    ),
    "opencode": Agent(
        "opencode",
        "https://opencode.ai/docs/mcp-servers",
        "${XDG_CONFIG_HOME:-~/.config}/opencode/opencode.json",  # https://opencode.ai/docs/config
        "opencode.json",
        ("mcp",),
        {"type": "remote"},
    ),
    "continue": Agent(
        "Continue",
        "https://docs.continue.dev/customize/deep-dives/mcp",
        "${CONTINUE_GLOBAL_DIR:-~/.continue}/mcpServers/llmenv.yaml",  # core/util/paths.ts
        ".continue/mcpServers/llmenv.yaml",
        (),
        {"type": "streamable-http"},
        format=YAML,
        private=True,
    ),
}


def _is_ours(url: object, config: Config) -> bool:
    if not isinstance(url, str) or "LLMENV_" in url:
        return isinstance(url, str)
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    host = parts.hostname or ""
    hosts = {urlsplit(config.url(service)).hostname for service in config.services}
    here = host.startswith("127.") or host in {"localhost", "::1", *hosts}
    return here and parts.scheme == "http" and parts.path.rstrip("/").endswith("/mcp")


def _url(agent: Agent, entry: object, config: Config) -> str:
    """Return the URL of ours that *entry* has, or ""."""
    url = entry.get(agent.url_key) if isinstance(entry, Mapping) else None
    return str(url) if _is_ours(url, config) else ""


def _foreign(agent: Agent, entry: Any) -> list[str]:
    """Return the keys of *entry*, which has an URL of ours, that we do not write, or not so."""
    if agent.private:
        return []
    return [k for k, v in entry.items() if k != agent.url_key and agent.extra.get(k) != v]


def _state(agent: Agent, entry: object, url: str, config: Config) -> str:
    if entry is None:
        return "no"
    found = _url(agent, entry, config)
    if found == url or "LLMENV_" in found:
        return "yes"
    return "old URL" if found and not _foreign(agent, entry) else "another server"


def _stale(agent: Agent, name: str, entry: object, config: Config) -> bool:
    """True when *entry* is ours but for its *name*, which is not a service's any more."""
    if not isinstance(entry, Mapping) or any(name == one.name for one in config.services):
        return False
    urls = [config.url(service) for service in config.services]
    if name == ensure.DEFAULT_NAME:
        urls.append(f"http://{ensure.DEFAULT_BIND}/mcp")
    return any(dict(entry) == {**agent.extra, agent.url_key: url} for url in urls)


def merged(agent: Agent, text: str | None, config: Config) -> str:
    """Return *text*, a file of *agent*'s or None for none, with all services of *config* in it.

    Raises:
        Unreadable: *text* is broken, or has an entry of a service's name that is not ours.
    """
    text = _dropped(agent, text, lambda name, entry: _stale(agent, name, entry, config))
    for service in config.services:
        url = config.url(service)
        keys, entries = agent.entries(text or "")
        entry = entries.get(service.name)
        state = _state(agent, entry, url, config)
        if state == "another server":
            raise _refusal(agent, service.name, entry, config)
        if state == "no":
            entry = {**agent.extra, agent.url_key: url}
            text = agent.format.put(text, (*keys, service.name), entry)
        elif state == "old URL":
            text = agent.format.put(text, (*keys, service.name, agent.url_key), url)
    return text or ""


def removed(agent: Agent, text: str | None, config: Config) -> str | None:
    """Return *text* without the services of *config*; None when nothing but them made the file.

    Raises:
        Unreadable: *text* is broken, or an entry with an URL of ours has more than we write.
    """
    entries = agent.entries(text or "")[1]
    for service in config.services:
        entry = entries.get(service.name)
        if _url(agent, entry, config) and _foreign(agent, entry):
            raise _refusal(agent, service.name, entry, config)
    return _without(agent, text, config)


def _without(agent: Agent, text: str | None, config: Config) -> str | None:
    names = {service.name for service in config.services}

    def ours(name: str, entry: Any) -> bool:
        if name in names:
            return bool(_url(agent, entry, config)) and not _foreign(agent, entry)
        return _stale(agent, name, entry, config)

    return _dropped(agent, text, ours)


def _dropped(agent: Agent, text: str | None, ours: Callable[[str, Any], bool]) -> str | None:
    """Return *text* without the entries that are *ours*; what was put last goes first."""
    keys, entries = agent.entries(text or "")
    for name in reversed([name for name, entry in entries.items() if ours(name, entry)]):
        if text is not None:
            text = agent.format.drop(text, (*keys, name))
    return text


def _refusal(agent: Agent, name: str, entry: Any, config: Config) -> Unreadable:
    if not _url(agent, entry, config):
        return Unreadable(f"{name} in it is another server: rename that or the service")
    more = ", ".join(_foreign(agent, entry))
    return Unreadable(f"{name} in it is not as llmenv writes it ({more}): edit that by hand")


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Turn what is wrong with the text of *path* into a Problem that names it."""
    try:
        yield
    except Unreadable as error:
        what = printable(str(error))
        raise Problem(f"{printable(path)}{error.place}: {what}; nothing was changed") from None
    except UnicodeDecodeError as error:
        what = f"byte {error.start} is no UTF-8"
        raise Problem(f"{printable(path)}: {what}; nothing was changed") from None


def _decoded(content: bytes | None) -> tuple[bytes, str | None]:
    """Return the byte order mark of *content*, if it has one, and its text."""
    mark = codecs.BOM_UTF8 if (content or b"").startswith(codecs.BOM_UTF8) else b""
    return mark, None if content is None else content.removeprefix(mark).decode()


def client(
    agent: Annotated[
        str | None,
        typer.Argument(metavar="AGENT", help=", ".join(AGENTS), autocompletion=lambda: [*AGENTS]),
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Merge it into the agent's file.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take it out of the agent's file again.")
    ] = False,
    project: Annotated[
        bool, typer.Option("--project", help="Use the file of the project in this directory.")
    ] = False,
) -> None:
    """Print the configuration by which an agent uses the services.

    Without AGENT: the agents, their files, and whether the services are in them. --write then
    brings every file up to date that has an old URL.
    """
    if write and remove:
        raise UsageError("--write and --remove exclude each other")
    if agent is None:
        if remove:
            raise UsageError(f"which agent? there is: {', '.join(AGENTS)}")
        (_update if write else _print_agents)(ensure.load_config(), project)
        return
    if agent not in AGENTS:
        raise UsageError(f"no agent {printable(agent, 80)!r}; there is: {', '.join(AGENTS)}")
    row = AGENTS[agent]
    path = row.path(project)
    if write or remove:
        _edit(path, row, removed if remove else merged, ensure.load_config())
    else:
        print(merged(row, None, ensure.load_config()), end="")
        again = f"llmenv client {agent} --write{' --project' * project}"
        print(f"llmenv: goes into {printable(path)}; {again} merges it", file=sys.stderr)


def _edit(
    path: str,
    agent: Agent,
    change: Callable[[Agent, str | None, Config], str | None],
    config: Config,
) -> None:
    old = userfile.load(path)
    with _naming(path):
        mark, text = _decoded(old)
        changed, original = change(agent, text, config), _without(agent, text, config)
    new, original_bytes = (
        None if one is None else mark + one.encode() for one in (changed, original)
    )
    if new == old:
        state = "has nothing of ours" if change is removed else "is up to date"
        print(f"{printable(path)} {state}; nothing was changed")
        return
    backup = userfile.replace(path, old, new, original=original_bytes, mode=0o600)
    print(userfile.diff(path, old, new), end="")
    kept = f" (backup: {printable(backup)})" if backup else ""
    print(f"{'removed' if new is None else 'wrote'} {printable(path)}{kept}")


def _update(config: Config, in_project: bool) -> None:
    """Write each file that has an old entry of ours; one that cannot be does not keep the others.

    The exit status is 1 then.
    """
    found = failed = False
    for path, agent in _files(in_project).values():
        try:
            entries = _entries(path, agent)
            if _outdated(agent, entries, config):
                found = True
                _edit(path, agent, merged, config)
        except Problem as problem:
            print(f"llmenv: {problem}", file=sys.stderr)
            failed = True
    if failed:
        raise typer.Exit(1)
    if not found:
        print("no agent has an old URL of ours; nothing was changed")


def _outdated(agent: Agent, entries: Mapping[str, Any], config: Config) -> bool:
    states = (_state(agent, entries.get(s.name), config.url(s), config) for s in config.services)
    stale = (_stale(agent, name, entry, config) for name, entry in entries.items())
    return "old URL" in states or any(stale)


def _files(in_project: bool) -> dict[str, tuple[str, Agent]]:
    return {
        name: (agent.path(in_project), agent)
        for name, agent in AGENTS.items()
        if agent.project or not in_project
    }


def _entries(path: str, agent: Agent) -> Mapping[str, Any]:
    with _naming(path):
        return agent.entries(_decoded(userfile.load(path))[1] or "")[1]


def _print_agents(config: Config, in_project: bool) -> None:
    table = tables.new("agent", "file", "has our servers")
    for name, (path, agent) in _files(in_project).items():
        table.add_row(name, printable(path), _summary(path, agent, config))
    tables.show(table, whole=True)


def _summary(path: str, agent: Agent, config: Config) -> str:
    try:
        entries = _entries(path, agent)
    except Problem as problem:
        return str(problem).removesuffix("; nothing was changed")
    states = {
        service.name: _state(agent, entries.get(service.name), config.url(service), config)
        for service in config.services
    }
    if len(set(states.values())) == 1:
        return next(iter(states.values()))
    return ", ".join(f"{name}: {state}" for name, state in states.items())
