"""Sockets as the kernel has them: made, set and read, and its errors in the terms of ``wasi:sockets/network``."""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Mapping
from typing import Literal

_ERRORS = {
    errno.EACCES: "access-denied",
    errno.EPERM: "access-denied",
    errno.EADDRINUSE: "address-in-use",
    errno.EADDRNOTAVAIL: "address-not-bindable",
    errno.EAFNOSUPPORT: "not-supported",
    errno.ECONNABORTED: "connection-aborted",
    errno.ECONNREFUSED: "connection-refused",
    errno.ECONNRESET: "connection-reset",
    errno.EHOSTDOWN: "remote-unreachable",
    errno.EHOSTUNREACH: "remote-unreachable",
    errno.EINVAL: "invalid-argument",
    errno.EMFILE: "new-socket-limit",
    errno.ENETDOWN: "remote-unreachable",
    errno.ENETUNREACH: "remote-unreachable",
    errno.ENFILE: "new-socket-limit",
    errno.ENOBUFS: "out-of-memory",
    errno.ENOMEM: "out-of-memory",
    errno.ENOPROTOOPT: "not-supported",
    errno.ENOTCONN: "connection-reset",
    errno.EOPNOTSUPP: "not-supported",
    errno.ETIMEDOUT: "timeout",
}

_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NANOSECONDS = 1_000_000_000

_BUFFERS = {"receive-buffer-size": socket.SO_RCVBUF, "send-buffer-size": socket.SO_SNDBUF}
_KEEP_ALIVE = {
    "keep-alive-idle-time": (socket.TCP_KEEPIDLE, _NANOSECONDS, 32767),
    "keep-alive-interval": (socket.TCP_KEEPINTVL, _NANOSECONDS, 32767),
    "keep-alive-count": (socket.TCP_KEEPCNT, 1, 127),
}
"""The kernel's name of an option, how many of a guest's units make one of its own, and the most that it takes."""

OPTIONS = {
    "tcp": frozenset({"keep-alive-enabled", "hop-limit", "listen-backlog-size", *_BUFFERS, *_KEEP_ALIVE}),
    "udp": frozenset({"hop-limit", *_BUFFERS}),
}
"""What can be set of a socket before it is made. The length of a backlog is said when listening starts."""


def error_code(error: OSError) -> str:
    """The name of the error-code that says what the kernel said."""
    return _ERRORS.get(error.errno or 0, "unknown")


def make_socket(family: int, protocol: Literal["tcp", "udp"], options: Mapping[str, int]) -> socket.socket:
    """A socket of IPv4 (4) or IPv6 (6) alone, which never waits, with ``options`` set. Raises ``OSError``."""
    made = socket.socket(_FAMILIES[family], _TYPES[protocol] | socket.SOCK_NONBLOCK)
    try:
        if family == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_options(made, family, options)
    except BaseException:
        made.close()
        raise
    return made


def set_options(made: socket.socket, family: int, options: Mapping[str, int]) -> None:
    """Set options of ``OPTIONS``, in a guest's units (nanoseconds, bytes, hops). Raises ``OSError``."""
    for name, value in options.items():
        if name in _KEEP_ALIVE:
            option, unit, most = _KEEP_ALIVE[name]
            made.setsockopt(socket.IPPROTO_TCP, option, max(1, min(-(-value // unit), most)))
        elif name in _BUFFERS:
            made.setsockopt(socket.SOL_SOCKET, _BUFFERS[name], min(value, 0x7FFF_FFFF))
        elif name == "keep-alive-enabled":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(value != 0))
        elif name == "hop-limit" and family == 4:
            made.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, min(value, 255))
        elif name == "hop-limit":
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, min(value, 255))


def is_ready(made: socket.socket, event: int) -> bool:
    """Whether ``event`` (``select.POLLOUT``), an error or the end has come to a socket."""
    poll = select.poll()
    poll.register(made, event)
    return bool(poll.poll(0))
