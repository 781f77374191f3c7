"""Who may ask over HTTP: judged by the head of each request, before the form of its body is.

A web page of any site can make a browser send requests here, by a name of its own that leads to
127.0.0.1 (DNS rebinding) or straight across.  `Host`, `Origin` and `Sec-Fetch-Site` are the
headers that a page cannot forge.  `Sec-Fetch-Mode` says nothing: Node's fetch, and so Gemini CLI,
sends it as browsers do.  `Forwarded` and `X-Forwarded-Host` are anybody's words.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

from llmenv_hooks.bridge.refusals import Refusal
from llmenv_hooks.helper.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llmenv_hooks.bridge.requests import Head

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
WILDCARDS = ("0.0.0.0", "::")
HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([1-9][0-9]{0,4}))?")


class Guard:
    """What a request must say of where it goes and where it comes from.

    Args:
        bind_host: the address that the bridge listens on, an IP literal without brackets.
        origins: further values of Origin to let in, each exactly as a client sends it.
        token: what each request must bring, where the kernel does not tell one user from another.
    """

    def __init__(
        self, bind_host: str, origins: Sequence[str] = (), token: str | None = None
    ) -> None:
        bound = f"[{bind_host}]" if ":" in bind_host else bind_host
        self._bound = _address(bound)
        self._everywhere = bind_host in WILDCARDS
        also = ["an IP address of this machine"] if self._everywhere else [bound]
        self._hosts = ", ".join(dict.fromkeys([*LOOPBACK, *also]))
        self._origins = frozenset(origins)
        self._token = token

    def refusal(self, head: Head) -> Refusal | None:
        """Return why the request with this *head* is not taken; None: it may go on."""
        return (
            self._unknown_user(head)
            or self._wrong_host(head)
            or self._wrong_origin(head)
            or self._other_site(head)
        )

    def listed_origin(self, head: Head) -> str | None:
        """Return the Origin of *head* if it is one that the config lists."""
        origins = head.all("origin")
        return origins[0] if len(origins) == 1 and origins[0] in self._origins else None

    def is_preflight(self, head: Head) -> bool:
        """True for a browser's question whether a page of a listed origin may ask (Fetch, CORS)."""
        return head.method == "OPTIONS" and self.listed_origin(head) is not None

    def _unknown_user(self, head: Head) -> Refusal | None:
        if self._token is None or self.is_preflight(head):  # it brings no token, and learns nothing
            return None
        import hmac  # most bridges have no token, and it brings OpenSSL: 4 MB

        expected, given = f"Bearer {self._token}".encode(), head.all("authorization")
        # Latin-1 is what the reader made of the bytes; text beyond ASCII is no argument here.
        if len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), expected):
            return None
        return Refusal(401, "token", "the header `Authorization: Bearer TOKEN` is missing or wrong")

    def _wrong_host(self, head: Head) -> Refusal | None:
        hosts = head.all("host")
        if len(hosts) == 1 and self._is_here(hosts[0]):
            return None
        return Refusal(403, "Host", f"Host is {_quoted(hosts)}, and must be one of {self._hosts}")

    def _is_here(self, host: str) -> bool:
        """True when *host* names this bridge, with any port: a tunnel's far end has another."""
        match = HOST.fullmatch(host)
        if not match or int(match[2] or 1) > 65535:
            return False
        if match[1].lower() in LOOPBACK:
            return True
        address = _address(match[1])
        if self._everywhere:  # each of the machine's addresses; no page has one for its own name
            return address is not None and any(address)
        return address is not None and address == self._bound

    def _wrong_origin(self, head: Head) -> Refusal | None:
        """Let in no Origin, that of a page of this bridge itself, or one that the config lists."""
        origins = head.all("origin")
        own = f"http://{head.all('host')[0]}".lower()
        if not origins or [origin.lower() for origin in origins] == [own]:
            return None
        if self.listed_origin(head):
            return None
        advice = "; to allow it, list it in `origins` of this service in the config"
        return Refusal(403, "Origin", f"Origin is {_quoted(origins)}{advice}")

    def _other_site(self, head: Head) -> Refusal | None:
        sites = head.all("sec-fetch-site")
        if not sites or sites in (["none"], ["same-origin"]) or self.listed_origin(head):
            return None
        return Refusal(
            403, "Sec-Fetch-Site", f"Sec-Fetch-Site is {_quoted(sites)}: a web page asks"
        )


def _address(host: str) -> bytes | None:
    """Return the IP address *host*, written as in a URL, as its bytes; None when it is none."""
    bare = host.removeprefix("[").removesuffix("]")
    try:
        return socket.inet_pton(socket.AF_INET if bare == host else socket.AF_INET6, bare)
    except (OSError, ValueError):
        return None


def _quoted(values: list[str]) -> str:
    return " and ".join(repr(printable(value, 80)) for value in values[:2]) or "missing"
