"""What most tests start from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest
from daemons import World, default_signals
from homes import VARIABLES, guarded

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)

default_signals()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A CI has all that the tests want: there nothing may be skipped, for whatever reason."""
    return unskipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Nor a whole module."""
    return unskipped((yield))


def unskipped(report: Report) -> Report:
    """Make of a skipped test in CI one that failed; one that was expected to fail stays as is."""
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def no_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Who was given no home of its own has one in which nothing can be."""
    home = tmp_path_factory.mktemp("nobody") / "this-test-has-no-home"
    home.write_text("A directory could be used unawares.\n")
    with pytest.MonkeyPatch.context() as patched:
        for variable in VARIABLES:
            patched.setenv(variable, str(home))
        patched.delenv("LLMENV_CONFIG")
        yield


@pytest.fixture(autouse=True)
def no_real_home() -> Iterator[None]:
    """Nor is there a way to the real one."""
    with guarded():
        yield


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world of its own, without a config: the stub daemon is named by arguments."""
    with World(tmp_path / "w") as made:
        yield made


@pytest.fixture
def configured(world: World) -> None:
    """The stub daemon is in the config of the world."""
    world.write_config()


@pytest.fixture
def stranger(world: World) -> Iterator[int]:
    """A live process of ours that has nothing to do with the service."""
    child = world.begin(["sleep", "1000"])
    yield child.pid
    assert child.poll() is None, "a stranger was signalled"
