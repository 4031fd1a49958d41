"""Where a trail is written: a file, standard error or a descriptor, one JSON object a line, through structlog.

Opening is cheap and checks all that can be checked before the run; structlog is loaded with the first event, while the
guest already runs.
"""

from __future__ import annotations

import errno
import os
import stat
from _thread import allocate_lock
from collections.abc import Callable
from typing import Protocol

from sandbox.audit.events import Event
from sandbox.audit.fields import record

PATIENCE = 5.0
"""Seconds that a pipe, socket or terminal may be full before its reader counts as gone."""

_ATOMIC_BYTES = 4096
"""What POSIX and Linux write to a pipe in one piece (``PIPE_BUF``)."""


class SinkError(Exception):
    """A trail cannot be written; the message says where and why."""


class Sink(Protocol):
    """What a trail writes to. Any exception means that the event may be lost, and the trail has failed."""

    def write(self, event: Event) -> None:
        """Write one event, whole, before returning."""

    def sync(self) -> None:
        """Bring what was written to the disk, if there is one."""


class LineSink:
    """A sink over a descriptor that it owns. Safe to share between trails and threads.

    A line goes to a file in one ``write`` at its end, so that the lines of several processes do not mix. A pipe keeps
    lines of up to 4,096 bytes whole.
    """

    def __init__(self, descriptor: int, name: str, *, durable: bool, torn: bool = False) -> None:
        """``durable``: ``sync`` waits for the disk. ``torn``: what is there ends within a line; it is ended first."""
        self.name = name
        self._descriptor = descriptor
        self._durable = durable
        self._lead = b"\n" if torn else b""
        self._regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._lock = allocate_lock()
        self._log: Callable[..., object] | None = None

    def fileno(self) -> int:
        """The descriptor that it writes to."""
        return self._descriptor

    def prepare(self) -> None:
        """Load what the first event would load. Raises ``SinkError``."""
        with self._lock:
            self._logger()

    def write(self, event: Event) -> None:
        """Write one event. Raises ``SinkError``, after which the file may end within a line."""
        with self._lock:
            try:
                self._logger()(**record(event))
            except OSError as error:
                raise SinkError(f"cannot write the audit trail to {self.name}: {error.strerror or error}") from None

    def sync(self) -> None:
        """Wait until the file is on the disk. Raises ``SinkError``: some file systems report a full disk only now."""
        if self._durable and self._regular:
            try:
                os.fsync(self._descriptor)
            except OSError as error:
                raise SinkError(f"cannot keep the audit trail in {self.name}: {error.strerror or error}") from None

    def close(self) -> None:
        """Close the descriptor; a second call does nothing. Raises ``SinkError``."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, -1
            if descriptor >= 0:
                try:
                    os.close(descriptor)
                except OSError as error:
                    raise SinkError(f"cannot close the audit trail {self.name}: {error.strerror or error}") from None

    def __enter__(self) -> LineSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _logger(self) -> Callable[..., object]:
        if self._log is None:
            try:
                import structlog
            except ImportError as error:
                raise SinkError(f"cannot write an audit trail without structlog: {error}") from None
            render = structlog.processors.JSONRenderer(serializer=_serializer())
            logger = structlog.wrap_logger(
                _Lines(self._put), processors=[render], wrapper_class=structlog.BoundLogger, context_class=dict
            )
            self._log = logger.bind().line
        return self._log

    def _put(self, line: str) -> None:
        data = self._lead + line.encode("ascii") + b"\n"
        while data:
            if not self._regular:
                self._wait()
            # A file takes a line whole, or its disk is full, which the next write says.
            try:
                written = os.write(self._descriptor, data if self._regular else data[:_ATOMIC_BYTES])
            except BlockingIOError:
                continue
            data = data[written:]
            self._lead = b"\n" if data else b""

    def _wait(self) -> None:
        """Wait until the descriptor takes ``_ATOMIC_BYTES``. A stopped reader must not hold up the run's deadline."""
        import select

        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        if not poll.poll(PATIENCE * 1000):
            raise TimeoutError(f"nobody has read from it for {PATIENCE:g} s")


class _Lines:
    """What structlog calls a logger: it is handed the rendered line."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self.line = line


def _serializer() -> Callable[..., str]:
    from json import JSONEncoder

    encode = JSONEncoder(ensure_ascii=True, check_circular=False, allow_nan=False, separators=(",", ":")).encode

    def serialize(values: dict[str, str | int], **_: object) -> str:
        # JSON leaves DEL as it is; some terminals do not.
        return encode(values).replace("\x7f", "\\u007f")

    return serialize


_NOT_REGULAR = "it is no regular file; pass a descriptor instead"


def open_path(path: str, *, durable: bool = True) -> LineSink:
    """A sink that appends to the file at ``path``, made with mode 0600 where there is none.

    Refused (``SinkError``): a symbolic link, and anything that is no regular file, since a FIFO may block and a device
    may forget; whoever wants one opens it and passes its descriptor. ``durable=False`` leaves the disk to the kernel.
    """
    # O_NONBLOCK: opening a FIFO must not wait for its reader. O_RDWR, where allowed, to see how the file ends.
    flags = os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    name = ascii(path)
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | flags, 0o600)
            readable = True
        except PermissionError:
            descriptor = os.open(path, os.O_WRONLY | flags, 0o600)
            readable = False
    except ValueError as error:
        raise SinkError(f"cannot write the audit trail to {name}: {error}") from None
    except OSError as error:
        why = {
            errno.EISDIR: "it is a directory",
            errno.ELOOP: "it is a symbolic link; name its target",
            errno.ENXIO: _NOT_REGULAR,
        }.get(error.errno or 0, error.strerror)
        raise SinkError(f"cannot write the audit trail to {name}: {why}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise SinkError(f"cannot write the audit trail to {name}: {_NOT_REGULAR}")
    torn = readable and found.st_size > 0 and os.pread(descriptor, 1, found.st_size - 1) != b"\n"
    return LineSink(descriptor, name, durable=durable, torn=torn)


def open_descriptor(number: int, *, durable: bool = True) -> LineSink:
    """A sink that writes to a duplicate of descriptor ``number``, which stays the caller's.

    Refused (``SinkError``): a descriptor that is not open for writing.
    """
    import fcntl

    name = "standard error" if number == 2 else f"descriptor {number}"
    try:
        writable = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        descriptor = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)
    except (OSError, OverflowError, ValueError) as error:
        raise SinkError(f"cannot write the audit trail to {name}: {getattr(error, 'strerror', error)}") from None
    if not writable:
        os.close(descriptor)
        raise SinkError(f"cannot write the audit trail to {name}: it is open for reading only")
    return LineSink(descriptor, name, durable=durable)


def open_stderr() -> LineSink:
    """A sink that writes to standard error. It proves nothing where the guest may write there too."""
    return open_descriptor(2, durable=False)
