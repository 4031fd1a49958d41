"""What the binaries of one version of a policy ask for beyond those of another version of it, as far as is known."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.component import ComponentError, Facts, read_component
from sandbox.host import absolute
from sandbox.lint.lock import Lock, LockError, key_of, parse_lock, read_lock
from sandbox.lint.surface import Surface, surface_of, widened
from sandbox.policy.model import ComponentPolicy, Policy

Reads = Callable[[str], Facts | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version of a policy, with what tells of its components."""

    policy: Policy
    lock: Lock | None
    """That stood beside it."""
    present: bool
    """Whether the files are those of this version; of an earlier one those alone count that it pins."""


def asks(old: Version, new: Version, directory: str, read: Reads) -> dict[str, tuple[str, ...]]:
    """By component, what its binary asks for that the old one did not, as ``widened`` has it.

    Left out is whatever is not known of both: what one side lacks, or has no file for and no lock names. Relative paths
    start at ``directory``.
    """
    before = {component.name: component for component in old.policy.components}
    found = {}
    for component in new.policy.components:
        earlier = before.get(component.name)
        if earlier is None or _is_same(earlier, component, old.present):
            continue
        had, has = _surface(old, earlier, directory, read), _surface(new, component, directory, read)
        if had is not None and has is not None and had != has:
            found[component.name] = widened(had, has)
    return {name: sentences for name, sentences in found.items() if sentences}


def _is_same(old: ComponentPolicy, new: ComponentPolicy, present: bool) -> bool:
    """Whether both are one binary by what the policies say."""
    if old.digest is None and new.digest is None:
        return present and old.source == new.source
    return old.digest == new.digest


def _surface(version: Version, component: ComponentPolicy, directory: str, read: Reads) -> Surface | None:
    if component.source is None:
        return None
    if version.present or component.digest is not None:
        facts = read(absolute(component.source, directory))
        if facts is not None and component.digest in (None, facts.digest):
            return surface_of(facts)
    locked = version.lock.entries.get(key_of(component.source)) if version.lock is not None else None
    return locked.surface if locked is not None and component.digest in (None, locked.digest) else None


def reading() -> Reads:
    """Reads components, each once; what cannot be read is not known."""
    known: dict[str, Facts | None] = {}

    def read(path: str) -> Facts | None:
        if path not in known:
            try:
                known[path] = read_component(path) if os.path.lexists(path) else None
            except ComponentError:
                known[path] = None
        return known[path]

    return read


def lock_beside(directory: str) -> Lock | None:
    """The lock of the policies in a directory, if there is one that can be read."""
    try:
        return read_lock(directory)
    except LockError:
        return None


def lock_in(data: bytes) -> Lock | None:
    """The lock that a text is, if it is one."""
    try:
        return parse_lock(data, "sandbox.lock")
    except LockError:
        return None
