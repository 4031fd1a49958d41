"""The ambient world, read once: what a plan needs to know of the machine, as values.

Nothing else in the package reads the environment, the working directory or the links and identities of directories that
a policy names. A plan made from the same values is the same plan.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
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
    kernel: str = ""
    """The kind of file system that it is on, if that is an interface of the kernel: ``proc``."""
    interfaces: tuple[str, ...] = ()
    """Where an interface of the kernel is mounted below: paths relative to it, the outermost alone."""
    mounts: tuple[str, ...] = ()
    """Where any other file system, or a directory or file once more, is mounted below, outside ``interfaces``."""


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
    policy: tuple[str, ...] = ()
    """Absolute paths of the symbolic links that lead to the policy file, and last its real path."""
    source: tuple[str, ...] = ()
    """The same for the component's file."""
    others: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The same for those of other components of the program that nothing pins, each with what it is called."""
    code: tuple[str, ...] = ()
    """Real paths of the directories that this program's own code is in: the package, and its virtual environment."""
    knows_mounts: bool = True
    """Whether it could be read what is mounted where; looked for only where a directory is granted."""


ALIASING_FILE_SYSTEMS = frozenset(
    [
        "9p",
        "cifs",
        "drvfs",
        "exfat",
        "fakeowner",
        "fuse.grpcfuse",
        "fuse.osxfs",
        "fuseblk",
        "hfsplus",
        "msdos",
        "ntfs",
        "ntfs3",
        "osxfs",
        "smb3",
        "vboxsf",
        "vfat",
        "virtiofs",
    ]
)

KERNEL_FILE_SYSTEMS = frozenset(
    {
        *("proc", "sysfs", "debugfs", "tracefs", "securityfs", "configfs", "bpf", "cgroup", "cgroup2", "devpts"),
        *("pstore", "efivarfs", "fusectl", "binfmt_misc", "selinuxfs"),
    }
)
"""File systems whose files are no data but the kernel's, or a process's, own state: memory, settings, terminals."""

MAX_LINKS = 40
"""Symbolic links that the kernel follows in one path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Mount:
    point: str
    device: tuple[int, int]
    kind: str


def read_host(
    component: ComponentPolicy,
    directory: str,
    cache: str | None = None,
    *,
    policy: str | None = None,
    source: str | None = None,
    others: Mapping[str, str] | None = None,
) -> Host:
    """What ``component``'s plan needs; ``directory`` is where the policy's relative paths start.

    ``policy`` and ``source`` are the files that the policy and the component were read from; ``others`` those of other
    components of the program that nothing pins, by what they are called.
    """
    wanted = component.grants.environment.inherit if component.grants.environment else ()
    variables = {v.name: os.environ[v.name] for v in wanted if v.name in os.environ}
    stdio = component.grants.stdio
    streams = (s.path for s in (stdio.stdin, stdio.stdout, stdio.stderr) if s is not None and s.path is not None)
    granted = component.grants.filesystem
    mounts = _mounts() if granted else ()
    return Host(
        environment=variables,
        directories={g.host: _directory(absolute(g.host, directory), mounts or ()) for g in granted},
        files={path: _file(absolute(path, directory)) for path in streams},
        cache=None if cache is None else os.path.realpath(cache),
        policy=() if policy is None else _way(_placed(policy, directory)),
        source=() if source is None else _way(os.path.abspath(source)),
        others=tuple((what, _way(os.path.abspath(path))) for what, path in (others or {}).items()),
        code=_code() if granted else (),
        knows_mounts=mounts is not None,
    )


def _code() -> tuple[str, ...]:
    package = os.path.dirname(os.path.realpath(__file__))
    # A system's own prefix is the whole machine; nobody grants that for writing who could not change it anyway.
    return (package,) if sys.prefix == sys.base_prefix else (package, os.path.realpath(sys.prefix))


def absolute(path: str, directory: str) -> str:
    """``path`` as a policy in ``directory`` means it: ``~`` is the user's home, the rest is relative to the policy."""
    return os.path.normpath(os.path.join(directory, os.path.expanduser(path)))


def _placed(policy: str, directory: str) -> str:
    """The absolute path of a policy, as it was named if that still leads to the directory that it was read from."""
    named = os.path.abspath(policy)
    if os.path.realpath(os.path.dirname(named)) == directory:
        return named
    return os.path.join(directory, os.path.basename(policy))


def _way(path: str) -> tuple[str, ...]:
    """The symbolic links that lead to a file, and last its real path: who may change one of them chooses the file."""
    steps, at = path.split("/")[::-1], "/"
    links: list[str] = []
    while steps and len(links) < MAX_LINKS:
        name = steps.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)
            continue
        place = os.path.join(at, name)
        try:
            target = os.readlink(place)
        except (OSError, ValueError):
            at = place  # no link
            continue
        links.append(place)
        at = "/" if target.startswith("/") else at
        steps += target.split("/")[::-1]
    return (*dict.fromkeys(links), at)


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


def _directory(path: str, mounts: Sequence[_Mount]) -> Directory:
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
    kind = _file_system(real, mounts)
    # By the device too, which does not depend on which of several mounts covers the others.
    kernel = {m.device: m.kind for m in mounts if m.kind in KERNEL_FILE_SYSTEMS}
    interfaces, others = _below(real, mounts)
    return Directory(
        absolute=path,
        real=real,
        ancestors=tuple(ancestors),
        aliases_names=kind in ALIASING_FILE_SYSTEMS,
        kernel=kernel.get(_device(ancestors[0][0]), kind if kind in KERNEL_FILE_SYSTEMS else ""),
        interfaces=interfaces,
        mounts=others,
    )


