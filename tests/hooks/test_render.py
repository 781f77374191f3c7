"""What `llmenv hook` prints: quoting, clean code, the same bytes each time, and the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from daemons import missing, need
from shells import SHELLS

from llmenv_hooks import hookcache, hookvalues, render
from llmenv_hooks.commands.readers import complaints
from llmenv_hooks.helper.errors import UsageError
from llmenv_hooks.helper.places import hostname, instances

if TYPE_CHECKING:
    from pathlib import Path

EACH = pytest.mark.parametrize("shell", SHELLS)

NASTY = [
    "",
    "plain",
    "a b",
    " edges ",
    "it's",
    "''",
    'say "no"',
    "$HOME ${HOME} $(touch PWNED)",
    "`touch PWNED`",
    "back\\slash",
    "ends in \\",
    "\\' ; touch PWNED #",
    "new\nline",
    "tab\there",
    "semi;colon & | < > ( ) { }",
    "*?[a-z]",
    "~root",
    "#comment",
    "!history !!",
    "%self",
    "=ls",
    "-n",
    "{a,b}",
    "^caret",
    "ümläut ✓",
    "not utf-8 \udcff\udc80",
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for each test, with a config of two services."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "LLMENV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    config = tmp_path / ".config" / "llmenv" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        '[services.memory]\ncommand = ["icm", "serve"]\n'
        '[services.far-away]\ncommand = ["ssh"]\nbind = "[::1]:7879"\nbridge = false\n'
    )
    return tmp_path


@pytest.fixture
def config(home: Path) -> Path:
    return home / ".config" / "llmenv" / "config.toml"


@pytest.fixture
def cache(home: Path) -> Path:
    return home / ".cache" / "llmenv"


def run(*argv: str | bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)


def llmenv(*argv: str) -> subprocess.CompletedProcess[bytes]:
    return run(sys.executable, "-m", "llmenv_hooks", *argv)


# --- quoting -------------------------------------------------------------------------


@EACH
def test_any_value_is_one_word(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(shell)
    monkeypatch.chdir(tmp_path)
    words = [os.fsencode(render.QUOTE[shell](value)) for value in NASTY]
    bare = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    code = b"command printf '%s\\0' " + b" ".join(words)
    done = run(shell, *bare, "-c", code)
    assert done.stdout.split(b"\0")[:-1] == [os.fsencode(value) for value in NASTY]
    assert not (tmp_path / "PWNED").exists()


@EACH
def test_export_sets_the_urls(shell: str) -> None:
    need(shell)
    code = f"{render.export(shell)}env"
    seen = run(shell, "-c", code).stdout.decode().splitlines()
    assert "LLMENV_MCP_URL=http://127.0.0.1:7878/mcp" in seen
    assert "LLMENV_MEMORY_URL=http://127.0.0.1:7878/mcp" in seen
    assert "LLMENV_FAR_AWAY_URL=http://[::1]:7879/mcp" in seen


def test_a_path_that_is_no_text_goes_through(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", os.fsdecode(os.fsencode(home) + b"/\xff"))
    for shell in SHELLS:
        for _ in range(2):
            assert os.fsencode(home) + b"/\xff/llmenv" in hookcache.cached_hook(shell)


# --- the code ------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("proc", [True, False])
@pytest.mark.parametrize("place", ["plain", 'a b$HOME\'s "`x`" \\ é\nnewline'])
@pytest.mark.parametrize("here", [True, False])
def test_linters_are_content(
    shell: str, proc: bool, place: str, here: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bug 32 too: each shell reads what is written for it, and no other does."""
    monkeypatch.setenv("XDG_STATE_HOME", str(home / place))
    if not here:
        path = home / ".config" / "llmenv" / "config.toml"
        path.write_text('server_host = "elsewhere"\n' + path.read_text())
    for reader, said in complaints(shell, render.hook(shell, proc=proc)):
        if said is None:
            missing(f"{reader} is not installed")
        assert said == "", reader


@EACH
def test_the_same_input_gives_the_same_bytes(shell: str) -> None:
    code = f"import sys; from llmenv_hooks import render; sys.stdout.write(render.hook({shell!r}))"
    outputs = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        outputs.add(subprocess.check_output([sys.executable, "-c", code], env=environment))
    assert len(outputs) == 1


@EACH
def test_a_golden_rendering_has_nothing_of_this_machine(
    shell: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = home / ".config" / "llmenv" / "config.toml"
    path.write_text('server_host = "elsewhere"\n' + path.read_text())
    text = render.golden(shell)
    assert str(home) not in text
    assert sys.executable not in text
    assert hostname() not in text
    assert "memory@HOST.alive" in text
    monkeypatch.setattr(sys, "executable", "/a b/python")
    monkeypatch.setattr(hookvalues, "has_proc", lambda: False)
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("", "elsewhere", "", "", "")))
    monkeypatch.setenv("XDG_STATE_HOME", "/other")
    assert render.golden(shell) == text
    path.write_text(path.read_text().replace("7879", "7880"))
    assert render.golden(shell) != text


@EACH
def test_every_proof_of_every_service_is_there(shell: str, home: Path) -> None:
    text = render.hook(shell, proc=True)
    state = home / ".local" / "state" / "llmenv"
    for name in ("memory", "far-away"):
        for files in instances(name, str(state)):
            assert f"-e {files.alive}" in text
            assert f"{files.output} -ef {files.log}" in text


