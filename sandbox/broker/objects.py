"""A guest's sockets and lookups as the worker keeps them, each with its state, and the words that all calls share."""

from __future__ import annotations

import os
import select
import socket
from typing import Any, TypeAlias

from sandbox.broker.errors import error_code
from sandbox.broker.layout import Peer, ip_address
from sandbox.broker.options import BACKLOG, Kind
from sandbox.guard.wire import CLOSED, ERROR_CODES, FAILED

Answer: TypeAlias = tuple[int, str]
"""0 and the bytes of a result; or 1 and more, the number of an error code, and nothing."""
Row: TypeAlias = list[Any]
"""A site of the guard's, as data: interface, function, capability, whether it sends an address."""

CODE = {name: number for number, name in enumerate(ERROR_CODES)}
(
    UNKNOWN,
    ACCESS_DENIED,
    NOT_SUPPORTED,
    INVALID_ARGUMENT,
    OUT_OF_MEMORY,
    TIMEOUT,
    CONCURRENCY_CONFLICT,
    NOT_IN_PROGRESS,
    WOULD_BLOCK,
    INVALID_STATE,
    NEW_SOCKET_LIMIT,
) = range(1, 12)
"""Error codes as ``Answer`` has them: one more than their number."""

NOTHING: Answer = (0, "")
CHANNEL = -1
"""What a wait needs that ends with a word from the supervisor."""
UNBOUND, BIND_STARTED, BOUND, LISTEN_STARTED, LISTENING, CONNECTING, CONNECTED, DEAD, GONE = range(9)
"""States of a socket. A dead one can only be dropped; then it is gone."""
SOCKET, INPUT, OUTPUT = 1, 2, 4
"""The handles that a guest holds of a socket; it is closed when they are all gone."""

NOTHING_PENDING = memoryview(b"")


class _Socket:
    """What TCP and UDP sockets have in common. ``socket`` is ``None`` as long as the supervisor has it, or nobody."""

    __slots__ = (
        "family",
        "fd",
        "kind",
        "known",
        "live",
        "local",
        "number",
        "options",
        "remote",
        "row",
        "socket",
        "state",
    )
    protocol: str

    def __init__(self, number: int, family: int, row: Row) -> None:
        self.number, self.family, self.row = number, family, row
        self.kind = Kind(self.protocol, family)
        self.state, self.live = UNBOUND, SOCKET
        self.options: dict[str, int] = {}
        self.local: Peer = ("", 0)
        self.remote: Peer | None = None
        """Whom it is connected to; an IPv6 peer that connected to it also with flow and scope, as Python has them."""
        self.socket: socket.socket | None = None
        self.fd = -1
        self.known = False
        """Whether the supervisor knows of it, and is told when it is gone."""

    def take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket, self.fd = connection, connection.fileno()

    def adopt(self, descriptor: int, kind: int) -> None:
        family = socket.AF_INET if self.family == 4 else socket.AF_INET6
        self.take(socket.socket(family, kind, 0, descriptor))


