"""Which grant decides a path, where one grant is cut into by another or by ``except``.

In such a grant no symbolic link is followed and none is made, so a path has one meaning: the names in it. Each is
resolved by the kernel beneath the granted directory (``openat2`` with ``RESOLVE_BENEATH`` and ``RESOLVE_NO_SYMLINKS``),
judged by name, and answered with the grant that decides and the path from its root; Wasmtime then acts below that root,
with that grant's permissions.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sandbox.broker.beneath import BENEATH, NO_MAGICLINKS, NO_SYMLINKS, open_beneath
from sandbox.guard.sites import Reason
from sandbox.plan import Preopen
from sandbox.policy.globs import Pattern

FOLLOWS, MUTATES = 1, 2
"""What a call means to do with the last name of its path: follow a link there, change something."""


class Error(IntEnum):
    """Numbers in ``wasi:filesystem/types`` ``error-code``."""

    ACCESS = 0
    INVALID = 12
    IO = 13
    NAME_TOO_LONG = 18
    NO_ENTRY = 20
    INSUFFICIENT_MEMORY = 22
    NOT_DIRECTORY = 24
    NOT_PERMITTED = 31
    CROSS_DEVICE = 36


@dataclass(frozen=True, slots=True)
class Place:
    """A preopen, by index, and a path from its root in normal form (``.`` for the root itself)."""

    preopen: int
    path: str


@dataclass(frozen=True, slots=True)
class Denial:
    """A refusal; ``reason`` is ``None`` for an ordinary failure (nothing is there), which no event is made of."""

    reason: Reason | None
    error: Error


class Router:
    """Answers a guard's questions about paths."""

    def __init__(self, preopens: Sequence[Preopen], directories: Sequence[int]) -> None:
        """``directories`` are file descriptors of the preopens, by index; they stay the caller's."""
        self._preopens = tuple(preopens)
        self._directories = tuple(directories)
        self._inner = [{tuple(p.split("/")): to for p, to in x.inner} for x in preopens]
        self._masked = [{tuple(p.split("/")) for p in x.masked} for x in preopens]
        self._kernel = [{tuple(p.split("/")) for p in x.kernel} for x in preopens]
        self._patterns = [tuple(Pattern.parse(g) for g in x.excepted) for x in preopens]

    def route(self, preopen: int, base: str, path: str, intent: int) -> Place | Denial:
        """Where a call about ``path``, relative to directory ``base`` of a preopen, goes.

        The names decide first. Then the directory that holds the last name must be there, with no link on the way to
        it, so that what is judged is what Wasmtime will find; nothing goes on to Wasmtime otherwise.
        """
        if not path:
            return Denial(None, Error.NO_ENTRY)
        names = _below(base, path)
        if names is None:
            return Denial(Reason.LEADS_OUT, Error.NOT_PERMITTED)
        place = self._decide(preopen, names)
        if isinstance(place, Denial):
            return place
        steps = path.split("/")
        denial = None
        if ".." in steps or steps[-1] == ".":
            head = path if steps[-1] in ("..", ".") else path.rpartition("/")[0]
            denial = self._unreachable(preopen, f"{base or '.'}/{head}")
        directory = path.endswith("/") and bool(names)
        denial = denial or self._linked(preopen, names, bool(intent & FOLLOWS) or directory)
        if denial is not None:
            return denial
        return Place(place.preopen, place.path + "/") if directory and place.path != "." else place

    def rename(
        self, preopen: int, base: str, path: str, other_base: str, other_path: str, intent: int = MUTATES
    ) -> tuple[Place, Place] | Denial:
        """Where a rename or a link goes. Nothing may leave what ``except`` or an inner grant covers, nor come there."""
        found = self.route(preopen, base, path, intent)
        if isinstance(found, Denial):
            return found
        other = self.route(preopen, other_base, other_path, MUTATES)
        if isinstance(other, Denial):
            return other
        old_names, new_names = _below(base, path) or [], _below(other_base, other_path) or []
        olds, news = self._chain(preopen, old_names), self._chain(preopen, new_names)
        if [at for at, _ in olds] != [at for at, _ in news]:
            return Denial(Reason.ACROSS_GRANTS, Error.CROSS_DEVICE)
        for (at, old), (_, new) in zip(olds, news, strict=True):
            for names in (old, new):
                if names and any(inner[: len(names)] == tuple(names) for inner in self._kernel[at]):
                    return Denial(Reason.KERNEL, Error.ACCESS)
                if not names or any(inner[: len(names)] == tuple(names) for inner in self._inside(at)):
                    return Denial(Reason.ABOVE_GRANT, Error.ACCESS)
            # Whatever is there now: a directory may be, by the time of the rename.
            if any(pattern.after(old)[1] != pattern.after(new)[1] for pattern in self._patterns[at]):
                if not self._is_there(preopen, old_names):
                    return Denial(None, Error.NO_ENTRY)
                return Denial(Reason.ABOVE_EXCEPTION, Error.ACCESS)
        return found, other

    def _inside(self, preopen: int) -> set[tuple[str, ...]]:
        return set(self._inner[preopen]) | self._masked[preopen] | self._kernel[preopen]

    def _chain(self, preopen: int, names: list[str]) -> list[tuple[int, list[str]]]:
        """The preopens that a path is handed on through, each with the path from its root."""
        out = [(preopen, names)]
        while len(out) <= len(self._preopens):
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
        if any(tuple(rest[: len(p)]) == p for p in self._kernel[at]):
            return Denial(Reason.KERNEL, Error.ACCESS)
        if any(tuple(rest[: len(p)]) == p for p in self._masked[at]):
            return Denial(Reason.MASKED, Error.ACCESS)
        return Place(at, "/".join(rest) or ".")

    def _unreachable(self, preopen: int, path: str) -> Denial | None:
        """Why a directory cannot be reached, if it cannot."""
        try:
            os.close(_open_beneath(self._directories[preopen], path))
        except OSError as error:
            return _failure(error)
        return None

    def _linked(self, preopen: int, names: list[str], follows: bool) -> Denial | None:
        """Refuse a path with a link before its last name, or at it where the call ``follows`` links."""
        try:
            parent = _open_beneath(self._directories[preopen], "/".join(names[:-1]) or ".")
        except OSError as error:
            return _failure(error)
        try:
            if follows and names and _mode(names[-1], parent, stat.S_ISLNK):
                return Denial(Reason.SYMBOLIC_LINK, Error.ACCESS)
        finally:
            os.close(parent)
        return None

    def _is_there(self, preopen: int, names: list[str]) -> bool:
        if not names:
            return True
        try:
            parent = _open_beneath(self._directories[preopen], "/".join(names[:-1]) or ".")
        except OSError:
            return False
        try:
            return _mode(names[-1], parent, lambda _: True)
        finally:
            os.close(parent)


