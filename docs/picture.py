"""Record docs/picture.svg from a real run: `make picture`, or `python docs/picture.py`.

A bash on a terminal, in a home of its own, installs the wheel of this checkout and sets llmenv up.
An agent calls, the server is killed, and the agent calls again.  What is shown is what was printed,
but for the name of the home.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from llmenv_hooks.helper.version import __version__
from llmenv_hooks.pty_shell import PROMPTS, Shell

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "picture.svg"
WHEEL = f"llmenv_hooks-{__version__}-py3-none-any.whl"
WIDTH = 100
SHOWN_HOME = "/home/ada"
STEPS = (
    f"pipx install './{WHEEL}[memory]'",
    "llmenv setup --yes",
    "./agent.py memory store topic=work text='We deploy on Fridays.'",
    "kill -9 $(cat ~/.local/state/llmenv/memory.pid)",
    "./agent.py memory search query=deploy",
    "llmenv status",
)
# The variables by which pipx and its like reach what they install.
NETWORK = re.compile(r"(?i)(PIP|UV|SSL|REQUESTS|CURL)_|\w+_PROXY$")
# rich has a web font in it, which a README may not load.
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def record(home: Path) -> list[tuple[str, str]]:
    """Run the steps in *home*, empty but for the wheel, if there; return each with what it printed.

    Raises:
        SystemExit: one failed.
    """
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(home)]
    if not (home / WHEEL).exists():
        subprocess.run([*build, str(ROOT)], check=True, stdout=subprocess.DEVNULL)
    shutil.copy(ROOT / "examples" / "agent.py", home / "agent.py")
    (home / "agent.py").chmod(0o755)
    (home / ".claude.json").write_text('{\n  "numStartups": 1\n}\n')  # Claude Code was here
    tools = home / "tools"
    tools.mkdir()
    (tools / "pipx").symlink_to(Path(sys.executable).with_name("pipx"))
    environment = {
        "HOME": str(home),
        "PATH": f"{home}/.local/bin:{tools}:{os.defpath}:/usr/local/bin",
        "XDG_RUNTIME_DIR": str(home / "runtime"),
        "TMPDIR": str(home / "runtime"),  # so that the home is no temporary directory
        "XDG_DATA_HOME": str(home / ".local/share"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        **{name: value for name, value in os.environ.items() if NETWORK.match(name)},
    }
    (home / "runtime").mkdir(mode=0o700)
    shown = []
    screen = io.StringIO()
    rc = f"cd\n{PROMPTS['bash']}"
    with Shell("bash", home, rc, environment, dimensions=(40, WIDTH), transcript=screen) as shell:
        shell.child.timeout = 120  # pipx downloads
        try:
            for step in STEPS:
                before = screen.tell()
                status, _ = shell.run(step)
                said = _left_standing(screen.getvalue()[before:])
                shown.append((step, said.replace(str(home), SHOWN_HOME)))
                if status:
                    sys.exit(f"picture: {step}: {status}\n{said}")
        finally:
            shell.run("llmenv stop")
    return shown


def _left_standing(printed: str) -> str:
    """Return what is to be seen of *printed* between the line that was typed and the prompt."""
    lines = printed.split("\n")[1:-1]
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def picture(shown: list[tuple[str, str]]) -> str:
    """Return an SVG of a terminal in which that was typed and printed."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    for step, said in shown:
        console.print(Text.assemble(("$ ", "bold green"), (step, "bold")))
        if said:
            console.print(Text.from_ansi(said))
    return _FONT.sub("", console.export_svg(title="a fresh account", unique_id="llmenv"))


def main() -> None:
    """Record the picture."""
    with tempfile.TemporaryDirectory(prefix="llmenv-picture-") as home:
        PICTURE.write_text(picture(record(Path(home))))
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()
