"""A stride through the experiments of chaos.py; `make chaos` does every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bridge_chaos import BRIDGE_DIES, END, RESTART, START, BridgeBench, Hurt, hurts
from daemons import need, processes_with
from packed import ENSURE

from chaos import Bench, Call, Experiment, carried_out, failures, kills

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STRIDE = 37  # next to no multiple of the signals and errnos: each call in turn gets another


@pytest.fixture
def bench() -> Iterator[Bench]:
    need("strace")
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("make", [kills, failures])
def test_no_system_call_is_a_bad_moment(
    bench: Bench, make: Callable[[list[Call], list[Call]], list[Experiment]]
) -> None:
    experiments = make(*bench.record())[STRIDE // 2 :: STRIDE]
    found = {str(one): wrong for one, wrong in carried_out(experiments, Bench)}
    assert {one: wrong for one, wrong in found.items() if wrong} == {}
    assert sum(wrong is not None for wrong in found.values()) >= 0.8 * len(experiments) > 20


BRIDGE_STRIDE = {START: 61, RESTART: 31, END: 37}


@pytest.mark.parametrize("phase", BRIDGE_STRIDE)
def test_no_system_call_of_the_bridge_is_a_bad_moment(phase: str) -> None:
    need("strace")
    bench = BridgeBench()
    try:
        calls = bench.record(phase)
    finally:
        bench.close()
    experiments = hurts(phase, calls)[:: BRIDGE_STRIDE[phase]]
    assert len(experiments) > 4
    found = {str(one): wrong for one, wrong in carried_out(experiments, BridgeBench)}
    assert {one: wrong for one, wrong in found.items() if wrong} == {}
    assert sum(wrong is not None for wrong in found.values()) >= 0.5 * len(experiments)


def test_two_servers_at_once_are_a_violation() -> None:
    """A bridge that forgets who carries its mark, and a helper that forgets what was left."""
    need("strace")
    bench = BridgeBench()
    try:
        bench.world.break_bridge("| self._marked()", "")
        end = "end_strays(service, attempt.files)"
        helper = bench.world.helper
        helper.write_text(helper.read_text().replace(f"    {end}\n", "", 1))
        hurt = Hurt(END, Experiment(Call("epoll_wait", 2), signal=BRIDGE_DIES))
        assert "two servers met" in (bench.violations(hurt) or [])
    finally:
        bench.close()


UNLOCKED = ("else (life, *held)", "else held")
UNNAMED = ("os.pwrite(life, identity_of(os.getpid(), service).encode(), 0)", "pass")
ENDLESS = ("time.sleep(0.02)", "time.sleep(3600)")


def mutate(bench: Bench, directory: Path, *changes: tuple[str, str]) -> None:
    """Let *bench* hurt an ensure.py that was broken by hand."""
    program = ENSURE.read_text()
    for old, new in changes:
        assert old in program
        program = program.replace(old, new)
    (directory / "ensure.py").write_text(program)
    bench.world.helper = directory / "ensure.py"


@pytest.mark.parametrize("child", [False, True])
@pytest.mark.parametrize("changes", [[UNLOCKED], [UNNAMED], [UNLOCKED, UNNAMED]], ids=len)
def test_a_daemon_that_nothing_proves_is_a_violation(
    bench: Bench, tmp_path: Path, changes: list[tuple[str, str]], child: bool
) -> None:
    mutate(bench, tmp_path, *changes)
    call = Call("execve" if child else "clock_nanosleep", 1)
    assert bench.violations(Experiment(call, signal="SIGKILL", child=child))


def test_a_run_that_hangs_is_a_violation_and_is_ended(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.HANG_S", 3.0)
    mutate(bench, tmp_path, ENDLESS)
    wrong = bench.violations(Experiment(Call("mkdir", 1), error="EINTR"))
    assert wrong == ["it hangs"]
    bench.reset()
    assert processes_with(bench.marker) == []


def test_what_did_not_happen_is_not_counted(bench: Bench) -> None:
    assert bench.violations(Experiment(Call("mkdir", 99), error="EIO")) is None
    assert bench.violations(Experiment(Call("mkdir", 99), signal="SIGKILL")) is None
