"""``except`` globs: which paths one matches, name by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Pattern:
    """One ``except`` glob. Letter case is ignored, so that no spelling of a name slips past it."""

    segments: tuple[str, ...]

    @classmethod
    def parse(cls, glob: str) -> Pattern:
        return cls(tuple(_composed(glob).split("/")))

    def start(self) -> frozenset[int]:
        """The states before any name: numbers of segments that the next name may match."""
        return self._closed({0})

    def step(self, states: frozenset[int], name: str) -> frozenset[int]:
        """The states after one more name; ``len(segments)`` among them means that the path matches."""
        found: set[int] = set()
        for state in states:
            if state == len(self.segments):
                continue
            if self.segments[state] == "**":
                found.add(state)
            elif _fits(name, self.segments[state]):
                found.add(state + 1)
        return self._closed(found)

    def after(self, names: Sequence[str]) -> tuple[bool, frozenset[int]]:
        """Whether the path or a directory above it matches, and the states that are left for what is below it."""
        states = self.start()
        for name in names:
            states = self.step(states, name)
            if len(self.segments) in states:
                return True, states
        return False, states

    def below(self, names: Sequence[str]) -> tuple[str, ...] | None:
        """Globs that match below directory ``names`` what this one does from above; ``None`` where it matches that."""
        matched, states = self.after(names)
        if matched:
            return None
        implied = {state + 1 for state in states if self.segments[state] == "**"}
        return tuple("/".join(self.segments[state:]) for state in sorted(states - implied))

    def _closed(self, states: set[int]) -> frozenset[int]:
        """``states`` and those that ``**`` leads to without a name."""
        for state in tuple(states):
            while state < len(self.segments) and self.segments[state] == "**":
                state += 1
                states.add(state)
        return frozenset(states)


Item = Callable[[str], bool] | None
"""What one character of a name must be; ``None`` stands for ``*``."""


def _fits(name: str, segment: str) -> bool:
    """Whether one name matches one segment, as it is spelled or in its composed form (NFC)."""
    return _runs_through(name, segment) or (not name.isascii() and _runs_through(_composed(name), segment))


def _runs_through(name: str, segment: str) -> bool:
    """Whether ``name`` takes the automaton of ``segment`` to its end: no backtracking, whatever the guest named."""
    items = _items(segment)

    def closed(states: set[int]) -> set[int]:
        for state in tuple(states):
            while state < len(items) and items[state] is None:
                state += 1
                states.add(state)
        return states

    states = closed({0})
    for char in name:
        found = set()
        for state in states:
            if state < len(items):
                item = items[state]
                if item is None:
                    found.add(state)
                elif item(char):
                    found.add(state + 1)
        states = closed(found)
    return len(items) in states


def _composed(text: str) -> str:
    if text.isascii():
        return text
    import unicodedata

    return unicodedata.normalize("NFC", text)


@lru_cache(maxsize=1024)
def _items(segment: str) -> tuple[Item, ...]:
    out: list[Item] = []
    at = 0
    while at < len(segment):
        char = segment[at]
        if char == "*":
            out.append(None)
        elif char == "?":
            out.append(_anything)
        elif char == "[":
            negated = segment[at + 1 : at + 2] == "!"
            first = at + 1 + negated
            at = segment.index("]", first + 1)  # the policy's own check: there is one
            out.append(_class(segment[first:at], negated))
        else:
            out.append(_same(char))
        at += 1
    return tuple(out)


def _anything(_: str) -> bool:
    return True


def _same(wanted: str) -> Callable[[str], bool]:
    folded = wanted.casefold()
    return lambda char: char.casefold() == folded


def _class(body: str, negated: bool) -> Callable[[str], bool]:
    """One of a class of characters; a letter is in it if its lower or upper case is."""
    ranges, at = [], 0
    while at < len(body):
        last = at + 2 if body[at + 1 : at + 2] == "-" and at + 2 < len(body) else at
        ranges.append((body[at], body[last]))
        at = last + 1

    def inside(char: str) -> bool:
        spellings = {char, char.lower(), char.upper(), char.casefold()}
        return any(low <= x <= high for low, high in ranges for x in spellings if len(x) == 1)

    return lambda char: inside(char) is not negated
