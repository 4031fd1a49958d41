"""A guest's standard streams on the host's side: opened where the policy says, and carried without ever blocking."""

from __future__ import annotations

import errno
import os
import select
import socket
import stat
from typing import Literal, TypeAlias

from sandbox.plan import StreamPlan
from sandbox.runtime.process import write_all

PIPE = 1 << 20
"""Bytes that a pipe from the guest holds, where the system grants that many."""
CHUNK = 1 << 16
PENDING = 1 << 18
"""Bytes of output held for a slow reader before the guest has to wait."""
F_SETPIPE_SZ = 1031
Name: TypeAlias = Literal["stdout", "stderr"]


def open_input(stream: StreamPlan, given: bytes | None) -> int:
    """A descriptor for standard input: the policy's file, or a file in memory of what was ``given``.

    The latter's access time is 0 until it is read. Raises ``OSError``.
    """
    if stream.path is not None:
        return _open_file(stream.path, os.O_RDONLY)
    memory = os.memfd_create("stdin", os.MFD_CLOEXEC)
    if stream.mode == "inherit" and given:
        write_all(memory, given)
    os.utime(memory, ns=(0, 1))
    return memory


def _open_file(path: str, flags: int) -> int:
    """Open the regular file that the plan found, or that it found nothing in the place of. Raises ``OSError``."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", path)
    return descriptor


class Output:
    """One output stream on its way from the guest, through a pipe, to where the policy sends it."""

    def __init__(self, name: Name, stream: StreamPlan, descriptor: int, member: int = 0) -> None:
        """``descriptor`` is this process's own stream, for ``inherit``; ``member`` is the number of the component whose
        stream it is in its program. Raises ``OSError``.
        """
        self.member = member
        self.name, self.mode, self.granted = name, stream.mode, stream.granted
        self.captured = bytearray()
        self.pending = bytearray()
        self.used = False
        self.failed: str | None = None
        self.count = 0
        """Bytes that the guest wrote."""
        self.chunk = CHUNK
        self.target: int | None = None
        self.owned = False
        if stream.mode == "inherit":
            self._inherit(descriptor)
        elif stream.path is not None:
            self.target = _open_file(stream.path, os.O_WRONLY | os.O_CREAT)
            self.owned = True
            os.ftruncate(self.target, 0)
        self.open = True
        if member:
            # The worker writes it as it does a connection's data.
            mine, theirs = socket.socketpair()
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIPE)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PIPE)
            self.source, self.write_end = mine.detach(), theirs.detach()
        else:
            self.source, self.write_end = os.pipe2(os.O_CLOEXEC)
            _widen(self.source)
        os.set_blocking(self.source, False)

    def _inherit(self, descriptor: int) -> None:
        """Write to this process's own stream. It is shared with others, so it stays in blocking mode."""
        self.target = descriptor
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return
        self.chunk = select.PIPE_BUF  # what a pipe that is ready takes without blocking
        try:
            # An opening of our own of the same pipe or terminal does not block: a stopped one would, in mid-write.
            own = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            self.target, self.owned = os.open(f"/proc/self/fd/{descriptor}", own), True
        except OSError:
            pass  # a socket, or a terminal of somebody else

    @property
    def busy(self) -> bool:
        """Whether more may come from the guest, or has still to be written."""
        return self.open or bool(self.pending)

    def watch(self, poll: select.poll) -> None:
        if self.open and len(self.pending) < PENDING:
            poll.register(self.source, select.POLLIN)
        if self.pending and self.target is not None:
            poll.register(self.target, select.POLLOUT)

    def readable(self, ready: dict[int, int]) -> bool:
        return self.open and self.source in ready

    def writable(self, ready: dict[int, int]) -> bool:
        return bool(self.pending) and self.target in ready

    def read(self, room: int) -> bool:
        """Take what the guest wrote; ``False`` once more than ``room`` bytes came."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return True
        if not data:
            self.stop()
            return True
        self.used = True
        kept = data[:room]
        self.count += len(kept)
        if self.mode == "capture":
            self.captured += kept
        elif self.target is not None:
            self.pending += kept
        return len(kept) == len(data)

    def write(self) -> None:
        assert self.target is not None
        try:
            written = os.write(self.target, self.pending[: self.chunk])
        except BlockingIOError:
            return
        except OSError as error:
            # A reader that is gone is the guest's too, as in any pipeline; anything else is a fault of the host's.
            if error.errno != errno.EPIPE:
                self.failed = f"its {self.name} cannot be written: {error.strerror}"
            self.pending.clear()
            self.stop()
            return
        del self.pending[:written]

    def stop(self) -> None:
        """Take nothing more from the guest."""
        if self.open:
            self.open = False
            os.close(self.source)

    def close_write_end(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
            self.write_end = -1

    def release(self) -> None:
        """Close everything that is this stream's own."""
        self.stop()
        self.close_write_end()
        if self.owned and self.target is not None:
            os.close(self.target)
            self.target = None


def _widen(pipe: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(pipe, F_SETPIPE_SZ, PIPE)
    except OSError:
        pass  # beyond what the system grants one user
