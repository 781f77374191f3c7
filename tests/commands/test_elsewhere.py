"""What the commands make of a service that runs elsewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from commands.support import llmenv, refused
from mcp_site import Site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from daemons import World


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    """A server somewhere else, which is the service `team` of the config."""
    with Site() as made:
        made.token = "sesame"
        world.env["TEAM_TOKEN"] = "sesame"
        headers = '{ Authorization = "Bearer ${TEAM_TOKEN}" }'
        world.config.write_text(f'[services.team]\nurl = "{made.url}"\nheaders = {headers}\n')
        yield made


@pytest.mark.parametrize("command", ["start", "stop", "restart", "logs"])
def test_nothing_of_it_is_started_or_stopped(world: World, site: Site, command: str) -> None:
    refused(llmenv(world, command, "team"), 1, f"team runs elsewhere, at {site.url}")
    assert site.requests == []


def test_status_asks_it(world: World, site: Site) -> None:
    done = llmenv(world, "status", "--json")
    (row,) = json.loads(done.stdout)
    assert (done.returncode, row["state"], row["url"]) == (0, "running", site.url)
    assert row["pid"] is row["address"] is row["log"] is None
    site.token = "another"
    done = llmenv(world, "status")
    assert done.returncode == 1
    assert "unreachable" in done.stdout
    assert f"team: {site.url}: HTTP 401 Unauthorized" in done.stdout


def test_doctor_asks_it(world: World, site: Site) -> None:
    def found() -> list[tuple[str, str, str]]:
        rows = json.loads(llmenv(world, "doctor", "--json").stdout)
        ours = [row for row in rows if row["service"] == "team"]
        return [(row["check"], row["verdict"], row["found"]) for row in ours]

    ((check, verdict, said),) = found()
    assert (check, verdict) == ("round trip", "ok")
    assert said.startswith(f"{site.url}: site answered in ")
    del world.env["TEAM_TOKEN"]
    ((_, verdict, said),) = found()
    assert verdict == "fail"
    assert "${TEAM_TOKEN}" in said


def test_shells_learn_its_url(world: World, site: Site) -> None:
    exported = llmenv(world, "export", "bash").stdout
    assert f"LLMENV_MCP_URL='{site.url}'" in exported
    assert f"LLMENV_TEAM_URL='{site.url}'" in exported


def test_config_show_shows_it_as_it_is_written(world: World, site: Site) -> None:
    shown = llmenv(world, "config", "show").stdout
    assert shown.splitlines()[1:] == [
        "",
        "[services.team]",
        f'url = "{site.url}"',
        'headers = { "Authorization" = "Bearer ${TEAM_TOKEN}" }',
    ]
