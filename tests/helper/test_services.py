"""What a service is: its address, its variable, and what may not be one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from outcomes import llmenv, refused_at_once
from packed import ensure

if TYPE_CHECKING:
    from daemons import (
        World,
    )


ADDRESSES = [
    "::1:9092",
    "host:1",
    "localhost:7878",
    "1.2.3.4",
    ":0",
    ":7878",
    "1.2.3.4:0",
    "1.2.3.4:70000",
    "1.2.3.4:65536",
    "1.2.3.4:-1",
    "1.2.3.4:+1",
    "1.2.3.4: 1",
    "1.2.3.4:1 ",
    "1.2.3.4:0x50",
    "1.2.3.4:1_0",
    "1.2.3.4:\u0661\u0662",
    "1.2.3.4:\uff11",
    "1.2.3.4:\u00b2",
    "\u0661.2.3.4:80",
    "1.2.3:80",
    "1.2.3.4.5:80",
    "256.1.1.1:80",
    "01.2.3.4:80",
    "[::1]",
    "[::1]:",
    "[::1:80",
    "::1]:80",
    "[1.2.3.4]:80",
    "[::1%lo]:80",
    "[]:80",
    "--x:1",
    "",
    ":",
    "\x1b[31m:1",
    "1.2.3.4:1\n",
    "http://127.0.0.1:80",
    "1.2.3.4:" + "1" * 5000,
]


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda a: repr(a)[:24])
def test_a_bad_address_is_refused(world: World, address: str) -> None:
    with pytest.raises(ensure.UsageError, match="bad address"):
        ensure.parse_bind(address)
    done = world.run(world.bare(f"--bind={address}", "--no-bridge", "--", *world.stub()))
    refused_at_once(world, done, 2, "bad address", "127.0.0.1:7878")
    assert not world.state.exists()


def test_nul_in_an_address_is_refused() -> None:
    for address in ("1.2.3.4\0:1", "\0:1", "1.2.3.4:1\0"):
        with pytest.raises(ensure.UsageError, match="bad address"):
            ensure.parse_bind(address)


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("0.0.0.0:80", "http://127.0.0.1:80/mcp"),
        ("[::]:80", "http://[::1]:80/mcp"),
        ("[::1]:80", "http://[::1]:80/mcp"),
        ("10.1.2.3:80", "http://10.1.2.3:80/mcp"),
    ],
)
def test_where_an_address_is_reached(bind: str, url: str) -> None:
    service = ensure.Service(bind=bind)
    assert service.bind == bind
    assert ensure.Config([service], None, "").url(service) == url


@pytest.mark.usefixtures("configured")
def test_a_first_service_named_mcp_has_one_variable(world: World) -> None:
    world.config.write_text('[services.mcp]\ncommand = ["x"]\n')
    assert llmenv(world, "export", "bash").stdout.count("LLMENV_MCP_URL") == 1
