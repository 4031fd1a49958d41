"""Whether one ``except`` glob covers another one: all that the other matches, and all below that, is matched by it.

Never says so wrongly; it may fail to see it where classes of characters or unusual spellings are involved.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from sandbox.policy.globs import Pattern

MAX_STEPS = 2_000
"""Pairs of states that are looked at; globs that need more count as not covering."""


@lru_cache(maxsize=4096)
def covers(wide: str, narrow: str) -> bool:
    """Whether every path that ``narrow`` matches, or that lies below one, is one that ``wide`` excepts."""
    wide_names, narrow_names = Pattern.parse(wide).segments, Pattern.parse(narrow).segments
    if narrow_names == ("**",):
        narrow_names = ("*",)  # no path has no name
    return wide_names == narrow_names or _includes(wide_names, narrow_names, "**", _segment_covers, below=True)


_Part = TypeVar("_Part", bound=Hashable)


def _includes(
    wide: Sequence[_Part], narrow: Sequence[_Part], many: _Part, fits: Callable[[_Part, _Part], bool], *, below: bool
) -> bool:
    """Whether all sequences that ``narrow`` stands for are among those of ``wide``; ``many`` stands for any sequence.

    Walks along ``narrow`` with the set of places in ``wide`` that are reached whatever is meant on the way. ``below``:
    it is enough to have reached the end of ``wide`` before.
    """

    def closed(places: set[int]) -> frozenset[int]:
        for place in tuple(places):
            while place < len(wide) and wide[place] == many:
                place += 1
                places.add(place)
        return frozenset(places)

    pending = [(0, closed({0}))]
    seen = set(pending)
    steps = 0
    while pending:
        at, places = pending.pop()
        if below and len(wide) in places:
            continue
        if at == len(narrow):
            if len(wide) not in places:
                return False
            continue
        steps += len(places)
        if steps > MAX_STEPS:
            return False
        part = narrow[at]
        after: set[int] = set()
        for place in places:
            if place == len(wide):
                continue
            if wide[place] == many:
                after.add(place)
            elif part != many and fits(wide[place], part):
                after.add(place + 1)
        if part == many:
            # It stands for nothing, or for one more of anything, after which it still stands.
            anything = {p for p in places if p < len(wide) and wide[p] == many}
            anything |= {p + 1 for p in places if p < len(wide) and wide[p] != many and fits(wide[p], part)}
            nexts = [(at + 1, places), (at, closed(anything))]
        else:
            nexts = [(at + 1, closed(after))]
        for state in nexts:
            if state not in seen:
                seen.add(state)
                pending.append(state)
    return True


def _segment_covers(wide: str, narrow: str) -> bool:
    """Whether one segment matches every name that the other matches; ``**`` as the narrow one is any name."""
    if wide == "*" or wide == narrow:
        return True
    return narrow != "**" and _includes(_signs(wide), _signs(narrow), _MANY, _sign_covers, below=False)


class _Sign(NamedTuple):
    """One sign of a segment: a ``character`` in folded case, a ``class`` as written, ``one`` (?) or ``many`` (*)."""

    kind: str
    text: str = ""


_MANY = _Sign("many")


def _sign_covers(wide: _Sign, narrow: _Sign) -> bool:
    if narrow.kind == "many":
        # Any one character, of those that it may stand for.
        return wide.kind == "one"
    if wide.kind == "one" or wide == narrow:
        return True
    if wide.kind == "class" and narrow.kind == "character" and len(narrow.text) == 1:
        # Each spelling of the character has this one among its own.
        return not wide.text.startswith("!") and _in_class(wide.text, narrow.text)
    return False


def _in_class(body: str, char: str) -> bool:
    at = 0
    while at < len(body):
        last = at + 2 if body[at + 1 : at + 2] == "-" and at + 2 < len(body) else at
        if body[at] <= char <= body[last]:
            return True
        at = last + 1
    return False


@lru_cache(maxsize=1024)
def _signs(segment: str) -> tuple[_Sign, ...]:
    out, at = [], 0
    while at < len(segment):
        char = segment[at]
        if char == "*":
            out.append(_MANY)
        elif char == "?":
            out.append(_Sign("one"))
        elif char == "[":
            first = at + 1 + (segment[at + 1 : at + 2] == "!")
            end = segment.index("]", first + 1)  # the policy's own check: there is one
            out.append(_Sign("class", segment[at + 1 : end]))
            at = end
        else:
            out.append(_Sign("character", char.casefold()))
        at += 1
    return tuple(out)
