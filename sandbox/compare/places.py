"""Where the host paths of two policies lead on this machine. The one module of this room that looks at it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sandbox.host import absolute
from sandbox.policy.model import Policy, Stream

MAX_PATH = 4096
"""Bytes of the longest path that the kernel takes."""

Identity = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """Where a directory is, links resolved. It need not exist."""

    names: tuple[str, ...]
    """Of its path, from the root."""
    numbers: tuple[int, ...]
    """Of the directory itself and of each above it, innermost first: what is one directory has one number, whichever
    path leads to it."""

    def below(self, other: Location) -> tuple[str, ...] | None:
        """The names that lead here from ``other``; ``None`` where this is not inside it."""
        if other.numbers[0] not in self.numbers:
            return None
        depth = self.numbers.index(other.numbers[0])
        return self.names[len(self.names) - depth :]


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where the paths of both policies lead, by the path as it is written."""

    directories: Mapping[str, Location] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """What standard streams use: absolute, links resolved but for a last one."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Components: absolute."""


def identity_of(path: str) -> Identity | None:
    """Device and inode of what is at a path; ``None`` where nothing is, or it cannot be told."""
    try:
        info = os.stat(path)
    except (OSError, ValueError):
        return None
    return info.st_dev, info.st_ino


def find_places(
    policies: Iterable[Policy], directory: str, identity: Callable[[str], Identity | None] = identity_of
) -> Places:
    """Where the paths of ``policies`` lead if relative ones start at ``directory``, whichever file they are from."""
    components = [component for policy in policies for component in policy.components]
    stdio = (c.grants.stdio for c in components)
    streams: list[Stream | None] = [stream for s in stdio for stream in (s.stdin, s.stdout, s.stderr)]
    numbers: dict[object, int] = {}
    hosts = dict.fromkeys(g.host for c in components for g in c.grants.filesystem)
    return Places(
        directories={host: _location(absolute(host, directory), numbers, identity) for host in hosts},
        files={s.path: _file(absolute(s.path, directory)) for s in streams if s is not None and s.path is not None},
        sources={c.source: absolute(c.source, directory) for c in components if c.source is not None},
    )


def _file(path: str) -> str:
    head, tail = os.path.split(path)
    return path if len(path) > MAX_PATH else os.path.join(os.path.realpath(head), tail)


def _location(path: str, numbers: dict[object, int], identity: Callable[[str], Identity | None]) -> Location:
    # What is longer cannot be there, and looking for each of its parts would take long.
    names = tuple(os.path.realpath(path).split("/")[1:]) if len(os.fsencode(path)) <= MAX_PATH else (path,)
    names = tuple(name for name in names if name)
    number = numbers.setdefault(identity("/"), len(numbers))
    found, at = [number], "/"
    for name in names:
        at = os.path.join(at, name)
        # What is not there is known by its name in the directory above it.
        number = numbers.setdefault(identity(at) or (number, name), len(numbers))
        found.append(number)
    return Location(names=names, numbers=tuple(reversed(found)))
