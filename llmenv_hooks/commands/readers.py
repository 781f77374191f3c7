"""What reads a hook without running it: the shell's own parser, and linters for its language."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from llmenv_hooks import userfile

if TYPE_CHECKING:
    from collections.abc import Iterator

# For each shell the commands that read code without running it: the shell, then its linters.
READERS = {
    "bash": [
        ["bash", "-n"],
        ["bash", "--posix", "-n"],
        # SC2016 warns that "$" in single quotes is not expanded; a path must not be.
        ["shellcheck", "--shell=bash", "--exclude=SC2016"],
        ["shfmt", "-d", "-i", "4", "-ln", "bash"],
    ],
    "zsh": [["zsh", "-f", "-n"]],
    "fish": [["fish", "--no-config", "-n"], ["fish_indent", "--check"]],
}


def complaints(shell: str, code: str) -> Iterator[tuple[str, str | None]]:
    """Yield (command, complaint) for each reader of *code*; None for one that is not installed."""
    texts = [code]
    if shell == "zsh":  # whose code is one quoted word: `zsh -n` does not look into it
        texts.append(shlex.split(code)[-1])
    with tempfile.TemporaryDirectory(prefix="llmenv-check-") as directory:
        files = [os.path.join(directory, f"{index}.{shell}") for index in range(len(texts))]
        for file, text in zip(files, texts, strict=True):
            Path(file).write_bytes(os.fsencode(text))
        for reader in READERS[shell]:
            installed = shutil.which(reader[0])
            said = "".join(_complaint([*reader, file]) for file in files) if installed else None
            yield shlex.join(reader), said


def _complaint(argv: list[str]) -> str:
    done = _output(argv, subprocess.STDOUT)
    if done.returncode and argv[0] == "fish_indent":  # it names the file only, so show a diff
        *_, file = argv
        wanted = _output(["fish_indent", file], subprocess.DEVNULL).stdout
        return userfile.diff(os.path.basename(file), Path(file).read_bytes(), wanted)
    said = done.stdout.decode(errors="replace")
    return said or (f"exit status {done.returncode}" if done.returncode else "")


def _output(argv: list[str], errors: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
