"""UDP of a guest's: its datagrams, where they may go, and whom it hears."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import Any

from sandbox.broker.kernel import is_ready
from sandbox.broker.layout import Peer, Words, in_memory, shown, socket_address, spread, u32, u64
from sandbox.broker.objects import (
    ACCESS_DENIED,
    BOUND,
    INPUT,
    INVALID_ARGUMENT,
    INVALID_STATE,
    NOTHING,
    OUTPUT,
    WOULD_BLOCK,
    Answer,
    Row,
    Udp,
    answer_of,
    answered_code,
)
from sandbox.broker.table import MAX_DROPPED, Table
from sandbox.guard.wire import MAX_DATAGRAMS

MAX_PEERS = 4096
"""Peers that are remembered of one UDP socket."""
UNSPECIFIED = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


class UdpCalls(Table):
    """Calls on UDP sockets, and on the streams of their datagrams."""

    def datagram(self, number: int, to: str, data: str) -> int:
        """Send one datagram, to an ``option<ip-socket-address>``."""
        u = self.udp.get(number)
        if u is None or u.socket is None:
            return INVALID_STATE
        peer = u.routes.get(to)
        if peer is None or peer not in u.peers:
            code, peer = self._route(u, to.encode("latin-1"))
            if peer is None:
                return code
            if len(u.routes) >= MAX_PEERS:
                u.routes.clear()
            u.routes[to] = peer
        raw = data.encode("latin-1")
        if len(raw) > self.sent_left:
            self._bound_reached(u.row, "sent", shown(peer))
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
            return self._failed(u, _row_of_sending(u), peer, error)
        self.sent_left -= len(raw)
        u.sent += len(raw)
        return 0

    def stream(self, u: Udp, row: Row, words: Words) -> Answer:
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
            return (answer_of(error) if peer is None else self._failed(u, row, peer, error)), ""
        u.routes.clear()
        u.row, u.remote, u.blocked = row, peer, False
        u.live |= INPUT | OUTPUT
        return 0, u32(u.number) * 2

    def _route(self, u: Udp, to: bytes) -> tuple[int, Peer | None]:
        """Where a datagram goes, or an error code."""
        if not to[0]:
            return INVALID_ARGUMENT, u.remote
        peer = in_memory(to[4:])
        code = self._judge(u, _row_of_sending(u), peer)
        if code:
            return code, None
        return INVALID_ARGUMENT, peer if u.remote in (None, peer) else None

    def _failed(self, u: Udp, row: Row, peer: Peer, error: OSError) -> int:
        """What the kernel said to a destination that was judged; a refusal of the host's is told."""
        code = answer_of(error)
        if code == ACCESS_DENIED:
            self._say(row, "barred", {"object": u.number, "address": peer[0], "port": peer[1]})
        return code

    def _judge(self, u: Udp, row: Row, peer: Peer) -> int:
        """An error code where nothing may be sent to a peer. What the interface forbids is judged all the same."""
        if peer not in u.peers:
            result, _ = self._ask(row, "send", {"object": u.number, "address": peer[0], "port": peer[1]})
            if result["state"] != "done":
                return answered_code(result)
        address, port = peer
        if (":" in address) != (u.family == 6) or not port or address in UNSPECIFIED or address[:7] == "::ffff:":
            return INVALID_ARGUMENT
        if peer not in u.peers and len(u.peers) >= MAX_PEERS:
            del u.peers[next(iter(u.peers))]
        u.peers[peer] = None
        return 0

    def receive_datagram(self, u: Udp, row: Row, _: Words) -> Answer:
        if u.socket is None:
            return INVALID_STATE, ""
        for _dropped in range(MAX_DROPPED):
            try:
                data, address = u.socket.recvfrom(65536)
            except BlockingIOError:
                return NOTHING
            except OSError as error:
                return answer_of(error), ""
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
                self._bound_reached(row, "received", shown(peer))
                return ACCESS_DENIED, ""
            self.received_left -= len(data)
            u.received += len(data)
            return 0, socket_address(address) + data.decode("latin-1")
        return NOTHING

    def _is_heard(self, u: Udp, peer: Peer, address: Any, row: Row) -> bool:
        refused = u.refused.get(peer)
        if refused is None:
            if len(u.refused) >= MAX_PEERS:
                del u.refused[next(iter(u.refused))]
            refused = u.refused[peer] = not self._is_welcome(u, address, row)
        return not refused

    def check_send(self, u: Udp, _: Row, __: Words) -> Answer:
        u.blocked = u.blocked and not is_ready(u.fd, select.POLLOUT)
        return 0, u64(0 if u.blocked else MAX_DATAGRAMS)


def _row_of_sending(u: Udp) -> Row:
    return [u.row[0], "[method]outgoing-datagram-stream.send", "sockets.udp.send", True, u.row[4]]


def _disconnect(fd: int) -> None:
    """Have a UDP socket take datagrams from anybody again. Raises ``OSError``."""
    import ctypes

    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(fd, nowhere, len(nowhere)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
