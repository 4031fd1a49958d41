"""The ambient world, read once: what a plan needs to know of the machine, as values.

Nothing else in the package reads the environment, the working directory or the links and identities of directories that
a policy names. A plan made from the same values is the same plan.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sandbox.policy.model import ComponentPolicy


@dataclass(frozen=True, kw_only=True, slots=True)
class Directory:
    """What stands at a path that a policy grants. ``real`` is ``None`` where nothing, or no directory, does."""

    absolute: str
    """Absolute, not resolved."""
    real: str | None
    """Absolute, every symbolic link resolved."""
    ancestors: tuple[tuple[int, int], ...] = ()
    """Device and inode of the directory itself and of every directory above it, innermost first."""
    aliases_names: bool = False
    """Whether its file system gives files more names than one spelling (FAT, NTFS, SMB: case, short names)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """What stands at a path that a standard stream uses."""

    real: str
    """Absolute, every symbolic link resolved but a last one."""
    kind: Literal["file", "link", "other", "nothing", "no directory"]
    identity: tuple[int, int] | None = None
    """Device and inode, where there is something."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """What one plan depends on beside the policy and the component."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """The variables that the policy inherits, where they are set."""
    directories: Mapping[str, Directory] = field(default_factory=dict)
    """By the path as the policy writes it."""
    files: Mapping[str, File] = field(default_factory=dict)
    """What standard streams use, by the path as the policy writes it."""
    cache: str | None = None
    """Real path of the directory of compiled components."""


ALIASING_FILE_SYSTEMS = frozenset(
    {"vfat", "msdos", "exfat", "ntfs", "ntfs3", "fuseblk", "cifs", "smb3", "hfsplus", "9p", "drvfs", "vboxsf"}
)


def read_host(component: ComponentPolicy, directory: str, cache: str | None = None) -> Host:
    """What ``component``'s plan needs; ``directory`` is where the policy's relative paths start."""
    wanted = component.grants.environment.inherit if component.grants.environment else ()
    variables = {v.name: os.environ[v.name] for v in wanted if v.name in os.environ}
    stdio = component.grants.stdio
    streams = (s.path for s in (stdio.stdin, stdio.stdout, stdio.stderr) if s is not None and s.path is not None)
    careful = any(g.excepted for g in component.grants.filesystem) or len(component.grants.filesystem) > 1
    mounts = _mounts() if careful else ()
    return Host(
        environment=variables,
        directories={g.host: _directory(absolute(g.host, directory), mounts) for g in component.grants.filesystem},
        files={path: _file(absolute(path, directory)) for path in streams},
        cache=None if cache is None else os.path.realpath(cache),
    )


def absolute(path: str, directory: str) -> str:
    """``path`` as a policy in ``directory`` means it: ``~`` is the user's home, the rest is relative to the policy."""
    return os.path.normpath(os.path.join(directory, os.path.expanduser(path)))


def _file(path: str) -> File:
    head, tail = os.path.split(path)
    real = os.path.join(os.path.realpath(head), tail)
    try:
        info = os.lstat(real)
    except OSError:
        return File(real=real, kind="nothing" if os.path.isdir(head) else "no directory")
    kind: Literal["file", "link", "other"] = (
        "file" if stat.S_ISREG(info.st_mode) else "link" if stat.S_ISLNK(info.st_mode) else "other"
    )
    return File(real=real, kind=kind, identity=(info.st_dev, info.st_ino))


def _directory(path: str, mounts: Iterable[tuple[str, str]]) -> Directory:
    real = os.path.realpath(path)
    try:
        if not stat.S_ISDIR(os.stat(real).st_mode):
            return Directory(absolute=path, real=None)
        ancestors = []
        at = real
        while True:
            info = os.stat(at)
            ancestors.append((info.st_dev, info.st_ino))
            if at == "/":
                break
            at = os.path.dirname(at)
    except OSError:
        return Directory(absolute=path, real=None)
    return Directory(
        absolute=path,
        real=real,
        ancestors=tuple(ancestors),
        aliases_names=_file_system(real, mounts) in ALIASING_FILE_SYSTEMS,
    )


def _mounts() -> tuple[tuple[str, str], ...]:
    """Mount points and their file systems, in the order of mounting: a later one covers an earlier one."""
    out = []
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                before, _, after = line.partition(" - ")
                point = before.split(" ")[4]
                for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                    point = point.replace(code, char)
                out.append((point, after.split(" ", 1)[0]))
    except (OSError, IndexError):
        return ()
    return tuple(out)


def _file_system(path: str, mounts: Iterable[tuple[str, str]]) -> str:
    best, kind = -1, ""
    for point, file_system in mounts:
        inside = point == "/" or path == point or path.startswith(point + "/")
        if inside and len(point) >= best:
            best, kind = len(point), file_system
    return kind
