"""What a guest has open: the numbers of its sockets and lookups, what they wait for, and what is pending.

Here is all that is said to the supervisor, too.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import time
from typing import Any, Protocol

from sandbox.broker.layout import zoned
from sandbox.broker.objects import (
    CHANNEL,
    DEAD,
    GONE,
    NEW_SOCKET_LIMIT,
    NOTHING_PENDING,
    Lookup,
    Row,
    Tcp,
    Udp,
    stream_failure,
)
from sandbox.guard.wire import ASK, CLOSED, DONE, LEAST_PERMIT, MAX_INSTANCES, MAX_OBJECT, PERMIT

READY, NOT_READY = "\x01", "\x00"
ALL_SENT = "\x00"
"""Nothing is pending."""
FOR_EVER = (1 << 64) - 1
LONGEST_POLL = (1 << 31) - 1

ALL_PENDING = 16 << 20
"""Bytes that all sockets together may have pending, as long as that leaves each ``LEAST_PERMIT``."""
STANDARD_STREAMS = 3 * MAX_INSTANCES
"""Numbers at the end of the range that no socket gets: those of the standard streams of a program's instances."""
MAX_DROPPED = 64
"""Connections and datagrams of peers that are refused, which one call drops at most before it answers."""
LINGER = 1.0
"""Seconds that a run which is over waits for a peer to take some of what is pending."""


class Channel(Protocol):
    """The worker's way to the supervisor."""

    def send(self, *message: object) -> None: ...

    def reply(self, *, wait: bool) -> tuple[int, dict[str, Any], int | None] | None:
        """The next answer: the number of its request, the answer, a file descriptor. ``None``: there is none now."""
        ...

    def fileno(self) -> int: ...


