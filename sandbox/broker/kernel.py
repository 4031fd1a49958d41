"""Sockets as the kernel has them: made, bound and set."""

from __future__ import annotations

import errno
import os
import resource
import select
import socket
import sys
from collections.abc import Mapping
from typing import Literal

from sandbox.broker.options import OPTIONS, Kind

_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
RESERVE = 64
"""Descriptors that no guest's socket is made with, out of those that this process may have."""
_ATTEMPTS = 16
"""How often a port is chosen anew that somebody else took in between."""


def make_socket(family: int, protocol: Literal["tcp", "udp"], options: Mapping[str, int]) -> socket.socket:
    """A socket of IPv4 (4) or IPv6 (6) alone, which never waits, with ``options`` set. Raises ``OSError``."""
    made = socket.socket(_FAMILIES[family], _TYPES[protocol] | socket.SOCK_NONBLOCK)
    try:
        if made.fileno() >= _end_of_descriptors():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if family == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # A guest cannot ask for it (WASI 0.2 has no such option), and its libraries believe that they have it.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        set_options(made, protocol, family, options)
    except BaseException:
        made.close()
        raise
    return made


def _end_of_descriptors() -> int:
    """The number at which this process keeps its last descriptors for itself, and for other runs of its program."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft - min(RESERVE, soft // 4)


def bind_socket(
    family: int, protocol: Literal["tcp", "udp"], address: str, port: int, options: Mapping[str, int]
) -> socket.socket:
    """A new socket that is bound; port 0: the kernel chooses. Raises ``OSError``."""
    if protocol == "udp" and port == 0:
        return _bind_for_good(family, address, options)
    made = make_socket(family, protocol, options)
    try:
        if protocol == "tcp" and port != 0:
            # A server may start again while connections of the one before are still being forgotten.
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
    except BaseException:
        made.close()
        raise
    return made


def _bind_for_good(family: int, address: str, options: Mapping[str, int]) -> socket.socket:
    """Have the kernel choose a port, and ask for that one: a UDP socket would give up the other when it leaves a peer.

    Raises ``OSError``.
    """
    for _ in range(_ATTEMPTS):
        with make_socket(family, "udp", {}) as chosen:
            chosen.bind((address, 0))
            port = chosen.getsockname()[1]
        try:
            return bind_socket(family, "udp", address, port, options)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, "no port stays free")


def set_options(made: socket.socket, protocol: Literal["tcp", "udp"], family: int, options: Mapping[str, int]) -> None:
    """Set options of ``OPTIONS``, in a guest's units (nanoseconds, bytes, hops). Raises ``OSError``."""
    kind = Kind(protocol, family)
    for name, value in options.items():
        option = OPTIONS[name]
        made.setsockopt(*option.place(kind), option.kernel(option.clamp(value)))


def is_ready(descriptor: int, event: int) -> bool:
    """Whether ``event`` (``select.POLLOUT``), an error or the end has come to a socket."""
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(0))
