"""``openat2``: the kernel resolves a path, and does not leave the directory that it starts from.

Light: a worker has it at hand from the start.
"""

from __future__ import annotations

import ctypes
import errno
import os

NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x02, 0x04, 0x08
"""Of ``RESOLVE_``: no link of ``/proc`` is followed; none at all; nothing outside of the directory is reached."""


TRIES = 256
"""How often a path with ``..`` is resolved again: the kernel gives up where anything is renamed meanwhile, anywhere."""


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_OPENAT2 = ctypes.c_long(437)
_SIZE = ctypes.c_size_t(ctypes.sizeof(_OpenHow))
_syscall = ctypes.CDLL(None, use_errno=True).syscall


def open_beneath(directory: int, path: bytes, flags: int, resolve: int) -> int:
    """A new descriptor (``flags`` as for ``open``) of what is at ``path`` below ``directory``. Raises ``OSError``.

    A path with a zero byte is what comes before it: callers refuse it.
    """
    how = _OpenHow(flags, 0, resolve)
    number = 0
    for _ in range(TRIES):
        found = _syscall(_OPENAT2, ctypes.c_int(directory), path, ctypes.byref(how), _SIZE)
        if found >= 0:
            return int(found)
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))
