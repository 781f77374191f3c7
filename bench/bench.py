"""What our hook costs, beside nothing and beside direnv, zoxide and mise.

`make bench` runs it.  Every round measures all variants, in a new order, so that all of them see
the same drift of the machine.  What a variant "adds" is the median of what it took more than its
base did in the same round.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import bench_bridge
import bench_connect
from bench_report import Row, interleaved, machine, publish, rows, show, write, write_part
from bench_shells import (
    ARGV,
    PEERS,
    PYTHON,
    Place,
    Terminal,
    end_all,
    place_with,
    present_peers,
)
from daemons import processes_with, wait_until
from packed import ENSURE

from llmenv_hooks import hookvalues

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
SHELLS = ("bash", "zsh", "fish")
SERVICES = (1, 10, 100)
CROWDS = (1, 10, 50)
WARM_UP = 2
IN_A_ROUND = 3
IN_A_ROW = 6
# What can be measured by itself.
PARTS_ALONE: dict[str, Callable[[Path], list[Row]]] = {
    "bridge": bench_bridge.measure,
    "connect": bench_connect.measure,
}
# How each shell gets ready for its parts, and does one a thousand times.
LOOPS = {
    "bash": (
        "f() { :; }; __llmenv_asked=$SECONDS",
        "for ((i = 0; i < 1000; i++)); do %s; done",
    ),
    "zsh": (
        "f() { }; __llmenv_asked=$SECONDS",
        "for ((i = 0; i < 1000; i++)); do %s; done",
    ),
    "fish": (
        "function f; end",
        "for i in (builtin string split '' (builtin string repeat -n 1000 x)); %s; end",
    ),
}
PROOF = "does the daemon live, the config unchanged?"
PARTS = {
    "bash": {
        "an empty loop": ":",
        "an empty function": "f",
        "the clock": '[[ "(${{SECONDS:-0}} - ${{__llmenv_asked:-0}}) / 60" -eq 0 ]]',
        PROOF: "[[ {alive} -nt {config} ]]",
        "the whole hook": 'eval "$__llmenv_prompt"',
    },
    "zsh": {
        "an empty loop": ":",
        "an empty function": "f",
        "the clock": "[[ SECONDS-__llmenv_asked -lt 60 && SECONDS-__llmenv_asked -gt -60 ]]",
        PROOF: "[[ {alive} -nt {config} ]]",
        "the whole hook": "__llmenv_hook",
    },
    "fish": {
        "an empty loop": "true",
        "an empty function": "f",
        "the clock": "builtin test {proof} -nt $__llmenv_clock",
        PROOF: "builtin test {alive} -nt {config}",
        "the whole hook": "__llmenv_hook",
    },
}


def run_ms(argv: list[str], environment: dict[str, str]) -> float:
    """Return the milliseconds that a program takes from its start to its end."""
    began = time.perf_counter()
    subprocess.run(
        argv,
        env=environment,
        cwd=environment["HOME"],
        check=True,
        close_fds=False,  # else Python forks itself, slowly
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return (time.perf_counter() - began) * 1e3


# --- what is measured -----------------------------------------------------------------------------


def prompts(shell: str, places: dict[int, Place], rounds: int = 60) -> tuple[list[Row], list[str]]:
    """Measure an empty line to the next prompt, with each hook; and say what disturbed it.

    Each round has shells of its own: where the memory of one happens to lie is worth 20 us, for as
    long as it lives.  In it each hook has a few prompts in a row, three times.  The first of them
    is told apart: the others' processes have filled the processor's caches with their own.
    """
    one, *more = places.values()
    variants = {"nothing": (one, "nothing"), "llmenv": (one, "llmenv")}
    variants |= {f"llmenv, {place.services} services": (place, "llmenv") for place in more}
    variants |= {name: (one, name) for name in present_peers()}
    took: dict[str, list[list[float]]] = {name: [] for name in variants}
    disturbed = 0
    for _ in range(rounds):
        for _ in range(3):  # until no helper runs meanwhile, as one does once a minute
            more_took, quiet = prompts_of_new_shells(shell, variants)
            if quiet:
                break
        disturbed += not quiet
        for name, figures in more_took.items():
            took[name] += figures
    for place in places.values():
        place.check()
    notes = [f"helpers ran in {disturbed} rounds of {shell}'s prompts"] if disturbed else []
    later = {name: [one for row in all_rows for one in row[1:]] for name, all_rows in took.items()}
    first = {name: [row[0] for row in all_rows] for name, all_rows in took.items()}
    table = rows("prompts", shell, later, base="nothing", added_by="llmenv")
    return table + rows("prompts, first", shell, first, base="nothing", added_by="llmenv"), notes


def prompts_of_new_shells(
    shell: str, variants: Mapping[str, tuple[Place, str]]
) -> tuple[dict[str, list[list[float]]], bool]:
    """Return what prompts took, for each variant, in rows; and if no helper ran meanwhile."""
    terminals: dict[str, Terminal] = {}
    try:
        for name, (place, variant) in variants.items():
            terminals[name] = Terminal(shell, place, variant)
            terminals[name].due()
        timers = {name: partial(in_a_row, terminal) for name, terminal in terminals.items()}
        interleaved(timers, WARM_UP)  # the first prompts start the helper in the background
        for place in {place for place, _ in variants.values()}:
            place.quiet()
        due = [terminal.due() for terminal in terminals.values()]
        took = interleaved(timers, IN_A_ROUND)
        return took, due == [terminal.due() for terminal in terminals.values()]
    finally:
        for terminal in terminals.values():
            terminal.close()


def in_a_row(terminal: Terminal) -> list[float]:
    """Return the milliseconds that each of a few prompts took."""
    return [terminal.time() for _ in range(IN_A_ROW)]


def starts(shell: str, place: Place, rounds: int = 80) -> list[Row]:
    """Measure the start of an interactive shell, with each hook in its rc file."""
    actions = {}
    for name in ("nothing", "llmenv", "llmenv hook", *present_peers()):
        environment = place.environment(place.shell_home(shell, name))
        actions[name] = partial(run_ms, [*ARGV[shell], "-c", ":"], environment)
    interleaved(actions, 3)
    took = interleaved(actions, rounds)
    return rows("starts", shell, took, base="nothing", added_by="llmenv")


def parts(shell: str, place: Place, rounds: int = 10) -> list[Row]:
    """Measure what the hook is made of, and all of it, a thousand times in a loop without a prompt.

    Milliseconds a thousand times are microseconds a time.
    """
    environment = place.environment(place.shell_home(shell, "llmenv"))
    (life,) = place.state.glob("llmenv/*.life")
    paths = {kind: life.with_suffix(f".{kind}") for kind in ("alive", "proof")}
    paths["config"] = place.config
    ready, loop = LOOPS[shell]
    actions = {
        name: partial(
            run_ms, [*ARGV[shell], "-c", f"{ready}\n{loop % part.format(**paths)}"], environment
        )
        for name, part in PARTS[shell].items()
    }
    took = interleaved(actions, rounds)
    return rows("parts", shell, took, base="an empty loop", added_by="the whole hook")


def commands(places: dict[int, Place], rounds: int = 40) -> list[Row]:
    """Measure our programs while all services run, beside Python that does nothing."""
    one, *more = places.values()
    alone = [PYTHON, "-I", "-S", str(ENSURE)]
    hooked = [PYTHON, "-I", "-S", "-c", hookvalues.run(), str(ENSURE), "--hook"]
    hooked += [str(one.state / "llmenv"), str(one.config)]
    argvs = {
        "python -c pass": [PYTHON, "-c", "pass"],
        "python -I -S -c pass": [PYTHON, "-I", "-S", "-c", "pass"],
        "llmenv hook zsh": ["llmenv", "hook", "zsh"],
        "llmenv-ensure": ["llmenv-ensure"],
        "the hook's background run": hooked,
        "python -I -S llmenv-ensure.py": alone,
    }
    actions = {name: partial(run_ms, argv, one.environment()) for name, argv in argvs.items()}
    for place in more:
        name = f"llmenv-ensure.py, {place.services} services"
        actions[name] = partial(run_ms, alone, place.environment())
    interleaved(actions, 3)
    return rows("commands", "", interleaved(actions, rounds), base="python -c pass")


def crowd(shell: str, size: int, place: Place, rounds: int = 3) -> list[Row]:
    """Measure until *size* shells, started at once with nothing running, have their prompts."""

    def with_hook() -> float:
        took = start_together(shell, size, place, "llmenv")
        wait_until(lambda: processes_with(place.listener), 60)  # a helper may be a shell still
        place.quiet()
        daemons = processes_with(place.listener)
        if len(daemons) != 1:
            raise SystemExit(f"bench: {size} shells started {len(daemons)} daemons")
        place.cold()
        return took

    without = f"nothing, {size} at once"
    actions: dict[str, Callable[[], float]] = {
        without: partial(start_together, shell, size, place, "nothing"),
        f"llmenv, {size} at once": with_hook,
    }
    interleaved(actions, 1)
    return rows("crowd", shell, interleaved(actions, rounds), base=without)


def start_together(shell: str, size: int, place: Place, variant: str) -> float:
    """Return the milliseconds until each of *size* shells has drawn its prompt."""
    place.shell_home(shell, variant)
    terminals: list[Terminal] = []
    began = time.perf_counter()
    try:
        for _ in range(size):
            terminals.append(Terminal(shell, place, variant))
        for terminal in terminals:
            terminal.prompted()
        return (time.perf_counter() - began) * 1e3
    finally:
        for terminal in terminals:
            terminal.close()


# --- all of it ------------------------------------------------------------------------------------


def missing() -> list[str]:
    """Return a line for each program that is not there to be compared with."""
    absent = [name for name in (*SHELLS, *PEERS) if not shutil.which(name)]
    return [f"{name} is missing: not on PATH" for name in absent]


def measure(root: Path, notes: list[str]) -> list[Row]:
    """Measure everything in *root*, print each table as it is ready, and return all rows."""
    shells = [shell for shell in SHELLS if shutil.which(shell)]
    places = {count: place_with(root / f"services-{count}", count) for count in SERVICES}
    table: list[Row] = []

    def add(title: str, more: list[Row]) -> None:
        show(title, more)
        table.extend(more)

    for place in places.values():
        place.run("llmenv", "start")
    for shell in shells:
        more, disturbed = prompts(shell, places)
        notes += disturbed
        add(f"prompts of {shell}; ratio of what is added, to llmenv's", more)
    for shell in shells:
        add(f"start of {shell}; ratio of what is added, to llmenv's", starts(shell, places[1]))
    for shell in shells:
        add(f"a thousand times each, in {shell}; ratio to the whole hook", parts(shell, places[1]))
    add("commands, while all services run; ratio to `python -c pass`", commands(places))
    for place in places.values():
        place.cold()
    for name, measured in PARTS_ALONE.items():
        more = measured(root / name)
        show_sections(more)
        table += more
    cold = place_with(root / "cold", 1)
    for shell in shells:
        many = [row for size in CROWDS for row in crowd(shell, size, cold)]
        add(f"many of {shell} started at once, nothing running; ratio to no hook", many)
    return table


def show_sections(table: list[Row]) -> None:
    """Print *table*, each of its sections by itself."""
    for section in dict.fromkeys(row.section for row in table):
        show(section, [row for row in table if row.section == section])


def main(part: str = "") -> None:
    """Measure, print tables, and write docs/bench.json and docs/bench.svg.

    *part*, one of `PARTS_ALONE`, measures that alone, and leaves the other figures as they are.
    """
    os.environ["PATH"] = f"{BIN}:{os.environ['PATH']}"
    notes = [] if part else missing()
    measured_on = machine(*SHELLS, *PEERS, "mcp-proxy")
    for line in [*notes, *(f"{name}: {value}" for name, value in measured_on.items())]:
        print(line)
    with tempfile.TemporaryDirectory(prefix="llmenv-bench-") as name:
        root = Path(name)
        try:
            if part:
                table = PARTS_ALONE[part](root / part)
                show_sections(table)
                write_part(ROOT / "docs", part, measured_on, table)
            else:
                write(ROOT / "docs", measured_on, notes, measure(root, notes))
        finally:
            end_all(root)
    publish(ROOT)
    pages = "docs/bench.json, docs/bench.svg, the tables of docs/"
    print("\n" + "\n".join([*notes, f"written: {pages}"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