class Table:
    """The sockets and lookups of one run. ``close`` ends them all."""

    def __init__(self, channel: Channel, limits: dict[str, Any]) -> None:
        """``limits`` is the ``network`` of a job: ``sockets``, ``sent``, ``received``, ``judge_peers``, and the
        ``families`` of addresses that the host has (``[4, 6]``)."""
        self.channel = channel
        self.limit: int = limits["sockets"]
        self.sent_left: int = limits["sent"]
        self.received_left: int = limits["received"]
        self.judges_peers: bool = limits["judge_peers"]
        self.permit: int = max(LEAST_PERMIT, min(PERMIT, ALL_PENDING // max(1, self.limit)))
        self.clear = DONE if self.permit == PERMIT else ASK
        """What a write answers that is with the kernel as a whole: the guard takes ``PERMIT`` for granted after 0."""
        self.families: list[int] = limits.get("families", [4, 6])
        self.tcp: dict[int, Tcp] = {}
        self.udp: dict[int, Udp] = {}
        self.lookups: dict[int, Lookup] = {}
        self.flushing: dict[int, Tcp] = {}
        """Those that have something pending, also where the guest has let go of them."""
        self.open = 0
        self.number = 0
        self.requests = 0
        self.started: dict[int, Tcp | Lookup] = {}
        """Requests whose second answer is still to come."""

    def keep(self, stream: Tcp) -> None:
        """Have a standard stream of a component's open as long as the run."""
        self.tcp[stream.number] = stream
        self.open += 1
        self.limit += 1

    def close(self) -> None:
        """End everything. What is pending goes on its way as long as any of it moves; what stands still is cut off.

        All that was written to a standard stream arrives: its reader is the supervisor, which ends a run in time.
        """
        until = time.monotonic() + LINGER
        while self.flushing and (left := until - time.monotonic()) > 0:
            poll = select.poll()
            for s in self.flushing.values():
                poll.register(s.fd, select.POLLOUT)
            ready = {fd for fd, _ in poll.poll(left * 1000)}
            for s in [s for s in self.flushing.values() if s.fd in ready]:
                sent = s.sent
                self._flush(s)
                if s.sent != sent:
                    until = time.monotonic() + LINGER
        for s in [s for s in self.flushing.values() if not s.counted]:
            while not self._flush(s):
                poll = select.poll()
                poll.register(s.fd, select.POLLOUT)
                poll.poll()
        left_open: list[Tcp | Udp] = [*self.tcp.values(), *self.udp.values(), *self.flushing.values()]
        for each in left_open:
            self._close(each)
        self.lookups.clear()

    def wait(self, what: str, nanoseconds: int) -> str:
        """Wait until one of some sides of objects is ready: one word each, the object's number and two bits.

        Answers a byte for each, and one more: whether something is still pending, so that further waits are to come.
        """
        if len(what) == 4 and not self.flushing:
            (word,) = struct.unpack("<I", what.encode("latin-1"))
            need = self._need(word)
            if not need:
                return READY + ALL_SENT
            if need & 1 and need > 0:
                poll = select.poll()
                poll.register(need >> 3, select.POLLIN)
                return (READY if poll.poll(_milliseconds(nanoseconds)) else NOT_READY) + ALL_SENT
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
                    if isinstance(found, Udp):
                        found.blocked = False
                    ready[i] = not self._need(words[i])
            if True in ready or (end is not None and time.monotonic_ns() >= end):
                return bytes([*ready, bool(self.flushing)]).decode("latin-1")

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

    def _await(self, s: Tcp, event: int) -> None:
        """Wait for one socket; what others have pending goes on meanwhile: who is waited for may wait for that."""
        self._poll([s.fd << 3 | event], FOR_EVER)

    def _need(self, word: int) -> int:
        found = self._find(word >> 2)
        return 0 if found is None else found.need(word & 3)

    def _find(self, number: int) -> Tcp | Udp | Lookup | None:
        return self.tcp.get(number) or self.udp.get(number) or self.lookups.get(number)

    def _flush(self, s: Tcp) -> bool:
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
        s.pending = NOTHING_PENDING
        self.flushing.pop(s.number, None)
        if s.finishes:
            shut(s, socket.SHUT_WR)
        if not s.live:
            self._close(s)
        return True

    def _wait_flushed(self, s: Tcp) -> bool:
        while s.pending:
            self._await(s, select.POLLOUT)  # and send
        return True

    def _break(self, s: Tcp, error: OSError) -> None:
        """Close the stream of a socket that cannot send any more."""
        s.writing = s.finishes = False
        s.pending = NOTHING_PENDING
        s.failure = CLOSED if error.errno == errno.EPIPE else stream_failure(error)

    def drop(self, number: int, side: int) -> None:
        """The guest let go of a socket or lookup (0), of its input (1) or its output (2)."""
        found = self._find(number)
        if found is None:
            return
        found.live &= ~(1 << side)
        if found.live:
            return
        if isinstance(found, Lookup):
            del self.lookups[number]
            self.started.pop(found.request, None)  # who gave up is not answered any more
            if found.result is None:
                self._say(found.row, "closed", {"object": number, "sent": 0, "received": 0})
        elif isinstance(found, Udp) or not found.pending or self._flush(found):
            self._close(found)
        else:
            del self.tcp[number]  # it stays until the rest of what was written is on its way

    def _close(self, s: Tcp | Udp) -> None:
        if s.state == GONE:
            return
        s.state = GONE
        self.open -= 1
        (self.tcp if isinstance(s, Tcp) else self.udp).pop(s.number, None)
        self.flushing.pop(s.number, None)
        if isinstance(s, Tcp):
            self.started.pop(s.request, None)
        if s.socket is not None:
            if isinstance(s, Tcp) and s.pending:
                # A reset: at a clean end, the part that was sent would pass for the whole.
                s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            s.socket.close()
            s.socket = None
        if s.known:
            self._say(s.row, "closed", {"object": s.number, "sent": s.sent, "received": s.received})

    def _lost(self, s: Tcp | Udp, code: int = NEW_SOCKET_LIMIT) -> int:
        """Give up a socket that did not come, by default since this process has no more descriptors."""
        s.state = DEAD
        if s.known:
            s.known = False  # the supervisor need not hold anything for it
            self._say(s.row, "closed", {"object": s.number, "sent": 0, "received": 0})
        return code

    def _new(self) -> int | None:
        """The number of a new object; ``None`` where there are no more."""
        if self.number >= MAX_OBJECT - STANDARD_STREAMS:
            return None
        self.number += 1
        return self.number

    def _has_room(self) -> bool:
        """Whether a socket more may be open: if not as it is, then where one makes way that the guest has let go of."""
        return self.open < self.limit or any(not s.live for s in self.flushing.values())

    def _make_room(self) -> bool:
        """Close one that only sends its rest, where another socket needs its place; whether there is room."""
        if self.open < self.limit:
            return True
        for s in self.flushing.values():
            if not s.live:
                self._close(s)
                return True
        return False

    def _number(self, row: Row) -> int | None:
        if not self._make_room():
            self._bound_reached(row, "sockets", None)
            return None
        number = self._new()
        if number is not None:
            self.open += 1
        return number

    def _bound_reached(self, row: Row, name: str, resource: str | None) -> None:
        self.channel.send("bound", time.time(), row, name, resource)

    def _say(self, row: Row, op: str, args: dict[str, Any]) -> int:
        self.requests += 1
        self.channel.send("net", time.time(), row, self.requests, op, args)
        return self.requests

    def _is_welcome(self, s: Tcp | Udp, address: Any, row: Row, listener: Tcp | None = None) -> bool:
        """Whether a peer that connected to ``listener``, or sent a datagram, is let through."""
        if not self.judges_peers:
            return True
        args = {
            "object": s.number,
            "protocol": s.protocol,
            "address": zoned(address),
            "port": address[1],
            "accepted": listener is not None,
        }
        if listener is not None:
            args["listener"] = listener.number
        result, _ = self._ask(row, "peer", args)
        s.known = s.known or result["state"] == "done"
        return bool(result["state"] == "done")

    def _ask(
        self, row: Row, op: str, args: dict[str, Any], waiting: Tcp | Lookup | None = None
    ) -> tuple[dict[str, Any], int | None]:
        """The supervisor's answer, and a descriptor. ``waiting`` gets the second one, if that is still to come."""
        number = self._say(row, op, args)
        while True:
            found = self.channel.reply(wait=True)
            assert found is not None
            if found[0] == number:
                break
            self._conclude(*found)
        _, result, descriptor = found
        if result["state"] == "started" and waiting is not None:
            self.started[number], waiting.request = waiting, number
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


def shut(s: Tcp, how: int) -> None:
    assert s.socket is not None
    try:
        s.socket.shutdown(how)
    except OSError:
        pass  # the peer has gone: then both ways are shut


def _milliseconds(nanoseconds: int) -> int | None:
    return None if nanoseconds == FOR_EVER else min(-(-nanoseconds // 1_000_000), LONGEST_POLL)
