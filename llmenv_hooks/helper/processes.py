"""Processes: whether one lives, since when, what is below it, and a signal to that very one.

Linux answers from /proc; other systems are asked through ps(1) and sysctl(8).
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


PROC = "/proc"


def proc_file(*parts: object) -> bytes:
    """Return the content of a file under /proc; nothing when it or its process is not there.

    Raises:
        OSError: the question could not be asked, which must never pass for a "no".
    """
    try:
        with open("/".join([PROC, *map(str, parts)]), "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def run_tool(*argv: str) -> str:
    """Return what a system tool prints: the way of hosts that have no /proc."""
    import subprocess

    # A start time must read the same whatever the zone and the language of who asks.
    plain = {**os.environ, "TZ": "UTC0", "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, env=plain, capture_output=True, check=False, timeout=5)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()


# Asked once: between fork and exec the answer must not change, since without /proc one forks.
_HAS_PROC = os.path.exists(f"{PROC}/self/stat")


def has_proc() -> bool:
    """True where processes are seen through /proc."""
    return _HAS_PROC


def stat_fields(pid: int) -> list[bytes]:
    """Return the fields of /proc/PID/stat from the state on; none when it cannot be read."""
    fields = proc_file(pid, "stat").rpartition(b")")[2].split()
    return fields if len(fields) > 19 else []


def start_time(pid: int) -> str | None:
    """Return when *pid* started, as an opaque word that no later process shares; None: dead.

    proc_pid_stat(5): field 3 is the state, field 22 the start in clock ticks since boot.
    """
    if has_proc():
        fields = stat_fields(pid)
        return fields[19].decode() if fields and fields[0] not in b"ZXx" else None
    words = run_tool("ps", "-o", "state=,lstart=", "-p", str(pid)).split()
    return "_".join(words[1:]) if words and words[0][0] != "Z" else None


def process_age(pid: int) -> float | None:
    """Return the seconds since *pid* started, or None where that is not known."""
    start = start_time(pid)
    if start is None or not start.isdigit():
        return None
    # The clock of field 22; /proc/uptime is another's where lxcfs(1) stands in for it.
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(start) / os.sysconf("SC_CLK_TCK")


def is_alive(pid: int) -> bool | None:
    """True when *pid* is a live process; None where the question cannot be asked.

    kill(2) with signal 0, as the seed, without a fork: EPERM means alive.  A zombie is dead.
    """
    if not 0 < pid < 1 << 31:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # Somebody else's; with hidepid, proc(5), not even its state can be read.
        return not (has_proc() and stat_fields(pid) and start_time(pid) is None)
    except OSError:
        return None
    return not (has_proc() and start_time(pid) is None)


def lives_since(pid: int, mtime: float) -> bool:
    """True when *pid* lives and started before *mtime*, so that a file of that age can mean it."""
    if not is_alive(pid):
        return False
    age = process_age(pid)
    return age is None or time.time() - age <= mtime + 2.0


def namespace(kind: str, pid: int | str = "self") -> str:
    """Return the namespace of *kind* (pid, net) of *pid*, or `-` where it cannot be seen."""
    try:
        return os.readlink(f"{PROC}/{pid}/ns/{kind}").partition("[")[2].rstrip("]")
    except OSError:
        return "-"


def realm() -> tuple[str, str, str]:
    """Return the boot id, the pid namespace and the net namespace we are in."""
    if has_proc():
        boot = proc_file("sys/kernel/random/boot_id").decode().strip()
    else:
        boot = run_tool("sysctl", "-n", "kern.bootsessionuuid")
    return boot or "-", namespace("pid"), namespace("net")


def all_parents() -> dict[int, int]:
    """Return every visible process's parent: pid -> ppid."""
    if not has_proc():
        lines = run_tool("ps", "-A", "-o", "pid=,ppid=").splitlines()
        return {int(pid): int(parent) for pid, parent in map(str.split, lines)}
    found = {}
    for pid in all_pids():
        fields = stat_fields(pid)
        if fields:
            found[pid] = int(fields[1])
    return found


def descendants(roots: set[int]) -> set[int]:
    """Return *roots* and all processes below them."""
    parents = all_parents()
    family = set(roots)
    grown = True
    while grown:
        grown = False
        for pid, parent in parents.items():
            if parent in family and pid not in family:
                family.add(pid)
                grown = True
    return family


def ancestors(pid: int, parents: dict[int, int] | None = None) -> set[int]:
    """Return *pid* and all processes above it, as far as they are seen.

    *parents* are what `all_parents` has returned, where that was asked already.
    """
    parents = all_parents() if parents is None else parents
    line = {pid}
    while (pid := parents.get(pid, 0)) and pid not in line:
        line.add(pid)
    return line


def own_pids() -> Iterator[int]:
    """Yield every process that /proc shows as this user's."""
    for pid in all_pids():
        try:
            if os.stat(f"{PROC}/{pid}").st_uid == os.geteuid():
                yield pid
        except OSError:
            continue


def all_pids(first: int | None = None) -> Iterator[int]:
    """Yield *first*, then every process that /proc shows."""
    if first is not None:
        yield first
    yield from map(int, filter(str.isdigit, os.listdir(PROC)))


def descriptors(pid: int) -> Iterator[tuple[str, str]]:
    """Yield (path below /proc, target) of each open file of *pid*, as far as we may look."""
    try:
        names = os.listdir(f"{PROC}/{pid}/fd")
    except OSError:
        return
    for name in names:
        path = f"{PROC}/{pid}/fd/{name}"
        try:
            yield path, os.readlink(path)
        except OSError:
            continue


def command_of(pid: int) -> str:
    """Return the command line of *pid*, words joined by blanks; "" when it cannot be seen."""
    if not has_proc():
        return run_tool("ps", "-o", "args=", "-p", str(pid))
    return proc_file(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace").strip()


def command_words(pid: int) -> list[str]:
    """Return the command line of *pid*, word by word; [] when it cannot be seen.

    ps(1) tells no blank in a word from one between two.
    """
    if not has_proc():
        return command_of(pid).split()
    return proc_file(pid, "cmdline").decode(errors="replace").split("\0")[:-1]


def send_signal(pid: int, start: str | None, number: int) -> None:
    """Send a signal to the process that had *start* as its start time, and to no later one."""
    import signal

    if start is None:
        return
    try:
        if hasattr(os, "pidfd_open"):
            # pidfd_open(2): the descriptor goes on to mean this process, whatever the pid does.
            fd = os.pidfd_open(pid)
            try:
                if start_time(pid) == start:
                    signal.pidfd_send_signal(fd, number)
            finally:
                os.close(fd)
        elif start_time(pid) == start:
            os.kill(pid, number)
    except OSError:
        return  # it has gone by itself, or will be seen to be left
