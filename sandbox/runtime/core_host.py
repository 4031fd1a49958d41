"""What the shim of a preview 1 module may ask of its worker: the same things as a guard, by numbers and addresses.

Addresses are in the base's memory, which no guest can reach; each is checked against the memory's size all the same.
Texts of the guest's cross it as bytes and go on as Latin-1, one character a byte.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wasmtime import _ffi as ffi

from sandbox.broker.beneath import BENEATH, NO_MAGICLINKS, open_beneath
from sandbox.guard.preview1.layout import FOUND, NOTHING, PATH_MAX, TYPE_DIRECTORY, TYPE_FILE, TYPE_LINK, UNKNOWN
from sandbox.runtime.callbacks import DENY, Callbacks

if TYPE_CHECKING:
    from wasmtime import Store

ERRNOS = {0: 2, 12: 28, 13: 29, 18: 37, 20: 44, 22: 48, 24: 54, 31: 63, 36: 75}
"""From the router's ``Error`` to the error numbers of preview 1."""

_size = ffi.wasmtime_memory_data_size
_data = ffi.wasmtime_memory_data
_addressof, _string_at, _memmove = ctypes.addressof, ctypes.string_at, ctypes.memmove
_word = struct.Struct("<I").pack
_kind = struct.Struct("<B7xQ").pack
"""``filetype`` and ``nlink`` as they lie in a ``filestat``, from byte 16 on."""

LOOK = os.O_PATH | os.O_CLOEXEC
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.EACCES, errno.ENAMETOOLONG)
"""What a path that leads to nothing fails with."""
TYPES = {stat.S_IFDIR: TYPE_DIRECTORY, stat.S_IFREG: TYPE_FILE, stat.S_IFLNK: TYPE_LINK}


class BaseMemory:
    """The memory of a run's base. ``point`` directs it at the next run's; the one before went with its store."""

    def __init__(self) -> None:
        self._store: Store | None = None
        self._memory: Any = None

    def point(self, store: Store, memory: ffi.wasmtime_memory_t) -> None:
        self._store, self._memory = store, ctypes.byref(memory)

    def read(self, address: int, size: int) -> bytes:
        return _string_at(self._place(address, size), size)

    def write(self, address: int, data: bytes) -> None:
        _memmove(self._place(address, len(data)), data, len(data))

    def text(self, address: int, size: int) -> str:
        return self.read(address, size).decode("latin-1")

    def _place(self, address: int, size: int) -> int:
        """Where in this process an address is. Raises ``IndexError`` outside of the memory, ``ValueError`` after it."""
        if self._store is None:
            raise ValueError("there is no base")
        context = self._store._context()
        if address < 0 or size < 0 or address + size > _size(context, self._memory):
            raise IndexError("outside of the base's memory")
        return _addressof(_data(context, self._memory).contents) + address


class CoreHost:
    """The host functions of a shim. One instance serves a worker's linkers; ``callbacks`` know the run."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.callbacks, self.memory = callbacks, BaseMemory()

    def denied(self, site: int, reason: int, grant: int, base: int, base_size: int, path: int, path_size: int) -> None:
        text = self.memory.text
        self.callbacks.denied(None, site, reason, grant, text(base, base_size), text(path, path_size))

    def denied_pair(
        self,
        site: int,
        reason: int,
        grant: int,
        base: int,
        base_size: int,
        path: int,
        path_size: int,
        grant2: int,
        base2: int,
        base2_size: int,
        path2: int,
        path2_size: int,
    ) -> None:
        text = self.memory.text
        one, other = (text(base, base_size), text(path, path_size)), (text(base2, base2_size), text(path2, path2_size))
        self.callbacks.denied_pair(None, site, reason, grant, *one, grant2, *other)

    def told(self, site: int) -> None:
        self.callbacks.refused(None, site, "", "")

    def route(
        self, site: int, intent: int, grant: int, base: int, base_size: int, path: int, path_size: int, out: int
    ) -> int:
        text = self.memory.text
        found, where = self.callbacks.route(None, site, intent, grant, text(base, base_size), text(path, path_size))
        return self._answer(found, [(out, where)])

    def route_pair(
        self,
        site: int,
        intent: int,
        grant: int,
        base: int,
        base_size: int,
        path: int,
        path_size: int,
        grant2: int,
        base2: int,
        base2_size: int,
        path2: int,
        path2_size: int,
        out: int,
        out2: int,
    ) -> int:
        text = self.memory.text
        one, other = (text(base, base_size), text(path, path_size)), (text(base2, base2_size), text(path2, path2_size))
        found, where, where2 = self.callbacks.route_pair(None, site, intent, grant, *one, grant2, *other)
        return self._answer(found, [(out, where), (out2, where2)])

    def link(
        self, site: int, grant: int, base: int, base_size: int, path: int, path_size: int, target: int, target_size: int
    ) -> int:
        text = self.memory.text
        found, _, _ = self.callbacks.link(
            site, grant, text(base, base_size), text(path, path_size), text(target, target_size)
        )
        return ERRNOS[found & ~DENY] if found & DENY else 0

    def look(self, grant: int, path: int, path_size: int, follows: int, out: int) -> int:
        """What is at a path below a granted directory: its ``filetype`` and number of links, into a ``filestat``.

        It is there, or nothing is that could be opened, or Wasmtime has to be asked, which resolves paths likewise.
        """
        flags = LOOK if follows else LOOK | os.O_NOFOLLOW
        name = self.memory.read(path, path_size)
        if b"\0" in name or not _is_text(name):  # Wasmtime refuses these, whatever is there
            return NOTHING
        try:
            descriptor = open_beneath(self.callbacks.directories[grant], name, flags, BENEATH | NO_MAGICLINKS)
            try:
                info = os.fstat(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            return NOTHING if error.errno in ABSENT else UNKNOWN
        self.memory.write(out + 16, _kind(TYPES.get(stat.S_IFMT(info.st_mode), 0), info.st_nlink))
        return FOUND

    def misaligned(self, address: int, alignment: int) -> None:
        """Nothing of the type that is to be read or written can lie there: preview 1 has the call trap."""
        self.callbacks.trap = f"the address {address} is not a multiple of {alignment}, as preview 1 wants it"

    def outside(self, address: int, size: int) -> None:
        """A path does not lie in the guest's memory: preview 1 has the call trap."""
        self.callbacks.trap = f"the {size} bytes at address {address} are not in the module's memory"

    def exit(self, status: int) -> None:
        # What a shell sees of a status is its low byte; a failure must not look like success there.
        self.callbacks.exit(None, status & 0xFF or int(status != 0))

    def _answer(self, found: int, paths: list[tuple[int, str]]) -> int:
        """The grant that decides, its paths written where the shim wants them; or an error number below zero."""
        if found & DENY:
            return -ERRNOS[found & ~DENY]
        if any(len(path) > PATH_MAX for _, path in paths):
            return -ERRNOS[18]  # there is no room for more
        for out, path in paths:
            self.memory.write(out, _word(len(path)) + path.encode("latin-1"))
        return found

    def functions(self) -> dict[str, tuple[int, bool, Callable[..., Any]]]:
        """By name, how many words each takes, whether it returns one, and what it does."""
        return {
            "denied": (7, False, self.denied),
            "denied_pair": (12, False, self.denied_pair),
            "told": (1, False, self.told),
            "route": (8, True, self.route),
            "route_pair": (14, True, self.route_pair),
            "link": (8, True, self.link),
            "look": (5, True, self.look),
            "misaligned": (2, False, self.misaligned),
            "outside": (2, False, self.outside),
            "exit": (1, False, self.exit),
        }


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
