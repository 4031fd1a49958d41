"""Edits of YAML text: what they come to, what they leave alone, and where there is none; and mending of files."""

from __future__ import annotations

import errno
import json
import os
import random
import stat
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.host import Machine, Thing, ThingKind
from sandbox.lint import fixes
from sandbox.lint.case import region_of
from sandbox.lint.finding import Edit, Finding, Fix
from sandbox.lint.fixes import Edits, append_item, append_items, apply, chosen, insert_key, remove, replace_value
from sandbox.lint.linter import MAX_FINDINGS, Linter
from sandbox.lint.mend import MendError, mend, mended
from sandbox.lint.paths import Found
from sandbox.policy.errors import PolicyError
from sandbox.policy.load import parse_policy
from sandbox.source import Data, Document, Node, Route, parse, render_route
from tests.lint.specimens import MACHINE
from tests.policy.policies import POLICIES
from tests.texts import Text, texts, written

Build = Callable[[Document], Edits | None]


def edited(text: str, build: Build) -> str | None:
    """The text with what ``build`` makes of it; ``None`` where it makes nothing."""
    document = parse(text.encode())
    assert not document.faults
    edits = build(document)
    return None if edits is None else apply(document.text, edits)


REPLACED: dict[str, tuple[str, Route, str | None]] = {
    "plain": ("a: 1 # one\nb: 2\n", ("a",), "a: new # one\nb: 2\n"),
    "quoted": ("a: 'it''s' # one\n", ("a",), "a: new # one\n"),
    "double-quoted, with more than one plane": ('𝄞: "𝄞" # 𝄞\n', ("𝄞",), "𝄞: new # 𝄞\n"),
    "flow": ("a: {b: 1, c: [2, 3]}\n", ("a", "c", 1), "a: {b: 1, c: [2, new]}\n"),
    "collection on one line": ("a: [1, {b: 2}]\n", ("a", 1), "a: [1, new]\n"),
    "flow over lines": ("a: {\n  b: 1, # one\n  c: 2\n}\n", ("a", "b"), "a: {\n  b: new, # one\n  c: 2\n}\n"),
    "item": ("- a\n-   b # b\n", (1,), "- a\n-   new # b\n"),
    "empty value": ("a:\nb: 1\n", ("a",), "a: new\nb: 1\n"),
    "empty value with a comment": ("a: # none\nb: 1\n", ("a",), "a: new # none\nb: 1\n"),
    "empty value at the end": ("b: 1\na:", ("a",), "b: 1\na: new"),
    "empty value in flow": ("a: {b: , c: 1}\n", ("a", "b"), "a: {b: new, c: 1}\n"),
    "empty item": ("-\n- b\n", (0,), "- new\n- b\n"),
    "space before the colon": ("a : 1\n", ("a",), "a : new\n"),
    "CRLF": ("a: 1\r\nb: 2\r\n", ("a",), "a: new\r\nb: 2\r\n"),
    "tagged": ("a: !!str 1\n", ("a",), "a: new\n"),
    "several lines": ("a:\n  b: 1\n  c: 2\n", ("a",), None),
    "block scalar": ("a: |\n  b\n", ("a",), None),
    "quotes over lines": ('a: "b\n  c"\n', ("a",), None),
    "key alone in flow": ("a: {b}\n", ("a", "b"), None),
    "not there": ("a: 1\n", ("b",), None),
}


@pytest.mark.parametrize("case", REPLACED)
def test_a_value_is_replaced(case: str) -> None:
    """What stands on one line is replaced, and nothing else of the text changes."""
    text, route, after = REPLACED[case]
    assert edited(text, lambda document: replace_value(document, route, "new", "new")) == after


