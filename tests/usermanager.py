"""A real `systemd --user` for one test, with no units but ours: where one can be had."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest
from daemons import kill, processes_with, wait_until

if TYPE_CHECKING:
    from daemons import World

# It wants to believe that systemd has booted the machine, and a control group of its own.
BOOT = """
mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system || exit 1
for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -f $tree/cgroup.procs ] || continue
    mkdir -p $tree/$GROUP && echo $$ >$tree/$GROUP/cgroup.procs || exit 1
done
exec $SYSTEMD --user
"""
PROGRAM = "/usr/lib/systemd/systemd"
TARGETS = ("default", "sockets", "basic")


class UserManager:
    """The manager, for all that is started with the environment of *world*."""

    def __init__(self, world: World) -> None:
        self.world = world
        runtime, units = Path(world.env["XDG_RUNTIME_DIR"]), world.root / "units"
        runtime.mkdir(mode=0o700, exist_ok=True)
        units.mkdir()
        for target in TARGETS:
            (units / f"{target}.target").write_text("[Unit]\nDescription=for a test\n")
        (units / "shutdown.target").write_text("[Unit]\nDefaultDependencies=no\n")
        self.group = f"llmenv-test-{os.getpid()}"
        ours = Path(world.env["XDG_CONFIG_HOME"], "systemd", "user")
        self.door = runtime / "systemd" / "private"
        self.environment = world.env | {
            "SYSTEMD_UNIT_PATH": f"{ours}:{units}",
            "SYSTEMD_LOG_TARGET": "console",
            "SYSTEMD": PROGRAM,
            "GROUP": self.group,
        }

    def __enter__(self) -> Self:
        if not (os.path.exists(PROGRAM) and shutil.which("unshare") and os.geteuid() == 0):
            pytest.xfail("no systemd, or not root: there is no systemd --user of our own")
        argv = ["unshare", "-m", "sh", "-c", BOOT, "sh", f"{self.world.root}/"]
        self.process = self.world.begin(argv, env=self.environment)
        wait_until(lambda: self.door.exists() or self.process.poll() is not None)
        if self.process.poll() is not None:
            assert self.process.stderr
            pytest.xfail(f"no systemd --user can be had: {self.process.stderr.read()[-300:]}")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        while left := processes_with(f"{self.world.root}/"):
            for pid in left:
                kill(pid)
        for tree in Path("/sys/fs/cgroup").glob(f"*/{self.group}"):
            for path in sorted(tree.rglob("*/"), reverse=True):
                path.rmdir()
            tree.rmdir()

    def ctl(self, *words: str) -> str:
        """Run `systemctl --user`; return what it says."""
        done = self.world.run(["systemctl", "--user", "--no-pager", *words])
        return done.stdout.strip()
