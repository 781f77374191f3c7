"""The protocol, broken in one place at a time; each time some tests must fail.

A mutant is the helper, or the bridge, with one text replaced by another.  The tests that are named
with it are run on it (tests/packed.py takes the helper from LLMENV_TEST_HELPER, its companions from
beside it), after they have passed on copies of all as they are.  The bridge's mutants are in
bridge_mutants.py.  `make chaos` runs them all.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from packed import BRIDGE, CONNECT, ENSURE

ROOT = Path(__file__).parent.parent


class Mutant(NamedTuple):
    """What is wrong with it, the text that is replaced by another, and the tests that must fail.

    *program* is the file that has the text.
    """

    wrong: str
    old: str
    new: str
    tests: tuple[str, ...]
    program: Path = ENSURE

    def source(self) -> str:
        """Return the text of the mutant.

        Raises:
            ValueError: the program does not have the text exactly once.
        """
        source = self.program.read_text()
        if source.count(self.old) != 1:
            raise ValueError(f"{self.wrong}: found {source.count(self.old)} times: {self.old}")
        return source.replace(self.old, self.new)


MUTANTS = (
    Mutant(
        "there is no second look under the lock",
        "        sight = look(service, files)\n        # A keeper",
        '        sight = Sight("down")\n        # A keeper',
        (
            "tests/protocol/test_seed.py::test_it_looks_again_under_the_lock",
            "tests/protocol/test_lost_files.py::test_a_deleted_pidfile_is_published_again",
        ),
    ),
    Mutant(
        "the file of the start lock may have been replaced before it was locked",
        "try_flock(fd, fcntl.LOCK_EX) and still_at(fd, files.lock) and not _held_by_seed(fd)",
        "try_flock(fd, fcntl.LOCK_EX) and not _held_by_seed(fd)",
        ("tests/helper/test_locks.py::test_a_lock_on_a_file_that_was_replaced_is_no_lock",),
    ),
    Mutant(
        "the start lock is unlinked after it was let go",
        "        if still_at(fd, files.lock):\n            os.unlink(files.lock)\n"
        "    except OSError:\n        pass\n    close_quietly(fd)\n",
        "        mine = still_at(fd, files.lock)\n        close_quietly(fd)\n        if mine:\n"
        "            os.unlink(files.lock)\n    except OSError:\n        pass\n",
        ("tests/helper/test_locks.py::test_a_dead_lock_is_taken_over_by_one_two_hundred_times",),
    ),
    Mutant(
        "a lock of the seed's counts for nothing",
        " and not _held_by_seed(fd)",
        "",
        (
            "tests/helper/test_locks.py::test_the_seeds_lock_is_held_while_its_pid_lives",
            "tests/protocol/test_seed.py::test_a_seed_style_lock_counts_while_its_pid_lives",
        ),
    ),
    Mutant(
        "the daemon does not inherit the lifetime lock",
        "else (life, *held)",
        "else held",
        (
            "tests/protocol/test_wrappers.py::test_only_the_daemon_holds_the_lifetime_lock",
            "tests/helper/test_locks.py::test_the_lifetime_lock_of_an_earlier_daemon_is_respected",
        ),
    ),
    Mutant(
        "the record is not written before the exec",
        "os.pwrite(life, identity_of(os.getpid(), service).encode(), 0)",
        "pass",
        ("tests/protocol/test_killed.py::test_killed_at_a_step_of_the_start",),
    ),
    Mutant(
        "the pidfile is written before the port answers",
        "        return _await_port(attempt, child, offset)\n",
        "        write_pidfile_atomic(attempt.files.pid, child.pid)\n"
        "        return _await_port(attempt, child, offset)\n",
        ("tests/protocol/test_cold_start.py::test_nothing_is_published_before_the_port_answers",),
    ),
    Mutant(
        "a reused pid passes for the daemon",
        "return HERE if start_time(self.pid) == self.start else DEAD",
        "return HERE if is_alive(self.pid) else DEAD",
        (
            "tests/helper/test_identity.py::test_a_start_time_off_by_one_is_another_process",
            "tests/protocol/test_identity.py::test_a_record_with_a_reused_pid_is_no_daemon",
        ),
    ),
    Mutant(
        "a record of another boot or namespace is taken for ours",
        "        if self.realm != realm():\n",
        "        if False:\n",
        ("tests/helper/test_identity.py::test_a_record_of_another_boot_is_no_daemon",),
    ),
    Mutant(
        "a signal goes to whoever has the pid now",
        "                if start_time(pid) == start:\n                    signal.pidfd_send",
        "                if True:\n                    signal.pidfd_send",
        ("tests/protocol/test_stopping.py::test_a_signal_goes_to_no_later_process",),
    ),
    Mutant(
        "stop signals whom the pidfile names",
        "    roots = life_holders(files.life)\n",
        "    roots = life_holders(files.life) | {pid for pid in [pidfile_pid(files)] if pid}\n",
        ("tests/protocol/test_stopping.py::test_stop_never_signals_what_no_record_proves",),
    ),
    Mutant(
        "stop forgets the daemon's children in other sessions",
        "for pid in descendants(roots | leaders | set(marked(files)))}",
        "for pid in roots | leaders}",
        ("tests/protocol/test_stopping.py::test_stop_leaves_no_child_in_another_session",),
    ),
    Mutant(
        "what was stopped comes back at the next prompt",
        "must not think that it died.\n            mark_stopped(files)\n",
        "must not think that it died.\n",
        (
            "tests/protocol/test_stopping.py"
            "::test_a_stopped_service_stays_stopped_until_it_is_started",
        ),
    ),
    Mutant(
        "whatever of ours listens is taken for the service",
        "    if who and ours and who.runs(service):\n",
        "    if who and ours:\n",
        ("tests/protocol/test_port_owner.py::test_a_stranger_on_the_port_is_named",),
    ),
    Mutant(
        "a stranger may take the port while ours is on its way",
        "return who.uid == os.getuid() and is_of(who.pid, leader, files)",
        "return who.uid == os.getuid()",
        ("tests/protocol/test_port_owner.py::test_a_stranger_is_refused_while_ours_is_on_its_way",),
    ),
    Mutant(
        "those who waited for a start that failed try in turn",
        "    if modified(attempt.files.fail) not in (None, failed_before):\n",
        "    if False:\n",
        (
            "tests/protocol/test_failures.py"
            "::test_those_who_wait_for_a_start_that_fails_do_not_try_in_turn",
        ),
    ),
    Mutant(
        "links at our paths are followed",
        "flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)",
        "flags | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)",
        (
            "tests/protocol/test_planted_files.py"
            "::test_something_else_at_one_of_our_paths_is_refused_or_replaced[link-pid.lock]",
        ),
    ),
)


def failed(tests: tuple[str, ...], mutant: Mutant | None, directory: Path) -> set[str]:
    """Run *tests* on the one file and its companions, of which one is the *mutant*, as copies in
    *directory*, which is made; return which of them fail.

    Raises:
        RuntimeError: the tests could not be run, or one of them was skipped.
    """
    directory.mkdir()
    for program in (ENSURE, BRIDGE, CONNECT):
        changed = mutant is not None and mutant.program == program
        text = mutant.source() if mutant and changed else program.read_text()
        (directory / program.name).write_text(text)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", "-rA"]
    done = subprocess.run(
        [*argv, *tests],
        cwd=ROOT,
        env={**os.environ, "LLMENV_TEST_HELPER": str(directory / ENSURE.name)},
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1) or "SKIPPED" in done.stdout:
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    red = re.findall(r"^FAILED (\S+)", done.stdout, re.M)
    # A test that is named without its parameters has failed if it did so with any of them.
    return {test for test in tests if any(one == test or one.startswith(f"{test}[") for one in red)}


def survived(mutant: Mutant, directory: Path) -> list[str]:
    """Return the tests of *mutant* that did not fail on it."""
    red = failed(mutant.tests, mutant, directory)
    return [test for test in mutant.tests if test not in red]


def main(mutants: tuple[Mutant, ...] = MUTANTS) -> int:
    """Run each test on copies, and on its mutant of *mutants*; 1 if it is red or green amiss."""
    with tempfile.TemporaryDirectory(prefix="llmenv-mutants-") as place:
        tests = tuple(dict.fromkeys(test for mutant in mutants for test in mutant.tests))
        if red := failed(tests, None, Path(place, "as-it-is")):
            print(f"red without a mutant: {' '.join(sorted(red))}")
            return 1
        bad = 0
        for number, mutant in enumerate(mutants):
            green = survived(mutant, Path(place, str(number)))
            bad += bool(green)
            print(f"{'SURVIVED' if green else 'red'}: {mutant.wrong}", *green, flush=True)
    print(f"mutants: {len(mutants)}, {bad} survived")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
