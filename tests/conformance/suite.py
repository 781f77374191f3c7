"""The official conformance suite, as `make tools` installs it, and the ways our server is reached.

The suite calls each claim of the specification that it looks at a check.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridges import Bridge
from daemons import DEADLINE_S, free_port, missing, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

REVISIONS = ("2025-11-25", "2026-07-28")
MODULES = Path(sys.prefix) / "conformance" / "node_modules"
NODE = MODULES / "node" / "bin" / "node"  # 22, whatever the system has
PROXY = Path(sys.executable).with_name("mcp-proxy")
TESTS = Path(__file__).parent.parent
SERVER = ["env", f"PYTHONPATH={TESTS}", sys.executable, "-m", "conformance.server"]
SUITE_S = 300.0  # on a busy machine


@dataclass(frozen=True)
class Verdict:
    """What the suite found: a check is `SCENARIO: CHECK`; one made twice is there twice."""

    passed: list[str]
    failed: list[str]


def ask_suite(port: int, revision: str, directory: Path) -> Verdict:
    """Ask the server at *port* all that *revision* requires; *directory* gets the details.

    Raises:
        AssertionError: the suite did not get to its end.
    """
    program = MODULES / ".bin" / "conformance"
    if not program.exists():
        missing("the conformance suite is not installed: `make tools` does it")
    argv = [str(NODE), str(program), "server", "--url", f"http://127.0.0.1:{port}/mcp"]
    argv += ["--requirements", revision, "--output-dir", str(directory)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=SUITE_S, check=False)
    verdict = Verdict([], [])
    for path in sorted(directory.glob("*/checks.json")):
        scenario = re.sub(r"^server-(.+)-\d{4}-\d\d-\d\dT.*", r"\1", path.parent.name)
        for check in json.loads(path.read_text()):
            name = f"{scenario}: {check['id']}"
            if check["status"] == "SUCCESS":
                verdict.passed.append(name)
            elif check["status"] == "FAILURE":
                verdict.failed.append(name)
    for scenario, count in re.findall(r"^✗ (\S+): \d+ passed, (\d+) failed$", done.stdout, re.M):
        # What the suite could not even begin counts as one more that failed.
        begun = sum(name.startswith(f"{scenario}: ") for name in verdict.failed)
        verdict.failed.extend([f"{scenario}: the rest"] * (int(count) - begun))
    total = f"Total: {len(verdict.passed)} passed, {len(verdict.failed)} failed"
    assert total in done.stdout, f"not {total}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return verdict


@contextmanager
def directly(directory: Path) -> Iterator[int]:
    """Let the server serve HTTP by itself; yield its port."""
    port = free_port()
    with _listening([*SERVER, str(port)], port, directory):
        yield port


@contextmanager
def bridged(directory: Path) -> Iterator[int]:
    """Put the server behind the bridge; yield its port."""
    with Bridge(directory, command=SERVER) as bridge:
        assert bridge.port
        yield bridge.port


@contextmanager
def proxied(directory: Path) -> Iterator[int]:
    """Put the server behind mcp-proxy, as llmenv starts it; yield its port."""
    port = free_port()
    argv = [str(PROXY), "--host", "127.0.0.1", "--port", str(port), "--stateless"]
    argv += ["--log-level", "WARNING", "--cwd", "/", "--pass-environment", "--", *SERVER]
    with _listening(argv, port, directory):
        yield port


@contextmanager
def _listening(argv: list[str], port: int, directory: Path) -> Iterator[None]:
    """Run *argv* until the end of the block, which begins when it listens on *port*."""
    directory.mkdir(exist_ok=True)
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None, 3 * DEADLINE_S)
        assert process.poll() is None, (directory / "log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


WAYS = {"the server by itself": directly, "behind our bridge": bridged, "behind mcp-proxy": proxied}