INSERTED: dict[str, tuple[str, Route, str | None]] = {
    "block": ("a:\n  b: 1 # one\n\n# two\nc: 2\n", ("a",), "a:\n  b: 1 # one\n  new: 0\n\n# two\nc: 2\n"),
    "root": ("b: 1\n", (), "b: 1\nnew: 0\n"),
    "root in flow": ("{b: 1}\n", (), "{b: 1, new: 0}\n"),
    "below a comment that is farther in": ("a:\n  b: 1\n  # one\n", ("a",), "a:\n  b: 1\n  new: 0\n  # one\n"),
    "below what is nested": (
        "a:\n  b:\n    c:\n    - d\ne: 1\n",
        ("a",),
        "a:\n  b:\n    c:\n    - d\n  new: 0\ne: 1\n",
    ),
    "below flow over lines": ("a:\n  b: [1,\n    2]\n", ("a",), "a:\n  b: [1,\n    2]\n  new: 0\n"),
    "below a block scalar": ("a:\n  b: |\n    c\n\nd: 1\n", ("a",), "a:\n  b: |\n    c\n  new: 0\n\nd: 1\n"),
    "below an empty value": ("a:\n  b:\nc:\n", ("a",), "a:\n  b:\n  new: 0\nc:\n"),
    "item": ("- b: 1\n  c: 2\n- d\n", (0,), "- b: 1\n  c: 2\n  new: 0\n- d\n"),
    "item of an item": ("- - b: 1\n", (0, 0), "- - b: 1\n    new: 0\n"),
    "no end of the last line": ("a:\n  b: 1", ("a",), "a:\n  b: 1\n  new: 0"),
    "comment without an end": ("a:\n  b: 1 # one", ("a",), "a:\n  b: 1 # one\n  new: 0"),
    "CRLF": ("a:\r\n  b: 1\r\nc: 2\r\n", ("a",), "a:\r\n  b: 1\r\n  new: 0\r\nc: 2\r\n"),
    "CRLF, no end of the last line": ("a:\r\n  b: 1", ("a",), "a:\r\n  b: 1\r\n  new: 0"),
    "flow": ("a: {b: 1} # one\n", ("a",), "a: {b: 1, new: 0} # one\n"),
    "flow with space": ("a: { b: 1 }\n", ("a",), "a: { b: 1, new: 0 }\n"),
    "flow over lines": ("a: {\n  b: 1 # one\n}\n", ("a",), "a: {\n  b: 1, new: 0 # one\n}\n"),
    "flow with a last comma": ("a: {b: 1,}\n", ("a",), "a: {b: 1, new: 0,}\n"),
    "empty flow": ("a: {} # none\n", ("a",), "a: {new: 0} # none\n"),
    "empty": ("a: # none\nb: 1\n", ("a",), "a: {new: 0} # none\nb: 1\n"),
    "empty, CRLF": ("a:\r\nb: 1\r\n", ("a",), "a: {new: 0}\r\nb: 1\r\n"),
    "missing": ("a:\n  b: 1\n", ("a", "c"), "a:\n  b: 1\n  c: {new: 0}\n"),
    "missing in flow": ("a: {b: 1}\n", ("a", "c"), "a: {b: 1, c: {new: 0}}\n"),
    "missing in what is empty": ("a:\n", ("a", "c"), "a: {c: {new: 0}}\n"),
    "missing twice": ("a: {}\n", ("a", "b", "c"), None),
    "there already": ("a: {new: 1}\n", ("a",), None),
    "list": ("a: [1]\n", ("a",), None),
    "scalar": ("a: 1\n", ("a",), None),
    "block scalar that keeps what follows": ("a:\n  b: |+\n    c\n\nd: 1\n", ("a",), None),
}


@pytest.mark.parametrize("case", INSERTED)
def test_a_key_is_added(case: str) -> None:
    """It comes last, on a line of its own in block style, and in the braces in flow style."""
    text, route, after = INSERTED[case]
    assert edited(text, lambda document: insert_key(document, route, "new", "0", 0)) == after
    if after is not None:
        assert edited(after, lambda document: insert_key(document, route, "new", "0", 0)) is None


APPENDED: dict[str, tuple[str, Route, str | None]] = {
    "block": ("a:\n  - 1 # one\n# two\nb: 2\n", ("a",), "a:\n  - 1 # one\n  - new\n# two\nb: 2\n"),
    "block at the key's column": ("a:\n- 1\nb: 2\n", ("a",), "a:\n- 1\n- new\nb: 2\n"),
    "flow": ("a: [1, 2]\n", ("a",), "a: [1, 2, new]\n"),
    "flow over lines": ("a: [\n  1, # one\n  2, # two\n]\n", ("a",), "a: [\n  1, # one\n  2, new, # two\n]\n"),
    "empty flow": ("a: []\n", ("a",), "a: [new]\n"),
    "nested": ("- - 1\n  - 2\n- 3\n", (0,), "- - 1\n  - 2\n  - new\n- 3\n"),
    "no end of the last line": ("a:\n- 1", ("a",), "a:\n- 1\n- new"),
    "CRLF": ("a:\r\n- 1\r\n", ("a",), "a:\r\n- 1\r\n- new\r\n"),
    "mapping": ("a: {b: 1}\n", ("a",), None),
    "empty": ("a:\n", ("a",), None),
    "not there": ("a: []\n", ("b",), None),
}


