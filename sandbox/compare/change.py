"""A change of capabilities, as a value, and the two sides of a component that it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sandbox.policy.model import ComponentPolicy, Policy

Kind = Literal["gained", "lost", "changed"]
"""``changed`` is neither more nor less: another binary, another value of a variable."""

KINDS: tuple[Kind, ...] = ("gained", "lost", "changed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One thing that a component may do now and could not before, or the other way round.

    The texts hold what the policies' authors wrote: hostile until they are rendered.
    """

    kind: Kind
    component: str
    capability: str
    """As in the audit trail: ``filesystem.read``, ``sockets.tcp.connect``, ``limits.memory`` ..."""
    text: str
    """Continues the sentence that the component's name begins: ``can now connect to *.example.com:443``."""
    file: str
    """The new policy for what was gained or changed, the old one for what was lost."""
    line: int
    column: int


class CompareError(Exception):
    """Two policies cannot be compared; the argument says why. May hold hostile text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One component before and after, with the policies that say so."""

    old: ComponentPolicy
    new: ComponentPolicy
    before: Policy
    after: Policy

    def gained(self, capability: str, text: str, route: str) -> Change:
        """``route`` is the new policy's, below the component."""
        return self._change("gained", capability, text, route)

    def lost(self, capability: str, text: str, route: str) -> Change:
        """``route`` is the old policy's, below the component."""
        return self._change("lost", capability, text, route)

    def changed(self, capability: str, text: str, route: str) -> Change:
        """``route`` is the new policy's, below the component."""
        return self._change("changed", capability, text, route)

    def _change(self, kind: Kind, capability: str, text: str, route: str) -> Change:
        policy = self.before if kind == "lost" else self.after
        place = policy.place(f"components.{self.new.name}.{route}".rstrip("."))
        return Change(
            kind=kind,
            component=self.new.name,
            capability=capability,
            text=text,
            file=policy.file,
            line=place.line,
            column=place.column,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Direction:
    """One way of looking at a pair: for what the new side has more, or for what the old side had more."""

    pair: Pair
    gains: bool

    @property
    def less(self) -> ComponentPolicy:
        return self.pair.old if self.gains else self.pair.new

    @property
    def more(self) -> ComponentPolicy:
        return self.pair.new if self.gains else self.pair.old

    @property
    def can(self) -> str:
        return "can now" if self.gains else "can no longer"

    def change(self, capability: str, text: str, route: str) -> Change:
        """What ``more`` has more; ``route`` is in its policy."""
        return (self.pair.gained if self.gains else self.pair.lost)(capability, text, route)


def directions(pair: Pair) -> tuple[Direction, Direction]:
    return Direction(pair=pair, gains=True), Direction(pair=pair, gains=False)
