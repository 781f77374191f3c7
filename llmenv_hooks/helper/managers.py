"""The service managers of a user's session, systemd and launchd, and what is said to them.

Owns the names and places of a service's units; what is in them is for `llmenv unit`.
"""

from __future__ import annotations

import os
import sys

from llmenv_hooks.helper.errors import Problem, printable
from llmenv_hooks.helper.places import xdg_base
from llmenv_hooks.helper.programs import which

START_S = 600.0  # a unit of ours gives up by itself


class Manager:
    """One service manager.

    Attributes:
        name: what it is called, also on the command line.
        program: by which it is told what to do.
    """

    name = program = ""

    def unit(self, service: str) -> str:
        """Return the name by which the manager knows what keeps *service*."""
        raise NotImplementedError

    def paths(self, service: str) -> list[str]:
        """Return where its units lie, the one that keeps the service first."""
        raise NotImplementedError

    def listen(self, service: str) -> None:
        """Have the manager hold the port of *service*, if a unit says so; raises as `start`."""

    def start(self, service: str) -> None:
        """Have the manager keep *service*, now and from each login on; wait until it is up.

        Raises:
            Problem: it cannot; with what it says.
        """
        raise NotImplementedError

    def stop(self, service: str, *, wait: bool) -> None:
        """Have the manager leave *service* alone, now and at the next login.

        Raises:
            Problem: it cannot.
        """
        raise NotImplementedError

    def reload(self) -> None:
        """Have the manager read its units again.

        Raises:
            Problem: it does not answer.
        """
        raise NotImplementedError

    def has(self, service: str) -> bool:
        """True when a unit keeps *service*, or would."""
        return os.path.lexists(self.paths(service)[0])

    def run(self, *words: str) -> None:
        """Tell the manager *words*.

        Raises:
            Problem: it is not there, or says no.
        """
        import subprocess

        program = which(self.program)
        if program is None:
            raise Problem(f"{self.program} is not on PATH: there is no {self.name} here")
        try:
            done = subprocess.run(
                [program, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=START_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise Problem(f"{self.program}: {printable(str(error))}") from None
        if done.returncode:
            said = printable(done.stderr.decode(errors="replace").strip() or "it failed")
            raise Problem(f"{self.program} {' '.join(words)}: {said}")


class Systemd(Manager):
    """systemd's manager of a user: systemd.unit(5), systemctl(1)."""

    name, program = "systemd", "systemctl"

    def unit(self, service: str) -> str:
        return f"llmenv-{service}.service"

    def paths(self, service: str) -> list[str]:
        directory = os.path.join(xdg_base("XDG_CONFIG_HOME", ".config", "units"), "systemd", "user")
        names = (self.unit(service), f"llmenv-{service}.socket")
        return [os.path.join(directory, name) for name in names]

    def listen(self, service: str) -> None:
        self._tell(self.paths(service)[1:], "enable", "--now")

    def start(self, service: str) -> None:
        self._tell(self.paths(service)[:1], "enable", "--now")

    def stop(self, service: str, *, wait: bool) -> None:
        self._tell(self.paths(service), *([] if wait else ["--no-block"]), "disable", "--now")

    def _tell(self, paths: list[str], *words: str) -> None:
        there = [os.path.basename(path) for path in paths if os.path.lexists(path)]
        if there:
            self.run("--user", "--quiet", *words, *there)

    def reload(self) -> None:
        self.run("--user", "daemon-reload")


class Launchd(Manager):
    """macOS's manager of a user's session: launchd.plist(5), launchctl(1)."""

    name, program = "launchd", "launchctl"

    def unit(self, service: str) -> str:
        return f"llmenv.{service}"

    def paths(self, service: str) -> list[str]:
        directory = os.path.join(xdg_base("", "Library", "units"), "LaunchAgents")
        return [os.path.join(directory, f"{self.unit(service)}.plist")]

    def start(self, service: str) -> None:
        self.run("enable", self._target(service))
        try:
            self.run("print", self._target(service))
        except Problem:
            self.run("bootstrap", f"gui/{os.getuid()}", *self.paths(service))
        else:
            self.run("kickstart", self._target(service))

    def stop(self, service: str, *, wait: bool) -> None:
        self.run("disable", self._target(service))
        self.run("bootout", self._target(service))

    def reload(self) -> None:
        self.run("print", f"gui/{os.getuid()}")

    def _target(self, service: str) -> str:
        return f"gui/{os.getuid()}/{self.unit(service)}"


MANAGERS: dict[str, Manager] = {"systemd": Systemd(), "launchd": Launchd()}
_NATIVE = "launchd" if sys.platform == "darwin" else "systemd"


def unit_paths() -> list[str]:
    """Return the unit of each service that has one on this system, whatever the config has."""
    example = MANAGERS[_NATIVE].paths("*")[0]
    directory, (before, after) = os.path.dirname(example), os.path.basename(example).split("*")
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    ours = [name for name in names if name.startswith(before) and name.endswith(after)]
    return [os.path.join(directory, name) for name in ours]


def manager_of(service: str) -> Manager | None:
    """Return the manager that has a unit for *service* on this system, or None."""
    manager = MANAGERS[_NATIVE]
    try:
        return manager if manager.has(service) else None
    except Problem:
        return None  # there is no home
