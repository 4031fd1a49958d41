"""Locking and comparing: what the policies of a directory name, what is there now, and what the lock says it was."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sandbox.component import ComponentError, Facts, read_component
from sandbox.host import absolute
from sandbox.lint.ignores import ignores
from sandbox.lint.lock import (
    Difference,
    Locked,
    LockError,
    difference,
    key_of,
    lock_path,
    locked_of,
    read_lock,
    write_lock,
)
from sandbox.lint.paths import find_policies
from sandbox.policy.errors import Fault, PolicyError
from sandbox.policy.file import policy_directory, read_policy_file
from sandbox.policy.load import digest_of, policy_of
from sandbox.policy.model import ComponentPolicy, Policy
from sandbox.source import parse

State = Literal["same", "new", "changed", "stale", "pinned", "contradicted", "absent"]
"""``new``: the lock does not name it; ``stale``: it alone does. The others have no file: ``pinned`` to the digest that
is locked, ``contradicted`` by a pin to another one, or ``absent`` with nothing to hold the lock against."""

Outcome = Literal["written", "unchanged", "agrees", "differs", "missing", "refused"]
"""Of locking, the first two; of comparing, the next three: ``missing`` is the lock itself."""

DISAGREE = frozenset[State]({"new", "changed", "stale", "contradicted"})
"""What the lock would have otherwise."""


UNLOCKED = "unlocked-component"
"""The rule that finds what no lock names; a component for which it is ignored is not locked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """A directory and the policies in it."""

    name: str
    """As it was named, or found below what was named."""
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One component that the lock names, or a policy beside it."""

    key: str
    names: tuple[str, ...]
    """What the policies call it, each once; empty if it is stale."""
    state: State
    locked: Locked | None = None
    """What the lock has."""
    found: Locked | None = None
    """What the file is."""
    difference: Difference | None = None
    """Where there are both."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What is in a directory, before anything comes of it."""

    directory: str
    lock: str
    """The path of the lock, as it is shown."""
    locked: bool
    """Whether there is a lock."""
    entries: tuple[Entry, ...] = ()
    """In the order of their keys; none if there is a fault."""
    faults: tuple[str, ...] = ()
    """Why it cannot be judged: printable lines."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """What came of a directory."""

    survey: Survey
    outcome: Outcome


def folders(paths: Sequence[str]) -> tuple[Folder, ...]:
    """The directories that hold the policies among ``paths``, each with all its policies, also those not named.

    A lock is that of its whole directory: to lock one policy by itself would forget the others.
    """
    named = [path for path in find_policies(paths).files if not os.path.isdir(path)]
    beside = [os.path.dirname(path) or os.curdir for path in paths if not os.path.isdir(path)]
    below = {folder: find_policies((folder,)).files for folder in dict.fromkeys(beside)}
    found: dict[str, dict[str, str]] = {}
    for path in (*named, *(p for folder, files in below.items() for p in files if _at(p, folder))):
        # One file may be named in several ways.
        found.setdefault(policy_directory(path), {}).setdefault(os.path.basename(path), path)
    return tuple(
        Folder(name=_parent(next(iter(files.values()))), files=tuple(path for _, path in sorted(files.items())))
        for files in found.values()
    )


def _at(path: str, folder: str) -> bool:
    """Whether a file is in a folder itself."""
    return _parent(path) == _normal(folder) and not os.path.isdir(path)


def _parent(path: str) -> str:
    return _normal(os.path.dirname(path))


def _normal(directory: str) -> str:
    return os.path.normpath(directory or os.curdir)


class Surveyor:
    """Looks at directories one by one; a component that several policies name is read once."""

    def __init__(self) -> None:
        self._components: dict[str, Facts | ComponentError | None] = {}

    def survey(self, folder: Folder) -> Survey:
        """What is in a directory. Raises nothing: what cannot be read is a fault."""
        faults: list[str] = []
        named: dict[str, _Named] = {}
        for file in folder.files:
            try:
                _gather(file, named)
            except PolicyError as error:
                faults += map(str, error.faults)
        locked: Mapping[str, Locked] = {}
        lock = None
        try:
            lock = read_lock(folder.name)
            locked = {} if lock is None else lock.entries
        except LockError as error:
            faults.append(str(error))
        entries = []
        for key, component in named.items():
            facts = self._facts(component.path)
            faults += _objections(component, facts, locked.get(key))
            if not isinstance(facts, ComponentError):
                entries.append(_entry(key, component, facts, locked.get(key)))
        entries += [
            Entry(key=key, names=(), state="stale", locked=what) for key, what in locked.items() if key not in named
        ]
        return Survey(
            directory=folder.name,
            lock=lock_path(folder.name),
            locked=lock is not None,
            entries=() if faults else tuple(sorted(entries, key=lambda entry: entry.key)),
            faults=tuple(faults),
        )

    def _facts(self, path: str) -> Facts | ComponentError | None:
        if path not in self._components:
            self._components[path] = _read(path)
        return self._components[path]


def lock(survey: Survey) -> Account:
    """Write the lock of a directory, unless it has a fault or would stay the same."""
    if survey.faults:
        return Account(survey=survey, outcome="refused")
    entries = _to_lock(survey.entries)
    if not entries and not survey.locked:
        return Account(survey=survey, outcome="unchanged")
    try:
        written = write_lock(survey.directory, entries)
    except LockError as error:
        refused = Survey(directory=survey.directory, lock=survey.lock, locked=survey.locked, faults=(str(error),))
        return Account(survey=refused, outcome="refused")
    return Account(survey=survey, outcome="written" if written else "unchanged")


def compare(survey: Survey) -> Account:
    """Whether the lock of a directory says what is there."""
    if survey.faults:
        return Account(survey=survey, outcome="refused")
    if not survey.locked:
        outcome: Outcome = "missing" if any(entry.state == "new" for entry in survey.entries) else "agrees"
        return Account(survey=survey, outcome=outcome)
    disagree = any(entry.state in DISAGREE for entry in survey.entries)
    return Account(survey=survey, outcome="differs" if disagree else "agrees")


def _to_lock(entries: Iterable[Entry]) -> dict[str, Locked]:
    kept = {}
    for entry in entries:
        what = entry.locked if entry.state == "pinned" else entry.found
        if what is not None:
            kept[entry.key] = what
    return kept


@dataclass(kw_only=True, slots=True)
class _Named:
    """A component as the policies of one directory name it."""

    path: str
    uses: list[tuple[Policy, ComponentPolicy]] = field(default_factory=list)

    @property
    def pins(self) -> set[str]:
        return {component.digest for _, component in self.uses if component.digest is not None}


def _gather(file: str, named: dict[str, _Named]) -> None:
    """The components that a policy names, but for those that a comment has the linter leave unlocked."""
    text = read_policy_file(file)
    document = parse(text)
    policy = policy_of(document, digest=digest_of(text), file=file, directory=policy_directory(file))
    unlocked = {i.line for i in ignores(document) if i.rule == UNLOCKED and i.reason}
    for component in policy.components:
        line = policy.place(f"components.{component.name}.source").line
        if component.source is not None and line not in unlocked:
            path = absolute(component.source, policy.directory)
            named.setdefault(key_of(component.source), _Named(path=path)).uses.append((policy, component))


def _read(path: str) -> Facts | ComponentError | None:
    """The component at ``path``; ``None`` where there is no file."""
    if not os.path.lexists(path):
        return None
    try:
        return read_component(path)
    except ComponentError as error:
        return error


def _objections(named: _Named, facts: Facts | ComponentError | None, locked: Locked | None) -> Iterable[str]:
    """What makes it impossible to lock a component as named; of another binary also what it could do more."""
    for policy, component in named.uses:
        if isinstance(facts, ComponentError):
            yield _fault(policy, component, "source", f"{component.source}: {facts.message}")
        elif facts is not None and component.digest not in (None, facts.digest):
            message = f"{component.source} is {facts.digest}, and the policy pins another digest"
            if locked is not None and locked.digest == component.digest:
                message += "".join(f"; it {more}" for more in difference(locked, facts).widened)
            yield _fault(policy, component, "digest", message)


def _fault(policy: Policy, component: ComponentPolicy, key: str, message: str) -> str:
    route = f"components.{component.name}.{key}"
    place = policy.place(route)
    return str(Fault(file=policy.file, line=place.line, column=place.column, route=route, message=message))


def _entry(key: str, named: _Named, facts: Facts | None, locked: Locked | None) -> Entry:
    names = tuple(dict.fromkeys(component.name for _, component in named.uses))
    if facts is not None:
        found = locked_of(facts)
        if locked is None:
            return Entry(key=key, names=names, state="new", found=found)
        change = difference(locked, facts)
        state: State = "same" if change.same else "changed"
        return Entry(key=key, names=names, state=state, locked=locked, found=found, difference=change)
    if locked is None or not named.pins:
        return Entry(key=key, names=names, state="absent", locked=locked)
    state = "pinned" if named.pins == {locked.digest} else "contradicted"
    return Entry(key=key, names=names, state=state, locked=locked)
