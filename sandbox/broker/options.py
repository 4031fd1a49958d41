"""Options of sockets: how a guest has them, how the kernel does, and what they are before there is a socket."""

from __future__ import annotations

import socket
from typing import NamedTuple


class Kind(NamedTuple):
    """What an option is of: ``tcp`` or ``udp``, IPv4 (4) or IPv6 (6)."""

    protocol: str
    family: int


class Option:
    """A socket option: its size as a result, its place in the kernel, its bounds, and what it is at first."""

    def __init__(
        self, size: int, level: int, name: int, *, least: int = 0, most: int = 1, first: int = 0, unit: int = 1
    ) -> None:
        self.size, self.level, self.name = size, level, name
        self.least, self.most, self.first, self.unit = least, most, first, unit

    def place(self, _: Kind) -> tuple[int, int]:
        return self.level, self.name

    def default(self, _: Kind) -> int:
        return self.first * self.unit

    def takes(self, value: int) -> bool:
        return value != 0

    def clamp(self, value: int) -> int:
        """``value`` within the bounds, and a whole number of units."""
        return max(self.least, min(-(-value // self.unit), self.most)) * self.unit

    def kernel(self, value: int) -> int:
        return value // self.unit

    def value(self, kernel: int) -> int:
        return kernel * self.unit


class _HopLimit(Option):
    def place(self, s: Kind) -> tuple[int, int]:
        if s.family == 6:
            return socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS
        return self.level, self.name

    def takes(self, value: int) -> bool:
        return value & 0xFF != 0

    def clamp(self, value: int) -> int:
        return value & 0xFF


class _Flag(Option):
    def takes(self, _: int) -> bool:
        return True

    def clamp(self, value: int) -> int:
        return int(bool(value))

    def value(self, kernel: int) -> int:
        return int(bool(kernel))


class _Buffer(Option):
    """A size of a buffer: Linux doubles what is set, to have room for what it notes itself, and answers that."""

    def default(self, s: Kind) -> int:
        return self.first if s.protocol == "tcp" else 106496

    def value(self, kernel: int) -> int:
        return kernel // 2


SECOND = 1_000_000_000
OPTIONS: dict[str, Option] = {
    "keep-alive-enabled": _Flag(1, socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    "keep-alive-idle-time": Option(
        8, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, least=1, most=32767, first=7200, unit=SECOND
    ),
    "keep-alive-interval": Option(
        8, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, least=1, most=32767, first=75, unit=SECOND
    ),
    "keep-alive-count": Option(4, socket.IPPROTO_TCP, socket.TCP_KEEPCNT, least=1, most=127, first=9),
    "hop-limit": _HopLimit(1, socket.IPPROTO_IP, socket.IP_TTL, first=64),
    "receive-buffer-size": _Buffer(8, socket.SOL_SOCKET, socket.SO_RCVBUF, least=1152, most=4 << 20, first=65536),
    "send-buffer-size": _Buffer(8, socket.SOL_SOCKET, socket.SO_SNDBUF, least=2304, most=4 << 20, first=8192),
}
"""What holds as long as there is no socket yet is Linux's own choice; then its socket answers."""
BACKLOG, MAX_BACKLOG = 128, 4096
"""Connections that wait to be accepted, at most: at first, and whatever is set."""
OF_UDP = frozenset({"hop-limit", "receive-buffer-size", "send-buffer-size"})
"""Those that UDP has; TCP has all."""
