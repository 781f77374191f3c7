"""Write into the documents what the code knows: `make docs`, or `python docs/generate.py`.

It knows tables, each between `<!-- NAME -->` and `<!-- end -->`, and the version in the name of the
wheel.  A test sees that they are the last ones.
"""

from __future__ import annotations

import re
from pathlib import Path

from llmenv_hooks.agents.table import AGENTS
from llmenv_hooks.helper.statefiles import STATE_FILES
from llmenv_hooks.helper.version import __version__
from llmenv_hooks.sharing.harm import KNOWN

ROOT = Path(__file__).resolve().parent.parent


def state_files() -> str:
    """Return the table of the state files."""
    rows = [f"| {_code(name)} | {what} |" for name, what in STATE_FILES]
    return "\n".join(["| file | holds |", "|---|---|", *rows])


def servers_that_do_harm() -> str:
    """Return the table of the servers that are known to do harm when they are shared."""
    reasons = {
        reason: [name for name in KNOWN if KNOWN[name] == reason] for reason in KNOWN.values()
    }
    rows = [f"| {', '.join(map(_code, names))} | {reason} |" for reason, names in reasons.items()]
    return "\n".join(["| package or image | why not |", "|---|---|", *rows])


def agents() -> str:
    """Return the table of the agents."""
    rows = ["| agent | called | its file | in a project |", "|---|---|---|---|"]
    for name, agent in AGENTS.items():
        files = [_code(agent.user)]
        if agent.mac:
            files.append(f"macOS: {_code(agent.mac)}")
        project = _code(agent.project) if agent.project else "-"
        title = f"[{agent.title}]({agent.documented})"
        rows.append(f"| {_code(name)} | {title} | {', '.join(files)} | {project} |")
    return "\n".join(rows)


def _code(name: str) -> str:
    return f"`{name}`"


TABLES = {
    "state files": state_files,
    "agents": agents,
    "servers that do harm": servers_that_do_harm,
}


def generated(text: str) -> str:
    """Return the text of a document with each table, and the wheel's version, made anew."""

    def anew(found: re.Match[str]) -> str:
        make = TABLES.get(found["name"])
        return f"<!-- {found['name']} -->\n{make()}\n<!-- end -->" if make else found[0]

    text = re.sub(r"llmenv_hooks-[\d.]+-py3", f"llmenv_hooks-{__version__}-py3", text)
    return re.sub(r"<!-- (?P<name>[\w ]+) -->\n.*?<!-- end -->", anew, text, flags=re.S)


def pages() -> list[Path]:
    """Return the documents that may have a table."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def main() -> None:
    """Write every table anew."""
    for page in pages():
        page.write_text(generated(page.read_text()))


if __name__ == "__main__":
    main()
