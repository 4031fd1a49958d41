"""Names of interfaces and functions, and which version of an interface serves which."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.policy.interfaces import (
    FUNCTION,
    INTERFACE,
    VERSION,
    compatible,
    is_importable,
    matches,
    newness,
    satisfies,
)

NAMES: dict[str, tuple[list[str], list[str]]] = {
    INTERFACE: (
        ["a:b/c", "bank:payments/auth", "a-1:b2-c/d-3e", "a:b/HTTP-client", "a:b/c-URL-2"],
        [
            *("", "c", "a/c", "a:b", "a:b/", "A:b/c", "a:B/c", "1:b/c", "a:b/1", "a--b:c/d", "a:b-/c", "a:b/c/d"),
            *("a:b:c/d", "a:b/cD", "a:b/c_d", "a:b/c@1.0.0", "a:b/c\n"),
        ],
    ),
    VERSION: (
        ["0.0.0", "1.2.3", "10.20.30", "1.0.0-rc.1", "1.0.0-0a.-", "1.0.0+01.a", "1.0.0-a+b"],
        [
            *("", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.00", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0+"),
            *("1.0.0+a+b", "v1.0.0", "1.0.0 ", "-1.0.0", "1.0.0\n", f"{10**19}.0.0"),
        ],
    ),
    FUNCTION: (
        ["a", "validate-user", "GET", "a-1", "[constructor]a", "[method]a.b-c", "[static]a.b"],
        [
            *("", "validate_user", "validateUser", "1a", "a.b", "[method]a", "[constructor]a.b", "[static]"),
            *("[method]a.b.c", "[resource-drop]a", "[async]a", "a\n", "*"),
        ],
    ),
}
"""For each expression what it takes whole, and what it does not."""


@pytest.mark.parametrize("pattern", NAMES)
def test_what_is_a_name(pattern: str) -> None:
    """As WIT and Semantic Versioning have them."""
    taken, other = NAMES[pattern]
    assert [text for text in (*taken, *other) if re.fullmatch(pattern, text)] == taken


@pytest.mark.parametrize("pattern", NAMES)
@pytest.mark.parametrize("start", ["", "a:b/", "1.0.0-", "[method]a."])
@pytest.mark.parametrize("part", ["a-1-", "1", "A1-", "0a.", "a", "-", "1."])
def test_a_name_that_is_none_is_found_out_at_once(pattern: str, start: str, part: str) -> None:
    """However often a part is repeated, there is one way to read it."""
    assert re.fullmatch(pattern, start + part * 10_000 + "!") is None


SERVED = [
    ("1.2.0", "1.2.0"),
    ("1.2.0", "1.2.1"),
    ("1.2.0", "1.10.0"),
    ("0.3.1", "0.3.1"),
    ("0.3.1", "0.3.12"),
    ("0.3.0", "0.3.1"),
    ("0.0.4", "0.0.4"),
    ("1.0.0+a", "1.0.0+b"),
    ("1.0.0+a", "1.0.0"),
    ("2.0.0-rc.1", "2.0.0-rc.1"),
]
NOT_SERVED = [
    ("1.2.1", "1.2.0"),
    ("1.10.0", "1.9.9"),
    ("1.0.0", "2.0.0"),
    ("2.0.0", "1.0.0"),
    ("0.3.1", "0.4.0"),
    ("0.3.1", "0.3.0"),
    ("0.3.1", "1.3.1"),
    ("0.0.4", "0.0.5"),
    ("0.0.0", "0.0.1"),
    ("0.0.1", "0.1.0"),
    ("1.0.0", "1.0.0-rc.1"),
    ("1.0.0-rc.1", "1.0.0"),
    ("1.0.0-rc.1", "1.0.0-rc.2"),
    ("1.0.0-rc.1", "1.0.0-rc.1+a"),
    ("1.0", "1.0.0"),
    ("1.0.0+a\n", "1.0.0"),
    ("1.0.0", "1.0.0+"),
    ("1.0.0", "1"),
    ("1.0.0", f"1.{'9' * 5000}.0"),
    ("", "1.0.0"),
]


def test_which_version_serves_which() -> None:
    """Compatible and not lower; before a release the same one."""
    pairs = [*SERVED, *NOT_SERVED]
    assert [(a, b) for a, b in pairs if satisfies(f"a:b/c@{a}", f"a:b/c@{b}")] == SERVED
    assert [(a, b) for a, b in pairs if satisfies(f"a:b/c@{a}", f"a:b/d@{b}")] == []


def test_an_interface_without_a_version_serves_itself_alone() -> None:
    """Nothing is known of what it has in common with a version."""
    names = ["a:b/c", "a:b/c@1.0.0", "a:b/d", "c"]
    assert [(a, b) for a in names for b in names if satisfies(a, b)] == [(name, name) for name in names]


def test_what_is_compatible_and_lower_is_known_from_the_rest() -> None:
    """In either order; an interface without a version, or before a release, is compatible with none."""
    lower = [("1.2.1", "1.2.0"), ("1.10.0", "1.9.9"), ("0.3.1", "0.3.0")]
    assert [(a, b) for a, b in NOT_SERVED if compatible(f"a:b/c@{a}", f"a:b/c@{b}")] == lower
    assert all(compatible(f"a:b/c@{b}", f"a:b/c@{a}") for a, b in lower)
    assert not compatible("a:b/c", "a:b/c")


def test_the_newest_is_told_by_numbers() -> None:
    """Not by letters; what is no release is older than each."""
    names = ["a:b/c@1.9.0", "a:b/c@1.10.0+a", "a:b/c@1.2.30", "a:b/c", "a:b/c@2.0.0-rc.1", "a:b/c@1.03.0"]
    assert max(names, key=newness) == "a:b/c@1.10.0+a"
    assert [name for name in names if newness(name) < newness("a:b/c@0.0.0")] == names[3:]


RELEASES = st.builds("a:b/c@{}.{}.{}".format, st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))


@given(RELEASES, RELEASES, RELEASES)
def test_to_serve_is_an_order_of_releases(a: str, b: str, c: str) -> None:
    """What serves one that serves a third serves that one too; of two that serve each other there is one."""
    assert satisfies(a, a)
    assert not (satisfies(a, b) and satisfies(b, c)) or satisfies(a, c)
    assert not (satisfies(a, b) and satisfies(b, a)) or a == b


@given(st.text(), st.text())
def test_no_name_makes_comparing_fail(a: str, b: str) -> None:
    """A component may call its imports anything."""
    assert satisfies(a, a)
    assert isinstance(satisfies(f"a@{a}", f"a@{b}"), bool)
    assert matches(a, a)


def test_which_import_a_key_means() -> None:
    """Without a version each one, with a version that one."""
    keys = ["a:b/c", "a:b/c@1.0.0", "a:b/c@1.1.0", "a:b/d"]
    assert {key: [name for name in keys if matches(key, name)] for key in keys} == {
        "a:b/c": ["a:b/c", "a:b/c@1.0.0", "a:b/c@1.1.0"],
        "a:b/c@1.0.0": ["a:b/c@1.0.0"],
        "a:b/c@1.1.0": ["a:b/c@1.1.0"],
        "a:b/d": ["a:b/d"],
    }


def test_which_imports_a_policy_can_name() -> None:
    """Interfaces that are not WASI's, with a version or without."""
    names = ["bank:payments/auth", "a:b/HTTP-client@1.0.0-rc.1", "wasix:b/c", "a:wasi/c@0.0.0+x"]
    others = ["", "auth", "wasi:cli/stdin", "wasi:cli/stdin@0.3.0", "a:b/c@1", "a:b/c@", "a:b", "A:b/c", "a:b/c\n"]
    assert [name for name in [*names, *others] if is_importable(name)] == names
