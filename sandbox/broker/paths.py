"""Which grant decides a path, where one grant is cut into by another or by ``except``.

In such a grant no symbolic link is followed and none is made, so a path has one meaning: the names in it. Each is
resolved by the kernel beneath the granted directory (``openat2`` with ``RESOLVE_BENEATH`` and ``RESOLVE_NO_SYMLINKS``),
judged by name, and answered with the grant that decides and the path from its root; Wasmtime then acts below that root,
with that grant's permissions.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from sandbox.guard.sites import Reason
from sandbox.plan import Preopen

FOLLOWS, MUTATES = 1, 2
"""What a call means to do with the last name of its path: follow a link there, change something."""

MAX_STEPS = 64
"""Grants inside grants that one path may be handed on through."""


class Error(IntEnum):
    """Numbers in ``wasi:filesystem/types`` ``error-code``."""

    ACCESS = 0
    NOT_PERMITTED = 31
    CROSS_DEVICE = 36


@dataclass(frozen=True, slots=True)
class Place:
    """A preopen, by index, and a path from its root in normal form (``.`` for the root itself)."""

    preopen: int
    path: str


@dataclass(frozen=True, slots=True)
class Denial:
    reason: Reason
    error: Error


@dataclass(frozen=True, slots=True)
class Pattern:
    """One ``except`` glob. Letter case is ignored, so that no spelling of a name slips past it."""

    segments: tuple[str, ...]

    @classmethod
    def parse(cls, glob: str) -> Pattern:
        return cls(tuple(glob.casefold().strip("/").split("/")))

    def start(self) -> frozenset[int]:
        return self._closed({0})

    def _closed(self, states: set[int]) -> frozenset[int]:
        for state in sorted(states):
            at = state
            while at < len(self.segments) and self.segments[at] == "**":
                at += 1
                states.add(at)
        return frozenset(states)

    def step(self, states: frozenset[int], name: str) -> frozenset[int]:
        """The states after one more name; ``len(segments)`` among them means that the path matches."""
        folded = name.casefold()
        out: set[int] = set()
        for state in states:
            if state == len(self.segments):
                continue
            segment = self.segments[state]
            if segment == "**":
                out.add(state)
            elif _fits(folded, segment):
                out.add(state + 1)
        return self._closed(out)

    def after(self, names: Sequence[str]) -> tuple[bool, frozenset[int]]:
        """Whether the path or a directory above it matches, and what is left of the pattern below it."""
        states = self.start()
        for name in names:
            states = self.step(states, name)
            if len(self.segments) in states:
                return True, states
        return False, states


def _fits(name: str, segment: str) -> bool:
    """Whether one name matches one segment: ``*``, ``?`` and ``[...]``, linear in memory, without backtracking blow-up."""
    states = {0}
    items = _items(segment)

    def closed(found: set[int]) -> set[int]:
        for state in sorted(found):
            at = state
            while at < len(items) and items[at] is None:
                at += 1
                found.add(at)
        return found

    states = closed(states)
    for char in name:
        out = set()
        for state in states:
            if state == len(items):
                continue
            item = items[state]
            if item is None:
                out.add(state)
            elif item(char):
                out.add(state + 1)
        states = closed(out)
    return len(items) in states


@lru_cache(maxsize=1024)
def _items(segment: str) -> tuple[Callable[[str], bool] | None, ...]:
    """``None`` stands for ``*``."""
    out: list[Callable[[str], bool] | None] = []
    at = 0
    while at < len(segment):
        char = segment[at]
        end = segment.find("]", at + 2) if char == "[" else -1
        if char == "*":
            out.append(None)
        elif char == "?":
            out.append(lambda _: True)
        elif end > 0:
            out.append(_class(segment[at + 1 : end]))
            at = end
        else:
            out.append(char.__eq__)
        at += 1
    return tuple(out)


def _class(body: str) -> Callable[[str], bool]:
    negated = body[0] in "!^"
    body = body[1:] if negated else body
    ranges, at = [], 0
    while at < len(body):
        if at + 2 < len(body) and body[at + 1] == "-":
            ranges.append((body[at], body[at + 2]))
            at += 3
        else:
            ranges.append((body[at], body[at]))
            at += 1
    return lambda char: any(low <= char <= high for low, high in ranges) is not negated


class Router:
    """Answers a guard's questions about paths. Holds a handle on each directory that it judges; ``close`` drops them."""

    def __init__(self, preopens: Sequence[Preopen], directories: Sequence[int]) -> None:
        """``directories`` are file descriptors of the preopens, by index; they stay the caller's."""
        self._preopens = tuple(preopens)
        self._directories = tuple(directories)
        self._inner = [{tuple(p.split("/")): to for p, to in x.inner} for x in preopens]
        self._masked = [{tuple(p.split("/")) for p in x.masked} for x in preopens]
        self._patterns = [tuple(Pattern.parse(g) for g in x.excepted) for x in preopens]

    def route(self, preopen: int, base: str, path: str, intent: int) -> Place | Denial:
        """Where a call about ``path``, relative to directory ``base`` of a preopen, goes."""
        names = _names(base, path)
        if names is None:
            return Denial(Reason.LEADS_OUT, Error.NOT_PERMITTED)
        linked = self._linked(preopen, base, path, bool(intent & FOLLOWS))
        if linked is not None:
            return linked
        place = self._decide(preopen, names)
        if isinstance(place, Place) and path.endswith("/") and place.path != ".":
            return Place(place.preopen, place.path + "/")
        return place

    def rename(
        self, preopen: int, base: str, path: str, other_base: str, other_path: str
    ) -> tuple[Place, Place] | Denial:
        """Where a rename goes. Nothing may leave what ``except`` or a grant inside this one covers, nor come there."""
        found = self.route(preopen, base, path, MUTATES)
        if isinstance(found, Denial):
            return found
        other = self.route(preopen, other_base, other_path, MUTATES)
        if isinstance(other, Denial):
            return other
        if found.preopen != other.preopen:
            return Denial(Reason.ACROSS_GRANTS, Error.CROSS_DEVICE)
        olds, news = self._chain(preopen, _names(base, path)), self._chain(preopen, _names(other_base, other_path))
        for (at, old), (_, new) in zip(olds, news, strict=True):
            for names in (old, new):
                if not names or any(inner[: len(names)] == tuple(names) for inner in self._inside(at)):
                    return Denial(Reason.ABOVE_GRANT, Error.ACCESS)
            for pattern in self._patterns[at]:
                if not pattern.after(old)[1] <= pattern.after(new)[1]:
                    return Denial(Reason.ABOVE_EXCEPTION, Error.ACCESS)
        return found, other

    def link_target(self, preopen: int, target: str) -> Denial | None:
        """Whether a symbolic link to ``target`` may be made: it may only point below its own directory, wherever it is moved."""
        if self._preopens[preopen].routed:
            return Denial(Reason.SYMBOLIC_LINK, Error.ACCESS)
        if target.startswith("/") or ".." in target.split("/"):
            return Denial(Reason.LINK_TARGET, Error.NOT_PERMITTED)
        return None

    def _inside(self, preopen: int) -> set[tuple[str, ...]]:
        return set(self._inner[preopen]) | self._masked[preopen]

    def _chain(self, preopen: int, names: list[str] | None) -> list[tuple[int, list[str]]]:
        """The preopens that a path is handed on through, each with the path from its root."""
        names = names or []
        out = [(preopen, names)]
        while len(out) < MAX_STEPS:
            cut = max((len(p) for p in self._inside(preopen) if tuple(names[: len(p)]) == p), default=0)
            here = tuple(names[:cut])
            if here not in self._inner[preopen]:
                break
            preopen, names = self._inner[preopen][here], names[cut:]
            out.append((preopen, names))
        return out

    def _decide(self, preopen: int, names: list[str]) -> Place | Denial:
        chain = self._chain(preopen, names)
        for at, rest in chain:
            if any(pattern.after(rest)[0] for pattern in self._patterns[at]):
                return Denial(Reason.EXCEPTED, Error.ACCESS)
        at, rest = chain[-1]
        if any(tuple(rest[: len(p)]) == p for p in self._masked[at]):
            return Denial(Reason.MASKED, Error.ACCESS)
        return Place(at, "/".join(rest) or ".")

    def _linked(self, preopen: int, base: str, path: str, follows: bool) -> Denial | None:
        """Refuse a path that goes through a symbolic link, or out of the directory by the kernel's own account."""
        whole = "/".join(x for x in (base, path.rstrip("/")) if x) or "."
        head, _, name = whole.rpartition("/")
        if name in ("..", "."):
            head, name = whole, ""
        try:
            parent = _open_beneath(self._directories[preopen], head or ".")
        except OSError as error:
            if error.errno == errno.ELOOP:
                return Denial(Reason.SYMBOLIC_LINK, Error.ACCESS)
            if error.errno == errno.EXDEV:
                return Denial(Reason.LEADS_OUT, Error.NOT_PERMITTED)
            return None  # Wasmtime will give the guest the same error for the same path
        try:
            if name and (follows or path.endswith("/")):
                if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    return Denial(Reason.SYMBOLIC_LINK, Error.ACCESS)
        except (OSError, ValueError):
            return None
        finally:
            os.close(parent)
        return None


def _names(base: str, path: str) -> list[str] | None:
    """The names of ``base`` and then ``path``, ``.`` and ``..`` worked out; ``None`` where they lead out."""
    if path.startswith("/"):
        return None
    out: list[str] = []
    for name in [*base.split("/"), *path.split("/")]:
        if name == "..":
            if not out:
                return None
            out.pop()
        elif name not in ("", "."):
            out.append(name)
    return out


def _split(path: str) -> list[str]:
    return [n for n in path.split("/") if n not in ("", ".")]


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_OPENAT2 = 437
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_syscall = ctypes.CDLL(None, use_errno=True).syscall


def _open_beneath(directory: int, path: str) -> int:
    """A handle (``O_PATH``) on a directory below ``directory``, reached through no symbolic link."""
    how = _OpenHow(
        os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    )
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "a path holds a zero byte")
    found = _syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(directory),
        encoded,
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(found)


def openat2_works() -> bool:
    """Whether the kernel has ``openat2`` (Linux 5.6), without which no grant can be routed."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_open_beneath(root, "."))
    except OSError:
        return False
    finally:
        os.close(root)
    return True
