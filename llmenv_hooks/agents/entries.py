"""Which entries of an agent's file are ours, and the file's text with or without them.

An entry has the service's name and its URL as it is, with no variable in its place: a program that
was started from a desktop does not see the shell's environment.

An entry under a service's name is ours when it has no key that we do not write (in a file that is
all ours it may), and an URL that is `http`, ends in /mcp, and is on this machine or on a service's
host.  An URL that names one of our variables is ours too, and is left as it is.
An entry under another name is ours when it is to the letter what we write for a service (which then
had that name before), or for the default service of a time without a config.
Anything else is somebody's own and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llmenv_hooks.agents.formats import Unreadable
from llmenv_hooks.helper.services import DEFAULT_BIND, DEFAULT_NAME

if TYPE_CHECKING:
    from llmenv_hooks.agents.table import Agent
    from llmenv_hooks.helper.configs import Config


def _is_ours(url: object, config: Config) -> bool:
    if not isinstance(url, str):
        return False
    if "LLMENV_" in url:
        return True
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
    """Return the keys of *entry* that we do not write, or write with another value."""
    if agent.private:
        return []
    return [k for k, v in entry.items() if k != agent.url_key and agent.extra.get(k) != v]


def presence(agent: Agent, entry: object, url: str, config: Config) -> str:
    """Return what *entry*, of the service with *url*, is: no, yes, old URL or another server."""
    if entry is None:
        return "no"
    found = _url(agent, entry, config)
    if found == url or "LLMENV_" in found:
        return "yes"
    return "old URL" if found and not _foreign(agent, entry) else "another server"


def is_stale(agent: Agent, name: str, entry: object, config: Config) -> bool:
    """Say whether *entry* is ours, under a *name* that no service of *config* has any more."""
    if not isinstance(entry, Mapping) or any(name == one.name for one in config.services):
        return False
    urls = [config.url(service) for service in config.services]
    if name == DEFAULT_NAME:
        urls.append(f"http://{DEFAULT_BIND}/mcp")
    return any(dict(entry) == {**agent.extra, agent.url_key: url} for url in urls)


def merged(agent: Agent, text: str | None, config: Config) -> str:
    """Return *text*, a file of *agent*'s or None for none, with all services of *config* in it.

    Raises:
        Unreadable: *text* is broken, or has an entry of a service's name that is not ours.
    """
    text = _dropped(agent, text, lambda name, entry: is_stale(agent, name, entry, config))
    for service in config.services:
        url = config.url(service)
        keys, entries = agent.entries(text or "")
        entry = entries.get(service.name)
        found = presence(agent, entry, url, config)
        if found == "another server":
            raise _refusal(agent, service.name, entry, config)
        if found == "no":
            entry = {**agent.extra, agent.url_key: url}
            text = agent.format.put(text, (*keys, service.name), entry)
        elif found == "old URL":
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
    return without(agent, text, config)


def without(agent: Agent, text: str | None, config: Config) -> str | None:
    """Return *text* without what is ours to the letter; None when nothing else made the file."""
    names = {service.name for service in config.services}

    def ours(name: str, entry: Any) -> bool:
        if name in names:
            return bool(_url(agent, entry, config)) and not _foreign(agent, entry)
        return is_stale(agent, name, entry, config)

    return _dropped(agent, text, ours)


def _dropped(agent: Agent, text: str | None, ours: Callable[[str, Any], bool]) -> str | None:
    """Return *text* without the entries that are *ours*, the last one first, as they were put."""
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
