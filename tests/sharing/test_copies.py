"""Which processes are copies of a server, and what they take."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest
from daemons import kill, wait_until

from llmenv_hooks.helper.marks import MARK
from llmenv_hooks.sharing.copies import copies_of, is_copy, memory_of, running, shown_bytes

if TYPE_CHECKING:
    from daemons import World


@pytest.mark.parametrize(
    ("process", "argv", "expected"),
    [
        ("icm serve", "icm serve", True),
        ("/usr/bin/icm serve", "icm serve", True),
        ("/usr/bin/python3 /usr/bin/icm serve", "/opt/icm serve", True),
        ("icm", "icm serve", False),
        ("icm serve --more", "icm serve", False),
        ("grep icm serve", "icm serve", True),
        ("vim /a/b/c/d icm serve", "icm serve", True),
        ("sh -c -- exec icm serve", "icm serve", False),
        ("/x/uv tool uvx mcp-x", "uvx mcp-x", True),
        ("node /usr/bin/npx -y mcp-x", "npx -y mcp-x", True),
        ("docker run -i --rm mcp/x", "docker run -i --rm mcp/x", True),
    ],
)
def test_a_command_line_is_that_of_a_server(process: str, argv: str, expected: bool) -> None:
    assert is_copy(shlex.split(process), shlex.split(argv)) is expected


def test_npx_has_a_title_of_its_own() -> None:
    title = ["npm exec @a/b@1 --x", "", ""]
    assert is_copy(title, ["npx", "-y", "@a/b@1", "--x"])
    assert is_copy(title, ["/usr/bin/npx", "@a/b@1", "--x"])
    assert not is_copy(title, ["npx", "-y", "@a/b"])
    assert not is_copy(title, ["uvx", "@a/b@1", "--x"])


def test_those_that_run(world: World) -> None:
    """Each once, and none that a service of ours has started."""
    inner = ["sleep", f"1000.{world.port}"]
    wait = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    begun = [world.begin(inner), world.begin(inner)]
    begun.append(world.begin([sys.executable, "-I", "-S", "-c", wait, *inner]))
    world.begin(inner, env={**world.env, MARK: "/x.life 1"})
    wait_until(lambda: len(copies_of(inner, running()).pids) == 3)
    found = copies_of(inner, running())
    assert {child.pid for child in begun[:2]} < set(found.pids)
    assert found.bytes == pytest.approx(memory_of(found.pids), rel=0.5)
    assert memory_of([begun[2].pid]) > memory_of([begun[0].pid]) > 0
    assert memory_of([]) == 0
    for pid in found.pids:  # one of them keeps our pipe open
        kill(pid)


def test_a_number_of_bytes() -> None:
    assert [shown_bytes(one) for one in (0, 1.6e6, 999e6, 91.4e9)] == [
        "0 MB",
        "2 MB",
        "999 MB",
        "91.4 GB",
    ]
