"""The one file that hooks call: where it is kept, what runs it, and what is heard when it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from daemons import (
    PYTHON,
    World,
    add,
    alive,
    kill,
    need_root,
    wait_until,
)
from packed import ENSURE
from shells import AT_ONCE, DUE, SHELLS, Shell, helpers, hook_text, prompts_until

from llmenv_hooks import hookvalues, interpreters, onefile, render
from llmenv_hooks.helper.companions import companion
from llmenv_hooks.helper.packing import packed_programs

if TYPE_CHECKING:
    from collections.abc import Callable

EACH = pytest.mark.parametrize("name", SHELLS)
FAILED = "llmenv: the helper failed: "


@pytest.fixture
def helper(world: World) -> Path:
    """A copy of the helper, for a test to break."""
    path = world.root / "helper-to-break.py"
    path.write_bytes(packed_programs()["ensure"])
    return path


def llmenv(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return world.run([sys.executable, "-m", "llmenv_hooks", *words])


def data(world: World) -> Path:
    return world.home / ".local" / "share" / "llmenv"


def copies(world: World) -> list[Path]:
    return [path for path in data(world).glob("llmenv-ensure-*.py") if not path.is_symlink()]


def again(shell: Shell) -> str:
    """Have *shell* look, and start the helper, as soon as it may; what it says."""
    return shell.run(f"{AT_ONCE[shell.name]}; {DUE.get(shell.name, '')}")[1] + shell.run()[1]


def until_told(shell: Shell, what: str) -> str:
    said: list[str] = []

    def told() -> bool:
        said.append(again(shell))
        return what in said[-1]

    wait_until(told)
    assert not "".join(said[:-1])
    return said[-1]


# --- a helper that fails -------------------------------------------------------------

BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "cut": (lambda text: text[: len(text) // 2], ""),
    "empty": (lambda _: "", "AttributeError"),
    "raises": (lambda text: text + "\nraise RuntimeError('at once')\n", "RuntimeError: at once"),
    "bug": (
        lambda text: text + "\ndef load_config(*_):\n    raise RuntimeError('a bug')\n",
        "RuntimeError: a bug",
    ),
    "long": (lambda text: text + "\nraise OSError('\\33[2J é' * 99999)\n", "OSError:  [2J é [2J é"),
}


@EACH
@pytest.mark.parametrize("kind", BROKEN)
def test_a_helper_that_fails_is_told_once(world: World, helper: Path, name: str, kind: str) -> None:
    """Its traceback is in helper.log, and all of it is over when a run goes well."""
    right = helper.read_text()
    hook = hook_text(world, name, helper=helper)
    change, why = BROKEN[kind]
    helper.write_text(change(right))
    log, note = world.state / "helper.log", world.state / "helper.fail"
    with Shell(name, world, hook=hook) as shell:
        assert shell.startup.strip() == ""
        said = until_told(shell, FAILED)
        assert len(said.splitlines()) == 1
        assert why in said
        assert str(log) in said
        for _ in range(3):
            assert again(shell) == ""
        wait_until(lambda: not helpers(world))
        assert "Traceback" in log.read_text(errors="replace") or kind in ("cut", "long")
        assert log.stat().st_size <= 1 << 16
        assert (log.stat().st_mode & 0o777, note.stat().st_mode & 0o777) == (0o600, 0o600)
        helper.write_text(right)
        os.utime(helper, (1, 1))  # another date than what Python keeps the bytecode of
        prompts_until(shell, lambda: again(shell) == "" and world.proved())
        wait_until(lambda: not note.exists())
        assert again(shell) == ""


@EACH
def test_a_bug_with_one_of_two_services_is_told(world: World, helper: Path, name: str) -> None:
    """That is in a process of its own, and the other service is none the worse for it."""
    add(world, "other")
    with helper.open("a") as file:
        file.write(
            "\n_right = ensure\ndef ensure(service, *rest, **options):\n"
            "    if service.name == 'other':\n        raise RuntimeError('a bug')\n"
            "    return _right(service, *rest, **options)\n"
        )
    with Shell(name, world, hook=hook_text(world, name, helper=helper)) as shell:
        assert "RuntimeError: a bug" in until_told(shell, FAILED)
        wait_until(world.proved)
        assert again(shell) == ""


@EACH
def test_a_python_that_has_become_too_old_is_told(world: World, name: str) -> None:
    old = world.root / "old"
    old.write_text(
        "#!/bin/sh\ncode=$4\nshift 4\n"
        f'exec {PYTHON} -I -S -c "import sys\n'
        "sys.hexversion, sys.version = 0x30a00f0, '3.10.0 (main)'\n"
        '$code" "$@"\n'
    )
    old.chmod(0o755)
    with mock.patch.object(interpreters, "interpreters", return_value=[str(old)]):
        hook = hook_text(world, name)
    with Shell(name, world, hook=hook) as shell:
        said = until_told(shell, FAILED)
        assert "is Python 3.10.0, not 3.11 or newer" in said
        assert again(shell) == ""
    assert not world.told("starts")


@pytest.mark.parametrize("plant", ["link", "fifo", "directory"])
def test_what_is_planted_for_the_log_is_left_alone(world: World, helper: Path, plant: str) -> None:
    world.state.mkdir(parents=True, mode=0o700)
    victim = world.root / "victim"
    victim.write_text("mine")
    for planted in (world.state / "helper.log", world.state / "helper.fail"):
        if plant == "link":
            planted.symlink_to(victim)
        elif plant == "fifo":
            os.mkfifo(planted)
        else:
            planted.mkdir()
    helper.write_text("1 / 0\n")
    argv = [PYTHON, "-I", "-S", "-c", hookvalues.run(), str(helper), *world.hook_argv()[-3:]]
    assert world.run(argv).returncode == 1
    assert victim.read_text() == "mine"


def test_root_notes_nothing_in_anothers_home(world: World, helper: Path) -> None:
    need_root()
    helper.write_text("1 / 0\n")
    world.give_to_nobody()
    argv = [PYTHON, "-I", "-S", "-c", hookvalues.run(), str(helper), *world.hook_argv()[-3:]]
    assert world.run(argv).returncode == 1
    assert not world.state.exists()


# --- what runs it --------------------------------------------------------------------


@EACH
def test_an_open_shell_outlives_its_virtual_environment(world: World, name: str) -> None:
    """A service whose command lies elsewhere comes back; without any Python, one line."""
    python = world.root / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    other = world.root / "base" / "python3"
    other.parent.mkdir()
    other.symlink_to(os.path.realpath(sys.executable))
    with (
        mock.patch.object(sys, "executable", str(python)),
        mock.patch.object(sys, "_base_executable", str(other)),
        mock.patch.object(interpreters, "_SYSTEM", []),
        mock.patch.dict(world.env, PATH="/nowhere"),
    ):
        hook = hook_text(world, name)
        assert str(Path(sys.executable).parent) not in world.env["PATH"]
    with Shell(name, world, hook=hook) as shell:
        wait_until(world.proved)
        wait_until(lambda: not helpers(world))
        python.unlink()
        first = world.check()
        kill(first)
        prompts_until(shell, lambda: world.pidfile() not in (None, first))
        wait_until(world.proved)
        wait_until(lambda: not helpers(world))
        other.unlink()
        kill(world.check(starts=2))
        said = until_told(shell, "is gone, or not yours to run")
        assert str(python) in said
        assert str(other) in said
        assert again(shell) == ""


def test_the_interpreters_are_this_one_its_base_and_the_systems() -> None:
    found = interpreters.interpreters()
    assert found[0] == sys.executable
    assert len(found) == len(set(found))
    for path in found:
        code = "import sys; print(sys.version_info >= (3, 11))"
        assert subprocess.check_output([path, "-I", "-S", "-c", code], text=True) == "True\n"
    if sys.prefix != sys.base_prefix:
        assert any(not path.startswith(f"{sys.prefix}/") for path in found)


def test_of_path_only_what_is_new_enough_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shim, as pyenv has them, stands for what it leads to; one that fails for nothing."""
    base = os.path.realpath(sys.executable)
    programs = {
        "a/python3": "echo",  # as one that is older says it
        "b/python3": "exit 1",
        "c/python3": "echo relative",
        "d/python3.12": f'exec {base} "$@"',
        "e/python3": f'exec {base} "$@"',
    }
    for name, code in programs.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(f"#!/bin/sh\n{code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(interpreters, "_SYSTEM", [])
    monkeypatch.setenv("PATH", ":".join([".", "e", *(str(tmp_path / name) for name in "abcd")]))
    assert interpreters.interpreters()[-1] == base
    monkeypatch.setenv("PATH", ":".join(str(tmp_path / name) for name in "abc"))
    assert str(tmp_path) not in " ".join(interpreters.interpreters())


def test_an_active_virtual_environment_makes_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes with this Python, and what is found behind it is there longer."""
    beside = os.path.dirname(sys.executable)
    (tmp_path / "python3").symlink_to(os.path.realpath(sys.executable))
    found = []
    for first in ("", f"{beside}:", f"{beside}/:"):
        monkeypatch.setenv("PATH", f"{first}{tmp_path}")
        found.append(interpreters.interpreters())
    assert found[0] == found[1] == found[2]
    assert str(tmp_path / "python3") in found[0]


# --- where it is kept ----------------------------------------------------------------


@EACH
def test_a_hook_calls_nothing_of_the_package(world: World, name: str) -> None:
    done = llmenv(world, "hook", name)
    assert (done.returncode, done.stderr) == (0, "")
    (copy,) = copies(world)
    assert copy.read_bytes() == packed_programs()["ensure"]
    assert (data(world).stat().st_mode & 0o777, copy.stat().st_mode & 0o777) == (0o700, 0o600)
    assert str(copy) in done.stdout
    assert str(ENSURE.parent) not in done.stdout
    assert llmenv(world, "hook", name).stdout == done.stdout


@pytest.mark.parametrize("kind", ["gone", "cut", "open to others", "a link", "no companion"])
def test_a_copy_that_is_not_right_is_put_right(world: World, kind: str) -> None:
    """Also where the hook itself comes from the cache."""
    text = llmenv(world, "hook", "bash").stdout
    (copy,) = copies(world)
    if kind == "gone":
        copy.unlink()
    elif kind == "cut":
        copy.write_bytes(copy.read_bytes()[:999])
    elif kind == "open to others":
        copy.chmod(0o622)
    elif kind == "no companion":
        for part in ("bridge", "connect"):
            Path(companion(str(copy), part)).unlink()
    else:
        copy.rename(world.root / "elsewhere")
        copy.symlink_to(world.root / "elsewhere")
    assert llmenv(world, "hook", "bash").stdout == text
    assert not copy.is_symlink()
    assert copy.stat().st_mode & 0o777 == 0o600
    for part, content in packed_programs().items():
        assert Path(companion(str(copy), part)).read_bytes() == content


@pytest.mark.parametrize(("part", "words"), [("bridge", []), ("connect", ["--connect", "stub"])])
def test_the_one_file_alone_says_what_is_missing(world: World, part: str, words: list[str]) -> None:
    table = f'[services.stub]\ncommand = ["true"]\nbind = "{world.bind}"\nbridge = "guarded"\n'
    world.config.write_text(table)
    copy = world.root / "my-ensure.py"
    copy.write_bytes(ENSURE.read_bytes())
    done = world.run([PYTHON, "-I", "-S", str(copy), *words])
    missing = world.root / f"my-{part}.py"
    assert (done.returncode, done.stdout) == (1, "")
    said = f"{missing} is not there; copy it too: llmenv-ensure --pack writes all\n"
    assert done.stderr.endswith(said)
    other = copy.rename(world.root / "mine.py")
    done = world.run([PYTHON, "-I", "-S", str(other), *words])
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{other}: rename it; what lies beside it is found by `ensure`\n" in done.stderr


@EACH
def test_an_open_shell_goes_on_when_its_copy_was_taken_away(world: World, name: str) -> None:
    with Shell(name, world) as shell:
        wait_until(world.proved)
        wait_until(lambda: not helpers(world))
        (copy,) = copies(world)
        newer = copy.with_name("llmenv-ensure-0123456789ab.py")
        copy.rename(newer)
        (data(world) / onefile.NEWEST).unlink()
        (data(world) / onefile.NEWEST).symlink_to(newer.name)
        first = world.check()
        kill(first)
        prompts_until(shell, lambda: world.pidfile() not in (None, first))
        wait_until(world.proved)


def test_old_copies_go_unless_something_names_them(world: World) -> None:
    place = data(world)
    place.mkdir(parents=True, mode=0o700)
    (place / "__pycache__").mkdir()
    cache = world.home / ".cache" / "llmenv"
    cache.mkdir(parents=True, mode=0o700)
    old = {}
    for digit, who in enumerate(("nobody", "installed", "host", "cached", "process")):
        old[who] = place / f"llmenv-ensure-{str(digit) * 12}.py"
        old[who].write_text("import time\ntime.sleep(99)\n")
        (place / "__pycache__" / f"{old[who].stem}.cpython-311.pyc").touch()
    (place / "hook.zsh").write_text(f"'{old['installed']}'")
    (place / "hook.zsh@host").write_text(f"'{old['host']}'")
    (cache / "hook.fish").write_text(f"'{old['cached']}'")
    (place / "llmenv-ensure-mine.py").touch()
    process = world.begin([PYTHON, "-I", "-S", str(old["process"])])
    theirs = world.root / old["nobody"].name  # as another user's, of the same version
    theirs.write_bytes(old["nobody"].read_bytes())
    world.begin([PYTHON, "-I", "-S", str(theirs)])
    assert llmenv(world, "hook", "bash").stderr == ""
    assert alive(process.pid)
    assert not old.pop("nobody").exists()
    left = {path.name.partition(".")[0] for path in (place / "__pycache__").iterdir()}
    assert left == {path.stem for path in old.values()}
    assert [path for path in old.values() if path.exists()] == [*old.values()]
    assert (place / "llmenv-ensure-mine.py").exists()
    process.kill()
    process.wait()
    for path in (place / "hook.zsh@host", cache / "hook.fish"):
        path.unlink()
    done = llmenv(world, "install", "zsh")  # whose own hook file names the new one from here on
    assert (done.returncode, done.stderr) == (0, "")
    assert not [path for path in old.values() if path.exists()]
    assert len(copies(world)) == 2  # and llmenv-ensure-mine.py


@EACH
@pytest.mark.parametrize("kind", ["a file", "another's", "open to others"])
def test_where_there_is_no_place_the_hook_calls_the_package(
    world: World, name: str, kind: str
) -> None:
    """One line says so, at the first start of a shell, and the hook works."""
    place = data(world)
    place.parent.mkdir(parents=True)
    if kind == "a file":
        place.write_text("")
    else:
        place.mkdir()
        place.chmod(0o777)
    if kind == "another's":
        need_root()
        os.chown(place, 65534, 65534)
    done = llmenv(world, "hook", name)
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1
    assert str(place) in done.stderr
    assert onefile.unpacked() in done.stderr
    assert kind == "a file" or not [*place.iterdir()]
    second = llmenv(world, "hook", name)
    assert (second.stdout, second.stderr) == (done.stdout, "")
    hook = hook_text(world, name)
    assert onefile.unpacked() in hook
    with Shell(name, world, hook=hook) as shell:
        assert shell.startup.strip() == ""
        prompts_until(shell, world.proved)


def test_uninstall_takes_the_copy_out_unless_another_hook_names_it(world: World) -> None:
    for shell in ("bash", "zsh"):
        assert llmenv(world, "install", shell).returncode == 0
    (copy,) = copies(world)
    assert llmenv(world, "uninstall", "zsh").returncode == 0
    assert copies(world) == [copy]
    assert (data(world) / onefile.NEWEST).resolve() == copy
    assert llmenv(world, "uninstall", "bash").returncode == 0
    assert not [*data(world).iterdir()]


def test_root_leaves_no_copy_in_anothers_home(world: World) -> None:
    need_root()
    world.give_to_nobody()
    before = sorted(world.home.rglob("*"))
    done = llmenv(world, "hook", "bash")
    assert done.returncode == 0
    assert "belongs to user" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(world.home.rglob("*")) == before


def test_templates_are_laid_out_for_reading() -> None:
    for path in Path(render.templates()).iterdir():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line) <= 120, f"{path.name}:{number}"


def test_what_python_is_given_stands_in_single_quotes() -> None:
    """As it is in each shell: nothing in it needs another quoting, and none of it is a comment."""
    assert not set(hookvalues.run()) & set("'\\#$`!")
