"""Who may ask: each line of the list of hostile requests, and what agents really send."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from daemons import need_root
from wire import CALL, FORGED, GOOD, HERE, PORT, WELCOME, read, request

from llmenv_hooks.bridge.guard import Guard
from llmenv_hooks.bridge.refusals import Refusal, Tally
from llmenv_hooks.bridge.requests import Head
from llmenv_hooks.bridge.tokens import own_token, read_token
from llmenv_hooks.helper.errors import Problem

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "0123456789abcdef" * 4
LISTED = "vscode-webview://abc"


def refusal(guard: Guard, *headers: tuple[str, str], host: str = HERE) -> Refusal | None:
    return guard.refusal(Head("POST", "/mcp", [("host", host), *headers]))


@pytest.mark.parametrize("raw", FORGED.values(), ids=FORGED.keys())
def test_a_forged_request_is_refused(raw: bytes) -> None:
    assert read([raw]) == ([], 403)


@pytest.mark.parametrize("raw", WELCOME.values(), ids=WELCOME.keys())
def test_what_agents_send_passes(raw: bytes) -> None:
    ((head, body),), status = read([raw])
    assert status is None
    assert body == (CALL if head.method == "POST" else b"")


@pytest.mark.parametrize("raw", FORGED.values(), ids=FORGED.keys())
def test_a_request_behind_a_good_one_is_judged_again(raw: bytes) -> None:
    passed, status = read([GOOD + raw])
    assert (len(passed), status) == (1, 403)


# --- the address bound ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bind", "host"),
    [
        ("127.0.0.2", "127.0.0.2:7878"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7", "localhost:7878"),
        ("2001:db8::7", "[2001:DB8:0::7]:7878"),
        ("0.0.0.0", "192.0.2.7:7878"),
        ("::", "[2001:db8::7]:7878"),
        ("::", "192.0.2.7:7878"),
    ],
)
def test_the_address_bound_is_a_host(bind: str, host: str) -> None:
    assert refusal(Guard(bind), host=host) is None


@pytest.mark.parametrize(
    ("bind", "host"),
    [
        ("127.0.0.2", "127.0.0.3:7878"),
        ("192.0.2.7", "192.0.2.8"),
        ("192.0.2.7", "192.0.2.7.evil.example.com"),
        ("2001:db8::7", "2001:db8::7"),
        ("0.0.0.0", "0.0.0.0:7878"),
        ("0.0.0.0", "evil.example.com:7878"),
        ("0.0.0.0", "127.1:7878"),
        ("::", "[::]:7878"),
        ("::", "[fe80::1%eth0]:7878"),
        ("::", "nas:7878"),
    ],
)
def test_no_other_address_is_a_host(bind: str, host: str) -> None:
    refused = refusal(Guard(bind), host=host)
    assert refused
    assert (refused.status, refused.reason) == (403, "Host")


# --- origins of the config ------------------------------------------------------------------------


def test_a_listed_origin_passes() -> None:
    guard = Guard("127.0.0.1", [LISTED, "http://localhost:3000"])
    assert refusal(guard, ("origin", LISTED)) is None
    assert refusal(guard, ("origin", "http://localhost:3000")) is None
    assert refusal(guard, ("origin", f"http://{HERE}")) is None
    assert refusal(guard) is None


@pytest.mark.parametrize("origin", [f"{LISTED}d", LISTED[:-1], LISTED.upper(), "null", ""])
def test_an_origin_like_a_listed_one_does_not(origin: str) -> None:
    assert refusal(Guard("127.0.0.1", [LISTED]), ("origin", origin))


def test_a_listed_origin_among_two_does_not() -> None:
    guard = Guard("127.0.0.1", [LISTED])
    assert refusal(guard, ("origin", LISTED), ("origin", "http://evil.example.com"))
    assert refusal(guard, ("origin", LISTED), ("origin", LISTED))


def test_a_listed_origin_excuses_no_host() -> None:
    guard = Guard("127.0.0.1", ["http://evil.example.com"])
    origin = ("origin", "http://evil.example.com")
    refused = refusal(guard, origin, host="evil.example.com")
    assert refused
    assert refused.reason == "Host"


SITES = ("cross-site", "same-site")


@pytest.mark.parametrize("site", SITES)
def test_a_listed_origin_excuses_the_site(site: str) -> None:
    guard = Guard("127.0.0.1", [LISTED])
    said = ("sec-fetch-site", site)
    assert refusal(guard, ("origin", LISTED), said) is None
    for others in ([], [("origin", f"http://{HERE}")]):
        refused = refusal(guard, *others, said)
        assert refused
        assert refused.reason == "Sec-Fetch-Site"


def question(origin: str, *headers: tuple[str, str], host: str = HERE) -> Head:
    """Return what a browser asks before it lets a page of *origin* send a request."""
    return Head("OPTIONS", "/mcp", [("host", host), ("origin", origin), *headers])


def test_a_preflight_is_that_of_a_listed_origin() -> None:
    guard = Guard("127.0.0.1", [LISTED])
    assert guard.is_preflight(question(LISTED))
    assert guard.refusal(question(LISTED, ("sec-fetch-site", "cross-site"))) is None
    assert not guard.is_preflight(question("http://evil.example.com"))
    assert not guard.is_preflight(question(f"http://{HERE}"))
    assert not guard.is_preflight(Head("POST", "/mcp", [("host", HERE), ("origin", LISTED)]))
    assert guard.refusal(question("http://evil.example.com"))
    assert guard.refusal(question(LISTED, host="evil.example.com"))
    assert guard.refusal(question(LISTED, ("origin", LISTED)))


def test_a_preflight_needs_no_token_and_nothing_else_is_spared_it() -> None:
    guard = Guard("127.0.0.1", [LISTED], TOKEN)
    assert guard.refusal(question(LISTED)) is None
    refused = guard.refusal(question("http://evil.example.com"))
    assert refused
    assert refused.status == 401
    refused = refusal(guard, ("origin", LISTED))
    assert refused
    assert refused.status == 401


# --- what the refused are told --------------------------------------------------------------------


def test_each_refusal_says_why_in_one_harmless_line() -> None:
    guard = Guard("127.0.0.1", token=None)
    for given in ("\x1b[31m\r\nevil", "e" * 4000, ""):
        for refused in (
            refusal(guard, host=given),
            refusal(guard, ("origin", given)),
            refusal(guard, ("sec-fetch-site", given)),
        ):
            assert refused
            assert refused.why.isprintable()
            assert len(refused.why) < 250


def test_a_refused_origin_is_told_what_to_do() -> None:
    refused = refusal(Guard("127.0.0.1"), ("origin", LISTED))
    assert refused == Refusal(
        403,
        "Origin",
        f"Origin is '{LISTED}'; to allow it, list it in `origins` of this service in the config",
    )


def test_a_refused_host_is_told_which_are_right() -> None:
    refused = refusal(Guard("192.0.2.7"), host="nas")
    assert refused
    assert refused.why == (
        "Host is 'nas', and must be one of 127.0.0.1, localhost, [::1], 192.0.2.7"
    )


def test_refusals_are_counted_and_logged_once_a_minute() -> None:
    now, lines = [1000.0], list[str]()
    tally = Tally(lines.append, lambda: now[0])
    tally.count("Host", "Host is 'a'")
    assert lines == ["refused 1 by Host (Host is 'a')"]
    for number in range(500):
        tally.count("Host", f"Host is 'b{number}'")
    tally.count("user", "another user")
    now[0] += 59.9
    tally.say()
    assert len(lines) == 1
    now[0] += 0.1
    tally.say()
    assert lines[1:] == ["refused 500 by Host (Host is 'b499'); 1 by user (another user)"]
    now[0] += 3600
    tally.say()
    assert len(lines) == 2
    assert tally.total == {"Host": 501, "user": 1}


# --- tokens ---------------------------------------------------------------------------------------


def bearer(*values: str) -> list[int]:
    """Return the status of a request with these Authorization headers; nothing: it passed."""
    raw = request(*[f"Authorization: {value}" for value in values])
    passed, status = read([raw], Guard("127.0.0.1", token=TOKEN))
    assert bool(passed) != bool(status)
    return [status] if status else []


def test_the_token_lets_in() -> None:
    assert bearer(f"Bearer {TOKEN}") == []


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        ["Bearer"],
        [f"Bearer {TOKEN[:-1]}"],
        [f"Bearer {TOKEN}0"],
        [f"Bearer {TOKEN.upper()}"],
        [f"bearer {TOKEN}"],
        [f"Bearer  {TOKEN}"],
        [f"Basic {TOKEN}"],
        [TOKEN],
        [f"Bearer {TOKEN}, Bearer {TOKEN}"],
        [f"Bearer {TOKEN}", f"Bearer {TOKEN}"],
        ["Bearer x", f"Bearer {TOKEN}"],
        ["Bearer \xe4\xff"],
    ],
)
def test_nothing_else_does(values: list[str]) -> None:
    assert bearer(*values) == [401]


def test_the_token_excuses_no_host_and_no_origin() -> None:
    guard = Guard("127.0.0.1", token=TOKEN)
    right = f"Authorization: Bearer {TOKEN}"
    assert read([request(right, host=f"evil.example.com:{PORT}")], guard) == ([], 403)
    assert read([request(right, "Origin: null")], guard) == ([], 403)


def test_a_token_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "memory.token"
    old = os.umask(0)
    try:
        token = own_token(str(path))
    finally:
        os.umask(old)
    assert len(token) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert own_token(str(path)) == read_token(str(path)) == token
    assert own_token(str(tmp_path / "other.token")) != token
    assert sorted(file.name for file in tmp_path.iterdir()) == ["memory.token", "other.token"]


def test_a_token_that_others_may_know_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.token"
    own_token(str(path))
    path.chmod(0o640)
    with pytest.raises(Problem, match="others may know"):
        own_token(str(path))
    path.chmod(0o600)
    os.link(path, tmp_path / "another-name")
    with pytest.raises(Problem, match="others may know"):
        own_token(str(path))


def test_a_token_behind_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.token"
    own_token(str(tmp_path / "real"))
    path.symlink_to("real")
    with pytest.raises(Problem, match="not a regular file"):
        own_token(str(path))
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(Problem, match="not a regular file"):
        own_token(str(path))
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("text", ["", "\n", TOKEN, f"{TOKEN}\n\n", f"{TOKEN}0\n", "x" * 64 + "\n"])
def test_a_file_without_a_whole_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "memory.token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(Problem, match="holds no token: remove it for a new one"):
        own_token(str(path))


def test_another_users_token_is_refused(tmp_path: Path) -> None:
    need_root()
    path = tmp_path / "memory.token"
    own_token(str(path))
    os.chown(path, 4242, 4242)
    with pytest.raises(Problem, match="not a regular file of yours"):
        own_token(str(path))


def test_no_token_can_be_made_where_there_is_no_directory(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"cannot make .*: without a token anybody here could ask"):
        own_token(str(tmp_path / "none" / "memory.token"))
    with pytest.raises(Problem, match="cannot read"):
        read_token(str(tmp_path / "memory.token"))
