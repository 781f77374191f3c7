"""The static hook file: who may read it, and when it is written anew."""

from __future__ import annotations

import os
import shlex
import stat
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from commands.install.support import (
    EACH,
    Real,
    done,
    programs,
    rc_file,
    refused_line,
    silent,
    start,
    static,
    with_prompt,
)
from daemons import kill, need, wait_until

from llmenv_hooks import render
from llmenv_hooks.interpreters import interpreters

if TYPE_CHECKING:
    from daemons import World


@EACH
def test_a_changed_config_is_rendered_anew_in_the_background(world: World, name: str) -> None:
    done(world, "install", name)
    world.config.write_text(world.config.read_text().replace("services.stub", "services.other"))
    silent(start(world, name))
    wait_until(lambda: "other.life" in static(world, name).read_text())
    wait_until(lambda: "LLMENV_OTHER_URL" in start(world, name, "env").stdout)
    assert stat.S_IMODE(static(world, name).stat().st_mode) == 0o600
    world.config.unlink()
    silent(start(world, name))
    wait_until(lambda: "mcp-proxy.life" in static(world, name).read_text())


@EACH
def test_an_older_config_is_rendered_too(world: World, name: str) -> None:
    """`mv` and `cp -p` keep the date; the background run sees that it is another."""
    done(world, "install", name)
    assert world.run(world.hook_argv()).returncode == 0
    other = world.root / "other.toml"
    other.write_text(world.config.read_text().replace("services.stub", "services.other"))
    os.utime(other, (1, 1))
    other.rename(world.config)
    os.utime(static(world, name), (time.time() - 1,) * 2)
    assert world.run(world.hook_argv()).returncode == 0
    silent(start(world, name))
    wait_until(lambda: "other.life" in static(world, name).read_text())


@EACH
def test_another_version_is_rendered_anew(world: World, name: str) -> None:
    """Whatever the times of its files are: the directory of the old version's metadata is gone."""
    done(world, "install", name)
    new = static(world, name).read_text()
    old = new.replace("dist-info", "dist-info-of-the-old").replace("LLMENV_MCP_URL", "LLMENV_OLD")
    assert old != new
    seen = static(world, name).stat()
    static(world, name).write_text(old)
    os.utime(static(world, name), ns=(seen.st_mtime_ns, seen.st_mtime_ns))
    silent(start(world, name))
    wait_until(lambda: static(world, name).read_text() == new)


@EACH
def test_what_was_rendered_before_a_template_changed_is_old(world: World, name: str) -> None:
    done(world, "install", name)
    template = Path(render.templates(), f"hook.{name}").stat().st_mtime
    os.utime(static(world, name), (template - 1, template - 1))
    silent(start(world, name))
    wait_until(lambda: static(world, name).stat().st_mtime > template)


@EACH
def test_a_renewal_keeps_the_paths_of_the_install(world: World, name: str) -> None:
    """A shell of another session may have other directories in its environment."""
    done(world, "install", name)
    text = static(world, name).read_text()
    os.utime(static(world, name), (1, 1))
    world.env["XDG_STATE_HOME"] = str(world.root / "elsewhere")
    world.env["LLMENV_CONFIG"] = str(world.root / "elsewhere.toml")
    silent(start(world, name))
    wait_until(lambda: static(world, name).stat().st_mtime > 1)
    assert static(world, name).read_text() == text
    assert not (world.root / "elsewhere").exists()


@EACH
def test_a_renewal_runs_nothing_of_the_directory_it_starts_in(world: World, name: str) -> None:
    done(world, "install", name)
    os.utime(static(world, name), (1, 1))
    planted = world.root / "project" / "llmenv_hooks"
    planted.mkdir(parents=True)
    bad = f"open({str(world.root / 'PWNED')!r}, 'w')"
    for path in (planted / "__init__.py", planted.parent / "jinja2.py", planted.parent / "re.py"):
        path.write_text(bad)
    world.env["PYTHONPATH"] = str(planted.parent)
    silent(world.run([name, "-i", "-c", ":"], cwd=planted.parent, start_new_session=True))
    wait_until(lambda: static(world, name).stat().st_mtime > 1)
    assert not (world.root / "PWNED").exists()


def test_a_wrong_config_leaves_the_old_one_until_it_is_mended(world: World) -> None:
    done(world, "install", "bash")
    text, good = static(world).read_text(), world.config.read_text()
    os.utime(static(world), (1, 1))
    world.config.write_text("[services.stub]\nport = 1\n")
    silent(start(world, "bash"))
    wait_until(lambda: static(world).stat().st_mtime > 1)
    assert static(world).read_text() == text
    assert len(programs(world, "bash")) == 1  # and is not tried again and again
    world.config.write_text(good.replace("services.stub", "services.other"))
    silent(start(world, "bash"))
    wait_until(lambda: "other.life" in static(world).read_text())


def test_a_renewal_does_not_bring_back_what_was_uninstalled(world: World) -> None:
    done(world, "install", "bash")
    done(world, "uninstall", "bash")
    argv = [sys.executable, "-m", "llmenv_hooks.install", "bash"]
    seen = world.run([*argv, str(static(world)), str(world.state), str(world.config)])
    assert (seen.returncode, seen.stderr) == (0, "")
    assert not static(world).exists()