# --- wrong input ---------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["tcsh", "", "../bash", "Bash", "a\nb"])
def test_an_unknown_shell_is_named_with_those_there_are(shell: str) -> None:
    """Bug 22: code of another shell."""
    done = llmenv("hook", shell)
    assert (done.returncode, done.stdout) == (2, b"false\n")
    assert done.stderr.count(b"\n") == 1
    assert b"bash, zsh, fish" in done.stderr


@pytest.mark.parametrize("command", ["hook", "export"])
def test_a_wrong_config_fails_the_eval_too(command: str, config: Path) -> None:
    config.write_text("[services.memory]\nport = 1\n")
    done = llmenv(command, "bash")
    assert (done.returncode, done.stdout) == (2, b"false\n")
    assert done.stderr.count(b"\n") == 1
    assert os.fsencode(config) in done.stderr


# --- the cache -----------------------------------------------------------------------


def no_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, what is printed must come from the cache."""

    def fail(*_: object, **__: object) -> str:
        raise AssertionError("rendered anew")

    monkeypatch.setattr(render, "hook", fail)


@EACH
def test_a_hit_prints_what_was_rendered(
    shell: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hookcache.cached_hook(shell)
    assert first == os.fsencode(render.hook(shell))
    assert [path.name for path in cache.iterdir()] == [f"hook.{shell}"]
    assert (cache / f"hook.{shell}").stat().st_mode & 0o777 == 0o600
    assert cache.stat().st_mode & 0o777 == 0o700
    no_rendering(monkeypatch)
    assert hookcache.cached_hook(shell) == first


def test_the_cache_is_where_platformdirs_says(cache: Path) -> None:
    from platformdirs.unix import Unix

    assert Unix("llmenv").user_cache_path == cache  # on a Mac too, ours follows XDG


def test_what_goes_in_is_noticed(
    home: Path, config: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {hookcache.cached_hook("bash")}
    config.write_text(config.read_text().replace("7878", "7777").replace("7879", "7778"))
    seen.add(hookcache.cached_hook("bash"))
    config.unlink()
    seen.add(hookcache.cached_hook("bash"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "other"))
    seen.add(hookcache.cached_hook("bash"))
    monkeypatch.setattr(sys, "executable", "/other/python")
    seen.add(hookcache.cached_hook("bash"))
    monkeypatch.setattr(hookcache, "has_proc", lambda: False)
    seen.add(hookcache.cached_hook("bash"))
    assert len(seen) == 6
    assert [path.name for path in cache.iterdir()] == ["hook.bash"]


def test_a_change_of_the_config_in_the_same_second_is_noticed(config: Path) -> None:
    first = hookcache.cached_hook("bash")
    config.write_text(config.read_text() + '[services.more]\ncommand = ["x"]\nbind = "[::1]:1"\n')
    assert b"LLMENV_MORE_URL" in hookcache.cached_hook("bash")
    assert b"LLMENV_MORE_URL" not in first


def poison(cache: Path, mark: bytes = b"echo poisoned\n") -> Path:
    """Add *mark* to what the cache holds for bash."""
    hookcache.cached_hook("bash")
    path = cache / "hook.bash"
    path.write_bytes(path.read_bytes() + mark)
    assert mark in hookcache.cached_hook("bash")  # the test can tell
    return path


def test_what_others_can_write_is_not_believed(cache: Path) -> None:
    path = poison(cache)
    path.chmod(0o620)
    assert b"poisoned" not in hookcache.cached_hook("bash")
    assert path.stat().st_mode & 0o777 == 0o600  # and it is replaced
    path = poison(cache)
    cache.chmod(0o770)
    assert b"poisoned" not in hookcache.cached_hook("bash")


def test_what_others_own_is_not_believed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    poison(cache)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert b"poisoned" not in hookcache.cached_hook("bash")


def test_a_link_is_not_followed(home: Path, cache: Path) -> None:
    path = poison(cache)
    path.rename(home / "elsewhere")
    path.symlink_to(home / "elsewhere")
    assert b"poisoned" not in hookcache.cached_hook("bash")
    assert not path.is_symlink()


@pytest.mark.parametrize("content", [b"", b"\0", b"garbage", b"\0" * 9000])
def test_a_broken_cache_is_replaced(cache: Path, content: bytes) -> None:
    right = hookcache.cached_hook("bash")
    (cache / "hook.bash").write_bytes(content)
    assert hookcache.cached_hook("bash") == right
    assert (cache / "hook.bash").read_bytes().endswith(right)


def test_without_a_place_for_the_cache_it_just_renders(home: Path, cache: Path) -> None:
    right = os.fsencode(render.hook("bash"))
    (home / ".cache").write_text("not a directory")
    assert hookcache.cached_hook("bash") == right
    (home / ".cache").unlink()
    (cache / "hook.bash").mkdir(parents=True)
    assert hookcache.cached_hook("bash") == right
    assert [path.name for path in cache.iterdir()] == ["hook.bash"]  # no temporary file stays


def test_a_wrong_config_is_never_answered_from_the_cache(config: Path) -> None:
    hookcache.cached_hook("bash")
    config.write_text("nonsense")
    for _ in range(2):
        with pytest.raises(UsageError):
            hookcache.cached_hook("bash")


@EACH
def test_a_hit_imports_next_to_nothing(shell: str) -> None:
    assert llmenv("hook", shell).returncode == 0
    done = run(sys.executable, "-X", "importtime", "-m", "llmenv_hooks", "hook", shell)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.decode().splitlines()}
    assert "llmenv_hooks.render" in modules
    slow = "typer jinja2 platformdirs tomllib json re subprocess argparse socket asyncio"
    assert not modules & set(slow.split())
