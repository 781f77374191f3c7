"""The identity record in NAME.life: which process is meant, and what it was started as.

A pid alone is a label.  With its start time, boot, namespaces and user it means one process.
"""

from __future__ import annotations

import os

from llmenv_hooks.helper.files import open_ours, read_regular
from llmenv_hooks.helper.places import Files
from llmenv_hooks.helper.processes import realm, start_time
from llmenv_hooks.helper.services import Service

RECORD_BYTES = 256
HERE, DEAD, ELSEWHERE = "here", "dead", "elsewhere"  # where a recorded process is


class Identity:
    """The record in NAME.life: which process is meant, and what it was started as."""

    def __init__(
        self, pid: int, start: str, where: tuple[str, str, str], uid: int, bind: str, digest: str
    ) -> None:
        self.pid = pid
        self.start = start
        self.realm = where
        self.uid = uid
        self.bind = bind
        self.digest = digest

    def encode(self) -> bytes:
        """Return the record: one line of fixed length, its end mark last."""
        words = ["v1", self.pid, self.start, *self.realm, self.uid, self.bind or "-"]
        words += [self.digest, "."]
        return " ".join(map(str, words)).encode().ljust(RECORD_BYTES - 1) + b"\n"

    @classmethod
    def decode(cls, raw: bytes) -> Identity | None:
        """Return what *raw* records, or None for a torn, foreign or empty record."""
        words = raw.decode("ascii", "replace").split()
        if len(raw) != RECORD_BYTES or len(words) != 10 or (words[0], words[9]) != ("v1", "."):
            return None
        pid, start, boot, pidns, netns, uid, bind, digest = words[1:9]
        if not (pid.isdigit() and uid.isdigit()) or not 0 < int(pid) < 1 << 31:
            return None
        bind = "" if bind == "-" else bind
        return cls(int(pid), start, (boot, pidns, netns), int(uid), bind, digest)

    def whereabouts(self) -> str:
        """Return HERE or DEAD for a process of our realm, ELSEWHERE for one of another."""
        if self.realm != realm():
            return ELSEWHERE
        return HERE if start_time(self.pid) == self.start else DEAD

    @property
    def shares_our_net(self) -> bool:
        """True when what it listens on can be reached from here."""
        boot, _, net = realm()
        return (self.realm[0], self.realm[2]) == (boot, net)


def read_record(life: str) -> Identity | None:
    """Return the identity recorded in the file *life*, or None."""
    try:
        return Identity.decode(read_regular(life, RECORD_BYTES))
    except OSError:
        return None


def identity_of(pid: int, service: Service) -> Identity:
    """Return the identity of the process *pid*, started as the daemon of *service*."""
    start = start_time(pid) or "-"
    return Identity(pid, start, realm(), os.getuid(), service.bind, service.digest)


def write_record(files: Files, identity: Identity) -> None:
    """Write *identity* into NAME.life, which must be there."""
    fd = open_ours(files.life, os.O_RDWR)
    try:
        os.pwrite(fd, identity.encode(), 0)
    finally:
        os.close(fd)
