"""The worker's side of ``wasi:sockets``: the states of a guest's sockets, and their data.

Nothing here makes, binds or connects a socket, or looks up a name: the supervisor judges, does that, and hands over
file descriptors. Only a UDP socket that was handed over is connected here, to a peer that was judged: that limits it.

Every public method of ``Sockets`` answers a call of the guard's; ``builder.HOST`` of the guard says what crosses. Bytes
come and go as Latin-1, one character a byte.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from sandbox.broker.layout import (
    NO_ADDRESS,
    Peer,
    Words,
    in_memory,
    ip_address,
    shown,
    socket_address,
    spread,
    u32,
    u64,
    zoned,
)
from sandbox.broker.options import OPTIONS

ERROR_CODES = (
    "unknown",
    "access-denied",
    "not-supported",
    "invalid-argument",
    "out-of-memory",
    "timeout",
    "concurrency-conflict",
    "not-in-progress",
    "would-block",
    "invalid-state",
    "new-socket-limit",
    "address-not-bindable",
    "address-in-use",
    "remote-unreachable",
    "connection-refused",
    "connection-reset",
    "connection-aborted",
    "datagram-too-large",
    "name-unresolvable",
    "temporary-resolver-failure",
    "permanent-resolver-failure",
)
"""``error-code`` of ``wasi:sockets/network``, in its order."""

Answer: TypeAlias = tuple[int, str]
"""0 and the bytes of a result; or 1 and more, the number of an error code, and nothing."""
Row: TypeAlias = list[Any]
"""A site of the guard's, as data: interface, function, capability, whether it sends an address."""
Buffer: TypeAlias = bytes | bytearray | memoryview

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

OF_ERRNO = {
    errno.EACCES: "access-denied",
    errno.EPERM: "access-denied",
    errno.EOPNOTSUPP: "not-supported",
    errno.ENOPROTOOPT: "not-supported",
    errno.EINVAL: "invalid-argument",
    errno.ENOMEM: "out-of-memory",
    errno.ENOBUFS: "out-of-memory",
    errno.ETIMEDOUT: "timeout",
    errno.EALREADY: "concurrency-conflict",
    errno.EAGAIN: "would-block",
    errno.ENOTCONN: "invalid-state",
    errno.EISCONN: "invalid-state",
    errno.EMFILE: "new-socket-limit",
    errno.ENFILE: "new-socket-limit",
    errno.EADDRNOTAVAIL: "address-not-bindable",
    errno.EADDRINUSE: "address-in-use",
    errno.EHOSTUNREACH: "remote-unreachable",
    errno.EHOSTDOWN: "remote-unreachable",
    errno.ENETUNREACH: "remote-unreachable",
    errno.ENETDOWN: "remote-unreachable",
    errno.ENETRESET: "remote-unreachable",
    errno.ECONNREFUSED: "connection-refused",
    errno.ECONNRESET: "connection-reset",
    errno.ECONNABORTED: "connection-aborted",
    errno.EMSGSIZE: "datagram-too-large",
}

DONE: Answer = (0, "")
CLOSED, PENDING, FAILED = 1, 2, 16
"""What became of a stream's call: see the guard's ``streams``. ``FAILED`` and the number of an error code more."""
WAITS: Answer = (0, "")
READY, NOT_READY = "\x01", "\x00"
CHANNEL = -1
"""What a wait needs that ends with a word from the supervisor."""
FOR_EVER = (1 << 64) - 1
LONGEST_POLL = (1 << 31) - 1

PERMIT, LEAST_PERMIT = 65536, 4096
"""Bytes that one write may hold, and so what a socket may have pending, at most; where there may be many, at least."""
ALL_PENDING = 16 << 20
"""Bytes that all sockets together may have pending, as long as that leaves each ``LEAST_PERMIT``."""
CHUNK = 65536
MAX_NUMBER = (1 << 26) - 1
MAX_NAME = 4096
"""Bytes of a name that is passed on to be judged; what is longer is none."""
MAX_PEERS = 4096
"""Peers that are remembered of one UDP socket."""
MAX_DATAGRAMS = 16
"""Datagrams that one call may send; WASI leaves it to the host."""
MAX_DROPPED = 64
"""Connections and datagrams of peers that are refused, which one call drops at most before it answers."""
BACKLOG, MAX_BACKLOG = 128, 4096
LINGER = 1.0
"""Seconds that a run which is over waits until what it had sent is on its way."""

UNBOUND, BIND_STARTED, BOUND, LISTEN_STARTED, LISTENING, CONNECTING, CONNECTED, DEAD, GONE = range(9)
"""States of a socket. A dead one can only be dropped; then it is gone."""
SOCKET, INPUT, OUTPUT = 1, 2, 4
"""The handles that a guest holds of a socket; it is closed when they are all gone."""

_NOTHING = memoryview(b"")
_UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


class Channel(Protocol):
    """The worker's way to the supervisor."""

    def send(self, *message: object) -> None: ...

    def reply(self, *, wait: bool) -> tuple[int, dict[str, Any], int | None] | None:
        """The next answer: the number of its request, the answer, a file descriptor. ``None``: there is none now."""
        ...

    def fileno(self) -> int: ...


