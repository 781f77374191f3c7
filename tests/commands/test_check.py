"""`llmenv check`, on hooks that are right and on broken ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemons import kill, missing, need, processes_with, wait_until
from shells import HIDE_PROC, SHELLS

if TYPE_CHECKING:
    from daemons import World

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def world(world: World) -> World:
    """A world that also holds what `llmenv check` makes for a while."""
    world.env["TMPDIR"] = str(world.root)
    return world


def check(world: World, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `llmenv check` in the world's root."""
    options = {"cwd": world.root, **options}
    return world.run([sys.executable, "-m", "llmenv_hooks", "check", *words], **options)


def results(done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """Return the results of the checks in a --json output, by their names."""
    return {row["check"]: row["result"] for row in json.loads(done.stdout)}


def nothing_is_left(world: World) -> bool:
    return not processes_with(f"{world.root}/llmenv-check-") and not list(
        world.root.glob("llmenv-check-*")
    )


@pytest.fixture
def broken(world: World) -> Path:
    """A copy of the package, which runs in the place of ours and may be broken."""
    shutil.copytree(PROJECT / "llmenv_hooks", world.root / "llmenv_hooks")
    shutil.copytree(PROJECT / "templates", world.root / "templates")
    change(
        world.root / "llmenv_hooks/commands/trial.py",
        "DEADLINE_S = 20.0",
        "DEADLINE_S = 8.0",
    )
    change(world.root / "llmenv_hooks" / "pty_shell.py", "timeout=20", "timeout=8")
    return world.root / "templates"


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


DOES = ["starts a daemon", "revives it after kill -9", "keeps the exit status", "prints nothing"]


@pytest.mark.parametrize("shell", SHELLS)
def test_our_hooks_pass(world: World, shell: str) -> None:
    need(shell, "shellcheck", "shfmt", "fish_indent")
    done = check(world, shell, "--json", "--update")
    assert done.returncode == 0, done
    assert list(results(done).values()) == ["written"] + ["ok"] * (len(results(done)) - 1)
    assert list(results(done))[-4:] == DOES
    assert nothing_is_left(world)


# What is broken: the shell, its template's text and what stands there then, the check that fails,
# and what that says.
BREAKAGES = {
    "status": ("bash", "return \"${1-0}\"", "return 0", "keeps the exit status", "3 became 0"),
    "noise": ("bash", "__llmenv_hook() {\n", "__llmenv_hook() {\n        echo noise\n",
              "prints nothing", "noise"),
    "noise in zsh": ("zsh", "__llmenv_hook() {\n", "__llmenv_hook() {\n        echo noise\n",
                     "prints nothing", "noise"),
    "noise in fish": ("fish", "-event fish_prompt\n", "-event fish_prompt\n        echo noise\n",
                      "prints nothing", "noise"),
    "no start": ("bash", " || __llmenv_wake\n", " || :\n", "starts a daemon",
                 "no daemon of stub within"),
    "no start in zsh": ("zsh", " || __llmenv_wake\n", " || :\n", "starts a daemon",
                        "no daemon of stub within"),
    "no start in fish": ("fish", "or __llmenv_wake", "or true", "starts a daemon",
                         "no daemon of stub within"),
    "no revival": (
        "bash",
        " || __llmenv_wake\n",
        " || { __llmenv_wake; __llmenv_wake() { :; }; }\n",
        "revives it after kill -9",
        "no new daemon of stub within",
    ),
    "no other service": ("fish", "and not builtin path is -v", "and true",
                         "revives it after kill -9", "no new daemon of other within"),
    "no session": ("bash", "__llmenv_install\n    \\builtin unset", "exit 9\n    \\builtin unset",
                   "starts a daemon", "the shell has ended"),
    "no prompt": ("bash", "__llmenv_install\n    \\builtin unset",
                  "builtin read\n    \\builtin unset", "starts a daemon", "no prompt within 8 s"),
    "syntax": ("bash", "__llmenv_replace\nfi\n", "__llmenv_replace\n", "bash -n", "syntax error"),
    "layout": ("fish", "        or return 0\n    ", "      or return 0\n    ",
               "fish_indent --check", "-      or return 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_broken_hook_fails(world: World, broken: Path, kind: str) -> None:
    need("shellcheck", "shfmt", "fish_indent")
    shell, old, new, what, said = BREAKAGES[kind]
    need(shell)
    change(broken / f"hook.{shell}", old, new)
    if kind == "no other service":
        world.config.write_text(world.config.read_text() + OTHER)
    done = check(world, shell, "--json")
    assert done.returncode == 1, done
    rows = json.loads(done.stdout)
    (row,) = (row for row in rows if row["check"] == what)
    assert row["result"] == "failed"
    assert said in row["detail"]
    assert "pexpect" not in row["detail"]
    assert ("--- transcript\n" in row["detail"]) == (what in DOES)
    if what in DOES[:2]:  # what comes after it can't be seen
        after = rows[rows.index(row) + 1 :]
        assert [each["check"] for each in after] == DOES[DOES.index(what) + 1 :]
        assert {each["result"] for each in after} == {"not run"}
        assert {each["detail"] for each in after} == {f"{what}: failed"}
    assert nothing_is_left(world)


OTHER = '[services.other]\ncommand = ["true"]\nbind = "127.0.0.1:9"\n'


@pytest.mark.parametrize("shell", SHELLS)
def test_all_services_are_driven(world: World, shell: str) -> None:
    need(shell)
    world.config.write_text(world.config.read_text() + OTHER)
    found = results(check(world, shell, "--json"))
    assert [found[what] for what in DOES] == ["ok"] * 4


def test_a_hook_without_a_service_is_not_driven(world: World) -> None:
    world.config.write_text(world.config.read_text() + "autostart = false\n")
    done = check(world, "bash", "--json")
    assert done.returncode == 0
    after = json.loads(done.stdout)[-4:]
    assert {row["result"] for row in after} == {"not run"}
    assert {row["detail"] for row in after} == {f"{world.config} has no service to keep alive"}


def test_the_linters_are_asked(world: World, broken: Path) -> None:
    need("shellcheck", "shfmt")
    hook = broken / "hook.bash"
    change(hook, '%s\' "${__llmenv_say}"', "%s'   ${__llmenv_say}")
    rows = json.loads(check(world, "bash", "--json").stdout)
    failed = {row["check"].split()[0]: row["detail"] for row in rows if row["result"] == "failed"}
    assert list(failed) == ["shellcheck", "shfmt"]
    assert "SC2086" in failed["shellcheck"]
    assert "-        [[ -z ${__llmenv_say}" in failed["shfmt"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_syntax_error_is_found_in_each_shell(world: World, broken: Path, shell: str) -> None:
    """Also in zsh's, where the whole code is one quoted word."""
    need(shell)
    change(broken / f"hook.{shell}", "\nfi\n" if shell == "zsh" else "\nend\n", "\n")
    done = check(world, shell, "--json")
    assert done.returncode == 1
    (parsed,) = (found for what, found in results(done).items() if what.endswith(" -n"))
    assert parsed == "failed"


def test_the_lines_of_a_person(world: World) -> None:
    done = check(world, "bash")
    assert done.returncode == 0, done
    lines = done.stdout.splitlines()
    assert lines[0] == "not run  bash  golden file .llmenv/hook.bash"
    assert lines[1].strip() == "not there; llmenv check --update writes it"
    assert "ok       bash  revives it after kill -9" in lines
    assert done.stderr == ""


# --- golden files --------------------------------------------------------------------


@pytest.fixture
def only_bash(world: World) -> World:
    """A world that has bash, and nothing else."""
    (world.root / "bin").mkdir()
    (world.root / "bin" / "bash").symlink_to(shutil.which("bash") or "")
    world.env["PATH"] = str(world.root / "bin")
    return world


def recorded(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `llmenv check` where no shell makes it slow."""
    return check(world, *words, "--allow-missing")


def test_a_difference_to_the_golden_file_is_shown(only_bash: World) -> None:
    golden = only_bash.root / "recorded" / "hook.zsh"
    done = recorded(only_bash, "zsh", "--golden", "recorded", "--update")
    assert (done.returncode, golden.exists()) == (0, True)
    assert done.stdout.startswith("written  zsh   golden file recorded/hook.zsh\n")
    assert str(only_bash.root) not in golden.read_text()
    right = golden.read_bytes()
    golden.write_bytes(right + b"echo \x1b[31mmore\n")
    done = recorded(only_bash, "zsh", "--golden", "recorded", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    row = json.loads(done.stdout)[0]
    assert row["check"] == "golden file recorded/hook.zsh"
    assert "-echo ?[31mmore" in row["detail"].splitlines()
    with golden.open("rb") as reader:  # of which nobody sees a half
        assert recorded(only_bash, "zsh", "--golden", "recorded", "--update").returncode == 0
        assert reader.read() == right + b"echo \x1b[31mmore\n"
    assert golden.read_bytes() == right
    assert os.listdir(golden.parent) == ["hook.zsh"]
    assert not (only_bash.state / "backup").exists()


def test_another_service_is_a_difference(only_bash: World) -> None:
    recorded(only_bash, "zsh", "--update")
    only_bash.config.write_text(
        only_bash.config.read_text().replace("services.stub", "services.other")
    )
    done = recorded(only_bash, "zsh")
    assert done.returncode == 1
    assert "+++ .llmenv/hook.zsh" in done.stdout
    assert "edition-" in done.stdout


def test_a_golden_file_that_was_asked_for_must_be_there(only_bash: World) -> None:
    done = recorded(only_bash, "zsh", "--golden", "nowhere", "--json")
    assert done.returncode == 1
    assert results(done)["golden file nowhere/hook.zsh"] == "failed"


def test_a_golden_file_that_cannot_be_written(only_bash: World) -> None:
    (only_bash.root / "file").write_text("")
    done = recorded(only_bash, "zsh", "--golden", "file", "--update", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    row, *more = json.loads(done.stdout)
    assert (row["result"], len(more)) == ("failed", 1)
    assert row["detail"].startswith("cannot read file/hook.zsh: ")


# --- where it runs -------------------------------------------------------------------


def test_a_missing_shell_fails(only_bash: World) -> None:
    done = check(only_bash, "bash", "zsh", "--json")
    rows = json.loads(done.stdout)
    assert done.returncode == 1
    assert [row for row in rows if row["result"] == "failed"] == [
        {"shell": "zsh", "check": "shell", "result": "failed", "detail": "zsh is not installed"}
    ]
    not_run = [row["check"].split()[0] for row in rows if row["result"] == "not run"]
    assert not_run == ["golden", "shellcheck", "shfmt", "golden"]
    assert results(done)["revives it after kill -9"] == "ok"


def test_a_missing_shell_may_be_allowed(only_bash: World) -> None:
    done = check(only_bash, "zsh", "--allow-missing")
    assert done.returncode == 0, done
    assert "not run  zsh   shell\n         zsh is not installed\n" in done.stdout


def test_github_gets_annotations(only_bash: World) -> None:
    only_bash.env["GITHUB_ACTIONS"] = "true"
    (only_bash.root / ".llmenv").mkdir()
    recorded(only_bash, "zsh", "--update")
    golden = only_bash.root / ".llmenv" / "hook.zsh"
    lines = golden.read_text().splitlines(keepends=True)
    golden.write_text("".join([*lines[:11], "100%\n", *lines[11:]]))
    done = check(only_bash, "zsh", "--json")
    assert len(json.loads(done.stdout)) == 2
    first, second = done.stderr.splitlines()
    assert first.startswith(
        "::error file=.llmenv/hook.zsh,line=12,"
        "title=llmenv check zsh%3A golden file .llmenv/hook.zsh::---"
    )
    assert "%0A-100%25%0A" in first
    assert second == (
        "::error file=.llmenv/hook.zsh,title=llmenv check zsh%3A shell::zsh is not installed"
    )


def test_github_is_told_of_a_wrong_config(world: World) -> None:
    world.env["GITHUB_ACTIONS"] = "true"
    world.config.write_text("[services.stub]\n")
    done = check(world, "bash", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    annotation, line = done.stderr.splitlines()
    assert annotation.startswith(f"::error file={world.config},title=llmenv check::")
    assert line.startswith("llmenv: ")


def test_a_place_with_a_quote_in_its_name(world: World) -> None:
    place = world.root / "it's"
    place.mkdir()
    world.env["TMPDIR"] = str(place)
    assert check(world).returncode == 0


def test_an_unknown_shell_is_wrong_usage(world: World) -> None:
    done = check(world, "bash", "tcsh", "--update")
    assert (done.returncode, done.stdout) == (2, "")
    assert not (world.root / ".llmenv").exists()
    assert done.stderr == "llmenv: no hook for 'tcsh'; there is: bash, zsh, fish\n"


def test_without_pexpect_it_says_what_to_install(world: World) -> None:
    (world.root / "pexpect.py").write_text("raise ImportError\n")
    done = check(world, "bash", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    last = json.loads(done.stdout)[-1]
    assert (last["check"], last["result"]) == ("pexpect", "failed")
    assert last["detail"] == (
        "no pexpect to drive a shell with; python3 -m pip install 'pexpect>=4.9'"
    )


def test_the_users_own_settings_stay_out(world: World) -> None:
    """Neither their services nor their way to switch the hook off reach the shell on the pty."""
    world.env["LLMENV_DISABLE"] = "1"
    assert check(world, "bash").returncode == 0
    assert not world.told("starts")


@pytest.fixture
def endless(world: World, broken: Path) -> subprocess.Popen[str]:
    """A check that has started its daemon, and waits for another in vain."""
    change(
        broken.parent / "llmenv_hooks/commands/trial.py",
        "DEADLINE_S = 8.0",
        "DEADLINE_S = 60.0",
    )
    _, old, new, *_ = BREAKAGES["no revival"]
    change(broken / "hook.bash", old, new)
    going = world.begin(
        [sys.executable, "-m", "llmenv_hooks", "check", "bash"], cwd=str(world.root)
    )
    # The link leads nowhere again as soon as the daemon is killed.
    wait_until(lambda: list(world.root.glob("llmenv-check-*/state/llmenv/stub.aliv[e]")))
    return going


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_ending_it_leaves_no_process(
    world: World, endless: subprocess.Popen[str], number: int
) -> None:
    os.kill(endless.pid, number)
    assert endless.wait(20) in (128 + number, 130)
    assert nothing_is_left(world)


def test_killing_it_leaves_no_daemon(world: World, endless: subprocess.Popen[str]) -> None:
    kill(endless.pid)
    wait_until(lambda: not processes_with(f"{world.root}/llmenv-check-"))


def test_where_nobody_tells_of_processes_no_daemon_is_left(world: World) -> None:
    """Without /proc, which the `ps` of Linux needs too."""
    if subprocess.run([*HIDE_PROC, "true"], capture_output=True).returncode:
        missing("no mount namespaces here")
    argv = [sys.executable, "-m", "llmenv_hooks", "check", "bash", "--json"]
    done = world.run([*HIDE_PROC, *argv], cwd=world.root)
    assert results(done)["starts a daemon"] == "ok"
    wait_until(lambda: not processes_with(f"{world.root}/llmenv-check-"))
