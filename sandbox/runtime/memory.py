"""The guard's memory as the worker's own: what a socket sends and receives goes there without a copy in between.

Wasmtime's binding turns bytes into Python objects one by one, or into text; both take longer than the network. A linear
memory of the guard is a part of this process like any other, and stays where it is for as long as its store lives:
Wasmtime reserves all the addresses that it may ever have. Where it is, Wasmtime does not tell. So the worker makes up a
secret, the guard keeps it in its memory and says at which offset, and the worker looks for the one mapping that holds
it there. A guest cannot know the secret. Where it is not found, bytes go as text.

Nothing beyond the reservation can be reached: an offset has 32 bits, and what was not allocated cannot be accessed.
"""

from __future__ import annotations

import ctypes
import os

RESERVED = 1 << 32
"""Addresses that Wasmtime sets aside for a memory of 32 bits."""
SECRET_BYTES = 16


class GuardMemory:
    """Where the memory of a run's guard is. One for each worker: ``forget`` points it at nothing again."""

    def __init__(self) -> None:
        self.secret = b""
        self.view: memoryview | None = None
        """The memory, by offset, once it was found."""
        # Opened before a guest could use up the descriptors.
        self.maps = self.all = -1
        try:
            self.maps = os.open("/proc/self/maps", os.O_RDONLY | os.O_CLOEXEC)
            self.all = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            pass  # a kernel may be set to refuse it: then nothing is found

    def forget(self) -> None:
        self.secret, self.view = b"", None

    def new_secret(self) -> str:
        """What the guard is to keep in its memory, one character a byte."""
        self.secret = os.urandom(SECRET_BYTES)
        return self.secret.decode("latin-1")

    def locate(self, offset: int) -> bool:
        """Whether the memory that holds the secret at ``offset`` is found."""
        try:
            found = [start for start in self._starts() if self._read(start + offset) == self.secret]
        except OSError:
            return False
        if len(found) != 1 or not self.secret:
            return False
        self.view = memoryview((ctypes.c_ubyte * RESERVED).from_address(found[0])).cast("B")
        self.secret = b""
        return True

    def _starts(self) -> list[int]:
        """Where mappings begin that can be read and written, and are nobody else's."""
        os.lseek(self.maps, 0, os.SEEK_SET)
        text = b""
        while part := os.read(self.maps, 1 << 16):
            text += part
        rows = (line.split(None, 2) for line in text.splitlines())
        return [int(row[0].partition(b"-")[0], 16) for row in rows if row[1] == b"rw-p"]

    def _read(self, address: int) -> bytes:
        try:
            return os.pread(self.all, SECRET_BYTES, address)
        except (OSError, OverflowError):
            return b""
