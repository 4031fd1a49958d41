"""Comments that ask for findings to be ignored: ``# sandbox: ignore[rule-id] reason``.

A comment behind something is about its own line, one that stands alone about the next line that is neither empty nor
only a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.lint.finding import Region
from sandbox.source import Comment, Document

_WORDS = re.compile(r"sandbox\s*:\s*ignore\b\s*(?:\[([^\]]*)\])?\s*(.*)", re.DOTALL)
_EMPTY = re.compile(r"\s*(?:#.*)?")
_BLANK = "\u115f\u1160\u3164\uffa0"
"""Letters to Unicode, with nothing to be seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ignore:
    """One rule that one comment names."""

    rule: str
    """As written; empty where the comment names none."""
    reason: str
    """Empty where it gives none: spaces, punctuation and characters that do not show are no reason."""
    line: int
    """The line whose findings it is about."""
    region: Region
    """The rule's name in the comment; the whole comment where it names none."""
    comment: Region


def ignores(document: Document) -> Iterator[Ignore]:
    """What the comments of a text ask to be ignored, in their order."""
    if "sandbox" not in document.text:
        return
    lines = document.text.split("\n")
    meant: dict[int, int] | None = None
    for comment in document.comments():
        found = _WORDS.match(comment.text)
        if found is None:
            continue
        line = comment.mark.line
        if comment.alone:
            meant = _next_lines(lines) if meant is None else meant
            line = meant.get(line, line)
        text = lines[comment.mark.line - 1]
        # The comment's text starts behind the mark and the spaces that follow it.
        start = comment.mark.column + text[comment.mark.column - 1 :].index(comment.text[0])
        whole = _region(comment, comment.mark.column, len(text.rstrip()) + 1)
        reason = found[2].strip() if _says_something(found[2]) else ""
        names = [] if found[1] is None else [*re.finditer(r"[^,\s](?:[^,]*[^,\s])?", found[1])]
        if not names:
            yield Ignore(rule="", reason=reason, line=line, region=whole, comment=whole)
        for name in names:
            at = start + found.start(1) + name.start()
            region = _region(comment, at, at + len(name[0]))
            yield Ignore(rule=name[0], reason=reason, line=line, region=region, comment=whole)


def _says_something(reason: str) -> bool:
    return any(character.isalnum() and character not in _BLANK for character in reason)


def _region(comment: Comment, start: int, end: int) -> Region:
    return Region(line=comment.mark.line, column=start, end_line=comment.mark.line, end_column=end)


def _next_lines(lines: list[str]) -> dict[int, int]:
    """For the number of each line, that of the first line after it that says something, if one does."""
    after: dict[int, int] = {}
    found = None
    for number in range(len(lines), 0, -1):
        if found is not None:
            after[number] = found
        if _EMPTY.fullmatch(lines[number - 1].rstrip("\r")) is None:
            found = number
    return after
