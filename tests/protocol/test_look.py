"""A look at a running service writes nothing, and can be done on a disk that is read-only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from daemons import World, missing, need
from outcomes import refused_at_once

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("configured", [False, True])
def test_a_look_writes_nothing(world: World, tmp_path: Path, configured: bool) -> None:
    need("strace")
    world.write_config()
    argv = world.bare() if configured else world.argv()
    assert world.run(argv).returncode == 0
    assert world.run(argv).returncode == 0
    trace = tmp_path / "trace"
    calls = "file,ftruncate,write,pwrite64,writev,fchmod,fchown,fsync,fork,vfork,clone,kill"
    done = world.run(["strace", "-f", "-qq", "-e", f"trace={calls}", "-o", str(trace), *argv])
    assert done.stdout.startswith("stub already-running")
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    assert any("stub.life" in line for line in lines)
    changing = re.compile(
        r"(rename|unlink|mkdir|symlink|link|chmod|fchmod|utime|trunc|ftrunc|mknod|kill|clone|fork)"
    )
    wrong = [
        line for line in lines if changing.match(line) or "O_CREAT" in line or "O_TRUNC" in line
    ]
    wrong += [
        line for line in lines if line.startswith(("write", "pwrite")) and "write(1," not in line
    ]
    assert wrong == []


READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def read_only(world: World) -> list[str]:
    """Return the words that run a command with the state directory mounted read-only."""
    prefix = [*world.unshare("-m"), "sh", "-c", READ_ONLY, str(world.state)]
    if world.run([*prefix, "true"]).returncode:
        missing("nothing can be mounted here")
    return prefix


def test_a_look_works_on_a_read_only_disk(world: World) -> None:
    pid = world.up()
    done = world.run([*read_only(world), *world.argv()])
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        f"stub already-running pid={pid}\n",
        "",
    )


def test_a_look_works_on_a_read_only_disk_with_something_to_repair(world: World) -> None:
    pid = world.up()
    world.path("pid").unlink()
    done = world.run([*read_only(world), *world.argv()])
    assert (done.returncode, done.stdout) == (0, f"stub already-running pid={pid}\n")
    assert "Traceback" not in done.stderr


def test_a_read_only_disk_and_no_daemon_is_one_line(world: World) -> None:
    world.state.mkdir(parents=True)
    done = world.run([*read_only(world), *world.argv()])
    refused_at_once(world, done, 1, "Read-only file system")
