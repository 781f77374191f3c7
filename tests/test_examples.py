"""What users copy out of examples/: the rc files in their shells, the CI files step by step."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import neighbours
import pytest
import yaml
from daemons import World, need, wait_until
from shells import EACH, SHELLS, Shell, counted, fires_once_a_prompt, revives

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

PROJECT = Path(__file__).parent.parent
EXAMPLES = PROJECT / "examples"
RC = {"bash": "bashrc", "zsh": "zshrc", "fish": "config.fish"}
pytestmark = pytest.mark.usefixtures("configured")


# --- rc files ------------------------------------------------------------------------

READERS = {
    "bash": [["bash", "-n"], ["shellcheck"], ["shfmt", "-d", "-i", "4", "-ln", "bash"]],
    "zsh": [["zsh", "-f", "-n"]],
    "fish": [["fish", "--no-config", "-n"], ["fish_indent", "--check"]],
}


@EACH
def test_an_rc_file_is_clean(world: World, name: str) -> None:
    for reader in READERS[name]:
        need(reader[0])
        done = world.run([*reader, str(EXAMPLES / "rc" / RC[name])])
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), reader


@EACH
def test_an_rc_file_names_the_line_of_the_readme(name: str) -> None:
    line = f"llmenv hook {name} | source" if name == "fish" else f'eval "$(llmenv hook {name})"'
    assert line in [each.strip() for each in (EXAMPLES / "rc" / RC[name]).read_text().splitlines()]


# Each with its code, and the log of the commands that it is told of.
FRAMEWORKS = {
    "bash": {".bash-preexec.sh": (neighbours.PREEXEC_ARRAY, "told.preexec")},
    "zsh": {
        ".oh-my-zsh/oh-my-zsh.sh": (neighbours.OH_MY_ZSH, "told.omz"),
        ".zprezto/init.zsh": (neighbours.PREZTO, "told.prezto"),
    },
    "fish": {},
}


@EACH
def test_an_rc_file_with_all_its_tools(world: World, name: str) -> None:
    project = neighbours.settle(world)
    hook = world.root / "hook"
    hook.write_text(counted(world, name))
    code = f"#!/bin/sh\n[ \"$*\" = 'hook {name}' ] && exec cat '{hook}'\n"
    neighbours.program(world.root / "bin" / "llmenv", code)
    for file, (code, _) in FRAMEWORKS[name].items():
        (world.home / file).parent.mkdir(exist_ok=True)
        (world.home / file).write_text(code)
    rc = (EXAMPLES / "rc" / RC[name]).read_text()
    rc = rc.replace("${ZDOTDIR:-$HOME}", "$HOME")  # ZDOTDIR is where the test has its rc file
    rc = neighbours.NOT_PRIVATE[name] + rc
    with Shell(name, world, hook="", after=rc, prompt=neighbours.BEHIND[name]) as shell:
        wait_until(world.proved)
        shell.run(f"cd '{project}'")
        for variable in ("FROM_ENVRC", "FROM_MISE"):
            assert "yes" in shell.run(f"env | grep '^{variable}='")[1]
        assert str(project) in world.run(["zoxide", "query", "-l"]).stdout
        assert "drawn-after-7" in shell.run("sh -c 'exit 7'")[1]
        assert f"http://{world.bind}/mcp" in shell.run("env | grep '^LLMENV_MCP_URL='")[1]
        shell.run("cd /")
        fires_once_a_prompt(shell)
        revives(shell, world)
        fires_once_a_prompt(shell)
    for _, log in FRAMEWORKS[name].values():
        assert "cd /" in (world.home / log).read_text().splitlines()


@EACH
def test_an_rc_file_without_any_tool(world: World, name: str) -> None:
    """Of a person who copied it whole, and has llmenv alone."""
    tools = world.root / "bin"
    tools.mkdir()
    neighbours.program(tools / "llmenv", neighbours.LLMENV)
    for tool in (name, "sh"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    world.env["PATH"] = str(tools)
    need(name)
    rc = (EXAMPLES / "rc" / RC[name]).read_text()
    with Shell(name, world, hook="", after=rc) as shell:
        assert shell.startup.strip() == ""
        wait_until(world.proved)
        assert shell.run() == (0, "")


# --- CI files ------------------------------------------------------------------------


@pytest.fixture
def repository(world: World) -> Path:
    """A user's repository with a config and the recorded hooks, on a machine that is no CI's."""
    path = world.root / "dotfiles"
    config = path / ".config" / "llmenv" / "config.toml"
    config.parent.mkdir(parents=True)
    shutil.copy(EXAMPLES / "config.toml", config)
    (world.root / "bin").mkdir()
    neighbours.program(world.root / "bin" / "llmenv", neighbours.LLMENV)
    # The installation is pip's own work, on what is installed: this checkout and its extras.
    world.env |= {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "TMPDIR": str(path)}
    world.env["PIP_ROOT_USER_ACTION"] = "ignore"
    python = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
    neighbours.program(world.root / "bin" / "python", python)
    # The packages are not installed again; what would be is noted.
    neighbours.program(world.root / "bin" / "sudo", '#!/bin/sh\nexec "$@"\n')
    apt = f'#!/bin/sh\necho "$*" >>"{world.root}/apt"\n'
    neighbours.program(world.root / "bin" / "apt-get", apt)
    made = world.run(
        [str(world.root / "bin" / "llmenv"), "check", "--update", "--allow-missing"],
        cwd=path,
        # Without a shell, so that it records and does no more.
        env={**world.env, "LLMENV_CONFIG": str(config), "PATH": f"{world.root}/bin"},
    )
    world.env["PATH"] = f"{world.root}/bin:{world.env['PATH']}"
    assert made.returncode == 0, made
    assert sorted(file.name for file in (path / ".llmenv").iterdir()) == [
        f"hook.{name}" for name in sorted(SHELLS)
    ]
    return path


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def github(world: World, repository: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """Run the steps as a runner of GitHub does."""
    (job,) = load(EXAMPLES / "ci" / "github-actions.yml")["jobs"].values()
    workspace = {name: expand(value, repository) for name, value in job["env"].items()}
    environment = {**world.env, **workspace, "CI": "true", "GITHUB_ACTIONS": "true"}
    for step in job["steps"]:
        if "uses" in step:
            assert step["uses"].split("@")[0] in ("actions/checkout", "actions/setup-python")
        else:
            argv = ["bash", "-e", "-c", step["run"]]
            yield world.run(argv, cwd=repository, env=environment)


def gitlab(world: World, repository: Path) -> Iterator[subprocess.CompletedProcess[str]]:
    """Run the lines as a runner of GitLab does."""
    (job,) = load(EXAMPLES / "ci" / "gitlab-ci.yml").values()
    variables = {name: expand(value, repository) for name, value in job["variables"].items()}
    environment = {**world.env, **variables, "CI": "true"}
    for line in [*job["before_script"], *job["script"]]:
        yield world.run(["bash", "-eo", "pipefail", "-c", line], cwd=repository, env=environment)


def expand(value: str, repository: Path) -> str:
    done = value.replace("${{ github.workspace }}", str(repository))
    done = done.replace("$CI_PROJECT_DIR", str(repository))
    assert "$" not in done
    return done


@pytest.mark.parametrize("ci", [github, gitlab])
def test_a_ci_passes(world: World, repository: Path, ci: Any) -> None:
    for step in ci(world, repository):
        assert step.returncode == 0, step
        assert "WARNING" not in step.stderr  # of pip: there is no such extra
    assert "ok       fish  revives it after kill -9" in step.stdout
    assert "not run" not in step.stdout
    asked = (world.root / "apt").read_text()
    assert asked == "update\ninstall --yes zsh fish shellcheck shfmt\n"


@pytest.mark.parametrize("ci", [github, gitlab])
def test_a_ci_finds_what_was_not_recorded(world: World, repository: Path, ci: Any) -> None:
    config = repository / ".config" / "llmenv" / "config.toml"
    config.write_text(config.read_text().replace("services.memory", "services.other"))
    neighbours.program(world.root / "bin" / "fish_indent", "#!/bin/sh\necho bad; exit 1\n")
    *before, last = list(ci(world, repository))
    assert [step.returncode for step in before] == [0] * len(before)
    assert last.returncode == 1
    assert re.search(r"^failed   zsh   golden file .llmenv/hook.zsh$", last.stdout, re.M)
    assert re.search(r"^failed   fish  fish_indent --check$", last.stdout, re.M)
    annotations = last.stderr.count("::error file=.llmenv/hook.")
    assert annotations == (4 if ci is github else 0)


def test_pre_commit(world: World, repository: Path) -> None:
    """The real one, with the lines that the manifest has for a user; no environment is made."""
    manifest = PROJECT / ".pre-commit-hooks.yaml"
    pre_commit = [sys.executable, "-m", "pre_commit"]
    need("git")
    done = world.run([*pre_commit, "validate-manifest", str(manifest)])
    assert done.returncode == 0, done
    (hook,) = load(manifest)
    assert (hook["language"], hook["additional_dependencies"]) == ("python", [".[check]"])
    (lines,) = re.findall(r"(?:^#   .*\n)+", manifest.read_text(), re.M)
    (own,) = yaml.safe_load(lines.replace("#", " "))
    own |= {"language": "system", "additional_dependencies": []}
    published = world.root / "llmenv-hooks"
    published.mkdir()
    shutil.copy(manifest, published)
    config = {"repos": [{"repo": str(published), "rev": "v1.0", "hooks": [own]}]}
    (repository / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    begin = [["git", "init", "-q"], ["git", "add", "."]]
    commit = ["git", "-c", "user.name=me", "-c", "user.email=me", "commit", "-q", "-m", "all"]
    for argv in (*begin, commit, ["git", "tag", "v1.0"]):
        done = world.run(argv, cwd=published)
        assert done.returncode == 0, done
    for argv in (*begin, [*pre_commit, "run"]):
        done = world.run(argv, cwd=repository)
        assert done.returncode == 0, done
    assert re.search(r"llmenv check\.+Passed", done.stdout)
    with (repository / ".llmenv" / "hook.zsh").open("a") as file:
        file.write("# more\n")
    world.run(["git", "add", "."], cwd=repository)
    done = world.run([*pre_commit, "run"], cwd=repository)
    assert done.returncode == 1
    assert "-# more" in done.stdout
