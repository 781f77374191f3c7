"""Which entries of an agent's file are ours, and the file's text with or without them.

An entry has the service's name.  It is one of two kinds: by connect, with the command that starts
`llmenv connect NAME`, or by HTTP, with the service's URL as it is.  Neither has a variable in it: a
program that was started from a desktop does not see the shell's environment.

An entry under a service's name is ours when it starts `llmenv connect` for it, from wherever.  It
is ours too when it has no key that we do not write (in a file that is all ours it may), and an URL
that is a service's, or is `http`, ends in /mcp, and is on this machine or on a service's host.  An
URL that names one of our variables is ours, and is left as it is.
An entry under another name is ours when it is to the letter what we write for that name, or for a
service (which then had that name before), or for the default service of a time without a config.
Anything else is somebody's own and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from llmenv_hooks.agents import launcher
from llmenv_hooks.agents.formats import Unreadable
from llmenv_hooks.helper.services import DEFAULT_BIND, DEFAULT_NAME

if TYPE_CHECKING:
    from llmenv_hooks.agents.agent import Agent
    from llmenv_hooks.helper.configs import Config

# What an agent's file has of a service (`presence`).  The first two are also the kinds of entries.
CONNECT, HTTP = "yes (connect)", "yes (HTTP)"
NONE, OLD_PATH, OLD_URL, ANOTHER = "no", "old path", "old URL", "another server"
OUTDATED = (OLD_PATH, OLD_URL)


class Server(NamedTuple):
    """A service as agents are told of it.

    *url* is "" for one that only `connect` can reach.  One that is *shared*, by `llmenv share`, is
    for the agents that had it: none is missing in another's file, and it is not ours to take out.
    """

    name: str
    url: str
    argv: list[str]
    shared: bool = False


def servers(
    config: Config, agent: Agent, in_project: bool, shared: Collection[str] = frozenset()
) -> list[Server]:
    """Return the services of *config* for a file of *agent*'s: the user's, or one *in_project*.

    *shared* are the names of those that `llmenv share` has made.
    """
    command = launcher.project_command if in_project else launcher.user_command
    return [
        # What it wants in its headers may be a secret, and only `connect` knows where that is.
        Server(
            service.name,
            config.url(service) if agent.url_key and not service.headers else "",
            command(service.name),
            service.name in shared,
        )
        for service in config.services
    ]


def presence(agent: Agent, entry: object, server: Server, known: Sequence[Server]) -> str:
    """Return what *entry* has of *server*, one of the *known*: CONNECT, HTTP, NONE, OLD_PATH ..."""
    if not isinstance(entry, Mapping):
        return NONE if entry is None else ANOTHER
    if words := agent.command_of(entry):
        if not launcher.is_connect(words, server.name):
            return ANOTHER
        by_name = words == launcher.project_command(server.name)
        return CONNECT if by_name or launcher.runs(words) else OLD_PATH
    url = _url(agent, entry, known)
    if url and (url == server.url or _follows_variable(agent, entry)):
        return HTTP
    return OLD_URL if url and not _foreign(agent, entry) else ANOTHER


def is_stale(agent: Agent, name: str, entry: object, known: Sequence[Server]) -> bool:
    """Say whether *entry* is ours, under a *name* that none of the *known* has any more."""
    if not isinstance(entry, Mapping) or any(name == server.name for server in known):
        return False
    words = agent.command_of(entry)
    if words and launcher.is_connect(words, name):
        return not _more(agent, entry)
    urls = [server.url for server in known]
    if name == DEFAULT_NAME:
        urls.append(f"http://{DEFAULT_BIND}/mcp")
    return any(dict(entry) == agent.by_url(url) for url in urls if url)


def outdated(agent: Agent, entries: Mapping[str, Any], known: Sequence[Server]) -> list[str]:
    """Return what of *entries*, all of a file, is ours and not as it would be now: "NAME: why".

    A server that is missing counts where others of ours are, unless it is a shared one.
    """
    found = {one.name: presence(agent, entries.get(one.name), one, known) for one in known}
    ours = {found[one.name] for one in known if not one.shared}
    missing = not ours.isdisjoint({CONNECT, HTTP, *OUTDATED})
    old = [
        f"{one.name}: {found[one.name]}"
        for one in known
        if found[one.name] in OUTDATED or (missing and not one.shared and found[one.name] == NONE)
    ]
    stale = [name for name, entry in entries.items() if is_stale(agent, name, entry, known)]
    return old + [f"{name}: no service any more" for name in stale]


def merged(agent: Agent, text: str | None, known: Sequence[Server], kind: str = "") -> str:
    """Return *text*, a file of *agent*'s or None for none, with all *known* servers in it.

    Each is of *kind*, CONNECT or HTTP; if that is "", those that are there stay what they are, and
    new ones become what the others are, but for the shared ones, which stay where they are.

    Raises:
        Unreadable: *text* is broken, or has an entry of a server's name that is not ours.
    """
    text = _dropped(agent, text, lambda name, entry: is_stale(agent, name, entry, known))
    entries = agent.entries(text or "")[1]
    found = {one.name: presence(agent, entries.get(one.name), one, known) for one in known}
    known = [
        one for one in known if kind or not (one.shared and found[one.name] in (NONE, ANOTHER))
    ]
    for server in known:
        if found[server.name] == ANOTHER:
            raise _refusal(agent, server.name, entries[server.name], known)
    usual = kind or (HTTP if HTTP in found.values() else CONNECT)
    due = [one for one in known if kind or found[one.name] in OUTDATED]
    anew = {one.name for one in due if _is_anew(agent, entries.get(one.name), one, kind)}
    text = _dropped(agent, text, lambda name, _: name in anew)
    for server in known:
        keys, entries = agent.entries(text or "")
        path = (*keys, server.name)
        if server.name not in entries:
            by_url = usual == HTTP and bool(server.url)
            entry = agent.by_url(server.url) if by_url else agent.by_command(server.argv)
            text = agent.format.put(text, path, entry)
        elif server in due:
            for key, value in _changed(agent, entries[server.name], server).items():
                text = agent.format.put(text, (*path, key), value)
    return text or ""


def _is_anew(agent: Agent, entry: Any, server: Server, kind: str) -> bool:
    """Say whether *entry*, ours if not None, goes and comes back in another form."""
    if entry is None or _more(agent, entry) or _follows_variable(agent, entry):
        return False
    by_command = bool(agent.command_of(entry))
    asked = kind if server.url else CONNECT
    if asked and by_command != (asked == CONNECT):
        return True
    # A list would not be laid out as it was, and then not be taken out to the byte.
    return any(isinstance(value, list) for value in _changed(agent, entry, server).values())


def _changed(agent: Agent, entry: Mapping[str, Any], server: Server) -> dict[str, Any]:
    """Return what in *entry*, ours, is to have another value: by its key."""
    if _follows_variable(agent, entry):
        return {}
    if agent.command_of(entry):
        wanted, ours = agent.by_command(server.argv), [agent.command_key, "args"]
    else:
        wanted, ours = agent.by_url(server.url), [agent.url_key]
    return {key: wanted[key] for key in ours if key in wanted and entry.get(key) != wanted[key]}


def _follows_variable(agent: Agent, entry: Mapping[str, Any]) -> bool:
    return "LLMENV_" in str(entry.get(agent.url_key, ""))


def removed(agent: Agent, text: str | None, known: Sequence[Server]) -> str | None:
    """Return *text* without the *known* servers; None when nothing but them made the file.

    Those that are shared stay: `llmenv share --undo` gives the agent its own back.

    Raises:
        Unreadable: *text* is broken, or an entry of ours has more than we write.
    """
    entries = agent.entries(text or "")[1]
    for server in known:
        entry = entries.get(server.name)
        ours = not server.shared and _is_ours(agent, server.name, entry, known)
        if ours and _foreign(agent, entry):
            raise _refusal(agent, server.name, entry, known)
    return without(agent, text, known)


def without(agent: Agent, text: str | None, known: Sequence[Server]) -> str | None:
    """Return *text* without what is ours to the letter; None when nothing else made the file."""
    names = owned(agent, text, known).keys() - {one.name for one in known if one.shared}
    return _dropped(agent, text, lambda name, entry: name in names and not _foreign(agent, entry))


def owned(agent: Agent, text: str | None, known: Sequence[Server]) -> dict[str, Any]:
    """Return the entries in *text* that are ours, by their names."""
    names = {server.name for server in known}
    return {
        name: entry
        for name, entry in agent.entries(text or "")[1].items()
        if (name in names and _is_ours(agent, name, entry, known))
        or is_stale(agent, name, entry, known)
    }


def _is_ours(agent: Agent, name: str, entry: object, known: Sequence[Server]) -> bool:
    if not isinstance(entry, Mapping):
        return False
    words = agent.command_of(entry)
    return launcher.is_connect(words, name) if words else bool(_url(agent, entry, known))


def _url(agent: Agent, entry: Mapping[str, Any], known: Sequence[Server]) -> str:
    """Return the URL of ours that *entry* has, or ""."""
    url = entry.get(agent.url_key)
    if not isinstance(url, str):
        return ""
    urls = {server.url for server in known if server.url}
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.hostname or ""
    here = host.startswith("127.") or host in {"localhost", "::1", *map(_host, urls)}
    like_ours = here and parts.scheme == "http" and parts.path.rstrip("/").endswith("/mcp")
    return str(url) if "LLMENV_" in url or url in urls or like_ours else ""


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _more(agent: Agent, entry: Mapping[str, Any]) -> list[str]:
    """Return the keys of *entry* that we do not write, or write with another value."""
    if agent.command_of(entry):
        usual, ours = agent.stdio, {agent.command_key, *([] if agent.one_list else ["args"])}
    else:
        usual, ours = agent.extra, {agent.url_key}
    return [key for key, value in entry.items() if key not in ours and usual.get(key) != value]


def _foreign(agent: Agent, entry: Any) -> list[str]:
    """Return `_more`, but [] for a file that is all ours."""
    return [] if agent.private else _more(agent, entry)


def _dropped(agent: Agent, text: str | None, ours: Callable[[str, Any], bool]) -> str | None:
    """Return *text* without the entries that are *ours*, the last one first, as they were put."""
    keys, entries = agent.entries(text or "")
    for name in reversed([name for name, entry in entries.items() if ours(name, entry)]):
        if text is not None:
            text = agent.format.drop(text, (*keys, name))
    return text


def _refusal(agent: Agent, name: str, entry: Any, known: Sequence[Server]) -> Unreadable:
    if not _is_ours(agent, name, entry, known):
        return Unreadable(f"{name} in it is another server: rename that or the service")
    more = ", ".join(_foreign(agent, entry))
    return Unreadable(f"{name} in it is not as llmenv writes it ({more}): edit that by hand")