def _mode(name: str, directory: int, is_of: Callable[[int], bool]) -> bool:
    try:
        encoded = name.encode("utf-8", "surrogateescape")
        return is_of(os.stat(encoded, dir_fd=directory, follow_symlinks=False).st_mode)
    except (OSError, ValueError):
        return False  # not there, or no name at all: Wasmtime will say so


def _failure(error: OSError) -> Denial:
    """What a path that the kernel does not resolve means for the guest."""
    match error.errno:
        case errno.ELOOP:
            return Denial(Reason.SYMBOLIC_LINK, Error.ACCESS)
        case errno.EXDEV:
            return Denial(Reason.LEADS_OUT, Error.NOT_PERMITTED)
        case errno.EACCES | errno.EPERM:
            return Denial(Reason.NATIVE, Error.ACCESS)
        case errno.ENOENT:
            return Denial(None, Error.NO_ENTRY)
        case errno.ENOTDIR:
            return Denial(None, Error.NOT_DIRECTORY)
        case errno.ENAMETOOLONG:
            return Denial(None, Error.NAME_TOO_LONG)
        case errno.EINVAL:
            return Denial(None, Error.INVALID)
        case errno.ENOMEM:
            return Denial(None, Error.INSUFFICIENT_MEMORY)
        case errno.EMFILE | errno.ENFILE:
            return Denial(Reason.OUT_OF_FILES, Error.IO)
        case _:
            return Denial(None, Error.IO)


def _below(base: str, path: str) -> list[str] | None:
    """The names of ``base`` and ``path``, ``.`` and ``..`` worked out; ``None`` where that leads out of ``base``."""
    if path.startswith("/"):
        return None
    names: list[str] = []
    for name in path.split("/"):
        if name == "..":
            if not names:
                return None
            names.pop()
        elif name not in ("", "."):
            names.append(name)
    return [name for name in base.split("/") if name not in ("", ".")] + names


def _open_beneath(directory: int, path: str) -> int:
    """A handle (``O_PATH``) on a directory below ``directory``, reached through no symbolic link."""
    encoded = path.encode("utf-8", "surrogateescape")
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "a path holds a zero byte")
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    return open_beneath(directory, encoded, flags, BENEATH | NO_SYMLINKS | NO_MAGICLINKS)


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
