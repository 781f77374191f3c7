"""What is not our key or our header stays: comments, blank lines, order, the end of the file."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

from hypothesis import given, reject
from hypothesis import strategies as st

from llmenv_hooks.agents.jsonc import JSON
from llmenv_hooks.agents.toml import TOML
from llmenv_hooks.agents.yaml import CONTINUE as YAML

if TYPE_CHECKING:
    from agents.support import Home

URL = "http://127.0.0.1:7878/mcp"
OTHER = "http://127.0.0.1:17001/mcp"

# What a user may have between any two lines.
ASIDES = st.lists(st.sampled_from(["", "# c", "  # [a] \"'", "# url = 'x'", '# """']), max_size=3)
BEHIND = st.sampled_from(["", " # mine", "\t# ] = \"'", "  "])
THEIRS = st.sampled_from(
    [
        ["[a]", "b = 1 # one"],
        ["[mcp_servers.x]", 'command = "y"', "args = [ # those", '  "[", # "', "]"],
        ["[[aot]]", "a = '''", "[mcp_servers.memory]", "'''"],
        ['[mcp_servers."memory.x"]', 'url = """', "url = 1", '"""'],
    ]
)
# One entry of ours, as people and programs write it; the last is for the top of a file alone.
OURS = st.sampled_from(
    [
        ["[mcp_servers.memory]", f'url = "{URL}"'],
        ['[ mcp_servers . "memory" ]', f"'url'='{URL}'"],
        ["[mcp_servers]", f'memory = {{ url = "{URL}" }}'],
        ["[mcp_servers]", f'memory.url = "{URL}"'],
        [f'mcp_servers.memory.url = "{URL}"'],
    ]
)