class _Socket:
    """What TCP and UDP sockets have in common. ``socket`` is ``None`` as long as the supervisor has it, or nobody."""

    __slots__ = ("family", "fd", "known", "live", "local", "number", "options", "row", "socket", "state")
    protocol: str

    def __init__(self, number: int, family: int, row: Row) -> None:
        self.number, self.family, self.row = number, family, row
        self.state, self.live = UNBOUND, SOCKET
        self.options: dict[str, int] = {}
        self.local: Peer = ("", 0)
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


class _Tcp(_Socket):
    __slots__ = (
        "failure", "finishes", "pending", "reading", "received", "recv_into", "remote", "result", "send", "sent",
        "writing",
    )  # fmt: skip
    protocol = "tcp"

    def __init__(self, number: int, family: int, row: Row) -> None:
        super().__init__(number, family, row)
        self.remote = ""
        self.result: int | None = None
        """How connecting ended: 0, or an error code. ``None``: not yet."""
        self.reading = self.writing = False
        """Whether the streams are open."""
        self.pending = _NOTHING
        """What was written and the kernel has no room for yet."""
        self.finishes = False
        """Whether the end is to be sent after what is pending."""
        self.failure = CLOSED
        """What a write to the closed stream answers next."""
        self.sent = self.received = 0

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

    def writable(self) -> None:
        """The kernel has room: whoever waits for that sends what is pending by itself."""

    def conclude(self, result: dict[str, Any], descriptor: int | None) -> None:
        """Take the end of connecting."""
        if result["state"] != "done":
            self.result = _code(result)
        elif descriptor is None:
            self.result = NEW_SOCKET_LIMIT  # this process has no more descriptors
        else:
            self.adopt(descriptor, socket.SOCK_STREAM)
            self.result = 0
            return
        if descriptor is not None:
            os.close(descriptor)


class _Udp(_Socket):
    __slots__ = ("blocked", "everyone", "peers", "received", "refused", "remote", "routes", "sent")
    protocol = "udp"

    def __init__(self, number: int, family: int, row: Row) -> None:
        super().__init__(number, family, row)
        self.remote: Peer | None = None
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

    def writable(self) -> None:
        self.blocked = False


class _Lookup:
    __slots__ = ("live", "number", "result", "row")

    def __init__(self, number: int, row: Row) -> None:
        self.number, self.row, self.live = number, row, SOCKET
        self.result: list[bytes] | int | None = None
        """The addresses that are left, last first; or an error code. ``None``: not known yet."""

    def need(self, side: int) -> int:
        return CHANNEL if side == 0 and self.result is None else 0

    def writable(self) -> None:
        pass

    def conclude(self, result: dict[str, Any], descriptor: int | None) -> None:
        if descriptor is not None:
            os.close(descriptor)
        if result["state"] != "done":
            self.result = _code(result)
        else:
            self.result = [ip_address(text) for text in result["addresses"]][::-1]


