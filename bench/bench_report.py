"""What bench.py makes of its figures: rows of a table, JSON, and a plot for docs/measured.md."""

from __future__ import annotations

import json
import math
import os
import platform
import random
import shutil
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")
Figures = dict[str, list[float]]

LEAST_MS = 0.001  # what is less cannot be told from nothing


@dataclass(frozen=True)
class Row:
    """What one variant took, in milliseconds; *added* is the median of its pairs with the base."""

    section: str
    shell: str
    variant: str
    rounds: int
    median: float
    p95: float
    added: float
    ratio: float


def interleaved(actions: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Return what each action took in each round."""
    took: dict[str, list[T]] = {name: [] for name in actions}
    order = list(actions)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            took[name].append(actions[name]())
    return took


def rows(
    section: str, shell: str, took: Figures, *, base: str, added_by: str | None = None
) -> list[Row]:
    """Return a row for each variant in *took*.

    The ratio is of the medians, to that of *base*; with *added_by* it is of what the variants add
    to *base*, to what that variant adds.
    """
    bare = took[base]
    middle = {name: statistics.median(figures) for name, figures in took.items()}
    added = {
        name: statistics.median(mine - its for mine, its in zip(figures, bare, strict=True))
        for name, figures in took.items()
    }
    compared, unit = (added, added[added_by]) if added_by else (middle, middle[base])
    return [
        Row(
            section,
            shell,
            name,
            len(figures),
            middle[name],
            statistics.quantiles(figures, n=20, method="inclusive")[-1],
            added[name],
            compared[name] / max(unit, LEAST_MS),
        )
        for name, figures in took.items()
    ]


def show(title: str, table: list[Row]) -> None:
    """Print *table* under *title*."""
    print(f"\n{title}")
    print(f"{'':5} {'':24} {'median ms':>10} {'p95 ms':>10} {'added ms':>10} {'ratio':>7}")
    for row in table:
        print(
            f"{row.shell:5} {row.variant:24} {row.median:10.3f} {row.p95:10.3f}"
            f" {row.added:10.3f} {row.ratio:7.2f}",
            flush=True,
        )


def machine(*programs: str) -> dict[str, Any]:
    """Return what was measured on: the system, how busy it is now, and the programs' versions."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load average": os.getloadavg(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in programs if shutil.which(name)},
    }


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return next(iter(said.stdout.splitlines()), "unknown")


def write(directory: Path, measured_on: dict[str, Any], notes: list[str], table: list[Row]) -> None:
    """Write bench.json and bench.svg into *directory*."""
    content = {**measured_on, "unit": "ms", "notes": notes, "rows": [asdict(row) for row in table]}
    (directory / "bench.json").write_text(json.dumps(content, indent=1) + "\n")
    (directory / "bench.svg").write_text(
        svg([row for row in table if row.section == "prompts" and row.variant != "nothing"])
    )


def write_part(directory: Path, part: str, measured_on: dict[str, Any], table: list[Row]) -> None:
    """Put the rows of one *part*, by which their sections begin, into bench.json."""
    path = directory / "bench.json"
    content = json.loads(path.read_text())
    others = [row for row in content["rows"] if not row["section"].startswith(part)]
    content["rows"] = others + [asdict(row) for row in table]
    content[f"{part}, measured on"] = measured_on
    path.write_text(json.dumps(content, indent=1) + "\n")


def publish(root: Path) -> None:
    """Put the figures of docs/bench.json into the pages that quote them, below *root*."""
    content = json.loads((root / "docs" / "bench.json").read_text())
    found = [Row(**row) for row in content["rows"]]
    for page in PAGES:
        text = (root / page).read_text()
        for name, table in tables(found).items():
            text = _between(f"<!-- figures: {name} -->\n", table, "<!-- end -->", text)
        (root / page).write_text(text)


PAGES = ("docs/measured.md", "docs/prompt.md", "docs/bridge.md")
BRIDGE_VARIANTS = ("the server by itself", "our bridge", "mcp-proxy")
# What a row of the bridge's table says, of which section, and what is shown of its median.
BRIDGE_ROWS: dict[str, tuple[str, Callable[[float], str]]] = {
    "first answer after a cold start, ms": ("bridge, first answer", "{:.0f}".format),
    "port open after a cold start, ms": ("bridge, port", "{:.0f}".format),
    "a call, ms": ("bridge, a call", "{:.2f}".format),
    "calls a second, 64 agents at once": ("bridge, a call of many", lambda ms: f"{1000 / ms:.0f}"),
    "memory, MB": ("bridge, memory in MB", "{:.1f}".format),
}
CONNECT_VARIANTS = ("our bridge", "llmenv connect", "llmenv connect, by HTTP")
CONNECT_ROWS: dict[str, tuple[str, Callable[[float], str]]] = {
    "`initialize` is answered after, ms": ("connect, initialize", "{:.0f}".format),
    "a call, ms": ("connect, a call", "{:.2f}".format),
    "memory, MB": ("connect, memory in MB", "{:.1f}".format),
}


