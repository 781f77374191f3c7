"""`make conformance`: what the official suite finds, for the table in docs/bridge.md."""

from __future__ import annotations

import tempfile
from pathlib import Path

from conformance.suite import REVISIONS, WAYS, ask_suite


def main() -> None:
    """Ask the suite about each way to reach the server, and print a table in Markdown."""
    print(f"| passed / failed checks | {' | '.join(REVISIONS)} |")
    print(f"|---|{'---|' * len(REVISIONS)}", flush=True)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for way, reached in WAYS.items():
            with reached(directory / way.replace(" ", "-")) as port:
                found = [
                    ask_suite(port, revision, directory / f"{way}-{revision}")
                    for revision in REVISIONS
                ]
            cells = [f"{len(each.passed)} / {len(each.failed)}" for each in found]
            print(f"| {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
