"""``sandbox diff``: what one policy grants more or less than another, or than it did at a revision."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sandbox.cli.failure import CommandError

if TYPE_CHECKING:
    import argparse

    from sandbox.compare.change import Change
    from sandbox.compare.git import GitFile
    from sandbox.lint.lock import Lock
    from sandbox.policy.model import Policy

_Sides = tuple["Policy | None", "Policy | None"]
_Locks = Callable[["Policy"], "Lock | None"]
"""The lock that stood beside an old policy."""

_Asked = Mapping[str, Sequence[str]]
"""By component, what its new binary asks for and its old one did not."""

_LEFT_OUT = re.compile(r"(?:^|/)(?:\.[^/]+|node_modules|__pycache__)/")
"""Folders in which policies are not looked for."""
_SAYS_COMPONENTS = re.compile(rb"""^(?:\{\s*)?["']?components["']?\s*:""", re.MULTILINE)


def diff(options: argparse.Namespace) -> int:
    """Compare what ``options`` name and report; 1 where anything was gained, else 0. Raises ``CommandError``."""
    from sandbox.compare.change import CompareError

    faults: list[str] = []
    sides = _versions(options.old, options.new, faults) if options.git is None else _revisions(options, faults)
    changes: list[Change] = []
    lock_of_old = _lock_now if options.git is None else _locks_at(options.git)
    asks = _asks(lock_of_old, present=options.git is None)
    for old, new in sides:
        try:
            changes += _changes(old, new, asks(old, new))
        except CompareError as error:
            faults.append(str(error))
    if faults:
        raise CommandError(2, "\n".join(faults))
    sys.stdout.write(_renderer(options.format)(changes, policies=len(sides)))
    return int(any(change.kind == "gained" for change in changes))


def _changes(old: Policy | None, new: Policy | None, asks: _Asked) -> Sequence[Change]:
    from sandbox.compare.places import find_places
    from sandbox.compare.policies import compare

    policies = [policy for policy in (new, old) if policy is not None]
    # Both are versions of one file, which is where the new one is.
    return compare(old, new, find_places(policies, policies[0].directory), asks)


def _asks(lock_of_old: _Locks, *, present: bool) -> Callable[[Policy | None, Policy | None], _Asked]:
    """What tells what new binaries ask for. ``present``: both policies are about the files that are there now."""
    from sandbox.lint.binaries import Version, asks, reading

    read = reading()

    def tell(old: Policy | None, new: Policy | None) -> _Asked:
        if old is None or new is None:
            return {}
        before = Version(policy=old, lock=lock_of_old(old), present=present)
        return asks(before, Version(policy=new, lock=_lock_now(new), present=True), new.directory, read)

    return tell


def _lock_now(policy: Policy) -> Lock | None:
    from sandbox.lint.binaries import lock_beside

    return lock_beside(policy.directory)


def _locks_at(revision: str) -> _Locks:
    """The locks as they were at a revision, each looked for once."""
    found: dict[str, Lock | None] = {}

    def lock_of(policy: Policy) -> Lock | None:
        if policy.directory not in found:
            found[policy.directory] = _lock_at(revision, policy.directory)
        return found[policy.directory]

    return lock_of


def _lock_at(revision: str, directory: str) -> Lock | None:
    from sandbox.compare.git import GitError, files_at, read_at
    from sandbox.lint.binaries import lock_in
    from sandbox.lint.lock import lock_path

    try:
        files = files_at(revision, [lock_path(directory)])
        return lock_in(read_at(files[0])) if files and not files[0].link else None
    except GitError:
        return None


def _versions(old: str, new: str, faults: list[str]) -> list[_Sides]:
    """The two policies that were named, if both can be read."""
    loaded = [_loaded(path, faults) for path in (old, new)]
    return [] if faults else [(loaded[0], loaded[1])]


def _loaded(path: str, faults: list[str]) -> Policy | None:
    from sandbox.policy.errors import PolicyError
    from sandbox.policy.load import load_policy

    try:
        return load_policy(path)
    except PolicyError as error:
        faults.append(str(error))
        return None


def _revisions(options: argparse.Namespace, faults: list[str]) -> list[_Sides]:
    """Each policy that there is, or was at the revision, with what it was."""
    from sandbox.compare.git import GitError, files_at
    from sandbox.lint.paths import find_policies

    found = find_policies(options.paths)
    try:
        at_revision = {file.path: file for file in files_at(options.git, options.paths)}
        pairs = list(_pairs(found.files, found.skipped, at_revision, options.git, faults))
    except GitError as error:
        raise CommandError(2, str(error)) from None
    if not pairs and not faults:
        where = ", ".join(map(repr, options.paths))
        raise CommandError(2, f"no policy was found in {where}, neither now nor at {options.git!r}")
    return pairs


def _pairs(
    files: Sequence[str], others: Sequence[str], at_revision: dict[str, GitFile], revision: str, faults: list[str]
) -> Iterator[_Sides]:
    """``files`` are policies now, ``others`` files that are none now."""
    from os.path import lexists

    from sandbox.policy.errors import printable

    left = dict(at_revision)
    for path in files:
        before = left.pop(path, None)
        if before is None and path not in others and not lexists(path):
            faults.append(f"{printable(path)}: there is no such file, neither now nor at {revision!r}")
            continue
        count = len(faults)
        new = _loaded(path, faults) if lexists(path) else None
        old = None if before is None else _at(before, revision, faults, sure=new is None)
        if len(faults) == count and (old is not None or new is not None):
            yield old, new
    for path, before in left.items():
        named = before.below == "."
        if named or (path.endswith((".yaml", ".yml")) and not _LEFT_OUT.search(before.below)):
            old = None if before.link and path in others else _at(before, revision, faults, sure=named)
            if old is not None:
                yield old, None


def _at(file: GitFile, revision: str, faults: list[str], *, sure: bool) -> Policy | None:
    """The policy that a file was at a revision; ``None`` if it was none, unless it is ``sure`` to be one."""
    from sandbox.compare.git import read_at
    from sandbox.policy.errors import PolicyError, printable
    from sandbox.policy.file import policy_directory
    from sandbox.policy.load import parse_policy

    if file.link:
        faults.append(f"{printable(file.path)}: it was a symbolic link at {revision!r}, which is not followed there")
        return None
    text = read_at(file)
    if not sure and not _SAYS_COMPONENTS.search(text) and not _has_components(text):
        return None
    try:
        return parse_policy(text, file=f"{revision}:{file.path}", directory=policy_directory(file.path))
    except PolicyError as error:
        faults.append(str(error))
        return None


def _has_components(text: bytes) -> bool:
    from sandbox.source import parse

    data = parse(text).data
    return isinstance(data, dict) and "components" in data


def _renderer(name: str) -> Callable[..., str]:
    from sandbox.report import changes

    return {"text": changes.changes_text, "json": changes.changes_json, "markdown": changes.changes_markdown}[name]
