"""A home in which agents have servers of their own, for the tests of `llmenv share`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar

from bridges import SERVER
from commands.support import install, llmenv
from daemons import PYTHON, World

if TYPE_CHECKING:
    from pathlib import Path


class Home(World):
    """A home in which four agents have files."""

    FILES: ClassVar = {
        "claude": ".claude.json",
        "codex": ".codex/config.toml",
        "gemini": ".gemini/settings.json",
        "opencode": ".config/opencode/opencode.json",
    }

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.env |= {"XDG_DATA_HOME": str(root / "data"), "XDG_CACHE_HOME": str(root / "cache")}
        del self.env["XDG_CONFIG_HOME"]
        self.config = self.home / ".config" / "llmenv" / "config.toml"
        self.config.parent.mkdir(parents=True)
        install(self)

    def file(self, agent: str) -> Path:
        return self.home / self.FILES[agent]

    def give(self, agent: str, servers: dict[str, list[str]], **env: str) -> None:
        """Write the file of *agent*, with *servers* over stdio in it, as that agent wants it."""
        path = self.file(agent)
        path.parent.mkdir(parents=True, exist_ok=True)
        if agent == "codex":
            tables = [
                f"[mcp_servers.{name}] # mine\ncommand = {json.dumps(argv[0])}\n"
                f"args = {json.dumps(argv[1:])}\n"
                + "".join(f"env.{key} = {json.dumps(value)}\n" for key, value in env.items())
                for name, argv in servers.items()
            ]
            path.write_text('model = "m"\n\n' + "\n".join(tables))
        elif agent == "opencode":
            table: dict[str, Any] = {
                name: {"type": "local", "command": argv, "environment": env}
                for name, argv in servers.items()
            }
            path.write_text("// mine\n" + json.dumps({"mcp": table}, indent="\t"))
        else:
            table = {
                name: {"command": argv[0], "args": argv[1:], "env": env}
                for name, argv in servers.items()
            }
            path.write_text(json.dumps({"a": 1, "mcpServers": table, "z": 2}, indent=2))

    def contents(self) -> dict[str, bytes]:
        paths = map(self.file, self.FILES)
        return {str(path): path.read_bytes() for path in paths if path.exists()}

    def server(self, *modes: str) -> list[str]:
        """Return the argv of the tests' own server."""
        return [PYTHON, "-I", "-S", str(SERVER), *modes, f"notes={self.root}/notes"]

    def listed(self) -> dict[str, str]:
        """Return each row of the list, by the name of its server."""
        done = llmenv(self, "share")
        assert (done.returncode, done.stderr) == (0, ""), done
        rows = [" ".join(line.split()) for line in done.stdout.splitlines()[1:]]
        return {row.split()[0]: row for row in reversed(rows)}
