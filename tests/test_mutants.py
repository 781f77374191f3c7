"""Each mutant of the helper and of the bridge can be made, and one that lives is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bridge_mutants import BRIDGE_MUTANTS
from mutants import MUTANTS, ROOT, Mutant, failed, survived

if TYPE_CHECKING:
    from pathlib import Path

QUICK = "tests/helper/test_identity.py::test_a_start_time_off_by_one_is_another_process"


ALL = MUTANTS + BRIDGE_MUTANTS


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.wrong)
def test_its_text_is_found_once_and_its_tests_exist(mutant: Mutant) -> None:
    compile(mutant.source(), mutant.program.name, "exec")
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text()


def test_there_are_enough_of_them() -> None:
    assert min(len(MUTANTS), len(BRIDGE_MUTANTS)) >= 10
    assert len({mutant.old + mutant.new for mutant in ALL}) == len(ALL)


def test_a_text_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match="found 0 times"):
        Mutant("nothing", "there is no such text", "", ()).source()


def test_one_that_is_found_out_and_one_that_lives(tmp_path: Path) -> None:
    (bad,) = [mutant for mutant in MUTANTS if QUICK in mutant.tests]
    assert survived(bad._replace(tests=(QUICK,)), tmp_path / "bad") == []
    harmless = bad._replace(new=f"{bad.old} ", tests=(QUICK,))
    assert survived(harmless, tmp_path / "harmless") == [QUICK]


def test_a_test_that_cannot_be_run_is_not_taken_for_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="pytest ended with"):
        failed((f"{QUICK}_and_more",), None, tmp_path / "none")
