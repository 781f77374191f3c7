"""The bridge, broken in one place at a time; each time some tests must fail (see mutants.py)."""

from __future__ import annotations

import sys

from mutants import Mutant, main
from packed import BRIDGE

NEVER_DOWN = "tests/bridge/test_never_down.py::"
DOORS = "tests/bridge/test_doors.py::"
MANY = "tests/bridge/test_many_agents.py::"
GUARDED = "tests/protocol/test_guarded.py::"


def _mutant(wrong: str, old: str, new: str, *tests: str) -> Mutant:
    return Mutant(wrong, old, new, tests, BRIDGE)


BRIDGE_MUTANTS = (
    _mutant(
        "it serves whoever connects",
        "        if self._door.by_user and not same_user(sock):\n",
        "        if False:\n",
        f"{DOORS}test_other_user_is_not_let_in",
    ),
    _mutant(
        "a token is as good as none",
        "        if len(given) == 1 and hmac.compare_digest(",
        "        if True or hmac.compare_digest(",
        f"{GUARDED}test_where_users_cannot_be_told_apart_a_token_is_asked_for",
    ),
    _mutant(
        "any page may ask whether it may ask",
        "return origins[0] if len(origins) == 1 and origins[0] in self._origins else None",
        "return origins[0] if len(origins) == 1 else None",
        f"{DOORS}test_no_other_preflight_is",
    ),
    _mutant(
        "where the kernel says nothing it takes that for a yes",
        "        by_user = not _is_open(host) and users_are_known()\n",
        "        by_user = True\n",
        f"{GUARDED}test_where_users_cannot_be_told_apart_a_token_is_asked_for",
    ),
    _mutant(
        "what a dead server began is sent to the next one",
        "            if call.outgoing.begun:\n",
        "            if False:\n",
        f"{NEVER_DOWN}test_call_under_way_when_the_server_dies_gets_an_error",
    ),
    _mutant(
        "a dead server's family lives on",
        "        family.kill()\n        self._process = self._family = None\n",
        "        self._process = self._family = None\n",
        f"{NEVER_DOWN}test_dead_server_leaves_nothing_behind",
    ),
    _mutant(
        "it ends without its server",
        "await asyncio.gather(*(server.child.end() for server in self._hub.eras.servers))",
        "pass",
        f"{NEVER_DOWN}test_end_leaves_nothing",
        f"{GUARDED}test_a_signal_that_ends_the_bridge_ends_all",
    ),
    _mutant(
        "it leaves its calls no time at the end",
        "        while self._hub.under_way and time.monotonic() - began < self._last_calls_s:\n",
        "        while False:\n",
        f"{NEVER_DOWN}test_end_lets_calls_end",
    ),
    _mutant(
        "the note stays when the server runs again",
        "                remove_file(path)\n\n    def _rename",
        "                pass\n\n    def _rename",
        f"{NEVER_DOWN}test_server_that_keeps_dying",
        f"{GUARDED}test_the_prompt_tells_while_the_server_keeps_dying",
    ),
    _mutant(
        "a log grows to four times its size",
        "MOST_BYTES = 1 << 20  # of each",
        "MOST_BYTES = 4 << 20  # of each",
        "tests/bridge/test_abuse.py"
        "::test_a_flooded_log_never_takes_more_than_its_share_of_the_disk",
    ),
    _mutant(
        "who never ends a request is waited for",
        "        elif now > self._deadline:\n",
        "        elif False:\n",
        "tests/bridge/test_abuse.py::test_half_open_connections_hold_up_nobody",
    ),
    _mutant(
        "the server is not told of what is cancelled",
        '                self.tell(notification("notifications/cancelled", params))\n',
        "                pass\n",
        f"{MANY}test_cancelled_call_is_cancelled_in_the_server",
        f"{MANY}test_agent_that_goes_away_cancels_what_it_asked",
    ),
)


if __name__ == "__main__":
    sys.exit(main(BRIDGE_MUTANTS))
