"""TCP of a guest's: what it may do with a connection and a listener, and the bytes of its streams."""

from __future__ import annotations

import select
import socket
from typing import TypeAlias

from sandbox.broker.kernel import is_ready
from sandbox.broker.layout import Words, shown, spread, u32
from sandbox.broker.objects import (
    ACCESS_DENIED,
    BIND_STARTED,
    BOUND,
    CODE,
    CONCURRENCY_CONFLICT,
    CONNECTED,
    CONNECTING,
    DEAD,
    INVALID_ARGUMENT,
    INVALID_STATE,
    LISTEN_STARTED,
    LISTENING,
    NEW_SOCKET_LIMIT,
    NOT_IN_PROGRESS,
    NOT_SUPPORTED,
    NOTHING,
    UNBOUND,
    WOULD_BLOCK,
    Answer,
    Row,
    Tcp,
    answer_of,
    answered_code,
    stream_failure,
)
from sandbox.broker.options import MAX_BACKLOG, OPTIONS
from sandbox.broker.table import MAX_DROPPED, NOT_READY, READY, Table, shut
from sandbox.guard.wire import CLOSED, FAILED, PENDING

Buffer: TypeAlias = bytes | bytearray | memoryview
CHUNK = 65536


class TcpCalls(Table):
    """Calls on TCP sockets, and on the streams of their connections."""

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
                return stream_failure(error), 0
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
        if size > self.permit:
            return FAILED + CODE["invalid-state"]  # nobody may have more pending
        if s.pending and not (self._wait_flushed(s) if blocking else self._flush(s)):
            if not size:
                return PENDING
            return FAILED + CODE["invalid-state"]  # beyond what was permitted: nothing is, while something is pending
        if s.is_shut():
            return _closed(s)
        if not size:
            return self.clear
        if s.counted:
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
            return self.clear
        s.pending = memoryview(bytes(data[done:]))
        self.flushing[s.number] = s
        if not blocking:
            return PENDING
        self._wait_flushed(s)
        return _closed(s) if s.is_shut() else self.clear

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
        if self.sent_left >= self.permit or not s.counted:
            return self.permit
        return self.sent_left or self._sent_enough(s) << 32

    def _beyond(self, s: Tcp, blocking: int) -> int:
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
                return stream_failure(error)
            s.reading = False
            if not more:
                return CLOSED
            self._bound_reached(s.row, "received", _resource(s))
            return FAILED + CODE["access-denied"]  # else what came so far would pass for the whole

    def _sent_enough(self, s: Tcp) -> int:
        """Close a stream that would go beyond the bound on sent bytes."""
        self._bound_reached(s.row, "sent", _resource(s))
        s.writing, s.failure = False, FAILED + CODE["access-denied"]
        return _closed(s)

    # The other calls.

    def start_connect(self, s: Tcp, row: Row, words: Words) -> Answer:
        if s.state == CONNECTING:
            return CONCURRENCY_CONFLICT, ""
        if s.state not in (UNBOUND, BOUND):
            return INVALID_STATE, ""
        address, port = spread(words[1:])
        args = {"object": s.number, "family": s.family, "address": address, "port": port, "options": s.options}
        result, descriptor = self._ask(row, "connect", args, s)
        if result["state"] in ("refused", "failed"):
            code = answered_code(result)
            if code not in (ACCESS_DENIED, INVALID_ARGUMENT):
                s.state = DEAD  # it was tried
            return code, ""
        s.row, s.remote, s.known = row, (address, port), True
        s.state = CONNECTING
        if result["state"] == "done":
            s.conclude(result, descriptor)
        return NOTHING

    def finish_connect(self, s: Tcp, _: Row, __: Words) -> Answer:
        if s.state != CONNECTING:
            return NOT_IN_PROGRESS, ""
        if s.result is None:
            self._take_in()
        if s.result is None:
            return WOULD_BLOCK, ""
        if s.socket is None:
            return self._lost(s, s.result), ""
        _configure(s)
        s.open()
        return 0, u32(s.number) * 2

    def start_listen(self, s: Tcp, row: Row, _: Words) -> Answer:
        if s.state != BOUND:
            return INVALID_STATE, ""
        result, descriptor = self._ask(row, "listen", {"object": s.number, "backlog": s.backlog})
        if result["state"] != "done":
            code = answered_code(result)
            if code != ACCESS_DENIED:
                s.state = DEAD
            return code, ""
        if descriptor is None:
            return self._lost(s), ""
        s.adopt(descriptor, socket.SOCK_STREAM)
        _configure(s)
        s.state = LISTEN_STARTED
        return NOTHING

    def finish_listen(self, s: Tcp, _: Row, __: Words) -> Answer:
        if s.state != LISTEN_STARTED:
            return NOT_IN_PROGRESS, ""
        s.state = LISTENING
        return NOTHING

    def accept(self, s: Tcp, row: Row, _: Words) -> Answer:
        if s.state != LISTENING:
            return INVALID_STATE, ""
        assert s.socket is not None
        for _dropped in range(MAX_DROPPED):
            if not self._has_room():
                if not is_ready(s.fd, select.POLLIN):
                    return WOULD_BLOCK, ""
                self._bound_reached(row, "sockets", shown(s.local))
                return NEW_SOCKET_LIMIT, ""
            try:
                connection, address = s.socket.accept()
            except OSError as error:
                return answer_of(error), ""
            self._make_room()  # only now: nobody is cut off for a connection that does not come
            number = self._new()
            if number is None:
                connection.close()
                return NEW_SOCKET_LIMIT, ""
            new = Tcp(number, s.family, row)
            if self._is_welcome(new, address, row, s):
                new.take(connection)
                new.remote = address
                new.open()
                self.tcp[number] = new
                self.open += 1
                return 0, u32(number) * 3
            connection.close()
        return WOULD_BLOCK, ""

    def is_listening(self, s: Tcp, _: Row, __: Words) -> Answer:
        return 0, READY if s.state == LISTENING else NOT_READY

    def set_backlog(self, s: Tcp, _: Row, words: Words) -> Answer:
        value = min(words[0], MAX_BACKLOG, self.limit)
        if not value:
            return INVALID_ARGUMENT, ""
        if s.state in (UNBOUND, BIND_STARTED, BOUND):
            s.backlog = value
            return NOTHING
        if s.state != LISTENING or s.socket is None:
            return INVALID_STATE, ""
        try:
            s.socket.listen(value)  # it listens already: only how many may wait changes
        except OSError:
            return NOT_SUPPORTED, ""
        return NOTHING

    def shutdown(self, s: Tcp, _: Row, words: Words) -> Answer:
        if s.state != CONNECTED:
            return INVALID_STATE, ""
        how = words[0]
        if how != 1:
            s.reading = False
            shut(s, socket.SHUT_RD)
        if how != 0 and s.writing:
            s.writing, s.failure = False, CLOSED
            if s.pending:
                s.finishes = True
            else:
                shut(s, socket.SHUT_WR)
        return NOTHING


def _configure(s: Tcp) -> None:
    """Set what was set before there was a socket; where the supervisor has done so, once more."""
    assert s.socket is not None
    for name, value in s.options.items():
        option = OPTIONS[name]
        try:
            s.socket.setsockopt(*option.place(s.kind), option.kernel(value))
        except OSError:
            pass  # an option is a hint
    s.options.clear()


def _resource(s: Tcp) -> str | None:
    return None if s.remote is None else shown(s.remote[:2])


def _closed(s: Tcp) -> int:
    """What a closed output stream answers: an error once, then that it is closed."""
    status, s.failure = s.failure, CLOSED
    return status
