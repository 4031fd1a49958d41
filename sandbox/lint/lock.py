"""The lock file: what every component beside a directory's policies was when it was last looked at.

One ``sandbox.lock`` stands beside the policies of a directory. It has, by the component's path as the policies write
it, the digest of the file and its capability surface. Reading is strict: a lock that was damaged, or merged by a tool
that does not know it, is an error and never one that says less. It is no signature: who may write it may lock anything.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from sandbox.component import Facts, Kind, ModuleFacts
from sandbox.lint.surface import Surface, export_of, import_of, narrowed, reshaped, surface_of, widened
from sandbox.policy.errors import printable
from sandbox.source import HIDDEN
from sandbox.wasi import FAMILIES, Family

NAME = "sandbox.lock"
VERSION = 1
MAX_BYTES = 4 * 1024 * 1024
MAX_COMPONENTS = 5_000
MAX_KEY = 4096
"""Characters of a component's path."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ENTRY = ("digest", "kind", "imports", "families", "exports")
_AGAIN = "remove it and run `sandbox lock` again"


class LockError(Exception):
    """A lock that cannot be read, believed or written. ``str`` is one printable sentence, its end left off."""

    def __init__(self, path: str, message: str, line: int | None = None) -> None:
        place = path if line is None else f"{path}:{line}"
        super().__init__(printable(f"{place}: {message}"))
        self.path = path
        self.line = line
        self.message = printable(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """One component, as it was."""

    digest: str
    """``sha256:`` and 64 lower-case hexadecimal digits."""
    kind: Kind
    imports: tuple[str, ...]
    """As ``Surface`` has them, like the rest."""
    families: tuple[Family, ...]
    exports: tuple[str, ...]

    @property
    def surface(self) -> Surface:
        return Surface(kind=self.kind, imports=self.imports, families=self.families, exports=self.exports)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """A lock file that was read."""

    path: str
    entries: Mapping[str, Locked]
    """By what ``key_of`` makes of the component's path."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How a component differs from what is locked. The sentences lack their subject, the component."""

    same_digest: bool
    same_surface: bool
    """With another digest: built anew, and asking for and offering the same. With the same digest a surface that
    differs is a fault of the lock: somebody changed it, or another version of this program made it."""
    widened: tuple[str, ...] = ()
    """``could now connect to hosts and listen, over TCP (wasi:sockets/tcp)``"""
    narrowed: tuple[str, ...] = ()
    """``can no longer read standard input (wasi:cli/stdin)``"""
    reshaped: tuple[str, ...] = ()
    """What changed and is no capability: ``no longer exports cyber:math/operations``"""

    @property
    def same(self) -> bool:
        return self.same_digest and self.same_surface


def key_of(source: str) -> str:
    """The key of a component whose path a policy writes as ``source``: the same for all spellings of one path.

    Like the paths of policies it is taken apart as text: no symbolic link is followed.
    """
    if source == "~" or source.startswith("~/"):
        below = posixpath.normpath(source[1:].lstrip("/"))
        return "~" if below == "." else f"~/{below}"
    path = posixpath.normpath(source)
    if path.startswith("//"):
        path = path[1:]
    return f"./{path}" if path.startswith("~") else path


def locked_of(facts: Facts) -> Locked:
    """What a lock has of a component."""
    surface = surface_of(facts)
    return Locked(
        digest=facts.digest,
        kind=surface.kind,
        imports=surface.imports,
        families=surface.families,
        exports=surface.exports,
    )


def locked_facts(locked: Locked, path: str) -> Facts:
    """The facts of the component that was locked, for one whose file is not on this machine.

    The size is 0 and the order of the file is lost; of a module, that its memory is plain is taken for granted and that
    it has a start section is not known.
    """
    exports = tuple(export_of(text) for text in locked.exports)
    memory = any(item.kind == "memory" and item.name == "memory" for item in exports)
    return Facts(
        path=path,
        kind=locked.kind,
        size=0,
        digest=locked.digest,
        imports=tuple(import_of(locked.kind, text) for text in locked.imports),
        exports=exports,
        module=ModuleFacts(memory="plain" if memory else "none", start=False) if locked.kind == "module" else None,
    )


def difference(locked: Locked, facts: Facts) -> Difference:
    """How a component differs from what is locked of it."""
    old, new = locked.surface, surface_of(facts)
    same_digest = locked.digest == facts.digest
    if old == new:
        return Difference(same_digest=same_digest, same_surface=True)
    return Difference(
        same_digest=same_digest,
        same_surface=False,
        widened=widened(old, new),
        narrowed=narrowed(old, new),
        reshaped=reshaped(old, new),
    )


def lock_path(directory: str) -> str:
    """The path of the lock of the policies in ``directory``, as it is shown."""
    return os.path.normpath(os.path.join(directory, NAME))


def read_lock(directory: str) -> Lock | None:
    """The lock of the policies in ``directory``; ``None`` where there is none. Raises ``LockError``."""
    path = lock_path(directory)
    data = _bytes(path)
    return None if data is None else parse_lock(data, path)


def parse_lock(data: bytes, path: str) -> Lock:
    """The lock that ``data``, read from ``path``, is. Raises ``LockError``."""
    if len(data) > MAX_BYTES:
        raise LockError(path, f"is larger than the {MAX_BYTES} bytes that a lock may have")
    return Lock(path=path, entries=_Reader(path).entries(data))


def render_lock(entries: Mapping[str, Locked]) -> str:
    """The text of a lock: the same for the same entries, in ASCII."""
    components = {
        key: {
            "digest": locked.digest,
            "kind": locked.kind,
            "imports": list(locked.imports),
            "families": list(locked.families),
            "exports": list(locked.exports),
        }
        for key, locked in entries.items()
    }
    return json.dumps({"version": VERSION, "components": components}, indent=2, sort_keys=True) + "\n"


def write_lock(directory: str, entries: Mapping[str, Locked]) -> bool:
    """Write the lock of the policies in ``directory``, whole or not at all; whether that changed anything.

    It keeps its mode. A lock that is no regular file is left as it is. Raises ``LockError``.
    """
    path = lock_path(directory)
    if len(entries) > MAX_COMPONENTS:
        raise LockError(path, f"would have {len(entries)} components, and a lock has at most {MAX_COMPONENTS}")
    data = render_lock(entries).encode("ascii")
    if len(data) > MAX_BYTES:
        raise LockError(path, f"would have {len(data)} bytes, and a lock has at most {MAX_BYTES}")
    if _bytes(path) == data:
        return False
    try:
        _replace(path, data)
    except OSError as error:
        raise LockError(path, f"cannot be written: {error.strerror or error}") from None
    return True


def _replace(path: str, data: bytes) -> None:
    fresh = os.path.join(os.path.dirname(path), f".{NAME}.{os.getpid()}.{os.urandom(4).hex()}")
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        try:
            try:
                os.fchmod(file, os.lstat(path).st_mode & 0o777)
            except FileNotFoundError:
                pass  # a new one gets the mode that the process gives its files
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        finally:
            os.close(file)
        os.rename(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise


def _bytes(path: str) -> bytes | None:
    """What is in a lock, up to one byte more than it may have; ``None`` where there is none."""
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            raise LockError(path, "is a symbolic link, and a lock is a regular file")
        # A FIFO would block in open() until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise LockError(path, "is no regular file, as a lock is")
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LockError(path, f"cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise LockError(path, "cannot be read: the path holds a NUL character") from None


class _Reader:
    """A lock's text as entries."""

    def __init__(self, path: str) -> None:
        self._path = path

    def entries(self, data: bytes) -> dict[str, Locked]:
        outer = self._json(data)
        if not isinstance(outer, dict):
            self._fail("it is not a JSON object")
        version = outer.get("version")
        if type(version) is int and version != VERSION:  # another version has other keys
            raise LockError(self._path, f"is of another version than {VERSION}, the only one that this program knows")
        self._keys(outer, ("version", "components"), "a lock")
        if type(version) is not int:  # True and 1.0 equal 1
            self._fail("its version is not a number")
        components = outer["components"]
        if not isinstance(components, dict):
            self._fail("its components are not an object")
        if len(components) > MAX_COMPONENTS:
            self._fail(f"it has {len(components)} components, more than {MAX_COMPONENTS}")
        return {self._key(key): self._locked(key, value) for key, value in components.items()}

    def _fail(self, message: str) -> NoReturn:
        raise LockError(self._path, f"is no lock: {message}; {_AGAIN}")

    def _json(self, data: bytes) -> object:
        try:
            return json.loads(data.decode("utf-8"), object_pairs_hook=self._object, parse_constant=self._constant)
        except json.JSONDecodeError as error:
            raise LockError(self._path, f"is no lock: it is not JSON ({error.msg}); {_AGAIN}", error.lineno) from None
        except UnicodeDecodeError as error:
            message = f"is no lock: the byte 0x{data[error.start]:02x} is not UTF-8; {_AGAIN}"
            raise LockError(self._path, message, data.count(b"\n", 0, error.start) + 1) from None
        except RecursionError:
            self._fail("it is nested too deep")
        except ValueError:
            self._fail("it has a number of too many digits")

    def _object(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen:
                    self._fail(f"the key {_shown(key)} is there twice")
                seen.add(key)
        return found

    def _constant(self, text: str) -> NoReturn:
        self._fail(f"{text} is not JSON")

    def _keys(self, found: dict[str, object], known: tuple[str, ...], what: str) -> None:
        for key in found:
            if key not in known:
                self._fail(f"{what} has no key {_shown(key)}")
        for key in known:
            if key not in found:
                self._fail(f"{what} has a key {key}, which is missing")

    def _key(self, key: str) -> str:
        if not key or len(key) > MAX_KEY or HIDDEN.search(key) or _SURROGATE.search(key) or key_of(key) != key:
            self._fail(f"{_shown(key)} is not the path of a component as a lock has it")
        return key

    def _locked(self, key: str, value: object) -> Locked:
        what = f"the component {_shown(key)}"
        if not isinstance(value, dict):
            self._fail(f"{what} is not an object")
        self._keys(value, _ENTRY, what)
        digest, families = value["digest"], value["families"]
        if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
            self._fail(f"the digest of {what} is not 'sha256:' and 64 lower-case hexadecimal digits")
        kind = self._kind(value["kind"], what)
        imports, exports = self._names(value, "imports", what), self._names(value, "exports", what)
        try:
            for name in imports:
                import_of(kind, name)
            for name in exports:
                export_of(name)
        except ValueError as error:
            self._fail(f"{what} has a name that no lock has: {error}")
        chosen = tuple(family for family in FAMILIES if isinstance(families, list) and family in families)
        if list(chosen) != families:
            self._fail(f"the families of {what} are not a list of {', '.join(FAMILIES)}, in this order")
        return Locked(digest=digest, kind=kind, imports=imports, families=chosen, exports=exports)

    def _kind(self, value: object, what: str) -> Kind:
        if value == "component":
            return "component"
        if value == "module":
            return "module"
        self._fail(f"the kind of {what} is neither component nor module")

    def _names(self, value: dict[str, object], key: str, what: str) -> tuple[str, ...]:
        found = value[key]
        if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
            self._fail(f"the {key} of {what} are not a list of names")
        if sorted(set(found)) != found:
            self._fail(f"the {key} of {what} are not in order, each once")
        return tuple(found)


def _shown(text: str) -> str:
    short = text if len(text) <= 100 else f"{text[:97]}..."
    return f"'{printable(short)}'"
