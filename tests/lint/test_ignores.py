"""Comments that ask for findings to be ignored: which rule, which line, where in the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings

from sandbox.lint.ignores import Ignore, ignores
from sandbox.source import parse
from tests.texts import Text, texts


def asked(text: str) -> list[tuple[str, str, int]]:
    """Rule, reason and line of what the comments of a text ask."""
    return [(ignore.rule, ignore.reason, ignore.line) for ignore in found(text)]


def found(text: str) -> list[Ignore]:
    document = parse(text.encode())
    assert not document.faults
    return [*ignores(document)]


ASKED: dict[str, tuple[str, list[tuple[str, str, int]]]] = {
    "behind": ("a: 1 # sandbox: ignore[r] why not\nb: 2\n", [("r", "why not", 1)]),
    "above": ("# sandbox: ignore[r] why\na: 1\n", [("r", "why", 2)]),
    "above, farther in or out": ("a:\n    # sandbox: ignore[r] why\n  b: 1\n", [("r", "why", 3)]),
    "stacked": (
        "# sandbox: ignore[r] one\n# sandbox: ignore[s] two\na: 1\n",
        [("r", "one", 3), ("s", "two", 3)],
    ),
    "above empty lines and other comments": (
        "# sandbox: ignore[r] why\n\n  \n# about a\na: 1\n",
        [("r", "why", 5)],
    ),
    "above and behind": (
        "# sandbox: ignore[r] one\na: 1 # sandbox: ignore[r] two\n",
        [("r", "one", 2), ("r", "two", 2)],
    ),
    "above nothing": ("a: 1\n# sandbox: ignore[r] why\n# the end\n", [("r", "why", 2)]),
    "several rules": ("a: 1 # sandbox: ignore[r, s,t ,] why\n", [("r", "why", 1), ("s", "why", 1), ("t", "why", 1)]),
    "no space": ("a: 1 #sandbox:ignore[r]why\n", [("r", "why", 1)]),
    "much space": ("a: 1 #  sandbox :\tignore  [ r ]  why  \n", [("r", "why", 1)]),
    "no reason": ("a: 1 # sandbox: ignore[r]\n", [("r", "", 1)]),
    "only space for a reason": ("a: 1 # sandbox: ignore[r]  \n", [("r", "", 1)]),
    "dots for a reason": ("a: 1 # sandbox: ignore[r] ...\n", [("r", "", 1)]),
    "a reason that does not show": ("a: 1 # sandbox: ignore[r] \u200b\u3164\n", [("r", "", 1)]),
    "a reason in other letters": ("a: 1 # sandbox: ignore[r] 理由\n", [("r", "理由", 1)]),
    "no rule": ("a: 1 # sandbox: ignore this\n", [("", "this", 1)]),
    "empty brackets": ("a: 1 # sandbox: ignore[] why\n", [("", "why", 1)]),
    "only commas": ("a: 1 # sandbox: ignore[ , ] why\n", [("", "why", 1)]),
    "bracket that stays open": ("a: 1 # sandbox: ignore[r why\n", [("", "[r why", 1)]),
    "a name of several words": ("a: 1 # sandbox: ignore[r s] why\n", [("r s", "why", 1)]),
    "brackets in the reason": ("a: 1 # sandbox: ignore[r] see [1] # and more\n", [("r", "see [1] # and more", 1)]),
    "CRLF": (
        "# sandbox: ignore[r] one\r\n\r\na: 1 # sandbox: ignore[s] two\r\n",
        [("r", "one", 3), ("s", "two", 3)],
    ),
    "no end of the last line": ("a: 1 # sandbox: ignore[r] why", [("r", "why", 1)]),
    "in flow over lines": (
        "a: { # sandbox: ignore[r] one\n  # sandbox: ignore[s] two\n  b: [1, # sandbox: ignore[t] three\n  2]}\n",
        [("r", "one", 1), ("s", "two", 3), ("t", "three", 3)],
    ),
    "behind a block scalar's header": ("a: | # sandbox: ignore[r] why\n  b\n", [("r", "why", 1)]),
    "below a block scalar": ("a: |\n  b\n# sandbox: ignore[r] why\nc: 1\n", [("r", "why", 4)]),
    "behind quotes with a mark": ("a: ' # ' # sandbox: ignore[r] why\n", [("r", "why", 1)]),
    "behind a key with a mark": ("' # ': 1 # sandbox: ignore[r] why\n", [("r", "why", 1)]),
    "in double quotes": ('a: "b # sandbox: ignore[r] why"\n', []),
    "in single quotes over lines": ("a: 'b\n  # sandbox: ignore[r] why\n  c'\n", []),
    "in a block scalar": (
        "a: |\n  # sandbox: ignore[r] why\n  b # sandbox: ignore[r] why\nc: >-\n  # sandbox: ignore[r]\n",
        [],
    ),
    "in a plain scalar": ("a: b#sandbox:ignore[r] why\n", []),
    "not at the comment's start": ("a: 1 # see sandbox: ignore[r] why\n", []),
    "doubled mark": ("a: 1 ## sandbox: ignore[r] why\n", []),
    "another word": ("a: 1 # sandbox: ignored[r] why\n", []),
    "another case": ("a: 1 # Sandbox: Ignore[r] why\n", []),
    "nothing": ("a: 1\n", []),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_is_asked_to_be_ignored(case: str) -> None:
    """A comment behind something is about its line, one that stands alone about the next line that says something."""
    text, expected = ASKED[case]
    assert asked(text) == expected


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_places_are_those_of_the_rules_names(end: str) -> None:
    """Columns count characters, whatever stands before; without a name it is the whole comment."""
    text = "𝄞é: '# 𝄞' #\tsandbox: ignore[ rule-a,b ] 𝄞 why  " + end + "  # sandbox: ignore" + end + "c: 1" + end
    places = [
        (ignore.rule, *((r.line, r.column, r.end_line, r.end_column) for r in (ignore.region, ignore.comment)))
        for ignore in found(text)
    ]
    assert places == [
        ("rule-a", (1, 30, 1, 36), (1, 11, 1, 46)),
        ("b", (1, 37, 1, 38), (1, 11, 1, 46)),
        ("", (2, 3, 2, 20), (2, 3, 2, 20)),
    ]
    line = text.split("\n")[0]
    assert (line[29:35], line[36:37], line[10:45]) == ("rule-a", "b", "#\tsandbox: ignore[ rule-a,b ] 𝄞 why")


def test_comments_without_number_are_read_in_time() -> None:
    """The line below is looked for once, not once for each comment: the time is that of the text."""
    count = 30_000
    before = time.process_time()
    lines = [ignore.line for ignore in found("a: 1\n" + "# sandbox: ignore[r] why\n" * count)]
    assert time.process_time() - before < 10
    assert lines == [*range(2, count + 2)]


@given(texts())
@settings(deadline=None)
def test_comments_of_any_text_are_about_a_line_that_says_something(text: Text) -> None:
    """Each comment is read once; one behind something is about its own line, another about a line below."""
    written, number = text.text, 0
    for comment in sorted((*text.alone, *text.behind), key=len, reverse=True):
        written = written.replace(comment, f"# sandbox: ignore[rule] {comment[1:].strip()}")
    lines = written.split("\n")
    for ignore in found(written):
        number += 1
        line = lines[ignore.line - 1].strip()
        own = ignore.comment.line
        assert ignore.rule == "rule"
        assert lines[own - 1].rstrip().endswith(ignore.reason)
        if lines[own - 1].lstrip().startswith("#"):
            rest = [below for below in lines[own:] if below.strip() and not below.lstrip().startswith("#")]
            assert line == (rest[0].strip() if rest else lines[own - 1].strip())
        else:
            assert ignore.line == own
    assert number == len(text.alone) + len(text.behind)
