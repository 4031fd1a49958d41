"""Globs that cover globs: never said wrongly, and seen where a reader would see it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.compare.globs import covers
from sandbox.policy.globs import Pattern


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("a", "a"),
        ("a", "A"),
        ("a", "a/b"),
        ("a", "a/**"),
        ("*", "a"),
        ("*", "**"),
        ("*", "**/a"),
        ("**", "a/b"),
        ("**/a", "a"),
        ("**/a", "b/c/a/d"),
        ("**/a", "*/a"),
        ("**/a", "**/b/a"),
        ("**/a/**", "**/a/**/b"),
        ("*.pem", "key.pem"),
        ("*.pem", "k?y*.pem"),
        ("*k*", "*.key"),
        ("?", "[ab]"),
        ("[a-c]x", "Bx"),
        ("é", "e\u0301"),
    ],
)
def test_covers(wide: str, narrow: str) -> None:
    """One glob keeps out all that another one does."""
    assert covers(wide, narrow) is True


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("a", "b"),
        ("a/b", "a"),
        ("a/**", "b/**"),
        ("a/*", "a/**"),
        ("*/a", "**/a"),
        ("a", "*"),
        ("a", "?"),
        ("?", "*"),
        ("[ab]", "?"),
        ("[!a]", "b*"),
        ("*.pem", "*.pe?"),
        ("**/a", "**"),
    ],
)
def test_covers_not(wide: str, narrow: str) -> None:
    """One glob lets by something that another one keeps out."""
    assert covers(wide, narrow) is False


_SEGMENT = st.text("abAK*?", min_size=1, max_size=3).filter(lambda text: "**" not in text) | st.sampled_from(
    ["[ab]", "[!a]", "a[b]", "[a-z]*", "[K]", "[k]"]
)
_GLOBS = st.lists(_SEGMENT | st.just("**"), min_size=1, max_size=3).map("/".join).filter(lambda g: "**/**" not in g)
_NAMES = ("a", "b", "ab", "B", "aab", "k", "\u212a", "x")
_PATHS = tuple(path for depth in (1, 2, 3) for path in itertools.product(_NAMES, repeat=depth))


@settings(max_examples=300, deadline=None)
@given(wide=_GLOBS, narrow=_GLOBS)
def test_covering_is_never_said_wrongly(wide: str, narrow: str) -> None:
    """Each path that the narrow glob keeps out is kept out by the wide one, however letters are spelled."""
    if covers(wide, narrow):
        patterns = Pattern.parse(wide), Pattern.parse(narrow)
        assert [p for p in _PATHS if patterns[1].after(p)[0] and not patterns[0].after(p)[0]] == []


def test_globs_that_take_too_long() -> None:
    """Where too much would have to be looked at, a glob is taken not to cover."""
    long = "/".join(["a"] * 2000)
    assert covers(f"**/{long}/b", f"**/{long}/*/b") is False
    assert covers(f"**/{long}/b", f"**/{long}/b") is True