class Sockets:
    """The sockets and lookups of one run. ``close`` ends them all."""

    def __init__(self, channel: Channel, limits: dict[str, Any], sites: Sequence[Row]) -> None:
        """``limits`` is the ``network`` of a job: ``sockets``, ``sent``, ``received``, ``judge_peers``."""
        self.channel = channel
        self.limit: int = limits["sockets"]
        self.sent_left: int = limits["sent"]
        self.received_left: int = limits["received"]
        self.judges_peers: bool = limits["judge_peers"]
        self.permit: int = max(LEAST_PERMIT, min(PERMIT, ALL_PENDING // max(1, self.limit)))
        self.sites = sites
        self.handlers = [_HANDLERS.get(row[1]) for row in sites]
        self.tcp: dict[int, _Tcp] = {}
        self.udp: dict[int, _Udp] = {}
        self.lookups: dict[int, _Lookup] = {}
        self.flushing: dict[int, _Tcp] = {}
        """Those that have something pending, also where the guest has let go of them."""
        self.open = 0
        self.number = 0
        self.requests = 0
        self.started: dict[int, _Tcp | _Lookup] = {}
        """Requests whose second answer is still to come."""

    def close(self) -> None:
        """End everything; what was sent and is pending gets a moment to go."""
        until = time.monotonic() + LINGER
        while self.flushing and (left := until - time.monotonic()) > 0:
            poll = select.poll()
            for s in self.flushing.values():
                poll.register(s.fd, select.POLLOUT)
            ready = {fd for fd, _ in poll.poll(left * 1000)}
            for s in [s for s in self.flushing.values() if s.fd in ready]:
                self._flush(s)
        left_open: list[_Tcp | _Udp] = [*self.tcp.values(), *self.udp.values(), *self.flushing.values()]
        for each in left_open:
            self._close(each)
        self.lookups.clear()

    # The data path. A callback costs microseconds by itself: nothing here does more than it must.

    def receive_into(self, number: int, blocking: int, into: Buffer) -> tuple[int, int]:
        """Read from a stream: a status, and how many bytes of ``into`` were filled."""
        s = self.tcp.get(number)
        if s is None or not s.reading:
            return CLOSED, 0
        length = len(into)
        if length > self.received_left:
            if not self.received_left:
                return (self._beyond(s, blocking) if length else 0), 0
            length = self.received_left
        if not length:
            return 0, 0
        while True:
            try:
                size = s.recv_into(into, length)
            except BlockingIOError:
                if not blocking:
                    return 0, 0
                self._await(s, select.POLLIN)
                continue
            except OSError as error:
                s.reading = False
                return _failure(error), 0
            if not size:
                s.reading = False
                return CLOSED, 0
            self.received_left -= size
            s.received += size
            return 0, size

    def receive(self, number: int, length: int, blocking: int) -> Answer:
        """Up to ``length`` bytes of a stream, as text."""
        into = bytearray(min(length, CHUNK))
        status, size = self.receive_into(number, blocking, into)
        return status, into[:size].decode("latin-1")

    def send_from(self, number: int, blocking: int, data: Buffer) -> int:
        """Write to a stream; no data at all means to flush it. ``data`` may change afterwards."""
        s = self.tcp.get(number)
        if s is None or not s.writing:
            return CLOSED if s is None else _closed(s)
        size = len(data)
        if s.pending and not (self._wait_flushed(s) if blocking else self._flush(s)):
            if not size:
                return PENDING
            return FAILED + CODE["invalid-state"]  # beyond what was permitted: nothing is, while something is pending
        if s.is_shut():
            return _closed(s)
        if not size:
            return 0
        if size > self.sent_left:
            return self._sent_enough(s)
        self.sent_left -= size
        try:
            done = s.send(data)
        except BlockingIOError:
            done = 0
        except OSError as error:
            self._break(s, error)
            return _closed(s)
        s.sent += done
        if done == size:
            # Where a socket may hold less than the guard takes for granted, it is to ask each time.
            return 0 if self.permit == PERMIT else PENDING
        s.pending = memoryview(bytes(data[done:]))
        self.flushing[s.number] = s
        if not blocking:
            return PENDING
        self._wait_flushed(s)
        return _closed(s) if s.is_shut() else 0

    def send(self, number: int, blocking: int, data: str) -> int:
        """Write text to a stream."""
        return self.send_from(number, blocking, data.encode("latin-1"))

    def room(self, number: int) -> int:
        """How much may be written to a stream now, and above 32 bits its state."""
        s = self.tcp.get(number)
        if s is None:
            return CLOSED << 32
        if s.pending and s.writing and not self._flush(s):
            return 0
        if s.is_shut():
            return _closed(s) << 32
        if self.sent_left >= self.permit:
            return self.permit
        return self.sent_left or self._sent_enough(s) << 32

    def datagram(self, number: int, to: str, data: str) -> int:
        """Send one datagram, to an ``option<ip-socket-address>``."""
        u = self.udp.get(number)
        if u is None or u.socket is None:
            return INVALID_STATE
        peer = u.routes.get(to)
        if peer is None:
            code, peer = self._route(u, to.encode("latin-1"))
            if peer is None:
                return code
            if len(u.routes) >= MAX_PEERS:
                u.routes.clear()
            u.routes[to] = peer
        raw = data.encode("latin-1")
        if len(raw) > self.sent_left:
            self._bound(u.row, "sent", shown(peer))
            return ACCESS_DENIED
        try:
            if u.remote is None:
                u.socket.sendto(raw, peer)
            else:
                u.socket.send(raw)
        except BlockingIOError:
            u.blocked = True
            return WOULD_BLOCK
        except OSError as error:
            return _error(error)
        self.sent_left -= len(raw)
        u.sent += len(raw)
        return 0

    def wait(self, what: str, nanoseconds: int) -> str:
        """Wait until one of some sides of objects is ready: one word each, the object's number and two bits."""
        if len(what) == 4 and not self.flushing:
            (word,) = struct.unpack("<I", what.encode("latin-1"))
            need = self._need(word)
            if not need:
                return READY
            if need & 1 and need > 0:
                poll = select.poll()
                poll.register(need >> 3, select.POLLIN)
                return READY if poll.poll(_milliseconds(nanoseconds)) else NOT_READY
        words = struct.unpack(f"<{len(what) // 4}I", what.encode("latin-1"))
        end = None if nanoseconds == FOR_EVER else time.monotonic_ns() + nanoseconds
        while True:
            needs = [self._need(word) for word in words]
            ready = [not need for need in needs]
            left = 0 if True in ready else FOR_EVER if end is None else max(0, end - time.monotonic_ns())
            events = self._poll(needs, left)
            for i, need in enumerate(needs):
                if not need:
                    continue
                if need == CHANNEL:
                    ready[i] = not self._need(words[i])
                elif need & select.POLLIN:
                    ready[i] = bool(events.get(need >> 3, 0) & ~select.POLLOUT)
                elif events.get(need >> 3):
                    found = self._find(words[i] >> 2)
                    if found is not None:
                        found.writable()
                    ready[i] = not self._need(words[i])
            if True in ready or (end is not None and time.monotonic_ns() >= end):
                return bytes(ready).decode("latin-1")

    def _poll(self, needs: list[int], nanoseconds: int) -> dict[int, int]:
        """Wait for what is needed, and for room for what is pending; take in what came of both."""
        masks: dict[int, int] = {}
        channel = self.channel.fileno()
        for need in needs:
            if need == CHANNEL:
                masks[channel] = select.POLLIN
            elif need:
                masks[need >> 3] = masks.get(need >> 3, 0) | need & 7
        for s in self.flushing.values():
            masks[s.fd] = masks.get(s.fd, 0) | select.POLLOUT
        poll = select.poll()
        for fd, mask in masks.items():
            poll.register(fd, mask)
        events = dict(poll.poll(_milliseconds(nanoseconds)))
        if self.flushing:
            for s in [s for s in self.flushing.values() if s.fd in events]:
                self._flush(s)
        if channel in events:
            self._take_in()
        return events

    def _await(self, s: _Tcp, event: int) -> None:
        """Wait for one socket; what others have pending goes on meanwhile: who is waited for may wait for that."""
        self._poll([s.fd << 3 | event], FOR_EVER)

    def _need(self, word: int) -> int:
        found = self._find(word >> 2)
        return 0 if found is None else found.need(word & 3)

    def _find(self, number: int) -> _Tcp | _Udp | _Lookup | None:
        return self.tcp.get(number) or self.udp.get(number) or self.lookups.get(number)

    def _flush(self, s: _Tcp) -> bool:
        """Send what is pending, as far as there is room; whether nothing is any more."""
        while s.pending:
            try:
                done = s.send(s.pending)
            except BlockingIOError:
                return False
            except OSError as error:
                self._break(s, error)
                break
            s.sent += done
            s.pending = s.pending[done:]
        s.pending = _NOTHING
        self.flushing.pop(s.number, None)
        if s.finishes:
            _shut(s, socket.SHUT_WR)
        if not s.live:
            self._close(s)
        return True

    def _wait_flushed(self, s: _Tcp) -> bool:
        while s.pending:
            self._await(s, select.POLLOUT)  # and send
        return True

    def _break(self, s: _Tcp, error: OSError) -> None:
        """Close the stream of a socket that cannot send any more."""
        s.writing = s.finishes = False
        s.pending = _NOTHING
        s.failure = CLOSED if error.errno == errno.EPIPE else _failure(error)

    def _beyond(self, s: _Tcp, blocking: int) -> int:
        """Reading with the bound on received bytes used up: only the end may still come."""
        assert s.socket is not None
        while True:
            try:
                more = s.socket.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                if not blocking:
                    return 0
                self._await(s, select.POLLIN)
                continue
            except OSError as error:
                s.reading = False
                return _failure(error)
            s.reading = False
            if not more:
                return CLOSED
            self._bound(s.row, "received", s.remote)
            return FAILED + CODE["access-denied"]  # else what came so far would pass for the whole

    def _sent_enough(self, s: _Tcp) -> int:
        """Close a stream that would go beyond the bound on sent bytes."""
        self._bound(s.row, "sent", s.remote)
        s.writing, s.failure = False, FAILED + CODE["access-denied"]
        return _closed(s)

    # Objects.

    def drop(self, number: int, side: int) -> None:
        """The guest let go of a socket or lookup (0), of its input (1) or its output (2)."""
        found = self._find(number)
        if found is None:
            return
        found.live &= ~(1 << side)
        if found.live:
            return
        if isinstance(found, _Lookup):
            del self.lookups[number]
            if found.result is None:
                self._tell(found.row, "closed", {"object": number, "sent": 0, "received": 0})
        elif isinstance(found, _Udp) or not found.pending or self._flush(found):
            self._close(found)
        else:
            del self.tcp[number]  # it stays until the rest of what was written is on its way

    def _close(self, s: _Tcp | _Udp) -> None:
        if s.state == GONE:
            return
        s.state = GONE
        self.open -= 1
        (self.tcp if isinstance(s, _Tcp) else self.udp).pop(s.number, None)
        self.flushing.pop(s.number, None)
        if s.socket is not None:
            s.socket.close()
            s.socket = None
        if s.known:
            self._tell(s.row, "closed", {"object": s.number, "sent": s.sent, "received": s.received})

    def _new(self) -> int | None:
        """The number of a new object; ``None`` where there are no more."""
        if self.number >= MAX_NUMBER:
            return None
        self.number += 1
        return self.number

    def _is_full(self) -> bool:
        """Whether no socket more may be open. One that the guest has let go of makes way."""
        if self.open < self.limit:
            return False
        for s in self.flushing.values():
            if not s.live:
                self._close(s)
                return False
        return True

    def _bound(self, row: Row, name: str, resource: str | None) -> None:
        self.channel.send("bound", time.time(), row, name, resource)

    # The supervisor.

    def _tell(self, row: Row, op: str, args: dict[str, Any]) -> int:
        self.requests += 1
        self.channel.send("net", time.time(), row, self.requests, op, args)
        return self.requests

    def _ask(
        self, row: Row, op: str, args: dict[str, Any], waiting: _Tcp | _Lookup | None = None
    ) -> tuple[dict[str, Any], int | None]:
        """The supervisor's answer, and a descriptor. ``waiting`` gets the second one, if that is still to come."""
        number = self._tell(row, op, args)
        while True:
            found = self.channel.reply(wait=True)
            assert found is not None
            if found[0] == number:
                break
            self._conclude(*found)
        _, result, descriptor = found
        if result["state"] == "started" and waiting is not None:
            self.started[number] = waiting
        return result, descriptor

    def _take_in(self) -> None:
        """Take what the supervisor has to say, without waiting for it."""
        while (found := self.channel.reply(wait=False)) is not None:
            self._conclude(*found)

    def _conclude(self, number: int, result: dict[str, Any], descriptor: int | None) -> None:
        waiting = self.started.pop(number, None)
        if waiting is not None and waiting.live:
            waiting.conclude(result, descriptor)
        elif descriptor is not None:
            os.close(descriptor)  # the guest let go of it meanwhile

    # Functions of WASI.

    def control(self, site: int, number: int, words: str, text: str) -> Answer:
        """Carry out one function of ``wasi:sockets``."""
        handler = self.handlers[site]
        if handler is None:
            raise LookupError(f"no function {self.sites[site][1]}")
        raw = words.encode("latin-1")
        return handler(self, number, self.sites[site], struct.unpack(f"<{len(raw) // 8}Q", raw), text)

    def _create_tcp(self, _: int, row: Row, words: Words, __: str) -> Answer:
        number = self._number(row)
        if number is None:
            return NEW_SOCKET_LIMIT, ""
        self.tcp[number] = _Tcp(number, 6 if words[0] & 1 else 4, row)
        return 0, u32(number)

    def _create_udp(self, _: int, row: Row, words: Words, __: str) -> Answer:
        number = self._number(row)
        if number is None:
            return NEW_SOCKET_LIMIT, ""
        self.udp[number] = _Udp(number, 6 if words[0] & 1 else 4, row)
        return 0, u32(number)

    def _number(self, row: Row) -> int | None:
        if self._is_full():
            self._bound(row, "sockets", None)
            return None
        number = self._new()
        if number is not None:
            self.open += 1
        return number

    def _describe(self, code: int, _: Row, __: Words, ___: str) -> Answer:
        name = ERROR_CODES[code] if code < len(ERROR_CODES) else "unknown"
        for number, of in OF_ERRNO.items():
            if of == name:
                return 0, f"{os.strerror(number)} (os error {number})".encode().decode("latin-1")
        return 0, name

    def _start_bind(self, s: _Tcp | _Udp, row: Row, words: Words) -> Answer:
        if s.state != UNBOUND:
            return INVALID_STATE, ""
        address, port = spread(words[1:])
        args = {
            "object": s.number,
            "protocol": s.protocol,
            "family": s.family,
            "address": address,
            "port": port,
            "options": s.options,
        }
        result, descriptor = self._ask(row, "bind", args)
        if result["state"] != "done":
            return _code(result), ""
        s.known = True
        if isinstance(s, _Udp):
            if descriptor is None:
                return NEW_SOCKET_LIMIT, ""
            s.adopt(descriptor, socket.SOCK_DGRAM)
            s.everyone = bool(result["anyone"])
        s.local = result["local"][0], result["local"][1]
        s.state = BIND_STARTED
        return DONE

    def _finish_bind(self, s: _Tcp | _Udp, _: Row, __: Words) -> Answer:
        if s.state != BIND_STARTED:
            return NOT_IN_PROGRESS, ""
        s.state = BOUND
        return DONE

    def _start_connect(self, s: _Tcp, row: Row, words: Words) -> Answer:
        if s.state == CONNECTING:
            return CONCURRENCY_CONFLICT, ""
        if s.state not in (UNBOUND, BOUND):
            return INVALID_STATE, ""
        address, port = spread(words[1:])
        args = {"object": s.number, "family": s.family, "address": address, "port": port, "options": s.options}
        result, descriptor = self._ask(row, "connect", args, s)
        if result["state"] in ("refused", "failed"):
            code = _code(result)
            if code not in (ACCESS_DENIED, INVALID_ARGUMENT):
                s.state = DEAD  # it was tried
            return code, ""
        s.row, s.remote, s.known = row, shown((address, port)), True
        s.state = CONNECTING
        if result["state"] == "done":
            s.conclude(result, descriptor)
        return DONE

    def _finish_connect(self, s: _Tcp, _: Row, __: Words) -> Answer:
        if s.state != CONNECTING:
            return NOT_IN_PROGRESS, ""
        if s.result is None:
            self._take_in()
        if s.result is None:
            return WOULD_BLOCK, ""
        if s.result:
            s.state = DEAD
            return s.result, ""
        _configure(s)
        s.open()
        return 0, u32(s.number) * 2

    def _start_listen(self, s: _Tcp, row: Row, _: Words) -> Answer:
        if s.state != BOUND:
            return INVALID_STATE, ""
        backlog = s.options.get("listen-backlog-size", BACKLOG)
        result, descriptor = self._ask(row, "listen", {"object": s.number, "backlog": backlog})
        if result["state"] != "done" or descriptor is None:
            code = _code(result) if result["state"] != "done" else NEW_SOCKET_LIMIT
            if code != ACCESS_DENIED:
                s.state = DEAD
            return code, ""
        s.adopt(descriptor, socket.SOCK_STREAM)
        _configure(s)
        s.state = LISTEN_STARTED
        return DONE

    def _finish_listen(self, s: _Tcp, _: Row, __: Words) -> Answer:
        if s.state != LISTEN_STARTED:
            return NOT_IN_PROGRESS, ""
        s.state = LISTENING
        return DONE

    def _accept(self, s: _Tcp, row: Row, _: Words) -> Answer:
        if s.state != LISTENING:
            return INVALID_STATE, ""
        assert s.socket is not None
        for _dropped in range(MAX_DROPPED):
            if self._is_full():
                poll = select.poll()
                poll.register(s.fd, select.POLLIN)
                if not poll.poll(0):
                    return WOULD_BLOCK, ""
                self._bound(row, "sockets", shown(s.local))
                return NEW_SOCKET_LIMIT, ""
            try:
                connection, address = s.socket.accept()
            except OSError as error:
                return _error(error), ""
            number = self._new()
            if number is None:
                connection.close()
                return NEW_SOCKET_LIMIT, ""
            new = _Tcp(number, s.family, row)
            if self._is_welcome(new, address, row, accepted=True):
                new.take(connection)
                new.remote = shown(address[:2])
                new.open()
                self.tcp[number] = new
                self.open += 1
                return 0, u32(number) * 3
            connection.close()
        return WOULD_BLOCK, ""

    def _is_welcome(self, s: _Tcp | _Udp, address: Any, row: Row, *, accepted: bool) -> bool:
        """Whether a peer that connected, or sent a datagram, is let through."""
        if not self.judges_peers:
            return True
        args = {
            "object": s.number,
            "protocol": s.protocol,
            "address": zoned(address),
            "port": address[1],
            "accepted": accepted,
        }
        result, _ = self._ask(row, "peer", args)
        s.known = s.known or result["state"] == "done"
        return bool(result["state"] == "done")

    def _local_address(self, s: _Tcp | _Udp, _: Row, __: Words) -> Answer:
        if s.state not in (BOUND, LISTENING, CONNECTED):
            return INVALID_STATE, ""
        if s.socket is None:
            return 0, socket_address(s.local)
        try:
            return 0, socket_address(s.socket.getsockname())
        except OSError as error:
            return _error(error), ""

    def _remote_address(self, s: _Tcp | _Udp, _: Row, __: Words) -> Answer:
        if s.socket is None or (s.state != CONNECTED if isinstance(s, _Tcp) else s.remote is None):
            return INVALID_STATE, ""
        try:
            return 0, socket_address(s.socket.getpeername())
        except OSError as error:
            return _error(error), ""

    def _is_listening(self, s: _Tcp, _: Row, __: Words) -> Answer:
        return 0, READY if s.state == LISTENING else NOT_READY

    def _address_family(self, s: _Tcp | _Udp, _: Row, __: Words) -> Answer:
        return 0, "\x01" if s.family == 6 else "\x00"

    def _set_backlog(self, s: _Tcp, _: Row, words: Words) -> Answer:
        value = min(words[0], MAX_BACKLOG)
        if not value:
            return INVALID_ARGUMENT, ""
        if s.state in (UNBOUND, BIND_STARTED, BOUND):
            s.options["listen-backlog-size"] = value
            return DONE
        if s.state != LISTENING or s.socket is None:
            return INVALID_STATE, ""
        try:
            s.socket.listen(value)  # it listens already: only how many may wait changes
        except OSError:
            return NOT_SUPPORTED, ""
        return DONE

    def _get_option(self, s: _Tcp | _Udp, row: Row, _: Words) -> Answer:
        name = _option_name(row)
        if s.state == DEAD:
            return INVALID_STATE, ""
        option = OPTIONS[name]
        if s.socket is None:
            value = s.options.get(name, option.default(s))
        else:
            try:
                value = option.value(s.socket.getsockopt(*option.place(s)))
            except OSError as error:
                return _error(error), ""
        return 0, value.to_bytes(option.size, "little").decode("latin-1")

    def _set_option(self, s: _Tcp | _Udp, row: Row, words: Words) -> Answer:
        name = _option_name(row)
        if s.state == DEAD:
            return INVALID_STATE, ""
        option = OPTIONS[name]
        value = words[0]
        if not option.takes(value):
            return INVALID_ARGUMENT, ""
        value = option.clamp(value)
        if s.socket is None:
            s.options[name] = value
            return DONE
        try:
            s.socket.setsockopt(*option.place(s), option.kernel(value))
        except OSError as error:
            return _error(error), ""
        return DONE

    def _shutdown(self, s: _Tcp, _: Row, words: Words) -> Answer:
        if s.state != CONNECTED:
            return INVALID_STATE, ""
        how = words[0]
        if how != 1:
            s.reading = False
            _shut(s, socket.SHUT_RD)
        if how != 0 and s.writing:
            s.writing, s.failure = False, CLOSED
            if s.pending:
                s.finishes = True
            else:
                _shut(s, socket.SHUT_WR)
        return DONE

    def _stream(self, u: _Udp, row: Row, words: Words) -> Answer:
        if u.state != BOUND or u.socket is None:
            return INVALID_STATE, ""
        if u.live & (INPUT | OUTPUT):
            return INVALID_STATE, ""  # the streams before have to be dropped first
        peer = None
        if words[0]:
            peer = spread(words[1:])
            code = self._judge(u, row, peer)
            if code:
                return code, ""
        try:
            if peer is not None:
                u.socket.connect(peer)
            elif u.remote is not None:
                _disconnect(u.fd)
        except OSError as error:
            return _error(error), ""
        u.routes.clear()
        u.row, u.remote, u.blocked = row, peer, False
        u.live |= INPUT | OUTPUT
        return 0, u32(u.number) * 2

    def _route(self, u: _Udp, to: bytes) -> tuple[int, Peer | None]:
        """Where a datagram goes, or an error code."""
        if not to[0]:
            return INVALID_ARGUMENT, u.remote
        peer = in_memory(to[4:])
        row = [u.row[0], "[method]outgoing-datagram-stream.send", "sockets.udp.send", True]
        code = self._judge(u, row, peer)
        if code:
            return code, None
        return INVALID_ARGUMENT, peer if u.remote in (None, peer) else None

    def _judge(self, u: _Udp, row: Row, peer: Peer) -> int:
        """An error code where nothing may be sent to a peer. What the interface forbids is judged all the same."""
        if peer not in u.peers:
            result, _ = self._ask(row, "send", {"object": u.number, "address": peer[0], "port": peer[1]})
            if result["state"] != "done":
                return _code(result)
        address, port = peer
        if (":" in address) != (u.family == 6) or not port or address in _UNSPECIFIED or address[:7] == "::ffff:":
            return INVALID_ARGUMENT
        if len(u.peers) >= MAX_PEERS:
            del u.peers[next(iter(u.peers))]
        u.peers[peer] = None
        return 0

    def _receive_datagram(self, u: _Udp, row: Row, _: Words) -> Answer:
        if u.socket is None:
            return INVALID_STATE, ""
        for _dropped in range(MAX_DROPPED):
            try:
                data, address = u.socket.recvfrom(65536)
            except BlockingIOError:
                return WAITS
            except OSError as error:
                return _error(error), ""
            peer = address[0], address[1]
            if u.remote is not None:
                heard = peer == u.remote  # what came before it was connected may be from anybody
            elif u.everyone:
                heard = not self.judges_peers or self._is_heard(u, peer, address, row)
            else:
                heard = peer in u.peers
            if not heard:
                continue
            if len(data) > self.received_left:
                self._bound(row, "received", shown(peer))
                return ACCESS_DENIED, ""
            self.received_left -= len(data)
            u.received += len(data)
            return 0, socket_address(address) + data.decode("latin-1")
        return WAITS

    def _is_heard(self, u: _Udp, peer: Peer, address: Any, row: Row) -> bool:
        refused = u.refused.get(peer)
        if refused is None:
            if len(u.refused) >= MAX_PEERS:
                del u.refused[next(iter(u.refused))]
            refused = u.refused[peer] = not self._is_welcome(u, address, row, accepted=False)
        return not refused

    def _check_send(self, u: _Udp, _: Row, __: Words) -> Answer:
        if u.blocked:
            poll = select.poll()
            poll.register(u.fd, select.POLLOUT)
            u.blocked = not poll.poll(0)
        return 0, u64(0 if u.blocked else MAX_DATAGRAMS)

    def _resolve(self, _: int, row: Row, __: Words, text: str) -> Answer:
        number = self._new()
        if number is None:
            return NEW_SOCKET_LIMIT, ""
        if len(text) >= MAX_NAME:
            return INVALID_ARGUMENT, ""
        lookup = _Lookup(number, row)
        name = text.encode("latin-1").decode("utf-8", "replace")
        result, descriptor = self._ask(row, "lookup", {"object": number, "name": name}, lookup)
        if result["state"] in ("refused", "failed"):
            return _code(result), ""
        if result["state"] == "done":
            lookup.conclude(result, descriptor)
        self.lookups[number] = lookup
        return 0, u32(number)

    def _next_address(self, lookup: _Lookup, _: Row, __: Words) -> Answer:
        if lookup.result is None:
            self._take_in()
        if lookup.result is None:
            return WOULD_BLOCK, ""
        if isinstance(lookup.result, int):
            return lookup.result, ""
        return 0, (lookup.result.pop() if lookup.result else NO_ADDRESS).decode("latin-1")


def _option_name(row: Row) -> str:
    name = str(row[1]).rpartition(".")[2].removeprefix("set-")
    return "hop-limit" if name == "unicast-hop-limit" else name


def _configure(s: _Tcp) -> None:
    """Set what was set before there was a socket; where the supervisor has done so, once more."""
    assert s.socket is not None
    for name, value in s.options.items():
        option = OPTIONS.get(name)
        if option is not None:
            try:
                s.socket.setsockopt(*option.place(s), option.kernel(value))
            except OSError:
                pass  # an option is a hint
    s.options.clear()


def _shut(s: _Tcp, how: int) -> None:
    assert s.socket is not None
    try:
        s.socket.shutdown(how)
    except OSError:
        pass  # the peer has gone: then both ways are shut


def _disconnect(fd: int) -> None:
    """Have a UDP socket take datagrams from anybody again. Raises ``OSError``."""
    import ctypes

    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(fd, nowhere, len(nowhere)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _closed(s: _Tcp) -> int:
    """What a closed output stream answers: an error once, then that it is closed."""
    status, s.failure = s.failure, CLOSED
    return status


def _code(result: dict[str, Any]) -> int:
    return CODE.get(result.get("error", ""), 0) + 1


def _error(error: OSError) -> int:
    return CODE[OF_ERRNO.get(error.errno or 0, "unknown")] + 1


def _failure(error: OSError) -> int:
    return FAILED + CODE[OF_ERRNO.get(error.errno or 0, "unknown")]


def _milliseconds(nanoseconds: int) -> int | None:
    return None if nanoseconds == FOR_EVER else min(-(-nanoseconds // 1_000_000), LONGEST_POLL)


_Handler: TypeAlias = Callable[[Sockets, int, Row, Words, str], Answer]


def _of_tcp(method: Callable[[Sockets, _Tcp, Row, Words], Answer]) -> _Handler:
    return lambda sockets, number, row, words, _: method(sockets, sockets.tcp[number], row, words)


def _of_udp(method: Callable[[Sockets, _Udp, Row, Words], Answer]) -> _Handler:
    return lambda sockets, number, row, words, _: method(sockets, sockets.udp[number], row, words)


def _of_lookup(method: Callable[[Sockets, _Lookup, Row, Words], Answer]) -> _Handler:
    return lambda sockets, number, row, words, _: method(sockets, sockets.lookups[number], row, words)


_TCP_OPTIONS = tuple(OPTIONS)
_UDP_OPTIONS = ("unicast-hop-limit", "receive-buffer-size", "send-buffer-size")
_HANDLERS: dict[str, _Handler] = {
    "create-tcp-socket": Sockets._create_tcp,
    "create-udp-socket": Sockets._create_udp,
    "resolve-addresses": Sockets._resolve,
    "[method]error.to-debug-string": Sockets._describe,
    "[method]resolve-address-stream.resolve-next-address": _of_lookup(Sockets._next_address),
    "[method]tcp-socket.start-bind": _of_tcp(Sockets._start_bind),
    "[method]tcp-socket.finish-bind": _of_tcp(Sockets._finish_bind),
    "[method]tcp-socket.start-connect": _of_tcp(Sockets._start_connect),
    "[method]tcp-socket.finish-connect": _of_tcp(Sockets._finish_connect),
    "[method]tcp-socket.start-listen": _of_tcp(Sockets._start_listen),
    "[method]tcp-socket.finish-listen": _of_tcp(Sockets._finish_listen),
    "[method]tcp-socket.accept": _of_tcp(Sockets._accept),
    "[method]tcp-socket.local-address": _of_tcp(Sockets._local_address),
    "[method]tcp-socket.remote-address": _of_tcp(Sockets._remote_address),
    "[method]tcp-socket.is-listening": _of_tcp(Sockets._is_listening),
    "[method]tcp-socket.address-family": _of_tcp(Sockets._address_family),
    "[method]tcp-socket.set-listen-backlog-size": _of_tcp(Sockets._set_backlog),
    "[method]tcp-socket.shutdown": _of_tcp(Sockets._shutdown),
    "[method]udp-socket.start-bind": _of_udp(Sockets._start_bind),
    "[method]udp-socket.finish-bind": _of_udp(Sockets._finish_bind),
    "[method]udp-socket.stream": _of_udp(Sockets._stream),
    "[method]udp-socket.local-address": _of_udp(Sockets._local_address),
    "[method]udp-socket.remote-address": _of_udp(Sockets._remote_address),
    "[method]udp-socket.address-family": _of_udp(Sockets._address_family),
    "[method]incoming-datagram-stream.receive": _of_udp(Sockets._receive_datagram),
    "[method]outgoing-datagram-stream.check-send": _of_udp(Sockets._check_send),
    **{f"[method]tcp-socket.{name}": _of_tcp(Sockets._get_option) for name in _TCP_OPTIONS},
    **{f"[method]tcp-socket.set-{name}": _of_tcp(Sockets._set_option) for name in _TCP_OPTIONS},
    **{f"[method]udp-socket.{name}": _of_udp(Sockets._get_option) for name in _UDP_OPTIONS},
    **{f"[method]udp-socket.set-{name}": _of_udp(Sockets._set_option) for name in _UDP_OPTIONS},
}
