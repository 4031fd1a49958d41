"""The worker's side of ``wasi:sockets``: the states of a guest's sockets, and their data.

Nothing here makes, binds or connects a socket, or looks up a name: the supervisor judges, does that, and hands over
file descriptors. Only a UDP socket that was handed over is connected here, to a peer that was judged: that limits it.

Every public method of ``Sockets`` answers a call of the guard's; ``builder.HOST`` of the guard says what crosses. Bytes
come and go as Latin-1, one character a byte.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from sandbox.broker.errors import DESCRIBED
from sandbox.broker.layout import NO_ADDRESS, Words, socket_address, spread, u32
from sandbox.broker.objects import (
    BIND_STARTED,
    BOUND,
    CONNECTED,
    DEAD,
    INVALID_ARGUMENT,
    INVALID_STATE,
    LISTENING,
    NEW_SOCKET_LIMIT,
    NOT_IN_PROGRESS,
    NOT_SUPPORTED,
    NOTHING,
    UNBOUND,
    WOULD_BLOCK,
    Answer,
    Lookup,
    Row,
    Tcp,
    Udp,
    answer_of,
    answered_code,
)
from sandbox.broker.options import OF_UDP, OPTIONS
from sandbox.broker.table import Channel
from sandbox.broker.tcp import TcpCalls
from sandbox.broker.udp import UdpCalls
from sandbox.guard.wire import ERROR_CODES

MAX_NAME = 4096
"""Bytes of a name that is passed on to be judged; what is longer is none."""

_S = TypeVar("_S", Tcp, Udp)


class Sockets(TcpCalls, UdpCalls):
    """The sockets and lookups of one run, as its guard calls them. ``close`` ends them all."""

    def __init__(self, channel: Channel, limits: dict[str, Any], sites: Sequence[Row]) -> None:
        """``limits``: see ``Table``. ``sites`` are the guard's, as data."""
        super().__init__(channel, limits)
        self.sites = sites
        self.handlers = [_HANDLERS.get(row[1]) for row in sites]

    def control(self, site: int, number: int, words: str, text: str) -> Answer:
        """Carry out one function of ``wasi:sockets``."""
        handler = self.handlers[site]
        if handler is None:
            raise LookupError(f"no function {self.sites[site][1]}")
        raw = words.encode("latin-1")
        return handler(self, number, self.sites[site], struct.unpack(f"<{len(raw) // 8}Q", raw), text)

    def _create_tcp(self, _: int, row: Row, words: Words, __: str) -> Answer:
        return self._create(self.tcp, Tcp, row, words)

    def _create_udp(self, _: int, row: Row, words: Words, __: str) -> Answer:
        return self._create(self.udp, Udp, row, words)

    def _create(self, table: dict[int, _S], kind: Callable[[int, int, Row], _S], row: Row, words: Words) -> Answer:
        family = 6 if words[0] & 1 else 4
        if family not in self.families:
            return NOT_SUPPORTED, ""
        number = self._number(row)
        if number is None:
            return NEW_SOCKET_LIMIT, ""
        table[number] = kind(number, family, row)
        return 0, u32(number)

    def _describe(self, code: int, _: Row, __: Words, ___: str) -> Answer:
        name = ERROR_CODES[code] if code < len(ERROR_CODES) else "unknown"
        number = DESCRIBED.get(name)
        text = name if number is None else f"{os.strerror(number)} (os error {number})"
        return 0, text.encode().decode("latin-1")

    def _start_bind(self, s: Tcp | Udp, row: Row, words: Words) -> Answer:
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
            return answered_code(result), ""
        s.known = True
        if isinstance(s, Udp):
            if descriptor is None:
                return self._lost(s), ""
            s.adopt(descriptor, socket.SOCK_DGRAM)
            s.everyone = bool(result["anyone"])
        s.local = result["local"][0], result["local"][1]
        s.state = BIND_STARTED
        return NOTHING

    def _finish_bind(self, s: Tcp | Udp, _: Row, __: Words) -> Answer:
        if s.state != BIND_STARTED:
            return NOT_IN_PROGRESS, ""
        s.state = BOUND
        return NOTHING

    def _local_address(self, s: Tcp | Udp, _: Row, __: Words) -> Answer:
        if s.state not in (BOUND, LISTENING, CONNECTED):
            return INVALID_STATE, ""
        if s.socket is None:
            return 0, socket_address(s.local)
        try:
            return 0, socket_address(s.socket.getsockname())
        except OSError as error:
            return answer_of(error), ""

    def _remote_address(self, s: Tcp | Udp, _: Row, __: Words) -> Answer:
        if s.remote is None or s.state != (CONNECTED if isinstance(s, Tcp) else BOUND):
            return INVALID_STATE, ""
        # The kernel forgets it when the peer resets the connection, and a guest's library asks once it has accepted.
        return 0, socket_address(s.remote)

    def _address_family(self, s: Tcp | Udp, _: Row, __: Words) -> Answer:
        return 0, "\x01" if s.family == 6 else "\x00"

    def _get_option(self, s: Tcp | Udp, row: Row, _: Words) -> Answer:
        name = _option_name(row)
        if s.state == DEAD:
            return INVALID_STATE, ""
        option = OPTIONS[name]
        if s.socket is None:
            value = s.options.get(name, option.default(s.kind))
        else:
            try:
                value = option.value(s.socket.getsockopt(*option.place(s.kind)))
            except OSError as error:
                return answer_of(error), ""
        return 0, value.to_bytes(option.size, "little").decode("latin-1")

    def _set_option(self, s: Tcp | Udp, row: Row, words: Words) -> Answer:
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
            return NOTHING
        try:
            s.socket.setsockopt(*option.place(s.kind), option.kernel(value))
        except OSError as error:
            return answer_of(error), ""
        return NOTHING

    def _resolve(self, _: int, row: Row, __: Words, text: str) -> Answer:
        number = self._new()
        if number is None:
            return NEW_SOCKET_LIMIT, ""
        if len(text) >= MAX_NAME:
            return INVALID_ARGUMENT, ""
        lookup = Lookup(number, row)
        name = text.encode("latin-1").decode("utf-8", "replace")
        result, descriptor = self._ask(row, "lookup", {"object": number, "name": name}, lookup)
        if result["state"] in ("refused", "failed"):
            return answered_code(result), ""
        if result["state"] == "done":
            lookup.conclude(result, descriptor)
        self.lookups[number] = lookup
        return 0, u32(number)

    def _next_address(self, lookup: Lookup, _: Row, __: Words) -> Answer:
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