class Tcp(_Socket):
    """A TCP socket, from its making to its end."""

    __slots__ = (
        "backlog", "counted", "failure", "finishes", "pending", "reading", "received", "recv_into", "request", "result",
        "send", "sent", "writing",
    )  # fmt: skip
    protocol = "tcp"

    def __init__(self, number: int, family: int, row: Row) -> None:
        super().__init__(number, family, row)
        self.backlog = BACKLOG
        self.request = 0
        """The request to connect."""
        self.result: int | None = None
        """How connecting ended: 0, or an error code. ``None``: not yet."""
        self.reading = self.writing = False
        """Whether the streams are open."""
        self.pending = NOTHING_PENDING
        """What was written and the kernel has no room for yet."""
        self.finishes = False
        """Whether the end is to be sent after what is pending."""
        self.failure = CLOSED
        """What a write to the closed stream answers next."""
        self.sent = self.received = 0
        self.counted = True
        """Whether what it sends counts against the policy's bound."""

    def take(self, connection: socket.socket) -> None:
        super().take(connection)
        self.recv_into, self.send = connection.recv_into, connection.send

    def is_shut(self) -> bool:
        return not self.writing

    def open(self) -> None:
        self.state, self.reading, self.writing = CONNECTED, True, True
        self.live |= INPUT | OUTPUT

    def need(self, side: int) -> int:
        """What has to be waited for: nothing (0), ``CHANNEL``, or the descriptor above three bits of poll events."""
        if side == 1:
            return self.fd << 3 | select.POLLIN if self.reading else 0
        if side == 2:
            return self.fd << 3 | select.POLLOUT if self.pending else 0
        if side == 0:
            if self.state == LISTENING:
                return self.fd << 3 | select.POLLIN
            if self.state == CONNECTING and self.result is None:
                return CHANNEL
        return 0

    def conclude(self, result: dict[str, Any], descriptor: int | None) -> None:
        """Take the end of connecting."""
        if result["state"] != "done":
            self.result = answered_code(result)
        elif descriptor is None:
            self.result = NEW_SOCKET_LIMIT  # this process has no more descriptors
        else:
            self.adopt(descriptor, socket.SOCK_STREAM)
            self.result = 0
            return
        if descriptor is not None:
            os.close(descriptor)


class Udp(_Socket):
    """A UDP socket. Its two streams are one: the last that was asked for."""

    __slots__ = ("blocked", "everyone", "peers", "received", "refused", "routes", "sent")
    protocol = "udp"

    def __init__(self, number: int, family: int, row: Row) -> None:
        super().__init__(number, family, row)
        self.blocked = False
        """Whether the last datagram found no room in the kernel."""
        self.everyone = False
        """Whether it receives from peers that it was not allowed to send to: the policy grants the binding."""
        self.peers: dict[Peer, None] = {}
        """Those that it may send to; the first were judged longest ago."""
        self.refused: dict[Peer, bool] = {}
        """Whether each peer was refused that sent something; as long as it is remembered, nobody is asked again."""
        self.routes: dict[str, Peer] = {}
        """Destinations as the guest writes them, checked and judged."""
        self.sent = self.received = 0

    def need(self, side: int) -> int:
        if self.socket is None:
            return 0
        if side == 1:
            return self.fd << 3 | select.POLLIN
        if side == 2 and self.blocked:
            return self.fd << 3 | select.POLLOUT
        return 0


class Lookup:
    """A name that is looked up."""

    __slots__ = ("live", "number", "request", "result", "row")

    def __init__(self, number: int, row: Row) -> None:
        self.number, self.row, self.live = number, row, SOCKET
        self.request = 0
        self.result: list[bytes] | int | None = None
        """The addresses that are left, last first; or an error code. ``None``: not known yet."""

    def need(self, side: int) -> int:
        return CHANNEL if side == 0 and self.result is None else 0

    def conclude(self, result: dict[str, Any], descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)
        if result["state"] != "done":
            self.result = answered_code(result)
        else:
            self.result = [ip_address(text) for text in result["addresses"]][::-1]


KEPT = 8
"""Beside the handles of a guest's: what keeps an object open whatever the guest lets go of."""


def standard_stream(number: int, row: Row, end: socket.socket | None) -> Tcp:
    """A standard stream of a component of a program: an output whose other end the supervisor has, or an input that is
    at its end."""
    stream = Tcp(number, 4, row)
    stream.state, stream.live, stream.counted = CONNECTED, KEPT, False
    if end is not None:
        stream.take(end)
        stream.writing = True
    return stream


def answered_code(result: dict[str, Any]) -> int:
    """The error code in what the supervisor answered, as ``Answer`` has it."""
    return CODE.get(result.get("error", ""), 0) + 1


def answer_of(error: OSError) -> int:
    """The error code for what the kernel said, as ``Answer`` has it."""
    return CODE[error_code(error)] + 1


def stream_failure(error: OSError) -> int:
    """The status of a stream that ended with what the kernel said."""
    return FAILED + CODE[error_code(error)]