@pytest.mark.parametrize("case", APPENDED)
def test_an_item_is_added(case: str) -> None:
    """It comes last, in the style of the list."""
    text, route, after = APPENDED[case]
    assert edited(text, lambda document: append_item(document, route, "new", "new")) == after


def test_several_items_are_added() -> None:
    """In block style each has a line, which ends as the others do."""
    items: list[tuple[str, Data]] = [("x", "x"), ('"y"', "y")]
    assert edited("a: [1]\n", lambda document: append_items(document, ("a",), items)) == 'a: [1, x, "y"]\n'
    assert edited("- 1\r\n", lambda document: append_items(document, (), items)) == '- 1\r\n- x\r\n- "y"\r\n'
    assert edited("- 1\n", lambda document: append_items(document, (), [])) is None


REMOVED: dict[str, tuple[str, Route, str | None]] = {
    "item": ("a:\n  - 1 # one\n  # two\n  - 2\n", ("a", 0), "a:\n  # two\n  - 2\n"),
    "last item": ("a:\n  - 1\n  - 2", ("a", 1), "a:\n  - 1\n"),
    "item over lines": ("- b: 1\n  c: 2\n- d\n", (0,), "- d\n"),
    "key": ("a:\n  b: 1\n  c: 2\n", ("a", "c"), "a:\n  b: 1\n"),
    "key over lines": ("a:\n  b:\n  - 1\n  - 2\n  c: 2\n", ("a", "b"), "a:\n  c: 2\n"),
    "block scalar": ("a: |\n  b\n\nc: 1\n", ("a",), "\nc: 1\n"),
    "CRLF": ("a: 1\r\nb: 2\r\n", ("a",), "b: 2\r\n"),
    "flow": ("a: {b: 1, c: 2, d: 3}\n", ("a", "c"), "a: {b: 1, d: 3}\n"),
    "first in flow": ("a: [1, 2]\n", ("a", 0), "a: [2]\n"),
    "last in flow": ("a: [1, 2]\n", ("a", 1), "a: [1]\n"),
    "last in flow over lines": ("a: [\n  1,\n  2,\n]\n", ("a", 1), "a: [\n  1,\n]\n"),
    "flow with comments": ("a: [\n  1, # one\n  2,\n]\n", ("a", 0), None),
    "only one, near the root": ("a:\n  b: 1 # one\n# two\n", ("a", "b"), "a: {}\n# two\n"),
    "only one, near the root, with a comment": ("a: # a\n  # b\n  b: 1\n", ("a", "b"), "a: {} # a\n  # b\n"),
    "only one in flow": ("a: {b: 1}\n", ("a", "b"), "a: {}\n"),
    "comment inside": ("- b: 1\n  # one\n  c: 2\n- d\n", (0,), None),
    "item on the line of another": ("- - 1\n  - 2\n", (0, 0), None),
    "key on the line of its item": ("- a: 1\n  b: 2\n", (0, "a"), None),
    "root": ("a: 1\n", (), None),
    "not there": ("a: {b: 1, c: 2}\n", ("a", "d"), None),
    "nothing of a list": ("a: [1, 2]\n", ("a", 2), None),
}


@pytest.mark.parametrize("case", REMOVED)
def test_a_key_or_an_item_is_removed(case: str) -> None:
    """It goes with its own lines and what is behind it; comments that have a line stay, or there is no edit."""
    text, route, after = REMOVED[case]
    assert edited(text, lambda document: remove(document, route)) == after