@st.composite
def toml_texts(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a text with an entry of ours in it, and what is to be left, a NUL in its place."""
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    ours = draw(OURS)
    blocks = draw(st.lists(THEIRS, max_size=2, unique_by=lambda one: one[0]))
    last = 0 if ours[0].startswith("mcp_servers") else len(blocks)
    blocks.insert(draw(st.integers(0, last)), ours)
    before = after = ""
    for block in blocks:
        for line in block:
            aside = "".join(one + newline for one in draw(ASIDES))
            behind = draw(BEHIND) if block is ours else ""
            before += aside.strip("\0") + line + behind + newline
            cut = block is ours and line != "[mcp_servers]"
            aside += "\0" * (cut and "\0" not in after)
            kept = behind.lstrip() if cut else line + behind
            after += aside + (kept + newline if kept else "")
    aside = "".join(one + newline for one in draw(ASIDES))
    before, after = before + aside, after + aside
    if draw(st.booleans()):
        before, after = before.removesuffix(newline), after.removesuffix(newline)
    try:
        tomllib.loads(before)
    except tomllib.TOMLDecodeError:
        reject()
    return before, after


@given(toml_texts())
def test_toml_without_ours_is_the_rest_to_the_byte(texts: tuple[str, str]) -> None:
    before, after = texts
    left = TOML.drop(before, ("mcp_servers", "memory")) or ""
    # An empty line before a table is of `put`, and goes too, if none or another one is behind it;
    # so is the end of the line before that, where the text had none at its end.
    allowed = [after.replace("\0", ""), re.sub(r"\r?\n\0(?=\r?\n|\Z)", "", after)]
    if not before.endswith("\n"):
        allowed.append(re.sub(r"(\r?\n){2}\0\Z", "", after))
    assert left in allowed


@given(toml_texts())
def test_toml_with_another_url_is_else_the_same(texts: tuple[str, str]) -> None:
    before, _ = texts
    changed = TOML.put(before, ("mcp_servers", "memory", "url"), OTHER)
    ours = re.compile(f"([\"']){URL}\\1")
    assert changed == ours.sub(f'"{OTHER}"', before)


JSON_ASIDES = st.lists(
    st.sampled_from(["", "    // c, }", '    /* " */', "  /* {\n */ // [", "\t//"]), max_size=3
)
INSIDE = st.sampled_from(["", "/* a */", '/* " */', "// b, }\n", "//\n"])


@st.composite
def json_texts(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a text with an entry of ours in it, and what is to be left."""
    inside = [draw(INSIDE) for _ in range(4)]
    shown = f'"memory"{inside[0]}: {{{inside[1]} "url": "{URL}" {inside[2]}}}{inside[3]},'
    comments = "\n    ".join(one.strip() for one in inside if one)
    behind = draw(st.sampled_from(["", " // mine", " /* mine */"]))
    aboves, belows = ("".join(one + "\n" for one in draw(JSON_ASIDES)) for _ in range(2))
    above = '{\n  "mcpServers": {\n    "x": {}, // x\n' + aboves
    below = behind + "\n" + belows + '    "y": [],\n  }, // s\n}\n'
    if not comments and behind and not above.rstrip().endswith('/* " */'):
        return f"{above}    {shown}{below}", f"{above}    {below}"  # not into the comment above
    if not comments:
        return f"{above}    {shown}{below}", above.removesuffix("\n") + below
    broken = "\n    " if behind and comments.rpartition("\n")[2].strip().startswith("//") else ""
    return f"{above}    {shown}{below}", f"{above}    {comments}{broken}{below}"


@given(json_texts())
def test_json_without_ours_is_the_rest_to_the_byte(texts: tuple[str, str]) -> None:
    before, after = texts
    assert JSON.drop(before, ("mcpServers", "memory")) == after


@given(json_texts())
def test_json_with_another_url_is_else_the_same(texts: tuple[str, str]) -> None:
    before, _ = texts
    changed = JSON.put(before, ("mcpServers", "memory", "url"), OTHER)
    assert changed == before.replace(URL, OTHER)


def test_json_keeps_a_comment_in_what_would_go_with_its_braces() -> None:
    text = f'{{ "mcpServers": {{ "memory": {{ "url": "{URL}" /* mine */ }} }} }}\n'
    assert JSON.drop(text, ("mcpServers", "memory")) == '{ "mcpServers": { /* mine */ } }\n'


YAML_ASIDES = st.lists(
    st.sampled_from(["", "  # c: |", "    # url: 'x'", "# - name: y"]), max_size=3
)


@st.composite
def yaml_texts(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a text with an entry of ours in it, and what is to be left."""
    ours = ["  - name: memory # goes with it", "    type: streamable-http", f'    url: "{URL}"']
    theirs = ["  - name: x # one", "    env:", "      A: |", "        # none", "    command: y"]
    blocks = [ours, theirs] if draw(st.booleans()) else [theirs, ours]
    before = after = "mcpServers: # those\n"
    for block in blocks:
        for line in block:
            aside = "".join(f"{one}\n" for one in draw(YAML_ASIDES))
            before += f"{aside}{line}\n"
            after += aside + ("" if block is ours else f"{line}\n")
    aside = "".join(f"{one}\n" for one in draw(YAML_ASIDES))
    return before + aside, after + aside


@given(yaml_texts())
def test_yaml_without_ours_is_the_rest_to_the_byte(texts: tuple[str, str]) -> None:
    before, after = texts
    assert YAML.drop(before, ("memory",)) == after


@given(yaml_texts())
def test_yaml_with_another_url_is_else_the_same(texts: tuple[str, str]) -> None:
    before, _ = texts
    assert YAML.put(before, ("memory", "url"), OTHER) == before.replace(URL, OTHER)


def test_a_comment_of_the_users_stays_in_codexs_file(home: Home) -> None:
    text = f'[mcp_servers.memory]\nurl = "{URL}"\n# c\n[a]\n'
    path = home.put("codex", text.encode())
    home("codex", "remove")
    assert path.read_text() == "# c\n[a]\n"