def _device(number: int) -> tuple[int, int]:
    return os.major(number), os.minor(number)


def _below(real: str, mounts: Iterable[_Mount]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where interfaces of the kernel, and where others, are mounted below a directory; none that is below the former.

    A mount that a later one hides counts like one that is seen.
    """
    start = real.rstrip("/") + "/"
    found = sorted({(m.point[len(start) :], m.kind) for m in mounts if m.point.startswith(start) and m.point != "/"})
    interfaces: list[str] = []
    for path, kind in found:
        if kind in KERNEL_FILE_SYSTEMS and not _covered(path, interfaces):
            interfaces.append(path)
    others = dict.fromkeys(path for path, _ in found if not _covered(path, interfaces))
    return tuple(interfaces), tuple(others)


def _covered(path: str, directories: Iterable[str]) -> bool:
    return any(path == d or path.startswith(d + "/") for d in directories)


def _mounts() -> tuple[_Mount, ...] | None:
    """What is mounted, in the order of mounting: a later one covers an earlier one. ``None`` if that cannot be read."""
    out = []
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
            for line in lines:
                before, _, after = line.partition(" - ")
                _, _, device, _, point = before.split(" ")[:5]
                for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
                    point = point.replace(code, char)
                major, minor = device.split(":")
                out.append(_Mount(point=point, device=(int(major), int(minor)), kind=after.split(" ", 1)[0]))
    except (OSError, ValueError):
        return None
    return tuple(out)


def _file_system(path: str, mounts: Iterable[_Mount]) -> str:
    best, kind = -1, ""
    for m in mounts:
        inside = m.point == "/" or path == m.point or path.startswith(m.point + "/")
        if inside and len(m.point) >= best:
            best, kind = len(m.point), m.kind
    return kind


ThingKind = Literal["directory", "file", "socket", "device", "fifo", "nothing", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """What stands at a path that a policy names, for those who judge the policy."""

    absolute: str
    """Absolute, not resolved."""
    real: str
    """Absolute, every symbolic link resolved, as far as there is something."""
    kind: ThingKind
    """``unknown``: it may not be looked at."""
    link: bool
    """Whether the path itself is a symbolic link, wherever it leads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a policy is judged by beside what it names: directories by their absolute paths."""

    home: str
    programs: tuple[str, ...] = ()
    """Where commands are looked for."""
    code: tuple[str, ...] = ()
    """Where this program's own code is."""
    cache: str | None = None
    """The directory of compiled components."""


def read_machine(cache: str | None = None) -> Machine:
    """The machine as it is now; ``cache`` is the directory of compiled components."""
    searched = (_one_slash(os.path.abspath(part)) for part in os.environ.get("PATH", "").split(os.pathsep) if part)
    return Machine(
        home=_one_slash(os.path.abspath(os.path.expanduser("~"))),
        programs=tuple(dict.fromkeys(searched)),
        code=_code(),
        cache=None if cache is None else os.path.realpath(cache),
    )


def _one_slash(path: str) -> str:
    """An absolute path with one slash at its start: two stay two everywhere else."""
    return f"/{path.lstrip('/')}"


def look_at(path: str) -> Thing:
    """What stands at an absolute path. Nothing is opened."""
    try:
        link = stat.S_ISLNK(os.lstat(path).st_mode)
        real = os.path.realpath(path)
        mode = os.stat(real).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return Thing(absolute=path, real=os.path.realpath(path), kind="nothing", link=os.path.islink(path))
    except (OSError, ValueError):  # a loop of links, no permission, a zero byte
        return Thing(absolute=path, real=path, kind="unknown", link=False)
    return Thing(absolute=path, real=real, kind=_kind_of(mode), link=link)


def _kind_of(mode: int) -> ThingKind:
    kinds: tuple[tuple[bool, ThingKind], ...] = (
        (stat.S_ISDIR(mode), "directory"),
        (stat.S_ISREG(mode), "file"),
        (stat.S_ISSOCK(mode), "socket"),
        (stat.S_ISCHR(mode) or stat.S_ISBLK(mode), "device"),
        (stat.S_ISFIFO(mode), "fifo"),
    )
    return next((kind for is_it, kind in kinds if is_it), "unknown")


def contents(directory: str, *, depth: int, most: int) -> tuple[tuple[str, ThingKind], ...]:
    """What lies below a directory, ``depth`` levels down at most: paths relative to it, nearest first, sorted by name.

    No more than ``most`` entries are looked at, and no symbolic link is followed. What cannot be read is left out.
    """
    found: list[tuple[str, ThingKind]] = []
    level = [""]
    for _ in range(depth):
        below: list[str] = []
        for inside in level:
            try:
                with os.scandir(os.path.join(directory, inside)) as entries:
                    names = sorted((e for _, e in zip(range(most - len(found)), entries, strict=False)), key=_name)
                    for entry in names:
                        path = f"{inside}/{entry.name}" if inside else entry.name
                        kind = "unknown" if entry.is_symlink() else _kind_of(entry.stat(follow_symlinks=False).st_mode)
                        found.append((path, kind))
                        if kind == "directory":
                            below.append(path)
            except OSError:
                continue
        level = below
    return tuple(found)


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
