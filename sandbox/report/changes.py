"""What a diff of policies found, for a terminal, for programs and for the comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from json import dumps

from sandbox.compare.change import KINDS, Change
from sandbox.report.text import plain

VERSION = 1
LONGEST = 400
"""Characters of a sentence that are shown to people; its middle gives way."""
ITEMS = 100
"""Changes that a comment lists; GitHub takes comments of 65,536 characters."""


def changes_text(changes: Sequence[Change], *, policies: int) -> str:
    """One line a change, in the order given, and a last one that counts; each ends with a newline."""
    lines = [f"{_sentence(change)} ({_place(change)})" for change in changes]
    return "\n".join([*lines, _summary(changes, policies)]) + "\n"


def changes_json(changes: Sequence[Change], *, policies: int) -> str:
    """One line of ASCII JSON, its newline included. Nothing in it is shortened, and nothing escaped but by JSON."""
    counts = {kind: sum(change.kind == kind for change in changes) for kind in KINDS}
    values: dict[str, object] = {"version": VERSION, "changes": [asdict(change) for change in changes]}
    values |= counts | {"policies": policies}
    return dumps(values, separators=(",", ":"), allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def changes_markdown(changes: Sequence[Change], *, policies: int) -> str:
    """For a comment on a pull request: what was gained first, and in bold.

    What comes from policies stands in code spans, in which no markup, link, mention or reference has an effect.
    """
    gained = any(change.kind == "gained" for change in changes)
    lines = ["### Capabilities", "", f"{_summary(changes, policies)}."]
    if not gained:
        lines[-1] = f"No capability was gained. {lines[-1]}"
    items = [change for kind in KINDS for change in changes if change.kind == kind]
    lines += ["", *map(_item, items[:ITEMS])] if items else []
    if len(items) > ITEMS:
        lines += [f"- ... and {len(items) - ITEMS:,} more, which `sandbox diff` lists"]
    return "\n".join(lines) + "\n"


def _item(change: Change) -> str:
    word = f"**{change.kind}**" if change.kind == "gained" else change.kind
    return f"- {word}: {_code(_sentence(change))} ({_code(_place(change))})"


def _summary(changes: Sequence[Change], policies: int) -> str:
    counted = (f"{sum(change.kind == kind for change in changes)} {kind}" for kind in KINDS)
    return f"{', '.join(counted)} in {policies:,} {'policy' if policies == 1 else 'policies'}"


def _sentence(change: Change) -> str:
    return f"{plain(change.component)}: {_shortened(plain(change.text))}"


def _place(change: Change) -> str:
    return f"{_shortened(plain(change.file))}:{change.line}"


def _shortened(text: str) -> str:
    half = (LONGEST - 3) // 2
    return text if len(text) <= LONGEST else f"{text[:half]}...{text[-half:]}"


def _code(text: str) -> str:
    """``text`` in a code span of Markdown, whatever is in it."""
    fence = "`" * (max(_runs(text), default=0) + 1)
    space = " " if text[:1] == "`" or text[-1:] == "`" else ""
    return f"{fence}{space}{text}{space}{fence}"


def _runs(text: str) -> Iterator[int]:
    return (len(match[0]) for match in re.finditer("`+", text))