@EACH
def test_a_vanished_interpreter_is_told_once(world: World, name: str) -> None:
    with_prompt(world, name)
    done(world, "install", name)
    text = static(world, name).read_text()
    gone = text
    for python in interpreters():
        gone = gone.replace(f" {python}", f" {world.root / 'gone-python'}")
    static(world, name).write_text(gone)
    os.utime(static(world, name), (1, 1))
    with Real(name, world) as shell:
        said = shell.startup + shell.run()[1] + shell.run()[1]
    assert said.count("is gone, or not yours to run; reinstall llmenv-hooks") == 1
    assert len(said.strip().splitlines()) == 1
    assert static(world, name).read_text() == gone


@EACH
def test_a_shell_that_is_open_says_nothing_after_an_uninstall(world: World, name: str) -> None:
    """The helper is gone, and that is as it should be; after the next install it is not."""
    with_prompt(world, name)
    done(world, "install", name)
    word = world.state / "uninstalled"
    with Real(name, world) as shell:
        wait_until(world.proved)
        kill(world.check())
        done(world, "uninstall", name)
        assert word.exists()
        assert not static(world, name).with_name("llmenv-ensure.py").exists()
        assert [shell.run() for _ in range(3)] == [(0, "")] * 3
    done(world, "install", name)
    assert not word.exists()


def as_of_another_host(world: World, name: str) -> None:
    """Install for *name*, as on a host that has another name than this one."""
    done(world, "install", name)
    text = static(world, name).read_text()
    host = render.QUOTE[name](os.uname().nodename)
    other = text.replace(f"!= {host}", "!= another").replace("LLMENV_MCP_URL", "LLMENV_OLD_URL")
    assert other != text
    static(world, name).write_text(other)


@EACH
def test_another_host_with_the_same_home_renders_its_own(world: World, name: str) -> None:
    """Where services run, and under which names they are recorded, depends on the host."""
    with_prompt(world, name)
    as_of_another_host(world, name)
    for _ in range(2):
        with Real(name, world) as shell:
            assert shell.startup.strip() == ""
            seen = shell.run("set | grep -a '^LLMENV_'; set | grep -a ^__llmenv_static")[1]
            assert "LLMENV_MCP_URL" in seen
            assert "OLD" not in seen
            assert "__llmenv_static" not in seen.replace("grep -a ^__llmenv_static", "")
            wait_until(world.proved)
    own = Path(f"{static(world, name)}@{os.uname().nodename}")
    assert stat.S_IMODE(own.stat().st_mode) == 0o600


@EACH
def test_only_the_first_start_on_another_host_runs_python(world: World, name: str) -> None:
    start(world, name)
    bare = programs(world, name)
    as_of_another_host(world, name)
    first = programs(world, name)[len(bare) :]
    (ours,) = (line for line in first if "llmenv_hooks" in line)  # it looks for other Pythons too
    assert "python" in ours
    assert ours == first[0]
    own = Path(f"{static(world, name)}@{os.uname().nodename}")
    assert own.read_text() != static(world, name).read_text()
    assert len(programs(world, name)) == len(bare)
    world.config.write_text(world.config.read_text().replace("services.stub", "services.other"))
    silent(start(world, name))  # which has that file renewed, not the other
    wait_until(lambda: "other.life" in own.read_text())
    assert "other.life" not in static(world, name).read_text()
    done(world, "uninstall")
    assert not own.exists()


@EACH
def test_where_no_file_can_be_written_another_host_has_the_hook(world: World, name: str) -> None:
    as_of_another_host(world, name)
    text = static(world, name).read_text()
    too_long = text.replace("@$", f"@{'x' * 300}$")
    assert too_long != text
    static(world, name).write_text(too_long)
    assert "LLMENV_MCP_URL" in start(world, name, "env").stdout
    assert [file.name for file in static(world).parent.glob("hook.*")] == [f"hook.{name}"]


def test_the_static_file_is_ours_alone(world: World) -> None:
    """What it holds is evaluated by the user's shell."""
    done(world, "install", "bash")
    assert stat.S_IMODE(static(world).stat().st_mode) == 0o600
    assert stat.S_IMODE(static(world).parent.stat().st_mode) == 0o700
    done(world, "uninstall")
    static(world).parent.chmod(0o777)
    assert "others can write to" in refused_line(world, "install", "bash")
    assert not rc_file(world).exists()


@EACH
def test_the_static_file_is_clean_code(world: World, name: str) -> None:
    done(world, "install", name)
    path = str(static(world, name))
    check = {
        "bash": ["shellcheck", "--shell=bash", "--exclude=SC2016", path],
        "zsh": ["zsh", "-f", "-n", path],
        "fish": ["fish", "--no-config", "-n", path],
    }[name]
    need(check[0])
    seen = world.run(check)
    assert (seen.returncode, seen.stdout, seen.stderr) == (0, "", "")
    if name == "zsh":
        (world.root / "inner").write_text(shlex.split(static(world, name).read_text())[-1])
        silent(world.run(["zsh", "-f", "-n", str(world.root / "inner")]))