@pytest.mark.parametrize(
    ("grants", "route", "after"),
    [
        (
            "    grants:\n      # a\n      filesystem:\n        - host: b\n          except:\n            - c\n",
            ("filesystem", 0, "except", 0),
            "    grants:\n      # a\n      filesystem:\n        - host: b\n",
        ),
        (
            "    grants:\n      # a\n      filesystem:\n        - {host: b}\n      random: seeded\n",
            ("filesystem", 0),
            "    grants:\n      # a\n      random: seeded\n",
        ),
        (
            "    grants: # a\n      # b\n      filesystem:\n        - host: c\n",
            ("filesystem", 0, "host"),
            "    grants: {} # a\n      # b\n",
        ),
        (
            "    grants: {stdio: {stdin: {file: a}}, random: seeded}\n",
            ("stdio", "stdin", "file"),
            "    grants: {random: seeded}\n",
        ),
        (
            "    grants: {random: seeded, stdio: {stdin: {file: a}}}\n",
            ("stdio", "stdin", "file"),
            "    grants: {random: seeded}\n",
        ),
        ("    grants: {stdio: {stdin: {file: a}}} # b\n", ("stdio", "stdin", "file"), "    grants: {} # b\n"),
        ("    grants:\n      sockets:\n        dns: [a]\n", ("sockets", "dns", 0), "    grants: {}\n"),
    ],
)
def test_what_would_be_left_empty_is_removed_as_well(grants: str, route: Route, after: str) -> None:
    """Up to what a component has: ``grants`` stays, and says that nothing is granted."""
    head = "components:\n  app:\n"
    app = ("components", "app", "grants", *route)
    assert edited(head + grants, lambda document: remove(document, app)) == head + after


