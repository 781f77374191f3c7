"""What the config says, once it has been read."""

from __future__ import annotations

import os

from llmenv_hooks.helper.errors import UsageError, printable
from llmenv_hooks.helper.services import Service, is_local, reachable, url_of


class Config:
    """What the config says: *services* in its order, *server_host* or None, the file's *path*."""

    def __init__(self, services: list[Service], server_host: str | None, path: str) -> None:
        self.services = services
        self.server_host = server_host
        self.path = path

    @property
    def here(self) -> bool:
        """True when services run on this host."""
        if self.server_host is None:
            return True
        ours, named = os.uname().nodename.lower(), self.server_host.lower()
        if "." in ours and "." in named:
            return ours == named
        return ours.split(".")[0] == named.split(".")[0]

    @property
    def not_here(self) -> str:
        """Why nothing is started, where `here` is false."""
        return (
            f"services run on {printable(self.server_host or '')} (server_host in"
            f" {printable(self.path)}), not on this host"
        )

    @property
    def kept_alive(self) -> list[Service]:
        """The services that run on this host without being asked for by name."""
        return [service for service in self.run_here if service.autostart]

    @property
    def names(self) -> str:
        """The names of all services, for a message."""
        return ", ".join(service.name for service in self.services) or "none"

    def find(self, name: str) -> Service | None:
        """Return the service *name*, or None: there is none."""
        return next((service for service in self.services if service.name == name), None)

    def named(self, name: str) -> Service:
        """Return the service *name*.

        Raises:
            UsageError: there is none.
        """
        if service := self.find(name):
            return service
        unknown, path = printable(name, 80), printable(self.path)
        raise UsageError(f"no service {unknown!r} in {path}; there is: {self.names}")

    @property
    def run_here(self) -> list[Service]:
        """The services that run on this host."""
        return [service for service in self.services if not service.url] if self.here else []

    def url(self, service: Service) -> str:
        """Return the URL at which an agent on this host reaches *service*."""
        elsewhere = not self.here and is_local(reachable(service.host))
        return url_of(service, (elsewhere and self.server_host) or "")
