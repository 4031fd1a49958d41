"""``except`` globs against a naive matcher written from the documentation, and what is left of them further down."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.policy.errors import PolicyError
from sandbox.policy.globs import Pattern
from sandbox.policy.load import parse_policy

DOCUMENTED = [
    # glob, paths that match (or lie below a match), paths that do not
    (".env", [".env", ".ENV", ".env/x"], ["a/.env", ".envrc", "env"]),
    ("**/.env", [".env", "a/.env", "a/b/.Env", "a/.env/x"], ["a/.envrc", "a"]),
    ("*.key", ["id.key", ".key", "ID.KEY", "id.key/x"], ["a/id.key", "id.keys", "key"]),
    ("a/*/b", ["a/x/b", "A/X/B", "a/x/b/c"], ["a/b", "a/x/y/b", "a/x"]),
    ("a/**/b", ["a/b", "a/x/b", "a/x/y/b", "a/b/c"], ["a", "b", "x/a/b"]),
    ("a/**", ["a", "a/b", "a/b/c"], ["b", "ab"]),
    ("**", ["a", "a/b"], []),
    ("**/x/**", ["x", "x/y", "a/x", "a/b/x/c"], ["a/xy", "a"]),
    ("v?", ["v1", "V2", "vß", "v日"], ["v", "v12"]),
    ("[a-c]x", ["ax", "Bx", "cX"], ["dx", "x", "-x"]),
    ("[A-_]x", ["ax", "zx", "_x", "[x"], ["1x"]),
    ("[!a-c]x", ["dx", "-x", "1x"], ["ax", "BX", "x"]),
    ("[!]]x", ["ax", "!x"], ["]x"]),
    ("[]]x", ["]x"], ["[x", "x"]),
    ("[]a]x", ["]x", "ax"], ["bx"]),
    ("[[]x", ["[x"], ["x", "[[x"]),
    ("[*]", ["*"], ["a", ""]),
    ("[?]", ["?"], ["a"]),
    ("[a-]", ["a", "-"], ["b"]),
    ("[a!]", ["a", "!"], ["b"]),
    ("straße", ["straße", "STRAẞE", "Straße/x"], ["strasse"]),
    ("stra?e", ["straße", "STRASE"], ["strasse"]),
    ("résumé", ["résumé", "RÉSUMÉ", "re\u0301sume\u0301"], ["resume"]),
    ("*a*a*a*b", ["aaab", "xaxaxab"], ["a" * 255]),
]


@pytest.mark.parametrize(("glob", "matching", "others"), DOCUMENTED)
def test_documented(glob: str, matching: list[str], others: list[str]) -> None:
    """A glob matches what the language's reference says, and everything below it."""
    pattern = Pattern.parse(glob)
    paths = [*matching, *others]
    assert {p: pattern.after(p.split("/"))[0] for p in paths} == {p: p in matching for p in paths}


SEGMENTS = st.one_of(
    st.just("**"),
    st.text("abAB*?.", min_size=1, max_size=4).filter(lambda s: "**" not in s and s not in (".", "..")),
    st.sampled_from(["[ab]", "[!a]", "[a-b]x", "*[b]*", "[]]", "[!b-]", "?[A]"]),
)
GLOBS = st.lists(SEGMENTS, min_size=1, max_size=4).filter(
    lambda s: not any(a == b == "**" for a, b in itertools.pairwise(s))
)
PATHS = st.lists(st.text("abAB.-]x", min_size=1, max_size=4), min_size=1, max_size=5)


def naive(glob: list[str], path: list[str]) -> bool:
    """Whether ``glob`` matches all of ``path``, by trying everything."""
    if not glob:
        return not path
    if glob[0] == "**":
        return any(naive(glob[1:], path[n:]) for n in range(len(path) + 1))
    return bool(path) and naive_segment(glob[0], path[0]) and naive(glob[1:], path[1:])


def naive_segment(segment: str, name: str) -> bool:
    """The same of one segment, through a regular expression."""
    out, at = "", 0
    while at < len(segment):
        if segment[at] == "[":
            end = segment.index("]", at + (3 if segment[at + 1] == "!" else 2))
            body = segment[at + 1 : end]
            negated = body.startswith("!")
            inner = body[negated:].replace("\\", "\\\\").replace("]", "\\]").replace("^", "\\^").replace("[", "\\[")
            out += f"[{'^' if negated else ''}{inner}]"
            at = end
        else:
            out += {"*": ".*", "?": "."}.get(segment[at], re.escape(segment[at]))
        at += 1
    return re.fullmatch(out, name, re.DOTALL | re.IGNORECASE) is not None


@settings(max_examples=400, deadline=None)
@given(GLOBS, PATHS)
def test_agrees_with_a_naive_matcher(glob: list[str], path: list[str]) -> None:
    """A path is excepted if the glob matches it or a directory above it."""
    expected = any(naive(glob, path[:n]) for n in range(1, len(path) + 1))
    assert Pattern.parse("/".join(glob)).after(path)[0] == expected


@settings(max_examples=300, deadline=None)
@given(GLOBS, PATHS, PATHS)
def test_below(glob: list[str], directory: list[str], path: list[str]) -> None:
    """What is left of a glob below a directory excepts there what the whole glob does from above."""
    pattern = Pattern.parse("/".join(glob))
    below = pattern.below(directory)
    if below is None:
        assert pattern.after(directory)[0]
    else:
        excepted = any(Pattern.parse(g).after(path)[0] for g in below)
        assert excepted == pattern.after([*directory, *path])[0]


def test_below_examples() -> None:
    """Globs for a directory inside: the rest of each way that the glob can be gone, and the shortest list of them."""
    assert Pattern.parse("a/b/c").below(["a"]) == ("b/c",)
    assert Pattern.parse("a/b").below(["x"]) == ()
    assert Pattern.parse("**/.git").below(["a", "b"]) == ("**/.git",)
    assert Pattern.parse("a/**/b").below(["a"]) == ("**/b",)
    assert Pattern.parse("**/a/b").below(["a"]) == ("**/a/b", "b")
    assert Pattern.parse("a").below(["A", "b"]) is None


@settings(max_examples=200, deadline=None)
@given(st.text("ab*?[]!-^./", min_size=1, max_size=8), PATHS)
def test_accepted_globs_match_without_fault(glob: str, path: list[str]) -> None:
    """Whatever glob the policy language accepts, the matcher reads the same way and to its end."""
    text = f"""{{"version": 1, "components": {{"a": {{"grants": {{"filesystem": [
      {{"host": ".", "guest": "/a", "access": "read", "except": ["{glob}"]}}]}}}}}}}}"""
    try:
        parse_policy(text.encode(), file="policy.yaml", directory="/")
    except PolicyError:
        return
    segments = glob.split("/")
    expected = any(naive(segments, path[:n]) for n in range(1, len(path) + 1))
    assert Pattern.parse(glob).after(path)[0] == expected


def test_no_blow_up() -> None:
    """A name that almost matches many asterisks is judged in no time, not after trying every way to split it."""
    pattern = Pattern.parse("*a" * 30 + "b")
    assert not pattern.after(["a" * 255])[0]
    assert not Pattern.parse("**/a/" * 20 + "b").after(["a"] * 200)[0]
