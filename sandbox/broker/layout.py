"""Values as the guard has them: core parameters on their way in, and the bytes of results on their way out."""

from __future__ import annotations

import socket
import struct
from typing import Any, TypeAlias

Peer: TypeAlias = tuple[str, int]
"""An address in text, without brackets, and a port."""
Words: TypeAlias = tuple[int, ...]

NO_ADDRESS = bytes(20)
"""``none`` of an ``option<ip-address>``."""


def u32(value: int) -> str:
    return value.to_bytes(4, "little").decode("latin-1")


def u64(value: int) -> str:
    return value.to_bytes(8, "little").decode("latin-1")


def shown(peer: Peer) -> str:
    return f"[{peer[0]}]:{peer[1]}" if ":" in peer[0] else f"{peer[0]}:{peer[1]}"


def zoned(address: Any) -> str:
    """The address of a peer as the kernel gives it, with its zone's number where it has one."""
    return f"{address[0]}%{address[3]}" if len(address) == 4 and address[3] else str(address[0])


def _text(packed: bytes, scope: int) -> str:
    text = socket.inet_ntop(socket.AF_INET6, packed)
    return f"{text}%{scope}" if scope else text


def spread(words: Words) -> Peer:
    """The ``ip-socket-address`` in twelve core parameters; its flow is of no account."""
    family, port, *rest = words
    if family & 1 == 0:
        return ".".join(str(x & 0xFF) for x in rest[:4]), port & 0xFFFF
    return _text(struct.pack(">8H", *(x & 0xFFFF for x in rest[1:9])), rest[9] & 0xFFFF_FFFF), port & 0xFFFF


def in_memory(data: bytes) -> Peer:
    """The ``ip-socket-address`` in 32 bytes."""
    if data[0] == 0:
        return socket.inet_ntop(socket.AF_INET, data[6:10]), int.from_bytes(data[4:6], "little")
    groups = struct.unpack_from("<8H", data, 12)
    scope = int.from_bytes(data[28:32], "little")
    return _text(struct.pack(">8H", *groups), scope), int.from_bytes(data[4:6], "little")


def socket_address(address: Any) -> str:
    """An address as Python's sockets have it, as an ``ip-socket-address`` in memory."""
    host, port, *more = address
    if ":" not in host:
        return struct.pack("<B3xH4s22x", 0, port, socket.inet_aton(host)).decode("latin-1")
    flow, scope = more or (0, 0)
    groups = struct.unpack(">8H", socket.inet_pton(socket.AF_INET6, host.partition("%")[0]))
    return struct.pack("<B3xH2xI8HI", 1, port, flow, *groups, scope).decode("latin-1")


def ip_address(text: str) -> bytes:
    """An address as an ``option<ip-address>`` in memory."""
    if ":" not in text:
        return struct.pack("<BxBx4s12x", 1, 0, socket.inet_aton(text))
    groups = struct.unpack(">8H", socket.inet_pton(socket.AF_INET6, text))
    return struct.pack("<BxBx8H", 1, 1, *groups)