def test_trying_has_an_end() -> None:
    """A text is read again so many times, by its length; then there are no more edits of it."""
    document = parse(b"a: 1\n" + b"#" * 500_000)
    built = [replace_value(document, ("a",), str(number), number) for number in range(40)]
    assert [edits is not None for edits in built] == [number <= fixes.EFFORT // 500_005 for number in range(40)]


# Any style


def routes(node: Node, route: Route = ()) -> Iterator[tuple[Route, Node]]:
    yield route, node
    below = node.below.items() if isinstance(node.below, dict) else enumerate(node.below or ())
    for part, child in below:
        yield from routes(child, (*route, part))


def changed(data: Any, route: Route, change: Callable[[Any], Any]) -> Any:
    """The data with ``change`` made at a route."""
    if not route:
        return change(data)
    copy: Any = dict(data) if isinstance(data, dict) else [*data]
    copy[route[0]] = changed(copy[route[0]], route[1:], change)
    return copy


def unlike(before: str, after: str) -> tuple[list[str], list[str]]:
    """The lines that only one of two texts has, or has more often."""
    old, new = Counter(before.splitlines()), Counter(after.splitlines())
    return [*(old - new).elements()], [*(new - old).elements()]


def comments(text: str) -> list[str]:
    """The comments that have a line to themselves."""
    return [comment.text for comment in parse(text.encode()).comments() if comment.alone]


@given(texts(), st.data())
@settings(deadline=None)
def test_replacing_changes_one_line(text: Text, data: st.DataObject) -> None:
    """In a text of any style a scalar or braces on one line can be replaced; again it changes nothing."""
    document = parse(text.text.encode())
    route, node = data.draw(st.sampled_from([*routes(document.root)]))
    after = edited(text.text, lambda document: replace_value(document, route, '"new"', "new"))
    if after is None:
        assert "\n" in document.text[slice(*node.value)] or (node.below is not None and not node.flow)
        return
    assert parse(after.encode()).data == changed(text.data, route, lambda _: "new")
    assert comments(after) == comments(text.text)
    old, new = unlike(text.text, after)
    assert len(old) == len(new) <= 1
    assert edited(after, lambda document: replace_value(document, route, '"new"', "new")) == after


@given(texts(), st.data())
@settings(deadline=None)
def test_adding_a_key_adds_a_line_or_changes_one(text: Text, data: st.DataObject) -> None:
    """In a text of any style a mapping is given another key; there is no second one of that name."""
    document = parse(text.text.encode())
    mappings = [route for route, node in routes(document.root) if isinstance(node.below, dict)]
    route = data.draw(st.sampled_from(mappings))
    after = edited(text.text, lambda document: insert_key(document, route, "new", "0", 0))
    assert after is not None
    assert parse(after.encode()).data == changed(text.data, route, lambda mapping: mapping | {"new": 0})
    assert comments(after) == comments(text.text)
    old, new = unlike(text.text, after)
    assert len(new) - len(old) == (0 if document.nearest(route)[1].flow else 1)
    assert len(old) <= 1
    assert edited(after, lambda document: insert_key(document, route, "new", "0", 0)) is None


@given(texts(st.lists(st.lists(st.integers(0, 9) | st.none(), max_size=3), min_size=1, max_size=3)), st.data())
@settings(deadline=None)
def test_adding_an_item_adds_a_line_or_changes_one(text: Text, data: st.DataObject) -> None:
    """In a text of any style a list is given another item."""
    document = parse(text.text.encode())
    lists = [route for route, node in routes(document.root) if isinstance(node.below, list)]
    route = data.draw(st.sampled_from(lists))
    after = edited(text.text, lambda document: append_item(document, route, "new", "new"))
    assert after is not None
    assert parse(after.encode()).data == changed(text.data, route, lambda items: [*items, "new"])
    assert comments(after) == comments(text.text)
    old, new = unlike(text.text, after)
    assert len(new) - len(old) == (0 if document.nearest(route)[1].flow else 1)
    assert len(old) <= 1


@given(texts(), st.data())
@settings(deadline=None)
def test_removing_takes_lines_or_a_part_of_one(text: Text, data: st.DataObject) -> None:
    """Whatever is removed from a text of any style, the rest stays, and so do comments that have a line."""
    document = parse(text.text.encode())
    route, _ = data.draw(st.sampled_from([*routes(document.root)]))
    after = edited(text.text, lambda document: remove(document, route))
    if after is None:
        return
    gone = route
    while len(gone) > 4 and len(document.nearest(gone[:-1])[1].below or ()) == 1:
        gone = gone[:-1]

    def left(collection: Any) -> Any:
        if len(collection) == 1:
            return {} if isinstance(collection, dict) or not document.nearest(gone[:-1])[1].flow else []
        if isinstance(collection, dict):
            return {key: value for key, value in collection.items() if key != gone[-1]}
        return [item for number, item in enumerate(collection) if number != gone[-1]]

    assert parse(after.encode()).data == changed(text.data, gone[:-1], left)
    kept = comments(text.text)
    assert [comment for comment in comments(after) if comment in kept] == kept
    old, new = unlike(text.text, after)
    flow = document.nearest(gone[:-1])[1].flow
    assert len(new) <= (2 if flow else 1)
    node = document.nearest(gone)[1]
    lines = document.text[(node.key or node.value).start : node.value.end].count("\n") + 1
    assert len(old) <= lines + 2


@pytest.mark.parametrize(
    ("text", "route", "after"),
    [
        ("a:\n  # sandbox: ignore[r] why\n  - b\n  - c\n", ("a", 0), None),
        ("a:\n  # sandbox: ignore[r] why\n\n  # and so on\n  b: 1\n  c: 2\n", ("a", "b"), None),
        ("a: [\n  # sandbox: ignore[r] why\n  b,\n  c]\n", ("a", 0), None),
        (
            "a:\n  # sandbox: ignore[r] why\n  - b\n  - c\n",
            ("a", 1),
            "a:\n  # sandbox: ignore[r] why\n  - b\n",
        ),
        ("a:\n  - b # sandbox: ignore[r] why\n  - c\n", ("a", 0), "a:\n  - c\n"),
        (
            "a:\n  - b\n  # sandbox: ignore[r] why\n  - c\n",
            ("a", 0),
            "a:\n  # sandbox: ignore[r] why\n  - c\n",
        ),
        ("a:\n  # why it is there\n  - b\n  - c\n", ("a", 0), "a:\n  # why it is there\n  - c\n"),
    ],
)
def test_no_comment_comes_to_ignore_what_it_was_not_written_for(text: str, route: Route, after: str | None) -> None:
    """What stands below a comment that asks to ignore something is not removed, since the comment would move on."""
    document = parse(text.encode())
    edits = remove(document, route)
    assert (None if edits is None else apply(text, edits)) == after


# Mending

FOUND = "version: 1\ncomponents:\n  app:\n    # what it may do\n    grants: {}\n"
MENDED = FOUND + "    limits: {deadline: 60s, memory: 512MiB}\n"


def mend_all(*files: Path, unsafe: bool = False) -> list[str]:
    return [*mend(Found(files=tuple(map(str, files))), MACHINE, unsafe=unsafe)]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_is_mended_as_it_is_written(mark: bytes, end: str, tmp_path: Path) -> None:
    """A byte order mark, the ends of lines and the file's mode stay; each fix is told, and nothing else is left."""
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(mark + FOUND.replace("\n", end).encode())
    policy.chmod(0o640)
    assert mend_all(policy) == [
        f"{policy}:3:3: unstated-deadline: state the default, `deadline: 60s`",
        f"{policy}:6:5: unstated-memory: state the default, `memory: 512MiB`",
    ]
    assert policy.read_bytes() == mark + MENDED.replace("\n", end).encode()
    assert stat.S_IMODE(policy.stat().st_mode) == 0o640
    assert [*tmp_path.iterdir()] == [policy]
    assert mend_all(policy) == []


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """The file that it leads to is mended, and the link stays a link."""
    policy, link = tmp_path / "real" / "policy.yaml", tmp_path / "link.yaml"
    policy.parent.mkdir()
    policy.write_text(FOUND)
    link.symlink_to("real/policy.yaml")
    assert len(mend_all(link)) == 2
    assert (policy.read_text(), os.readlink(link)) == (MENDED, "real/policy.yaml")


def test_a_file_without_anything_to_mend_is_not_touched(tmp_path: Path) -> None:
    """It is not written again; nor is what is no policy, or is not there."""
    policy, other = tmp_path / "policy.yaml", tmp_path / "other.yaml"
    policy.write_text(MENDED)
    other.write_text("components: [\n")
    before = policy.stat()
    assert mend_all(policy, other, tmp_path / "missing.yaml") == []
    assert policy.stat() == before
    assert other.read_text() == "components: [\n"


def test_a_policy_with_more_findings_than_are_shown_is_mended(tmp_path: Path) -> None:
    """What is left out is no reason to leave what is shown as it is."""
    names = "".join(f"        - SECRET_{number}\n" for number in range(MAX_FINDINGS + 10))
    head = "version: 1\ncomponents:\n  app:\n"
    limits = "    limits:\n      memory: 64MiB\n"
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"{head}{limits}    grants:\n      environment:\n        inherit:\n{names}")
    assert mend_all(policy) == [f"{policy}:4:5: unstated-deadline: state the default, `deadline: 60s`"]
    assert policy.read_text().startswith(f"{head}{limits}      deadline: 60s\n    grants:\n")