def tables(found: list[Row]) -> dict[str, str]:
    """Return the tables that pages quote, in Markdown, by their names."""
    figure = {(row.section, row.shell, row.variant): row for row in found}
    shells = [shell for shell in ("bash", "zsh", "fish") if ("prompts", shell, "llmenv") in figure]

    def added(section: str, shell: str, variant: str, scale: int, digits: int) -> str:
        row = figure.get((section, shell, variant))
        return f"{row.added * scale:.{digits}f}" if row else "-"

    variants = ("llmenv", "llmenv, 10 services", "direnv")
    prompts = [
        [
            shell,
            *[added("prompts", shell, name, 1000, 0) for name in variants],
            _ratio(figure, "prompts", shell),
            added("prompts, first", shell, "llmenv", 1000, 0),
            _ratio(figure, "prompts, first", shell),
        ]
        for shell in shells
    ]
    starts = [
        [shell, *[added("starts", shell, name, 1, 1) for name in ("llmenv", "direnv")]]
        for shell in shells
    ]
    parts = [
        [row.shell, row.variant, f"{row.added:.1f}"]
        for row in found
        if row.section == "parts" and row.variant != "an empty loop"
    ]
    commands = [
        [row.variant, f"{row.median:.1f}"]
        for row in found
        if row.section == "commands" and "services" not in row.variant
    ]

    def medians(
        whats: dict[str, tuple[str, Callable[[float], str]]], variants: Sequence[str]
    ) -> list[list[str]]:
        return [
            [what, *[shown(row.median) if row else "-" for row in found_rows]]
            for what, (section, shown) in whats.items()
            for found_rows in [[figure.get((section, "", name)) for name in variants]]
        ]

    heads = {
        "prompts": [
            "shell",
            "llmenv, µs",
            "10 services, µs",
            "direnv, µs",
            "direnv / llmenv",
            "first, µs",
            "direnv / llmenv, first",
        ],
        "starts": ["shell", "llmenv, ms", "direnv, ms"],
        "parts": ["shell", "part", "µs"],
        "commands": ["command", "ms"],
        "bridge": ["", *BRIDGE_VARIANTS],
        "connect": ["", *CONNECT_VARIANTS],
    }
    bodies = {"prompts": prompts, "starts": starts, "parts": parts, "commands": commands}
    bodies["bridge"] = medians(BRIDGE_ROWS, BRIDGE_VARIANTS)
    bodies["connect"] = medians(CONNECT_ROWS, CONNECT_VARIANTS)
    return {
        name: "".join(
            f"| {' | '.join(cells)} |\n" for cells in [head, ["---"] * len(head), *bodies[name]]
        )
        for name, head in heads.items()
    }


def _ratio(figure: dict[tuple[str, str, str], Row], section: str, shell: str) -> str:
    row = figure.get((section, shell, "direnv"))
    return f"{row.ratio:.0f}" if row else "-"


def _between(begin: str, middle: str, end: str, text: str) -> str:
    before, mark, rest = text.partition(begin)
    return before + mark + middle + end + rest.partition(end)[2] if mark else text


# --- the plot -------------------------------------------------------------------------------------

_LEFT, _WIDTH, _LINE = 190, 420, 22
_LEAST_US = 10.0  # where the bars begin
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.head { font-weight: 600 } .faint { fill: #656d76 } line { stroke: #d0d7de }
.ours { fill: #0969da } .peer { fill: #8c959f }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .faint { fill: #9198a1 } line { stroke: #3d444d }
.ours { fill: #4493f8 } .peer { fill: #767e89 }
}
"""


def svg(table: list[Row]) -> str:
    """Return a plot of what each row adds: horizontal bars on a logarithmic scale, by shell."""
    decades = math.ceil(math.log10(max(100.0, *(row.added * 1000 / _LEAST_US for row in table))))
    parts: list[str] = []
    top, shell = 40, ""
    for row in table:
        if row.shell != shell:
            shell = row.shell
            top += 28
            parts.append(_text(0, top - 7, shell, "head"))
        parts += _bar(row, top, decades)
        top += _LINE
    scale = [_tick(decade, decades, top) for decade in range(decades + 1)]
    title = _text(0, 16, "Added to each prompt (logarithmic scale)", "head")
    width, height = _LEFT + _WIDTH + 90, top + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"'
        f' role="img"><style>{_STYLE}</style>\n' + "\n".join([title, *scale, *parts]) + "\n</svg>\n"
    )


def _bar(row: Row, top: int, decades: int) -> list[str]:
    value = row.added * 1000
    length = _WIDTH * math.log10(max(value / _LEAST_US, 1)) / decades
    kind = "ours" if row.variant.startswith("llmenv") else "peer"
    return [
        _text(8, top + 12, row.variant),
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{length + 2:.1f}" height="16" rx="2"/>',
        _text(_LEFT + round(length) + 8, top + 12, _microseconds(value)),
    ]


def _tick(decade: int, decades: int, bottom: int) -> str:
    x = _LEFT + _WIDTH * decade // decades
    name = _microseconds(_LEAST_US * 10**decade)
    line = f'<line x1="{x}" y1="46" x2="{x}" y2="{bottom}"/>'
    return line + _text(x, 40, name, "faint", "middle")


def _microseconds(value: float) -> str:
    if value < 1:
        return "0"
    return f"{value:.0f} µs" if value < 1000 else f"{value / 1000:.3g} ms"


def _text(x: int, y: int, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
