"""Any text of an agent's file, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

BLANKS = st.lists(
    st.sampled_from([" ", "\n", "\r\n", "\t", "// c, }\u00a0\n", '/* " */', "//\n", "/*\n*/"]),
    max_size=3,
).map("".join)


SCALARS = st.sampled_from(["1", "-2.5e3", "true", "null", '"x"', '"\\"//,}"', '"/*"', '"é☃"'])


KEYS = st.sampled_from(["a", "servers", "memory", "tunnel", "b"])


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    members = [
        f'{draw(BLANKS)}"{key}"{draw(BLANKS)}:{draw(BLANKS)}{draw(values)}{draw(BLANKS)}'
        for key in draw(st.lists(KEYS, max_size=3, unique=True))
    ]
    comma = "," * (bool(members) and draw(st.booleans()))
    return "{" + ",".join(members) + comma + draw(BLANKS) + "}"


VALUES = st.recursive(
    SCALARS, lambda inner: objects(inner) | inner.map(lambda one: f"[{one}]"), max_leaves=8
)