_Handler: TypeAlias = Callable[[Sockets, int, Row, Words, str], Answer]


def _of_tcp(method: Callable[[Sockets, Tcp, Row, Words], Answer]) -> _Handler:
    return lambda sockets, number, row, words, _: method(sockets, sockets.tcp[number], row, words)


def _of_udp(method: Callable[[Sockets, Udp, Row, Words], Answer]) -> _Handler:
    return lambda sockets, number, row, words, _: method(sockets, sockets.udp[number], row, words)


def _of_lookup(method: Callable[[Sockets, Lookup, Row, Words], Answer]) -> _Handler:
    return lambda sockets, number, row, words, _: method(sockets, sockets.lookups[number], row, words)


_TCP_OPTIONS = tuple(OPTIONS)
_UDP_OPTIONS = ("unicast-hop-limit", *OF_UDP - {"hop-limit"})
_HANDLERS: dict[str, _Handler] = {
    "create-tcp-socket": Sockets._create_tcp,
    "create-udp-socket": Sockets._create_udp,
    "resolve-addresses": Sockets._resolve,
    "[method]error.to-debug-string": Sockets._describe,
    "[method]resolve-address-stream.resolve-next-address": _of_lookup(Sockets._next_address),
    "[method]tcp-socket.start-bind": _of_tcp(Sockets._start_bind),
    "[method]tcp-socket.finish-bind": _of_tcp(Sockets._finish_bind),
    "[method]tcp-socket.start-connect": _of_tcp(Sockets.start_connect),
    "[method]tcp-socket.finish-connect": _of_tcp(Sockets.finish_connect),
    "[method]tcp-socket.start-listen": _of_tcp(Sockets.start_listen),
    "[method]tcp-socket.finish-listen": _of_tcp(Sockets.finish_listen),
    "[method]tcp-socket.accept": _of_tcp(Sockets.accept),
    "[method]tcp-socket.local-address": _of_tcp(Sockets._local_address),
    "[method]tcp-socket.remote-address": _of_tcp(Sockets._remote_address),
    "[method]tcp-socket.is-listening": _of_tcp(Sockets.is_listening),
    "[method]tcp-socket.address-family": _of_tcp(Sockets._address_family),
    "[method]tcp-socket.set-listen-backlog-size": _of_tcp(Sockets.set_backlog),
    "[method]tcp-socket.shutdown": _of_tcp(Sockets.shutdown),
    "[method]udp-socket.start-bind": _of_udp(Sockets._start_bind),
    "[method]udp-socket.finish-bind": _of_udp(Sockets._finish_bind),
    "[method]udp-socket.stream": _of_udp(Sockets.stream),
    "[method]udp-socket.local-address": _of_udp(Sockets._local_address),
    "[method]udp-socket.remote-address": _of_udp(Sockets._remote_address),
    "[method]udp-socket.address-family": _of_udp(Sockets._address_family),
    "[method]incoming-datagram-stream.receive": _of_udp(Sockets.receive_datagram),
    "[method]outgoing-datagram-stream.check-send": _of_udp(Sockets.check_send),
    **{f"[method]tcp-socket.{name}": _of_tcp(Sockets._get_option) for name in _TCP_OPTIONS},
    **{f"[method]tcp-socket.set-{name}": _of_tcp(Sockets._set_option) for name in _TCP_OPTIONS},
    **{f"[method]udp-socket.{name}": _of_udp(Sockets._get_option) for name in _UDP_OPTIONS},
    **{f"[method]udp-socket.set-{name}": _of_udp(Sockets._set_option) for name in _UDP_OPTIONS},
}
