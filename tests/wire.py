"""HTTP requests as bytes: what the bridge must refuse, and what it must take; PORT stands in them.

The lists are those of the measured matrix of hostile requests.  The tests of the guard and of the
reader go through them by `read`, which does what the bridge's door does, without a socket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmenv_hooks.bridge.guard import Guard
from llmenv_hooks.bridge.http1 import Data, End, Reader
from llmenv_hooks.bridge.requests import Head, Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

PORT = 7878
HERE = f"127.0.0.1:{PORT}"
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
JSON = "Content-Type: application/json"


def request(
    *headers: str,
    line: str = "POST /mcp HTTP/1.1",
    host: str | None = HERE,
    kind: str | None = JSON,
    length: str | None = f"Content-Length: {len(CALL)}",
    body: bytes = CALL,
) -> bytes:
    """Return a request that is good but for what is said otherwise."""
    named = None if host is None else f"Host: {host}"
    lines = [line, *filter(None, (named, kind, length)), *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def get(line: str, **options: str | None) -> bytes:
    """Return a request without a body."""
    return request(line=line, kind=None, length=None, body=b"", **options)


def chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return *pieces* in the chunked coding."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + end


CHUNKED = "Transfer-Encoding: chunked"
GOOD = request()

# --- who asks -------------------------------------------------------------------------------------

WRONG_HOSTS = {
    "evil": "evil.example.com",
    "evil-port": f"evil.example.com:{PORT}",
    "ip-and-evil": f"127.0.0.1.evil.example.com:{PORT}",
    "localhost-and-evil": f"localhost.evil.example.com:{PORT}",
    "localhost-dot": f"localhost.:{PORT}",
    "wildcard": "0.0.0.0",
    "wildcard-port": f"0.0.0.0:{PORT}",
    "short-ip": "127.1",
    "number": "2130706433",
    "octal": "0177.0.0.1",
    "other-loopback": "127.0.0.2",
    "mapped": f"[::ffff:127.0.0.1]:{PORT}",
    "unbracketed": f"::1:{PORT}",
    "bracketed-ipv4": f"[127.0.0.1]:{PORT}",
    "port-and-evil": f"{HERE}.evil.example.com",
    "user-and-evil": f"{HERE}@evil.example.com",
    "evil-and-user": f"evil.example.com@{HERE}",
    "empty": "",
    "port-alone": f":{PORT}",
    "port-empty": "127.0.0.1:",
    "port-0": "127.0.0.1:0",
    "port-65536": "127.0.0.1:65536",
    "port-00080": "127.0.0.1:00080",
    "port-signed": "127.0.0.1:+80",
    "port-long": f"127.0.0.1:{'9' * 5000}",
    "port-arabic": "127.0.0.1:\xb2",
    "list": f"{HERE}, {HERE}",
    "url": f"http://{HERE}",
    "inner-space": f"127.0.0.1 :{PORT}",
    "latin-1-space": f"\xa0{HERE}",
}
RIGHT_HOSTS = {
    "ip": HERE,
    "ip-other-port": "127.0.0.1:7879",
    "ip-last-port": "127.0.0.1:65535",
    "ip-no-port": "127.0.0.1",
    "localhost": f"localhost:{PORT}",
    "localhost-no-port": "localhost",
    "upper-case": f"LOCALHOST:{PORT}",
    "ipv6": f"[::1]:{PORT}",
    "ipv6-other-port": "[::1]:1",
    "ipv6-no-port": "[::1]",
}
WRONG_ORIGINS = {
    "evil": "http://evil.example.com",
    "evil-port": f"http://evil.example.com:{PORT}",
    "null": "null",
    "https": f"https://{HERE}",
    "other-port": "http://127.0.0.1:9999",
    "no-port": "http://127.0.0.1",
    "other-name": f"http://localhost:{PORT}",
    "suffix": f"http://{HERE}.evil.example.com",
    "user": f"http://{HERE}@evil.example.com",
    "path": f"http://{HERE}/",
    "prefix": f"http://evil.example.com#http://{HERE}",
    "extension": "chrome-extension://abcdefghijklmnop",
    "webview": "vscode-webview://abc",
    "file": "file://",
    "empty": "",
    "bare": HERE,
    "list": f"http://{HERE}, http://{HERE}",
}
FORGED = {
    **{f"host-{name}": request(host=host) for name, host in WRONG_HOSTS.items()},
    "host-missing": request(host=None),
    "host-two": request(f"Host: {HERE}"),
    "host-evil-second": request("Host: evil.example.com"),
    "host-evil-first": request(f"Host: {HERE}", host="evil.example.com"),
    "host-other-case": request("hOsT: evil.example.com"),
    "x-forwarded-host": request(f"X-Forwarded-Host: {HERE}", host="evil.example.com"),
    "forwarded": request(f'Forwarded: host="{HERE}"', host="evil.example.com"),
    **{f"origin-{name}": request(f"Origin: {origin}") for name, origin in WRONG_ORIGINS.items()},
    "origin-two": request(f"Origin: http://{HERE}", f"Origin: http://{HERE}"),
    "origin-evil-second": request(f"Origin: http://{HERE}", "Origin: http://evil.example.com"),
    "origin-evil-first": request("Origin: http://evil.example.com", f"Origin: http://{HERE}"),
    "site-cross": request("Sec-Fetch-Site: cross-site"),
    "site-same-site": request("Sec-Fetch-Site: same-site"),
    "site-unknown": request("Sec-Fetch-Site: None"),
    "site-empty": request("Sec-Fetch-Site:"),
    "site-two": request("Sec-Fetch-Site: none", "Sec-Fetch-Site: none"),
    "site-cross-second": request("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"),
    "site-cross-own-origin": request(f"Origin: http://{HERE}", "Sec-Fetch-Site: cross-site"),
    "get-evil": get("GET /mcp HTTP/1.1", host="evil.example.com"),
    "delete-evil": get("DELETE /mcp HTTP/1.1", host="evil.example.com"),
    "preflight-evil": get("OPTIONS /mcp HTTP/1.1", host="evil.example.com"),
    "text-evil": request(host="evil.example.com", kind="Content-Type: text/plain"),
    "long-evil": request(host="evil.example.com", length="Content-Length: 1000000000"),
}
WELCOME = {
    **{f"host-{name}": request(host=host) for name, host in RIGHT_HOSTS.items()},
    "x-forwarded-host": request("X-Forwarded-Host: evil.example.com"),
    "forwarded": request('Forwarded: host="evil.example.com"'),
    "own-origin": request(f"Origin: http://{HERE}"),
    "own-origin-tunnel": request("Origin: http://localhost:7879", host="localhost:7879"),
    "own-origin-case": request("Origin: http://localhost:7878", host="LOCALHOST:7878"),
    "own-origin-no-port": request("Origin: http://[::1]", host="[::1]"),
    "site-none": request("Sec-Fetch-Site: none"),
    "site-same-origin": request("Sec-Fetch-Site: same-origin", f"Origin: http://{HERE}"),
    "mode-cors": request("Sec-Fetch-Mode: cors"),  # Node's fetch, so Gemini CLI
    "mode-navigate": request("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"),
    "token-not-asked": request("Authorization: Bearer whatever"),
    "get": get("GET /mcp HTTP/1.1"),
    "delete": get("DELETE /mcp HTTP/1.1"),
}

# --- in what form ---------------------------------------------------------------------------------

MALFORMED = {
    "absolute-form": (400, request(line=f"POST http://{HERE}/mcp HTTP/1.1")),
    "authority-form": (400, get(f"CONNECT {HERE} HTTP/1.1")),
    "asterisk-form": (400, get("OPTIONS * HTTP/1.1")),
    "target-missing": (400, request(line="POST HTTP/1.1")),
    "target-with-space": (400, request(line="POST /mcp /mcp HTTP/1.1")),
    "target-not-ascii": (400, request(line="POST /mcp\xe9 HTTP/1.1")),
    "two-spaces": (400, request(line="POST  /mcp HTTP/1.1")),
    "tab": (400, request(line="POST\t/mcp HTTP/1.1")),
    "options": (405, get("OPTIONS /mcp HTTP/1.1")),
    "put": (405, request(line="PUT /mcp HTTP/1.1")),
    "head": (405, get("HEAD /mcp HTTP/1.1")),
    "trace": (405, get("TRACE /mcp HTTP/1.1")),
    "connect-path": (405, get("CONNECT /mcp HTTP/1.1")),
    "lower-case-method": (405, request(line="post /mcp HTTP/1.1")),
    "path-dots": (404, request(line="POST /mcp/../mcp HTTP/1.1")),
    "path-slash": (404, request(line="POST /mcp/ HTTP/1.1")),
    "path-double": (404, request(line="POST //mcp HTTP/1.1")),
    "path-query": (404, request(line="POST /mcp?a=b HTTP/1.1")),
    "path-escaped": (404, request(line="POST /%6dcp HTTP/1.1")),
    "path-sse": (404, get("GET /sse HTTP/1.1")),
    "path-status": (404, get("GET /status HTTP/1.1")),
    "http-1.0": (505, request(line="POST /mcp HTTP/1.0")),
    "http-1.2": (505, request(line="POST /mcp HTTP/1.2")),
    "http-0.9": (400, b"GET /mcp\r\n"),
    "http-lower-case": (400, request(line="POST /mcp http/1.1")),
    "http-2-preface": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "tls-hello": (400, bytes.fromhex("16030100f8010000f40303") + b"\xaa" * 64),
    "empty-first-line": (400, b"\r\n" + GOOD),
    "space-first": (400, b" " + GOOD),
    "length-and-chunked": (400, request(CHUNKED, body=chunks(CALL))),
    "chunked-and-length": (400, request("Content-Length: 5", length=CHUNKED, body=chunks(CALL))),
    "empty-coding-and-length": (400, request("Transfer-Encoding:")),
    "two-lengths": (400, request(f"Content-Length: {len(CALL)}")),
    "two-other-lengths": (400, request("Content-Length: 5")),
    "length-list": (400, request(length=f"Content-Length: {len(CALL)}, {len(CALL)}")),
    "length-plus": (400, request(length=f"Content-Length: +{len(CALL)}")),
    "length-minus": (400, request(length="Content-Length: -1")),
    "length-hex": (400, request(length="Content-Length: 0x2e")),
    "length-underscore": (400, request(length="Content-Length: 4_6")),
    "length-superscript": (400, request(length="Content-Length: \xb2")),
    "length-empty": (400, request(length="Content-Length:")),
    "length-of-5000-digits": (400, request(length=f"Content-Length: {'1' * 5000}")),
    "length-missing": (411, request(length=None)),
    "length-1-gb": (413, request(length="Content-Length: 1000000000")),
    "length-8-mib": (413, request(length=f"Content-Length: {8 << 20}", body=b" " * (8 << 20))),
    "coding-gzip": (501, request(length="Transfer-Encoding: gzip, chunked")),
    "coding-twice": (400, request(CHUNKED, length=CHUNKED)),
    "coding-identity": (501, request(length="Transfer-Encoding: identity")),
    "coding-vertical-tab": (400, request(length="Transfer-Encoding: \x0bchunked")),
    "chunk-of-8-mib": (413, request(length=CHUNKED, body=b"800000\r\n")),
    "chunks-of-5-mib": (413, request(length=CHUNKED, body=chunks(*[b" " * (1 << 20)] * 5))),
    "chunk-size-signed": (400, request(length=CHUNKED, body=b"+2\r\n{}\r\n0\r\n\r\n")),
    "chunk-size-0x": (400, request(length=CHUNKED, body=b"0x2\r\n{}\r\n0\r\n\r\n")),
    "chunk-size-space": (400, request(length=CHUNKED, body=b"2 \r\n{}\r\n0\r\n\r\n")),
    "chunk-size-empty": (400, request(length=CHUNKED, body=b"\r\n{}\r\n0\r\n\r\n")),
    "chunk-size-long": (400, request(length=CHUNKED, body=b"000000002\r\n{}\r\n0\r\n\r\n")),
    "chunk-size-bare-lf": (400, request(length=CHUNKED, body=b"2\n{}\r\n0\r\n\r\n")),
    "chunk-extension": (400, request(length=CHUNKED, body=b"2;a=b\r\n{}\r\n0\r\n\r\n")),
    "chunk-too-long": (400, request(length=CHUNKED, body=b"2\r\n{}}\r\n0\r\n\r\n")),
    "chunk-end-bare-lf": (400, request(length=CHUNKED, body=b"2\r\n{}\n0\r\n\r\n")),
    "chunk-trailer": (400, request(length=CHUNKED, body=chunks(CALL, end=b"0\r\nHost: a\r\n\r\n"))),
    "get-with-length": (400, get("GET /mcp HTTP/1.1")[:-2] + b"Content-Length: 2\r\n\r\n{}"),
    "get-chunked": (400, get("GET /mcp HTTP/1.1")[:-2] + f"{CHUNKED}\r\n\r\n".encode()),
    "type-text": (415, request(kind="Content-Type: text/plain")),
    "type-form": (415, request(kind="Content-Type: application/x-www-form-urlencoded")),
    "type-multipart": (415, request(kind="Content-Type: multipart/form-data; boundary=a")),
    "type-missing": (415, request(kind=None)),
    "type-empty": (415, request(kind="Content-Type:")),
    "type-text-and-json": (415, request(kind="Content-Type: text/plain; application/json")),
    "type-json-and-text": (415, request(kind="Content-Type: application/json, text/plain")),
    "type-json-suffix": (415, request(kind="Content-Type: application/jsonp")),
    "type-other-json": (415, request(kind="Content-Type: application/vnd.api+json")),
    "type-bad-parameter": (415, request(kind="Content-Type: application/json; charset")),
    "type-two": (400, request("Content-Type: application/json")),
    "expect-other": (417, request("Expect: 200-ok")),
    "space-before-colon": (400, request("X-A : b")),
    "folded": (400, request("X-A: b\r\n c")),
    "folded-tab": (400, request("X-A: b\r\n\tc")),
    "folded-first": (400, request(line="POST /mcp HTTP/1.1\r\n folded: yes")),
    "bare-lf": (400, request("X-A: b\nX-B: c")),
    "bare-lf-all": (400, GOOD.replace(b"\r\n", b"\n")),
    "bare-cr": (400, request("X-A: b\rX-B: c")),
    "two-cr": (400, request("X-A: b\r")),
    "nul": (400, request("X-A: b\0c")),
    "nul-in-name": (400, request("X\0A: b")),
    "escape": (400, request("X-A: \x1b[31m")),
    "delete-character": (400, request("X-A: \x7f")),
    "name-empty": (400, request(": b")),
    "name-bracket": (400, request("X(A): b")),
    "name-not-ascii": (400, request("X-\xc4: b")),
    "no-colon": (400, request("X-A")),
    "head-64-kib": (431, request(f"X-A: {'b' * 65536}")),
    "head-without-end": (431, b"POST /" + b"a" * 65536),
    "headers-2000": (431, request(*[f"X-{i}: b" for i in range(2000)])),
    "headers-101": (431, request(*[f"X-{i}: b" for i in range(98)])),
}
WELL_FORMED = {
    "plain": GOOD,
    "lower-case-names": request().replace(b"Content-Length", b"content-length"),
    "charset": request(kind="Content-Type: application/json; charset=utf-8"),
    "charset-quoted": request(kind='content-type: Application/JSON;charset="UTF-8"'),
    "chunked": request(length=CHUNKED, body=chunks(CALL[:7], CALL[7:])),
    "chunked-case": request(length="transfer-encoding: Chunked", body=chunks(CALL)),
    "chunk-leading-zeros": request(
        length=CHUNKED, body=b"0000002E\r\n" + CALL + b"\r\n00000000\r\n\r\n"
    ),
    "no-space-after-colon": request(length=f"Content-Length:{len(CALL)}"),
    "space-around-value": request(length=f"Content-Length: \t {len(CALL)} \t "),
    "tab-in-value": request("X-A: b\tc"),
    "latin-1-value": request("X-A: \xe4\xa0\xff"),
    "empty-value": request("X-A:"),
    "headers-100": request(*[f"X-{i}: b" for i in range(97)]),
    "get": get("GET /mcp HTTP/1.1"),
    "get-length-0": get("GET /mcp HTTP/1.1")[:-2] + b"Content-Length: 0\r\n\r\n",
    "delete": get("DELETE /mcp HTTP/1.1"),
    "expect": request("Expect: 100-Continue"),
    "upgrade": request("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"),
}


def read(
    pieces: Iterable[bytes], guard: Guard | None = None
) -> tuple[list[tuple[Head, bytes]], int | None]:
    """Do as the door does with a connection on which *pieces* arrive.

    Returns:
        the requests that are passed on, with their bodies, and the status of the first that is
        not (the connection ends with it).
    """
    guard = guard or Guard("127.0.0.1")
    reader, head, body = Reader(), None, bytearray()
    whole: list[tuple[Head, bytes]] = []
    try:
        for piece in pieces:
            reader.feed(piece)
            while event := reader.next_event():
                if isinstance(event, Head):
                    head, body = event, bytearray()
                    if refusal := guard.refusal(head):
                        return whole, refusal.status
                    if head.target != "/mcp":
                        return whole, 404
                elif isinstance(event, Data):
                    body += event.data
                elif isinstance(event, End):
                    assert head
                    whole.append((head, bytes(body)))
                    if head.closes:
                        return whole, None
    except Malformed as error:
        return whole, error.status
    return whole, None