@pytest.mark.parametrize(
    ("step", "reason", "told"),
    [
        ("tempfile.NamedTemporaryFile", errno.EACCES, "Permission denied"),
        ("os.fsync", errno.ENOSPC, "No space left on device"),
        ("os.replace", errno.EROFS, "Read-only file system"),
    ],
)
def test_a_file_that_cannot_be_written_stays_and_is_a_sentence(
    step: str, reason: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system says no to, the policy is as it was, and nothing is left beside it."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(FOUND)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(step, refuse)
    with pytest.raises(MendError) as caught:
        mend_all(policy)
    assert str(caught.value) == f"{policy} cannot be written: {told}"
    assert (policy.read_text(), [*tmp_path.iterdir()]) == (FOUND, [policy])


@pytest.mark.parametrize("now", ["version: 1\n", None])
def test_a_policy_that_somebody_else_changes_meanwhile_is_left_to_them(
    now: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read is compared with what is there before it is replaced."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(FOUND)
    lint = Linter.text

    def change(linter: Linter, text: bytes, *, file: str, directory: str) -> tuple[Finding, ...]:
        if now is None:
            policy.unlink(missing_ok=True)
        else:
            policy.write_text(now)
        return lint(linter, text, file=file, directory=directory)

    monkeypatch.setattr(Linter, "text", change)
    with pytest.raises(MendError) as caught:
        mend_all(policy)
    if now is None:
        assert str(caught.value) == f"{policy} cannot be written: No such file or directory"
        assert [*tmp_path.iterdir()] == []
    else:
        assert str(caught.value) == f"{policy} changed while it was mended; try again"
        assert (policy.read_text(), [*tmp_path.iterdir()]) == (now, [policy])


def test_fixes_of_the_same_place_are_chosen_once() -> None:
    """The first of any that overlap or touch is taken; ignored findings and unsafe fixes are not, unless asked for."""
    document = parse(b"a: 1\nb: 2\nc: 3\n")

    def finding(rule: str, *spans: tuple[int, int], safe: bool = True, ignored: str | None = None) -> Finding:
        region = region_of(document, (), "value")
        edits = tuple(Edit(start=start, end=end, text="", region=region) for start, end in spans)
        fix = Fix(message="remove it", edits=edits, safe=safe)
        return Finding(
            rule=rule,
            severity="low",
            confidence="low",
            message="",
            file="policy.yaml",
            region=region,
            route="",
            snippet="",
            fix=fix,
            ignored=ignored,
        )

    findings = [
        finding("ignored", (0, 5), ignored="why"),
        finding("unsafe", (0, 2), safe=False),
        finding("first", (3, 5), (11, 12)),
        finding("touches", (5, 7)),
        finding("overlaps", (6, 8), (10, 13)),
        finding("apart", (7, 9)),
    ]
    assert [finding.rule for finding in chosen(findings, unsafe=False)] == ["first", "apart"]
    assert [finding.rule for finding in chosen(findings, unsafe=True)] == ["unsafe", "first", "apart"]


class Removing(Linter):
    """Finds some values of the grants and limits, always the same ones in the same data, and would remove them."""

    def __init__(self, machine: Machine, share: int) -> None:
        super().__init__(machine)
        self.share = share

    def text(self, text: bytes, *, file: str, directory: str) -> tuple[Finding, ...]:
        document = parse(text)
        return tuple(self.found(document, file))

    def found(self, document: Document, file: str) -> Iterator[Finding]:
        for route, _ in routes(document.root):
            said: Any = document.data
            for part in route:
                said = said[part]
            key = json.dumps([route[-1:] if route and isinstance(route[-1], str) else [], said])
            if len(route) > 3 and zlib.crc32(key.encode()) % 10 < self.share:
                edits = remove(document, route)
                yield Finding(
                    rule="found",
                    severity="low",
                    confidence="low",
                    message="it is there",
                    file=file,
                    region=region_of(document, route, "value"),
                    route=render_route(route),
                    snippet="",
                    fix=Fix(message="remove it", edits=edits, safe=True) if edits else None,
                )


@given(POLICIES, st.randoms(use_true_random=False), st.integers(1, 9))
@settings(deadline=None)
def test_mending_ends_with_a_policy_that_has_nothing_to_mend(data: Any, choices: random.Random, share: int) -> None:
    """Whatever is found in a policy of any style, it stays a policy and keeps its comments; again changes nothing."""
    before = written(data, choices)
    linter = Removing(MACHINE, share)
    assert loads(before.text.encode())
    after, applied = mended(linter, before.text.encode(), file="policy.yaml", unsafe=False)
    assert loads(after)
    kept = comments(before.text)
    assert [comment for comment in comments(after.decode()) if comment in kept] == kept
    assert (after != before.text.encode()) is (applied != ())
    assert mended(linter, after, file="policy.yaml", unsafe=False) == (after, ())


@given(POLICIES, st.randoms(use_true_random=False), st.booleans())
@settings(deadline=None)
def test_the_rules_mend_a_policy_of_any_style(data: Any, choices: random.Random, unsafe: bool) -> None:
    """With all rules: it stays a policy and keeps its comments, and nothing that has such a fix is left."""
    before = written(data, choices)
    linter = Linter(
        MACHINE, look=lambda path: Thing(absolute=path, real=path, kind="directory", link=False), listing=nothing
    )
    after, applied = mended(linter, before.text.encode(), file="policy.yaml", unsafe=unsafe)
    assert loads(after)
    kept = comments(before.text)
    assert [comment for comment in comments(after.decode()) if comment in kept] == kept
    assert (after != before.text.encode()) is (applied != ())
    assert mended(linter, after, file="policy.yaml", unsafe=unsafe) == (after, ())


def nothing(directory: str, *, depth: int, most: int) -> tuple[tuple[str, ThingKind], ...]:
    """A listing of an empty directory."""
    return ()


def loads(text: bytes) -> bool:
    try:
        parse_policy(text, file="policy.yaml", directory="/policies")
    except PolicyError:
        return False
    return True
