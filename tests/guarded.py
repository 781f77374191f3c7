"""A world whose service is guarded: our bridge, started by the helper, with a server behind it."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from bridges import SERVER, Message, Web, Wire
from daemons import PYTHON, World, alive, kill, processes_with, wait_until
from packed import BRIDGE, ENSURE, ensure

if TYPE_CHECKING:
    from pathlib import Path


class GuardedWorld(World):
    """A world with the server of `bridge/server.py` behind our bridge as its service, `stub`.

    The server is told what to do by *modes*, and notes in `notes` what comes to it.
    """

    def __init__(self, root: Path, *modes: str, bind: str | None = None, lines: str = "") -> None:
        """Write the config of the world; *lines* are more of its TOML."""
        super().__init__(root, bind)
        self.notes_path = root / "notes"
        self.modes = modes
        self.configure(lines)

    def configure(self, lines: str = "") -> None:
        """Write the config."""
        command = json.dumps(self.server())
        table = f"[services.stub]\ncommand = {command}\nbind = '{self.bind}'\n{lines}\n"
        self.config.write_text(table)

    def server(self) -> list[str]:
        """Return the argv of the server."""
        return [PYTHON, "-I", "-S", str(SERVER), *self.modes, f"notes={self.notes_path}"]

    def break_bridge(self, old: str, new: str) -> None:
        """From now on run a helper whose bridge has *new* in the place of *old*."""
        directory = self.root / "broken"
        directory.mkdir(exist_ok=True)
        text = BRIDGE.read_text()
        assert text.count(old) == 1, old
        (directory / BRIDGE.name).write_text(text.replace(old, new))
        self.helper = directory / ENSURE.name
        shutil.copy(ENSURE, self.helper)

    def bring_up(self) -> int:
        """Run one `llmenv-ensure`; return the pid of the bridge."""
        done = self.run(self.bare("--timeout", "60"))
        assert done.returncode == 0, done
        return int(done.stdout.rpartition("pid=")[2])

    def told(self, name: str = "start") -> list[int]:
        """Return the pids that the server noted: `start`, `child`, `grandchild`."""
        with suppress(FileNotFoundError):
            lines = [line.split() for line in self.notes_path.read_text().splitlines()]
            return [int(line[1]) for line in lines if line[0] == name and len(line) == 2]
        return []

    def living(self) -> list[int]:
        """Return the processes of the service that live: the bridge, its server, all below."""
        return processes_with(f"{self.root}/")

    def has_family(self) -> bool:
        """True once the server that was started last has all below it (mode `child`)."""
        with suppress(FileNotFoundError):
            return "grandchild" in self.notes_path.read_text().rpartition("start ")[2]
        return False

    def family(self) -> list[int]:
        """Return the server and all below it, once they are there (mode `child`)."""
        wait_until(lambda: self.told("grandchild"))
        return [pid for name in ("start", "child", "grandchild") for pid in self.told(name)[-1:]]

    def bridge_status(self) -> Message:
        """Return what the bridge tells about itself."""
        told = ensure.ask_bridge(self.files)
        assert told, "the bridge does not answer"
        return told

    def server_pid(self) -> int:
        """Return the server's pid, once it is up."""
        wait_until(lambda: self.bridge_status()["server"]["state"] == "running")
        (pid,) = self.bridge_status()["server"]["pids"]
        assert isinstance(pid, int)
        return pid

    def calls(self) -> None:
        """Make a call by each of the doors, and get its answer."""
        with Web(self) as web, Wire(self) as wire:
            assert web.tool(echo="web")["echo"] == "web"
            assert wire.tool(echo="wire")["echo"] == "wire"

    def llmenv(self, *words: str) -> tuple[int, str]:
        """Run `llmenv` with *words*; return its status and all that it says."""
        done = self.run([sys.executable, "-m", "llmenv_hooks", *words])
        return done.returncode, done.stdout + done.stderr

    def end_all(self) -> None:
        """Kill what lives of the service."""
        while left := self.living():
            for pid in left:
                kill(pid)


def all_gone(pids: list[int]) -> bool:
    """True when none of *pids* lives."""
    return not any(map(alive, pids))
