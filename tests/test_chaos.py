"""A stride through the experiments of chaos.py; `make chaos` does every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chaos import Bench, failures, kills
from daemons import need

if TYPE_CHECKING:
    from collections.abc import Iterator

STRIDE = 29


@pytest.fixture
def bench() -> Iterator[Bench]:
    need("strace")
    made = Bench()
    yield made
    made.close()


@pytest.mark.parametrize("kind", [kills, failures])
@pytest.mark.parametrize("offset", [0, 13])
def test_no_system_call_is_a_bad_moment(bench: Bench, kind: object, offset: int) -> None:
    make = kills if kind is kills else failures
    experiments = make(*bench.record())[offset::STRIDE]
    assert len(experiments) > 5
    wrong = {one.inject: bench.violations(one) for one in experiments}
    assert {inject: found for inject, found in wrong.items() if found} == {}
