"""The bridge's HTTP: what it reads and refuses, however it comes cut, and that h11 agrees."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire import (
    CALL,
    CHUNKED,
    FORGED,
    GOOD,
    HERE,
    JSON,
    MALFORMED,
    WELCOME,
    WELL_FORMED,
    chunks,
    get,
    read,
    request,
)

from llmenv_hooks.bridge import answers
from llmenv_hooks.bridge.http1 import (
    MOST_BODY_BYTES,
    MOST_HEAD_BYTES,
    Continue,
    Data,
    End,
    Event,
    Reader,
)
from llmenv_hooks.bridge.requests import Head, Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def events(pieces: Iterable[bytes]) -> list[Event | tuple[int, str]]:
    """Return all events of a connection, the pieces of a body joined, a refusal last."""
    reader, found = Reader(), list[Event | tuple[int, str]]()
    try:
        for piece in pieces:
            reader.feed(piece)
            while event := reader.next_event():
                if isinstance(event, Data) and isinstance(found[-1], Data):
                    found[-1] = Data(found[-1].data + event.data)
                else:
                    found.append(event)
    except Malformed as error:
        found.append((error.status, error.why))
    return found


def bytewise(raw: bytes) -> Iterator[bytes]:
    return (raw[i : i + 1] for i in range(len(raw)))


# --- one by one -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "raw"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_refused(status: int, raw: bytes) -> None:
    assert read([raw]) == ([], status)


@pytest.mark.parametrize(("status", "raw"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_request_behind_a_good_one_is_read_as_strictly(status: int, raw: bytes) -> None:
    passed, refused = read([GOOD + raw])
    assert (len(passed), refused) == (1, status)


@pytest.mark.parametrize("raw", WELL_FORMED.values(), ids=WELL_FORMED.keys())
def test_a_well_formed_request_passes(raw: bytes) -> None:
    ((head, body),), status = read([raw])
    assert status is None
    assert body == (CALL if head.method == "POST" else b"")


def test_requests_come_one_after_the_other() -> None:
    raw = b"".join(raw for raw in WELL_FORMED.values())
    passed, status = read([raw])
    assert (len(passed), status) == (len(WELL_FORMED), None)


def test_a_head_is_what_was_sent() -> None:
    raw = request(
        "Mcp-Session-Id:  a b\t", "X-A: \xe4\xa0", "x-a: 2", line="POST /x?y=%20 HTTP/1.1"
    )
    (head,) = [event for event in events([raw]) if isinstance(event, Head)]
    assert (head.method, head.target) == ("POST", "/x?y=%20")
    assert head.headers == [
        ("host", HERE),
        ("content-type", "application/json"),
        ("content-length", str(len(CALL))),
        ("mcp-session-id", "a b"),
        ("x-a", "\xe4\xa0"),  # a space of Latin-1, but none of HTTP
        ("x-a", "2"),
    ]
    assert head.one("mcp-session-id") == "a b"
    assert head.one("accept") is None
    with pytest.raises(Malformed, match="more than one x-a header"):
        head.one("x-a")


@pytest.mark.parametrize(
    ("headers", "closes"),
    [
        ([], False),
        (["Connection: keep-alive"], False),
        (["Connection: close"], True),
        (["Connection: Keep-Alive ,\tCLOSE"], True),
        (["Connection: a", "Connection: close"], True),
        (["Connection: closed"], False),
    ],
)
def test_a_client_says_that_it_closes(headers: list[str], closes: bool) -> None:
    (head, *_) = events([request(*headers)])
    assert isinstance(head, Head)
    assert head.closes is closes


# --- limits ---------------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    """Return a request whose head has *size* bytes."""
    short = request("X-A: ").removesuffix(CALL)
    return request(f"X-A: {'b' * (size - len(short))}")


def test_a_head_of_16_kib_passes_and_a_byte_more_does_not() -> None:
    assert read([padded(MOST_HEAD_BYTES)])[1] is None
    assert read([padded(MOST_HEAD_BYTES + 1)]) == ([], 431)


def test_each_head_has_a_limit_of_its_own() -> None:
    assert len(read([padded(MOST_HEAD_BYTES) * 3])[0]) == 3


def test_a_body_of_4_mib_passes_and_a_byte_more_does_not() -> None:
    body = b" " * MOST_BODY_BYTES
    ((_, whole),), _ = read([request(length=f"Content-Length: {len(body)}", body=body)])
    assert whole == body
    ((_, whole),), _ = read([request(length=CHUNKED, body=chunks(body[:-1], b" "))])
    assert whole == body
    assert read([request(length=f"Content-Length: {len(body) + 1}")]) == ([], 413)
    assert read([request(length=CHUNKED, body=chunks(body, b" "))]) == ([], 413)


def test_each_body_has_a_limit_of_its_own() -> None:
    big = request(length=CHUNKED, body=chunks(b" " * (3 << 20)))
    assert len(read([big * 2])[0]) == 2


# --- when it is said ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "begun"),
    [
        (400, b"\x16\x03\x01\x02\x00"),  # TLS
        (400, b"\0"),
        (400, b"GET /mcp\r\n"),
        (505, b"PRI * HTTP/2.0\r\n"),
        (505, b"GET /mcp HTTP/1.0\r\n"),
        (400, b"POST /mcp HTTP/1.1\r\nX-A : b\r\n"),
        (431, b"POST /" + b"a" * MOST_HEAD_BYTES),
    ],
)
def test_what_can_never_be_well_formed_is_refused_at_once(status: int, begun: bytes) -> None:
    assert read([begun]) == ([], status)


def test_the_head_is_shown_before_its_form_is_looked_at() -> None:
    reader = Reader()
    reader.feed(get("BREW /mcp HTTP/1.1", host="evil.example.com"))
    assert isinstance(reader.next_event(), Head)
    with pytest.raises(Malformed) as caught:
        reader.next_event()
    assert (caught.value.status, caught.value.why) == (405, "not one of POST, GET, DELETE")


def test_after_a_refusal_nothing_is_read() -> None:
    reader = Reader()
    reader.feed(b"\0")
    for _ in range(3):
        with pytest.raises(Malformed):
            reader.next_event()
        reader.feed(GOOD)


def test_a_client_that_waits_is_told_to_go_on_once_its_form_is_right() -> None:
    reader = Reader()
    reader.feed(request("Expect: 100-continue", body=b""))
    assert isinstance(reader.next_event(), Head)
    assert reader.next_event() == Continue()
    assert reader.next_event() is None
    reader.feed(CALL)
    assert [reader.next_event(), reader.next_event()] == [Data(CALL), End()]
    long = request("Expect: 100-continue", length="Content-Length: 9999999")
    assert Continue() not in events([long])


def test_the_phase_tells_which_deadline_holds() -> None:
    reader = Reader()
    assert reader.phase == "idle"
    for piece, count, phase in (
        (b"P", 0, "head"),
        (b"OST /mcp HTTP/1.1\r\n", 0, "head"),
        (request(body=b"")[20:], 1, "body"),
        (CALL[:-1], 1, "body"),
        (CALL[-1:], 2, "idle"),
        (GOOD + b"G", 3, "head"),
        (get("GET /mcp HTTP/1.1")[1:], 2, "idle"),
    ):
        reader.feed(piece)
        found = 0
        while reader.next_event():
            found += 1
        assert (found, reader.phase) == (count, phase), piece


def test_what_was_not_read_yet_is_known() -> None:
    reader = Reader()
    reader.feed(GOOD + GOOD)
    assert reader.buffered == 2 * len(GOOD)
    while reader.next_event() != End():
        pass
    assert reader.buffered == len(GOOD)
    assert reader.phase == "head"


# --- however it is cut ----------------------------------------------------------------------------

TABLE = {
    **{name: raw for name, (_, raw) in MALFORMED.items()},
    **{f"forged-{name}": raw for name, raw in FORGED.items()},
    **{f"welcome-{name}": raw for name, raw in WELCOME.items()},
    **{f"well-formed-{name}": raw for name, raw in WELL_FORMED.items()},
}


@pytest.mark.parametrize("raw", TABLE.values(), ids=TABLE.keys())
def test_byte_by_byte_it_is_the_same(raw: bytes) -> None:
    if len(raw) > 1 << 20:
        raw = raw[:70000]  # its end says nothing
    assert events(bytewise(GOOD + raw)) == events([GOOD + raw])


# Pieces of which a request may be made, right and wrong.
LINES = [
    *("POST /mcp HTTP/1.1", "GET /mcp HTTP/1.1", "DELETE /mcp HTTP/1.1", "POST /mcp HTTP/1.0"),
    *(f"Host: {HERE}", "Host: [::1]", "host:localhost", JSON, "content-type: application/json;a=b"),
    *(f"Content-Length: {len(CALL)}", "Content-Length: 0", "Content-Length: 5", "Content-Length:"),
    *(CHUNKED, "transfer-encoding:\tCHUNKED ", "Transfer-Encoding: gzip", "Expect: 100-continue"),
    *("Connection: close", "Connection: keep-alive", "Connection: upgrade", "Upgrade: h2c"),
    *(
        "X-A: b",
        "X-A:",
        " folded",
        "X-A : b",
        "X-\xe4: b",
        "X-A: \xe4\x85\xa0",
        "X-A: a\tb",
        "",
        "",
    ),
]
BODIES = [
    CALL,
    b"",
    b"{}",
    b"5\r\n",
    b"2\r\n{}\r\n",
    b"0\r\n\r\n",
    b"00\r\n\r\n",
    b"2;a=b\r\n{}\r\n",
]


def joined(pieces: list[bytes]) -> bytes:
    return b"".join(pieces)


mostly_good = st.builds(
    lambda first, rest, body: (
        "\r\n".join([first, f"Host: {HERE}", JSON, *rest, "", ""]).encode("latin-1") + body
    ),
    st.sampled_from(LINES[:3]),
    st.lists(st.sampled_from(LINES[4:]), max_size=3),
    st.lists(st.sampled_from(BODIES), max_size=4).map(joined),
)


def framings(body: bytes) -> list[bytes]:
    """Return requests with *body*, framed in each way that can be right."""
    return [
        request(length=f"Content-Length: {len(body)}", body=body),
        request(length=CHUNKED, body=chunks(*filter(None, (body[:9], body[9:])))),
    ]


def framings_of_two_minds(body: bytes) -> list[bytes]:
    """Return requests that end in one place for one reader, and elsewhere for another."""
    both = f"Content-Length: {len(body)}"
    return [
        request(CHUNKED, length=both, body=chunks(body) if body else body),
        request(both, length=CHUNKED, body=chunks(body) if body else body),
        request("Content-Length: 0", length=both, body=body),
        request(both, length="Content-Length: 0", body=body),
    ]


exactly_framed = st.binary(max_size=200).flatmap(lambda body: st.sampled_from(framings(body)))
ambiguous = st.binary(max_size=200).flatmap(
    lambda body: st.sampled_from(framings_of_two_minds(body))
)
from_lines = st.lists(
    st.one_of(
        st.sampled_from([line.encode("latin-1") + b"\r\n" for line in LINES]),
        st.sampled_from(BODIES),
        st.binary(max_size=3),
    ),
    max_size=25,
).map(joined)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A few requests of the tables, with a byte or two of them changed, lost or put in between."""
    raw = bytearray(joined(draw(st.lists(st.sampled_from(SHORT), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(raw)))
        end = start + draw(st.integers(0, 2))
        raw[start:end] = draw(st.one_of(st.sampled_from(BREAKS), st.binary(max_size=2)))
    return bytes(raw)


SHORT = [raw for raw in TABLE.values() if len(raw) < 600]
BREAKS = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\x0b", b"\x85", b"0", b"\r\n\r\n"]
connections = st.one_of(
    st.lists(st.one_of(mostly_good, exactly_framed, ambiguous), max_size=4).map(joined),
    from_lines,
    damaged(),
    st.binary(max_size=300),
)


@settings(deadline=None)
@given(raw=connections, cuts=st.lists(st.integers(0, 2000), max_size=12))
def test_no_cut_makes_a_difference(raw: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    pieces = [raw[a:b] for a, b in itertools.pairwise(places)]
    whole = events([raw])
    assert events(pieces) == whole
    assert events(bytewise(raw)) == whole


@settings(deadline=None)
@given(raw=connections)
def test_nothing_but_malformed_is_raised(raw: bytes) -> None:
    for pieces in ([raw], bytewise(raw)):
        read(pieces)


# --- h11 ------------------------------------------------------------------------------------------


def as_h11_reads(raw: bytes, count: int) -> Iterator[tuple[str, str, list[tuple[str, str]], bytes]]:
    """Yield method, target, headers and body of the first *count* requests in *raw*."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(raw)
    for number in range(count):
        if number:
            server.start_next_cycle()
        head, body = server.next_event(), bytearray()
        assert isinstance(head, h11.Request), head
        while isinstance(event := server.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage), event
        assert not event.headers
        headers = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        yield head.method.decode(), head.target.decode(), headers, bytes(body)
        server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
        server.send(h11.EndOfMessage())


def agrees(raw: bytes) -> int:
    """Assert that h11 reads what we read of *raw* the same way; return how many requests."""
    passed, _ = read([raw])
    theirs = list(as_h11_reads(raw, len(passed)))
    ours = [(head.method, head.target, head.headers, body) for head, body in passed]
    assert [_lowered(each) for each in ours] == theirs
    return len(ours)


def _lowered(
    each: tuple[str, str, list[tuple[str, str]], bytes],
) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """Write the one value that h11 writes its own way as h11 does."""
    method, target, headers, body = each
    coding = [
        (name, value.lower() if name == "transfer-encoding" else value) for name, value in headers
    ]
    return method, target, coding, body


@settings(deadline=None, max_examples=500)
@given(raw=connections)
def test_h11_reads_the_same(raw: bytes) -> None:
    agrees(raw)


@pytest.mark.parametrize("raw", [*WELL_FORMED.values(), *WELCOME.values()])
def test_h11_reads_the_same_of_the_tables(raw: bytes) -> None:
    assert agrees(raw + GOOD) == 2


@settings(deadline=None, max_examples=50)
@given(st.lists(exactly_framed, min_size=1, max_size=5))
def test_what_is_framed_rightly_is_read(raws: list[bytes]) -> None:
    assert agrees(joined(raws)) == len(raws)


# --- answers --------------------------------------------------------------------------------------


def as_client(raw: bytes, method: str = "POST") -> tuple[h11.Response, bytes]:
    """Return what h11 makes of an answer; there is nothing behind it."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/mcp", headers=[("Host", HERE)]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    head, body = client.next_event(), bytearray()
    while isinstance(head, h11.InformationalResponse):
        head = client.next_event()
    assert isinstance(head, h11.Response)
    while isinstance(event := client.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data == (b"", False)
    return head, bytes(body)


def test_an_answer_is_read_as_it_was_meant() -> None:
    raw = answers.response(202, [("Mcp-Session-Id", "\xe4 b")], b"{}")
    head, body = as_client(answers.CONTINUE + raw)
    assert (head.status_code, head.reason, body) == (202, b"Accepted", b"{}")
    assert dict(head.headers) == {b"mcp-session-id": b"\xe4 b", b"content-length": b"2"}


def test_a_refusal_closes_and_says_why() -> None:
    head, body = as_client(answers.refusal(403, "Host is 'evil'"))
    assert (head.status_code, body) == (403, b"Host is 'evil'\n")
    assert dict(head.headers)[b"connection"] == b"close"
    assert dict(as_client(answers.refusal(405, "no"))[0].headers)[b"allow"] == b"POST, GET, DELETE"
    assert dict(as_client(answers.refusal(401, "no"))[0].headers)[b"www-authenticate"] == b"Bearer"


@pytest.mark.parametrize("value", ["a\r\nX-B: c", "a\nb", "a\rb", "\0"])
def test_no_header_can_be_smuggled_into_an_answer(value: str) -> None:
    with pytest.raises(ValueError, match="a control character"):
        answers.response(200, [("X-A", value)])
    with pytest.raises(ValueError, match="a control character"):
        answers.stream_start([(value, "a")])


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.text(), max_size=3), max_size=4))
def test_a_stream_is_read_as_it_was_meant(messages: list[dict[str, str]]) -> None:
    sent = [json.dumps(message).encode() for message in messages]
    parts = [answers.stream_start(), *map(answers.stream_event, sent), answers.STREAM_END]
    head, body = as_client(joined(parts))
    assert dict(head.headers)[b"content-type"] == b"text/event-stream"
    assert body == joined([b"data: %b\n\n" % each for each in sent])
