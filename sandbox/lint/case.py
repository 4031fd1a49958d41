"""What a rule looks at: one component of one policy, with everything that was read for it. Nothing is opened here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from sandbox.component import Facts
from sandbox.host import Machine, Thing, ThingKind
from sandbox.lint.finding import Region, Related
from sandbox.lint.lock import Locked
from sandbox.lint.needs import Needs, needs_of, unserved
from sandbox.lint.wires import Wiring
from sandbox.policy.globs import Pattern
from sandbox.policy.model import ComponentPolicy, Policy
from sandbox.source import Data, Document, Route

Status = Literal["read", "locked", "missing", "unreadable", "unnamed"]
"""Whether a component's facts are known: from its file, or from the lock where there is no file; or why not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """The component's file, as far as there is one."""

    status: Status
    path: str | None = None
    facts: Facts | None = None
    error: str | None = None
    """A sentence, where it is missing or unreadable."""

    def mismatches(self, component: ComponentPolicy) -> bool:
        """Whether it is known, and is another one than the policy pins."""
        return self.facts is not None and component.digest not in (None, self.facts.digest)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockState:
    """The lock file beside the policy."""

    path: str
    error: str | None = None
    """A sentence, where it cannot be used."""
    locked: Locked | None = None
    """What it says of this component; ``None``: it does not name it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostUse:
    """A path of the host that the policy names: a granted directory, or the file of a standard stream."""

    route: Route
    """Of the value that names it."""
    written: str
    thing: Thing
    writable: bool
    grant: int | None
    """The number of the grant; ``None`` for the file of a stream."""
    excepted: tuple[Pattern, ...] = ()
    contents: tuple[tuple[str, ThingKind], ...] = ()
    """What lies in a granted directory and nothing excepts, two levels down, up to a bound; see ``host.contents``.

    Of a directory that is granted more than once (no run takes that) the first time alone.
    """
    held: bool = True
    """Whether there is a directory that the file of a stream is in, or would be made in."""

    @property
    def directory(self) -> bool:
        return self.grant is not None

    def inside(self, path: str) -> bool:
        """Whether it is an absolute path itself, or lies below it."""
        return any(_below(own, path) for own in {self.thing.absolute, self.thing.real})

    def reaches(self, path: str) -> bool:
        """Whether it gives what is at an absolute path: that lies in it, and is not excepted."""
        for own in {self.thing.absolute, self.thing.real}:
            if own == path:
                return True
            if self.directory and _below(path, own):
                names = path[len(own.rstrip("/")) + 1 :].split("/")
                if not any(pattern.after(names)[0] for pattern in self.excepted):
                    return True
        return False


class Case:
    """One component of one policy. Routes that its methods take start at the component."""

    def __init__(
        self,
        *,
        policy: Policy,
        component: ComponentPolicy,
        document: Document,
        file: Component,
        lock: LockState | None,
        machine: Machine,
        uses: tuple[HostUse, ...],
        wiring: Wiring,
    ) -> None:
        self.policy, self.component, self.document = policy, component, document
        self.file, self.lock, self.machine, self.uses, self.wiring = file, lock, machine, uses, wiring
        self.root: Route = ("components", component.name)

    @property
    def facts(self) -> Facts | None:
        """What is known of the component, or of its locked version where its file is not here."""
        return self.file.facts

    @property
    def mismatched(self) -> bool:
        """Whether the component is known, and is another one than the policy pins."""
        return self.file.mismatches(self.component)

    @cached_property
    def unserved(self) -> tuple[str, ...]:
        """Why no run takes the component, a sentence each without its subject."""
        if self.facts is None:
            return ()
        return unserved(self.facts, self.wiring.served(self.component.name))

    @cached_property
    def needs(self) -> Needs | None:
        """What the component asks for; ``None`` where it is not known, or could not run whatever were granted."""
        return needs_of(self.facts) if self.facts is not None and not self.mismatched and not self.unserved else None

    @cached_property
    def granted(self) -> tuple[HostUse, ...]:
        """The granted directories."""
        return tuple(use for use in self.uses if use.directory)

    @cached_property
    def _givers(self) -> dict[str, frozenset[int | None]]:
        return {}

    @cached_property
    def _granted_at(self) -> dict[str, list[HostUse]]:
        at: dict[str, list[HostUse]] = {}
        for use in self.granted:
            for own in {use.thing.absolute, use.thing.real}:
                at.setdefault(own, []).append(use)
        return at

    def gives(self, use: HostUse, path: str) -> bool:
        """Whether a granted directory gives what is at an absolute path.

        It does if it is the narrowest grant around that path, which decides, and neither it nor a wider one excepts it.
        """
        if path not in self._givers:
            around = [self._granted_at[above] for above in _upwards(path) if above in self._granted_at]
            given = all(other.reaches(path) for others in around for other in others)
            self._givers[path] = frozenset(other.grant for other in around[0]) if around and given else frozenset()
        return use.grant in self._givers[path]

    def route(self, *parts: str | int) -> Route:
        """The route from the policy's root."""
        return (*self.root, *parts)

    def data(self, *parts: str | int) -> Data:
        """What the policy says at a route, as plain data; ``None`` where it says nothing."""
        found: Data = self.document.data
        for part in (*self.root, *parts):
            if isinstance(found, dict) and isinstance(part, str):
                found = found.get(part)
            elif isinstance(found, list) and isinstance(part, int) and 0 <= part < len(found):
                found = found[part]
            else:
                return None
        return found

    def says(self, *parts: str | int) -> bool:
        """Whether the policy has this key."""
        return self.document.nearest(self.route(*parts))[0] == self.route(*parts)

    def related(self, route: Route, message: str) -> Related:
        """Another place of this policy; ``route`` starts at the policy's root."""
        return Related(file=self.policy.file, region=region_of(self.document, route, "value"), message=message)

    def grants(self) -> Iterator[tuple[str, Route]]:
        """The families that the policy speaks of, each with its route from the policy's root."""
        grants = self.data("grants")
        for family, says in grants.items() if isinstance(grants, dict) else ():
            if says is not None:
                yield family, self.route("grants", family)


def region_of(document: Document, route: Route, on: Literal["key", "value"]) -> Region:
    """The part of the text that stands at a route, or at its nearest ancestor that the text has.

    A value in block style is shown by its first line; one that is empty by its key.
    """
    found, node = document.nearest(route)
    key = on == "key" or node.value.start == node.value.end or len(found) < len(route)
    start, end = node.key if key and node.key is not None else node.value
    line_end = document.text.find("\n", start, end)
    if line_end >= 0:
        end = start + len(document.text[start:line_end].rstrip())
    first, last = document.mark_of(start), document.mark_of(end)
    return Region(line=first.line, column=first.column, end_line=last.line, end_column=last.column)


def _upwards(path: str) -> Iterator[str]:
    """An absolute path and the directories above it. Of any other path too there is an end."""
    while path.strip("/"):
        yield path
        path = os.path.dirname(path)
    yield "/"


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")
