"""The broker against real sockets on this machine: what it makes, refuses, answers, records, and lets go of."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.audit.events import Happening
from sandbox.broker import kernel, lookups, network, resolver
from sandbox.broker.names import Found, ResolverError
from sandbox.broker.network import Broker
from sandbox.component import Export, Facts
from sandbox.guard.sites import Site
from sandbox.host import Host
from sandbox.plan import Plan, make_plan
from sandbox.policy.addresses import parse
from sandbox.policy.load import parse_policy

TCP = Site("wasi:sockets/tcp@0.2.3", "[method]tcp-socket.start-connect", "sockets.tcp.connect", True)
DNS = Site("wasi:sockets/ip-name-lookup@0.2.3", "resolve-addresses", "dns.resolve")
NOW = 1_700_000_000.5
WELL = 5.0
"""Seconds within which everything local has happened."""

Answer = dict[str, Any]


def plan(sockets: str, limits: str = "{}") -> Plan:
    """The plan of a component with these sockets: ``sockets:`` is line 5 of its policy, what it says begins at 6."""
    lines = "\n".join(f"        {line}" for line in sockets.strip().splitlines())
    text = f"version: 1\ncomponents:\n  app:\n    grants:\n      sockets:\n{lines}\n    limits: {limits}\n"
    policy = parse_policy(text.encode(), file="p.yaml", directory="/p")
    facts = Facts(
        path="/c.wasm",
        kind="component",
        size=10,
        digest="sha256:" + "a" * 64,
        imports=(),
        exports=(Export("wasi:cli/run@0.2.3", "instance"),),
    )
    return make_plan(policy, policy.components[0], facts, Host())


class World:
    """A broker, with the worker's side of it in the hands of a test."""

    def __init__(self, sockets: str, limits: str = "{}", look_up: Callable[[str], Found] | None = None) -> None:
        self.events: list[Happening] = []
        self.answers: list[tuple[int, Answer]] = []
        self.handed: dict[int, socket.socket] = {}
        more = () if look_up is None else (look_up,)
        self.broker = Broker(plan(sockets, limits), self.events.append, self.reply, *more)
        self.number = 0

    def reply(self, number: int, result: Answer, descriptors: list[int]) -> None:
        self.answers.append((number, result))
        for descriptor in descriptors:
            assert not os.get_inheritable(descriptor)
            self.handed[number] = socket.socket(fileno=os.dup(descriptor))

    def ask(self, op: str, **args: Any) -> Answer:
        """The first answer to a request."""
        self.number += 1
        self.broker.request(NOW, DNS if op == "lookup" else TCP, self.number, op, args)
        (answer,) = [result for number, result in self.answers if number == self.number][:1]
        return answer

    def tell(self, op: str, **args: Any) -> None:
        self.number += 1
        before = len(self.answers)
        self.broker.request(NOW, TCP, self.number, op, args)
        assert self.answers[before:] == []

    def connect(self, object_: int, address: str, port: int, family: int = 4, **options: int) -> Answer:
        return self.ask("connect", object=object_, family=family, address=address, port=port, options=options)

    def connected(self, object_: int, address: str, port: int, family: int = 4, **options: int) -> Answer:
        """The answer that ends a connect: the first, where it is over by then, or the second."""
        first = self.connect(object_, address, port, family, **options)
        return self.later() if first == STARTED else first

    def bind(self, object_: int, address: str, port: int, protocol: str = "tcp", family: int = 4) -> Answer:
        return self.ask(
            "bind", object=object_, protocol=protocol, family=family, address=address, port=port, options={}
        )

    def send(self, object_: int, address: str, port: int) -> Answer:
        return self.ask("send", object=object_, address=address, port=port)

    def look_up(self, object_: int, name: str) -> Answer:
        return self.ask("lookup", object=object_, name=name)

    def closed(self, object_: int, sent: int = 0, received: int = 0) -> None:
        self.tell("closed", object=object_, sent=sent, received=received)

    def turn(self, seconds: float = 0.05) -> None:
        """What the supervisor does once."""
        poll = select.poll()
        self.broker.watch(poll)
        patience = self.broker.patience()
        self.broker.handle(dict(poll.poll(1000 * min(seconds, seconds if patience is None else patience))))

    def later(self, number: int | None = None) -> Answer:
        """The second answer to a request, the last one unless ``number`` says which."""
        number = number or self.number
        until = time.monotonic() + WELL
        while time.monotonic() < until:
            found = [result for n, result in self.answers if n == number]
            if len(found) > 1:
                assert len(found) == 2
                return found[1]
            self.turn()
        raise AssertionError(f"no second answer to {number}: {self.answers}")

    def finish(self) -> None:
        self.broker.close()
        for made in self.handed.values():
            made.close()
        self.handed.clear()

    @property
    def told(self) -> list[Happening]:
        """The events, without how long each took."""
        assert all(e.seconds is None or 0 <= e.seconds < WELL for e in self.events)
        assert all((e.seconds is not None) == (e.name == "allowed") for e in self.events)
        return [replace(e, seconds=None) for e in self.events]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def world(sockets: str, limits: str = "{}", look_up: Callable[[str], Found] | None = None) -> Iterator[World]:
    """A world that is checked for what it leaves behind: no file descriptor."""
    before = descriptors()
    made = World(sockets, limits, look_up)
    try:
        yield made
    finally:
        made.finish()
    assert descriptors() == before


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """A listening socket at 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(WELL)
        yield made


def port_of(made: socket.socket) -> int:
    return int(made.getsockname()[1])


def happening(name: str = "denied", site: Site = TCP, **fields: Any) -> Happening:
    values = {
        "component": "app",
        "capability": site.capability,
        "interface": site.interface,
        "function": site.function,
        "time": NOW,
        "line": 5,
    }
    return Happening(name=name, **(values | fields))  # type: ignore[arg-type]


REFUSED = {"state": "refused", "error": "access-denied"}
STARTED = {"state": "started"}
INVALID = {"state": "failed", "error": "invalid-argument"}
UNCOVERED = "no grant covers this address and port"

# Connecting.


@pytest.mark.parametrize("at_once", [True, False])
def test_connect(server: socket.socket, monkeypatch: pytest.MonkeyPatch, *, at_once: bool) -> None:
    """A granted connection is made here and handed over whole; nothing of it stays, and nothing is recorded."""
    port = port_of(server)
    if not at_once:
        monkeypatch.setattr(kernel, "is_ready", lambda *_: False)
    with world(f"tcp: {{connect: ['127.0.0.1:{port}']}}") as w:
        done = w.connected(1, "127.0.0.1", port)
        assert w.answers == ([] if at_once else [(1, STARTED)]) + [(1, done)]
        handed = w.handed[w.number]
        assert done == {"state": "done", "local": list(handed.getsockname())}
        assert w.broker.patience() is None
        peer, address = server.accept()
        with peer:
            assert list(address) == done["local"]
            handed.send(b"hello")
            assert peer.recv(5) == b"hello"
        assert not os.get_blocking(handed.fileno())
        w.closed(1)
        assert w.events == []


def test_connect_ipv6() -> None:
    """The same over IPv6, with a socket of that family alone."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = port_of(server)
        with world(f"tcp: {{connect: ['[::1]:{port}']}}") as w:
            assert w.connected(1, "::1", port, 6)["state"] == "done"
            handed = w.handed[w.number]
            assert handed.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
            assert handed.getpeername()[:2] == ("::1", port)
            assert w.events == []


def test_connect_at_once(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that connects at once is answered for twice all the same."""
    port, connect = port_of(server), socket.socket.connect_ex

    def connect_at_once(made: socket.socket, address: tuple[str, int]) -> int:
        connect(made, address)
        assert select.select([], [made], [], WELL)[1] == [made]
        return 0

    monkeypatch.setattr(socket.socket, "connect_ex", connect_at_once)
    with world(f"tcp: {{connect: ['127.0.0.1:{port}']}}") as w:
        done = w.connect(1, "127.0.0.1", port)
        assert done == {"state": "done", "local": list(w.handed[1].getsockname())}
        assert w.answers == [(1, done)]


def test_connect_to_nobody(server: socket.socket) -> None:
    """A connection that nobody takes fails as the interface says, and is no denial."""
    port = port_of(server)
    server.close()
    with world(f"tcp: {{connect: ['127.0.0.1:{port}']}}") as w:
        first = w.connect(1, "127.0.0.1", port)
        assert (first if first != STARTED else w.later()) == {"state": "failed", "error": "connection-refused"}
        assert w.events == []


def test_connect_refused(server: socket.socket) -> None:
    """What is not granted is refused with one event, and no packet leaves; the rest goes on."""
    port = port_of(server)
    policy = f"""
tcp:
  connect:
    - '127.0.0.2:{port}'
    - 'db.internal:{port}'
deny: [127.0.0.3]"""
    with world(policy) as w:
        assert [w.connect(1, a, port) for a in ("127.0.0.1", "127.0.0.3")] == [REFUSED] * 2
        assert w.connect(2, "::ffff:127.0.0.1", port, 6) == REFUSED
        assert w.connect(3, "fe80::1%5", port, 6) == REFUSED
        assert w.connect(4, "64:ff9b::7f00:1", port, 6) == REFUSED
        assert w.told == [
            happening(
                resource=f"127.0.0.1:{port}",
                reason=UNCOVERED,
                grant=f'sockets:\n  tcp: {{connect: ["127.0.0.1:{port}"]}}',
            ),
            happening(resource=f"127.0.0.3:{port}", reason="denied by the policy: 127.0.0.3", line=10),
            happening(
                resource=f"[::ffff:127.0.0.1]:{port}",
                resolved=f"127.0.0.1:{port}",
                reason=UNCOVERED,
                grant=f'sockets:\n  tcp: {{connect: ["127.0.0.1:{port}"]}}',
            ),
            happening(
                resource=f"[fe80::1%5]:{port}", reason="an address with a zone is never reached, whatever is granted"
            ),
            happening(resource=f"[64:ff9b::7f00:1]:{port}", reason=UNCOVERED),
        ]
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_granted_but_impossible(server: socket.socket) -> None:
    """An address that is granted, yet written for another family or without a port, is an argument that is invalid."""
    port = port_of(server)
    with world(f"tcp: {{connect: ['127.0.0.1:{port}', '[::1]:{port}']}}\nudp: {{send: ['127.0.0.1:{port}']}}") as w:
        assert w.connect(1, "::ffff:127.0.0.1", port, 6) == INVALID
        assert w.connect(1, "127.0.0.1", port, 6) == INVALID
        assert w.connect(1, "::1", port, 4) == INVALID
        assert w.connect(1, "127.0.0.1", 0) == INVALID
        assert w.send(2, "::ffff:127.0.0.1", port) == INVALID
        assert w.send(2, "127.0.0.1", 0) == INVALID
        assert w.bind(3, "::ffff:0.0.0.0", 0, family=6) == INVALID
        assert w.bind(3, "0.0.0.0", 0, family=6) == INVALID
        assert w.events == []


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a listener at 127.0.0.1 that answers nobody any more: its backlog is full."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        made.listen(0)
        others = []
        for _ in range(3):
            other = socket.socket()
            other.setblocking(False)
            other.connect_ex(made.getsockname())
            others.append(other)
        time.sleep(0.05)
        yield port_of(made)
        for other in others:
            other.close()


def test_connecting_takes_too_long(full: int) -> None:
    """A connection that is not made in time is given up: the guest is told, and so is the trail."""
    policy = f"tcp: {{connect: ['127.0.0.1:{full}']}}\naudit: all"
    with world(policy, "{connect-time: 200ms}") as w:
        for number in (1, 2):
            began = time.monotonic()
            assert w.connect(number, "127.0.0.1", full) == STARTED
            patience = w.broker.patience()
            assert patience is not None
            assert 0 < patience <= 0.2
            assert w.later() == {"state": "failed", "error": "timeout"}
            assert 0.2 <= time.monotonic() - began < 2
        limit = happening(
            "limit",
            capability="limits.connect-time",
            resource=f"127.0.0.1:{full}",
            reason="connecting took longer than the 0.2 s that the policy allows",
            line=8,
        )
        allowed = happening(
            "allowed",
            resource=f"127.0.0.1:{full}",
            reason=f"allowed by the policy: 127.0.0.1:{full}; it failed: timeout",
            line=6,
            sent=0,
            received=0,
        )
        assert w.told == [limit, allowed, replace(limit, name="denied"), allowed]
        assert w.broker.bounds == {"limits.connect-time"}
        assert w.broker.patience() is None


def test_closed_while_connecting(full: int) -> None:
    """A guest that lets go of a socket that is connecting has it closed here, and hears no more of it."""
    with world(f"tcp: {{connect: ['127.0.0.1:{full}']}}\naudit: all") as w:
        before = descriptors()
        assert w.connect(1, "127.0.0.1", full) == STARTED
        assert descriptors() == before + 1
        w.closed(1)
        assert descriptors() == before
        assert w.broker.patience() is None
        w.turn()
        assert [answer for _, answer in w.answers] == [STARTED]
        assert w.told == [
            happening(
                "allowed",
                resource=f"127.0.0.1:{full}",
                reason=f"allowed by the policy: 127.0.0.1:{full}; it was given up before it was connected",
                line=6,
                sent=0,
                received=0,
            )
        ]


def test_end_of_run_while_connecting(full: int) -> None:
    """A run that ends, be it that its worker died, leaves no socket: not one that connects, nor one that is bound."""
    policy = f"tcp: {{connect: ['127.0.0.1:{full}'], listen: ['127.0.0.1:0']}}\naudit: all"
    with world(policy) as w:
        before = descriptors()
        assert w.connect(1, "127.0.0.1", full) == STARTED
        assert w.bind(2, "127.0.0.1", 0)["state"] == "done"
        w.broker.close()
        assert descriptors() == before
        w.broker.close()
        assert w.told == [
            happening(
                "allowed",
                resource=f"127.0.0.1:{full}",
                reason=f"allowed by the policy: 127.0.0.1:{full}; the run ended before it was connected",
                line=6,
                sent=0,
                received=0,
            ),
            happening(
                "allowed",
                capability="sockets.tcp.bind",
                resource="127.0.0.1:0",
                reason="allowed by the policy: 127.0.0.1:0; the run ended before it was closed",
                line=6,
            ),
        ]


def test_a_number_used_again(full: int, server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor's number that was ready for a socket since closed says nothing about the one that has it now."""
    port = port_of(server)
    with world(f"tcp: {{connect: ['127.0.0.1:{full}', '127.0.0.1:{port}']}}") as w:
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "is_ready", lambda *_: False)
            assert w.connect(1, "127.0.0.1", port) == STARTED
        poll = select.poll()
        w.broker.watch(poll)
        ready = dict(poll.poll(1000 * WELL))
        assert ready
        w.closed(1)
        assert w.connect(2, "127.0.0.1", full) == STARTED
        w.broker.handle(ready)
        assert [answer for number, answer in w.answers if number == w.number] == [STARTED]
        assert w.broker.patience() is not None


def test_options(server: socket.socket) -> None:
    """Options that were set before there was a socket are set on it, in the kernel's units and within its bounds."""
    port = port_of(server)
    options = {
        "keep-alive-enabled": 1,
        "keep-alive-idle-time": 1_500_000_000,
        "keep-alive-interval": 1 << 63,
        "keep-alive-count": 4_000_000,
        "hop-limit": 17,
        "receive-buffer-size": 32768,
        "send-buffer-size": (1 << 64) - 1,
    }
    with world(f"tcp: {{connect: ['127.0.0.1:{port}']}}") as w:
        assert w.connected(1, "127.0.0.1", port, **options)["state"] == "done"
        made = w.handed[w.number]
        assert {
            "alive": made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
            "idle": made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
            "interval": made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
            "count": made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
            "hops": made.getsockopt(socket.IPPROTO_IP, socket.IP_TTL),
            "receive": made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF),
        } == {"alive": 1, "idle": 2, "interval": 32767, "count": 127, "hops": 17, "receive": 65536}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENETUNREACH, "remote-unreachable"),
        (errno.EHOSTUNREACH, "remote-unreachable"),
        (errno.EADDRNOTAVAIL, "address-in-use"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.ECONNRESET, "connection-reset"),
        (errno.EMFILE, "new-socket-limit"),
        (errno.ENOBUFS, "out-of-memory"),
        (errno.EXDEV, "unknown"),
    ],
)
def test_what_the_kernel_says(code: int, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure of the kernel is told in the interface's terms, and is no denial."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: code)
    with world("tcp: {connect: ['8.8.8.8:443']}") as w:
        assert w.connected(1, "8.8.8.8", 443) == {"state": "failed", "error": error}
        assert w.events == []


def test_the_host_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the host's own permissions refuse, its firewall or its privileged ports, is recorded as such."""

    def fail(*_: object) -> int:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr(socket.socket, "bind", fail)
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.EPERM)
    with world("tcp:\n  connect: ['8.8.8.8:443']\n  listen: ['127.0.0.1:80']") as w:
        denied = {"state": "failed", "error": "access-denied"}
        assert w.connect(1, "8.8.8.8", 443) == denied
        assert w.bind(2, "127.0.0.1", 80) == denied
        why = "the host's own permissions refuse it"
        assert w.told == [
            happening(resource="8.8.8.8:443", reason=why, line=7),
            happening(capability="sockets.tcp.bind", resource="127.0.0.1:80", reason=why, line=8),
        ]


# Serving.


def test_listen() -> None:
    """A granted place is bound and listened at here, and the listening socket handed over."""
    with world("tcp: {listen: ['127.0.0.1:0', '[::1]:0']}") as w:
        for number, address, family in ((1, "127.0.0.1", 4), (2, "::1", 6)):
            bound = w.bind(number, address, 0, family=family)
            port = bound["local"][1]
            assert bound == {"state": "done", "local": [address, port]}
            assert w.number not in w.handed
            assert w.ask("listen", object=number, backlog=1 << 64) == {"state": "done"}
            with socket.create_connection((address, port), WELL) as client:
                client.send(b"hello")
                made, _ = w.handed[w.number].accept()
                with made:
                    assert made.recv(5) == b"hello"
        assert w.events == []


def converse(one: socket.socket, other: socket.socket) -> float:
    """Seconds that twenty questions in two writes each and their answers take."""
    for end in (one, other):
        end.settimeout(WELL)
    began = time.monotonic()
    for _ in range(20):
        one.sendall(b"head")
        one.sendall(b"body")
        got = b""
        while len(got) < 8:
            got += other.recv(8)
        other.sendall(b"thanks")
        assert one.recv(6) == b"thanks"
    return time.monotonic() - began


def test_nothing_waits_for_more_to_send(server: socket.socket) -> None:
    """Small writes go at once, over a connection that is made here and over one that is accepted: WASI has no option
    for it, and what a guest's libraries set would be lost. Each would take 40 ms otherwise."""
    port = port_of(server)
    with world(f"tcp: {{connect: ['127.0.0.1:{port}'], listen: ['127.0.0.1:0']}}") as w:
        assert w.connected(1, "127.0.0.1", port)["state"] == "done"
        made = w.handed[w.number]
        peer, _ = server.accept()
        with peer:
            assert converse(made, peer) < 0.5
        here = w.bind(2, "127.0.0.1", 0)["local"]
        assert w.ask("listen", object=2, backlog=5) == {"state": "done"}
        with socket.create_connection(tuple(here), WELL) as client:
            accepted, _ = w.handed[w.number].accept()
            with accepted:
                assert converse(accepted, client) < 0.5


def test_waiting_to_be_accepted_is_bounded() -> None:
    """No more connections wait for a listener than the policy allows sockets, whatever the worker asks for."""
    with world("tcp: {listen: ['127.0.0.1:0']}", "{sockets: 3}") as w:
        here = w.bind(1, "127.0.0.1", 0)["local"]
        assert w.ask("listen", object=1, backlog=4096) == {"state": "done"}
        ends = [socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(8)]
        for end in ends:
            assert end.connect_ex(tuple(here)) == errno.EINPROGRESS
        assert len(select.select([], ends, [], 0.1)[1]) == 4  # the kernel lets one more wait than it is told
        for end in ends:
            end.close()


def test_serve_where_it_is_not_granted() -> None:
    """Neither binding nor listening anywhere else is possible; binding to anything does not lead to listening."""
    policy = "tcp:\n  connect: ['8.8.8.8:443']\n  listen: ['127.0.0.1:0']"
    with world(policy) as w:
        assert w.bind(1, "127.0.0.2", 0) == REFUSED
        assert w.bind(1, "0.0.0.0", 0)["state"] == "done"
        assert w.ask("listen", object=1, backlog=128) == REFUSED
        assert w.bind(2, "::", 0, family=6)["state"] == "done"
        assert w.bind(3, "0.0.0.0", 8080) == REFUSED
        assert w.bind(3, "0.0.0.0", 0, protocol="udp") == REFUSED
        assert w.handed == {}
        assert w.told == [
            happening(
                capability="sockets.tcp.bind",
                resource="127.0.0.2:0",
                reason=UNCOVERED,
                grant='sockets:\n  tcp: {listen: ["127.0.0.2:0"]}',
            ),
            happening(
                capability="sockets.tcp.listen",
                resource="0.0.0.0:0",
                reason=UNCOVERED,
                grant='sockets:\n  tcp: {listen: ["0.0.0.0:0"]}',
            ),
            happening(
                capability="sockets.tcp.bind",
                resource="0.0.0.0:8080",
                reason=UNCOVERED,
                grant='sockets:\n  tcp: {listen: ["0.0.0.0:8080"]}',
            ),
            happening(
                capability="sockets.udp.bind",
                resource="0.0.0.0:0",
                reason=UNCOVERED,
                grant='sockets:\n  udp: {bind: ["0.0.0.0:0"]}',
            ),
        ]


def test_bind_fails(server: socket.socket) -> None:
    """A place that is taken, or not this machine's, is said to be."""
    port = port_of(server)
    with world(f"tcp: {{listen: ['127.0.0.1:{port}', '8.8.8.8:{port}']}}\nudp: {{bind: ['8.8.8.8:0']}}") as w:
        assert w.bind(1, "127.0.0.1", port) == {"state": "failed", "error": "address-in-use"}
        assert w.bind(1, "8.8.8.8", port) == {"state": "failed", "error": "address-not-bindable"}
        assert w.bind(1, "8.8.8.8", 0, "udp") == {"state": "failed", "error": "address-not-bindable"}
        assert w.events == []


def test_a_server_starts_again() -> None:
    """A port whose last connections are still being forgotten can be listened at again."""
    with socket.create_server(("127.0.0.1", 0)) as before:
        port = port_of(before)
        with socket.create_connection(before.getsockname(), WELL) as client:
            made, _ = before.accept()
            made.close()  # the side that closes first is the one that waits
            client.recv(1)
    with world(f"tcp: {{listen: ['127.0.0.1:{port}']}}") as w:
        assert w.bind(1, "127.0.0.1", port) == {"state": "done", "local": ["127.0.0.1", port]}
        assert w.ask("listen", object=1, backlog=1) == {"state": "done"}


def test_connect_from_a_bound_socket(server: socket.socket) -> None:
    """A socket that was bound is the one that is connected; a refusal leaves it bound."""
    port = port_of(server)
    with world(f"tcp: {{connect: ['127.0.0.1:{port}'], listen: ['127.0.0.1:0']}}") as w:
        local = w.bind(1, "127.0.0.1", 0)["local"]
        assert w.connect(1, "127.0.0.2", port) == REFUSED
        assert w.connected(1, "127.0.0.1", port) == {"state": "done", "local": local}
        assert list(w.handed[w.number].getsockname()) == local


def test_bound_socket_after_the_host_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket whose connecting the host refused at once is bound as before, and can listen."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.EPERM)
    with world("tcp: {connect: ['8.8.8.8:443'], listen: ['127.0.0.1:0']}") as w:
        w.bind(1, "127.0.0.1", 0)
        assert w.connect(1, "8.8.8.8", 443) == {"state": "failed", "error": "access-denied"}
        assert w.ask("listen", object=1, backlog=1) == {"state": "done"}


def test_peers() -> None:
    """Who reaches a place that is served is judged by the denials, as the address that it is."""
    policy = """
tcp: {listen: ['127.0.0.1:0']}
udp: {bind: ['127.0.0.1:0']}
deny: ['127.0.0.0/8:1-1023', '[fe80::/10]']"""
    with world(policy) as w:

        def peer(protocol: str, address: str, port: int, *, accepted: bool) -> Answer:
            return w.ask("peer", object=9, protocol=protocol, address=address, port=port, accepted=accepted)

        assert peer("tcp", "127.0.0.1", 5000, accepted=True) == {"state": "done"}
        assert peer("tcp", "127.0.0.1", 22, accepted=True) == REFUSED
        assert peer("udp", "::ffff:127.0.0.1", 53, accepted=False) == REFUSED
        assert peer("udp", "fe80::5%eth0", 5353, accepted=False) == REFUSED
        assert peer("udp", "8.8.8.8", 53, accepted=False) == {"state": "done"}
        assert w.told == [
            happening(
                capability="sockets.tcp.accept",
                resource="127.0.0.1:22",
                reason="denied by the policy: 127.0.0.0/8:1-1023",
                line=8,
            ),
            happening(
                capability="sockets.udp.receive",
                resource="[::ffff:127.0.0.1]:53",
                resolved="127.0.0.1:53",
                reason="denied by the policy: 127.0.0.0/8:1-1023",
                line=8,
            ),
            happening(
                capability="sockets.udp.receive",
                resource="[fe80::5%eth0]:5353",
                reason="denied by the policy: [fe80::/10]",
                line=8,
            ),
        ]


# Datagrams.


def test_udp(server: socket.socket) -> None:
    """A UDP socket is bound here and handed over, with a word on whom it may hear; each destination is judged."""
    with world("udp:\n  send: ['127.0.0.1:53']\n  bind: ['127.0.0.1:0']") as w:
        anything = w.bind(1, "0.0.0.0", 0, "udp")
        assert anything == {"state": "done", "local": ["0.0.0.0", port_of(w.handed[w.number])], "anyone": False}
        assert w.handed[w.number].type == socket.SOCK_DGRAM
        granted = w.bind(2, "127.0.0.1", 0, "udp")
        assert granted == {"state": "done", "local": ["127.0.0.1", port_of(w.handed[w.number])], "anyone": True}
        assert w.send(1, "127.0.0.1", 53) == {"state": "done"}
        assert [w.send(1, "127.0.0.1", 54), w.send(1, "127.0.0.1", 54)] == [REFUSED] * 2
        event = happening(
            capability="sockets.udp.send",
            resource="127.0.0.1:54",
            reason=UNCOVERED,
            grant='sockets:\n  udp: {send: ["127.0.0.1:54"]}',
        )
        assert w.told == [event, event]


def test_udp_keeps_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that the system chose is as much the socket's as one that was asked for: it stays when a peer is left.

    Where somebody takes it in between, another is chosen; where that goes on, it fails.
    """
    nowhere = struct.pack("=H14x", socket.AF_UNSPEC)
    libc = ctypes.CDLL(None)
    with world("udp: {bind: ['127.0.0.1:0', '[::1]:0']}") as w:
        for number, address, family in ((1, "127.0.0.1", 4), (2, "::1", 6)):
            local = w.bind(number, address, 0, "udp", family)["local"]
            made = w.handed[w.number]
            made.connect((address, 9))
            assert libc.connect(made.fileno(), nowhere, len(nowhere)) == 0
            assert list(made.getsockname()[:2]) == local
        bind, taken = socket.socket.bind, [True] * 3

        def race(made: socket.socket, address: tuple[str, int]) -> None:
            if address[1] and taken and taken.pop():
                raise OSError(errno.EADDRINUSE, "taken")
            bind(made, address)

        monkeypatch.setattr(socket.socket, "bind", race)
        assert w.bind(3, "127.0.0.1", 0, "udp")["state"] == "done"
        assert taken == []
        taken += [True] * 100
        assert w.bind(4, "127.0.0.1", 0, "udp") == {"state": "failed", "error": "address-in-use"}
        assert len(taken) == 84


def test_udp_that_the_host_refuses() -> None:
    """What was allowed and the kernel refused is recorded as TCP's is; what was not allowed says why."""
    with world("udp: {send: ['127.0.0.0/8:9']}") as w:
        w.bind(1, "0.0.0.0", 0, "udp")
        w.tell("barred", object=1, address="127.255.255.255", port=9)
        w.tell("barred", object=1, address="10.0.0.1", port=9)
        permissions = happening(
            capability="sockets.udp.send",
            resource="127.255.255.255:9",
            reason="the host's own permissions refuse it",
            line=6,
        )
        assert w.told == [
            permissions,
            replace(
                permissions,
                resource="10.0.0.1:9",
                reason=UNCOVERED,
                line=5,
                grant='sockets:\n  udp: {send: ["10.0.0.1:9"]}',
            ),
        ]


def test_descriptors_are_kept_back(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest's sockets leave this process a reserve of descriptors, which it needs for itself and for other runs."""
    port = port_of(server)
    with world(f"tcp: {{connect: ['127.0.0.1:{port}'], listen: ['127.0.0.1:0']}}\nudp: {{bind: ['127.0.0.1:0']}}") as w:
        with socket.socket() as probe:
            free = probe.fileno()
        # Of few descriptors a quarter is kept back.
        most, more = (next(n for n in range(4096) if n - min(64, n // 4) == end) for end in (free, free + 1))
        for soft, error in ((most, "new-socket-limit"), (more, None), (resource.RLIM_INFINITY, None)):
            with monkeypatch.context() as patch:
                patch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
                before = descriptors()
                answers = [w.bind(1, "127.0.0.1", 0), w.bind(2, "127.0.0.1", 0, "udp")] if error else []
                answers.append(w.connected(3, "127.0.0.1", port))
            if error:
                assert answers == [{"state": "failed", "error": error}] * 3
                assert descriptors() == before
            else:
                assert answers[0]["state"] == "done"
                w.handed.pop(w.number).close()
                w.closed(3)


# Names.


class Resolver:
    """Answers by a table, each name's answers one after the other; holds what ``wait`` says until it is let go."""

    def __init__(self, **answers: Sequence[Found | str]) -> None:
        self.answers = {name.replace("_", "."): list(of) for name, of in answers.items()}
        self.asked: list[str] = []
        self.free = threading.Event()
        self.free.set()
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def __call__(self, name: str) -> Found:
        with self.lock:
            self.asked.append(name)
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.free.wait(2 * WELL)
        with self.lock:
            self.inside -= 1
            answers = self.answers.get(name, ["name-unresolvable"])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, str):
            raise ResolverError(answer)
        return answer

    def empty(self) -> bool:
        """Wait until nobody is asking any more."""
        until = time.monotonic() + WELL
        while self.inside and time.monotonic() < until:
            time.sleep(0.005)
        return self.inside == 0


def of(*addresses: str, alias: str | None = None) -> Found:
    return Found(tuple(map(parse, addresses)), alias)


def test_lookup() -> None:
    """A granted name is looked up as it is judged, and its addresses handed out."""
    resolver = Resolver(db_internal=[of("8.8.8.8", "2001:4860:4860::8888")])
    with world("tcp: {connect: ['db.internal:5432']}", look_up=resolver) as w:
        assert w.look_up(1, "DB.Internal.") == STARTED
        assert w.later() == {"state": "done", "addresses": ["8.8.8.8", "2001:4860:4860::8888"]}
        assert resolver.asked == ["db.internal"]
        assert w.broker.patience() is None
        assert w.look_up(2, "pool.example\x1b") == INVALID
        assert w.look_up(2, "Pool.Example") == REFUSED
        assert w.look_up(2, "pool.example") == REFUSED
        assert resolver.asked == ["db.internal"]
        grant = "sockets:\n  dns: [pool.example]"
        event = happening(site=DNS, resource="pool.example", reason="no grant covers this name", grant=grant)
        assert w.told == [replace(event, resource="Pool.Example", resolved="pool.example"), event]


def test_connect_by_name(server: socket.socket) -> None:
    """An address that a granted name resolved to can be connected to, at the name's port; events know the name."""
    port = port_of(server)
    resolver = Resolver(db_internal=[of("127.0.0.1")], other_example=[of("127.0.0.1")])
    policy = f"tcp:\n  connect:\n    - {{to: 'db.internal:{port}', private: true}}\ndns: [other.example]"
    with world(policy, look_up=resolver) as w:
        assert w.connect(1, "127.0.0.1", port) == REFUSED
        assert w.look_up(2, "other.example") == STARTED
        w.later()
        assert w.connect(1, "127.0.0.1", port) == REFUSED
        assert w.look_up(3, "db.internal") == STARTED
        w.later()
        assert w.connected(1, "127.0.0.1", port)["state"] == "done"
        assert w.connect(4, "127.0.0.1", port + 1 if port < 65535 else 1) == REFUSED
        other = port + 1 if port < 65535 else 1
        assert w.told == [
            happening(
                resource=f"127.0.0.1:{port}",
                reason=UNCOVERED,
                grant=f'sockets:\n  tcp: {{connect: ["127.0.0.1:{port}"]}}',
            ),
            happening(
                resource=f"127.0.0.1:{port}",
                resolved=f"127.0.0.1:{port} (other.example)",
                reason=UNCOVERED,
                grant=f'sockets:\n  tcp: {{connect: [{{to: "other.example:{port}", private: true}}]}}',
            ),
            happening(
                resource=f"127.0.0.1:{other}",
                resolved=f"127.0.0.1:{other} (other.example, db.internal)",
                reason=UNCOVERED,
                grant=f'sockets:\n  tcp: {{connect: [{{to: "other.example:{other}", private: true}}]}}',
            ),
        ]


def test_rebinding(server: socket.socket) -> None:
    """A name that is public at first and private then is refused the second time, and so is connecting to it."""
    port = port_of(server)
    resolver = Resolver(db_internal=[of("8.8.8.8"), of("127.0.0.1"), of("127.0.0.1", "8.8.4.4", "10.0.0.1")])
    with world(f"tcp:\n  connect: ['db.internal:{port}']", look_up=resolver) as w:
        w.look_up(1, "db.internal")
        assert w.later() == {"state": "done", "addresses": ["8.8.8.8"]}
        w.look_up(2, "db.internal")
        assert w.later() == {"state": "failed", "error": "access-denied"}
        w.look_up(3, "db.internal")
        assert w.later() == {"state": "done", "addresses": ["8.8.4.4"]}
        assert w.connect(4, "127.0.0.1", port) == REFUSED
        why = "the name resolves to 127.0.0.1, a loopback address, which its grant does not allow (private: true would)"
        event = happening(
            site=DNS,
            resource="db.internal",
            resolved="127.0.0.1",
            reason=why,
            line=7,
            grant=f'sockets:\n  tcp: {{connect: [{{to: "db.internal:{port}", private: true}}]}}',
        )
        assert w.told == [
            event,
            replace(
                event,
                resolved="127.0.0.1, 8.8.4.4, 10.0.0.1",
                reason=why + "; 2 such addresses were left out of the answer",
            ),
            replace(
                event,
                capability="sockets.tcp.connect",
                interface=TCP.interface,
                function=TCP.function,
                resource=f"127.0.0.1:{port}",
                resolved=f"127.0.0.1:{port} (db.internal)",
            ),
        ]


def test_alias_that_is_denied() -> None:
    """A name that leads over an alias which is denied is as good as denied."""
    resolver = Resolver(ok_example=[of("8.8.8.8", alias="x.internal.example")])
    with world("tcp: {connect: ['ok.example:443']}\ndeny: ['*.internal.example']", look_up=resolver) as w:
        w.look_up(1, "ok.example")
        assert w.later() == {"state": "failed", "error": "access-denied"}
        assert w.connect(2, "8.8.8.8", 443) == REFUSED
        assert w.told == [
            happening(
                site=DNS,
                resource="ok.example",
                resolved="8.8.8.8",
                reason="denied by the policy: *.internal.example (the name is an alias of x.internal.example)",
                line=7,
            ),
            happening(
                resource="8.8.8.8:443",
                resolved="8.8.8.8:443 (ok.example)",
                reason="denied by the policy: *.internal.example",
                line=7,
            ),
        ]


@pytest.mark.parametrize("error", ["name-unresolvable", "temporary-resolver-failure", "permanent-resolver-failure"])
def test_lookup_fails(error: str) -> None:
    """A name without an answer is no denial."""
    with world("dns: [a.example]", look_up=Resolver(a_example=[error])) as w:
        w.look_up(1, "a.example")
        assert w.later() == {"state": "failed", "error": error}
        assert w.events == []


def test_no_address_is_no_answer() -> None:
    """An answer without an address is none."""
    with world("dns: [a.example]", look_up=Resolver(a_example=[of()])) as w:
        w.look_up(1, "a.example")
        assert w.later() == {"state": "failed", "error": "name-unresolvable"}


HOSTILE = [
    "",
    "a\0.example",
    "\x1b]0;x\x07.example",
    "a b.example",
    "a" * 64 + ".example",
    "a" * 10_000,
    "é" * 10_000,
    "\ud800.example",
    "*.example",
    "127.0.0.1.1",
    "0x",
    "db.internal:80",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(name: str) -> None:
    """What is no name is never handed to a resolver, nor is it a denial."""
    resolver = Resolver()
    with world("dns: ['**.example.com', '*.example.org']", look_up=resolver) as w:
        assert w.look_up(1, name) == INVALID
        assert (resolver.asked, w.events) == ([], [])


def test_literals() -> None:
    """An address is never handed to a resolver, in whichever spelling; it is judged as the address that it is."""
    resolver = Resolver()
    with world("tcp: {connect: ['127.0.0.1:80', '[::1]:80']}\ndeny: [127.0.0.2]", look_up=resolver) as w:
        spelled = ["127.0.0.1", "127.1", "0x7f.1", "2130706433", "017700000001.", "::ffff:7f00:1", "[::ffff:127.0.0.1]"]
        answers = [w.look_up(n, name) for n, name in enumerate(spelled, 1)]
        assert answers == [{"state": "done", "addresses": ["127.0.0.1"]}] * len(spelled)
        assert w.look_up(20, "0:0::0001") == {"state": "done", "addresses": ["::1"]}
        assert w.look_up(20, "0.0.0.0") == {"state": "done", "addresses": ["0.0.0.0"]}
        assert w.events == []
        refused = ["127.0.0.2", "127.2", "10.1", "fe80::1%eth0", "::ffff:10.0.0.1"]
        assert [w.look_up(20, name) for name in refused] == [REFUSED] * len(refused)
        denied = happening(site=DNS, resource="127.0.0.2", reason="denied by the policy: 127.0.0.2", line=7)
        uncovered = happening(site=DNS, resource="10.1", resolved="10.0.0.1", reason="no grant covers this address")
        assert w.told == [
            denied,
            replace(denied, resource="127.2", resolved="127.0.0.2"),
            uncovered,
            happening(
                site=DNS,
                resource="fe80::1%eth0",
                reason="an address with a zone is never reached, whatever is granted",
            ),
            replace(uncovered, resource="::ffff:10.0.0.1"),
        ]
        assert resolver.asked == []


def test_lookups_in_a_second() -> None:
    """More lookups in a second than the policy allows are refused for now, each with an event."""
    resolver = Resolver(a_example=[of("8.8.8.8")])
    with world("dns: [a.example]", "{lookups: 2}", resolver) as w:
        again = {"state": "refused", "error": "temporary-resolver-failure"}
        assert [w.look_up(n, "a.example") for n in range(1, 5)] == [STARTED, STARTED, again, again]
        limit = happening(
            "limit",
            site=DNS,
            capability="limits.lookups",
            resource="a.example",
            reason="2 names were looked up within a second, which is all that the policy allows",
            line=7,
        )
        assert w.told == [limit, replace(limit, name="denied")]
        assert w.broker.bounds == {"limits.lookups"}
        time.sleep(0.5)
        assert w.look_up(5, "a.example") == again
        time.sleep(0.51)
        assert w.look_up(5, "a.example") == STARTED


def test_bytes_of_names() -> None:
    """Names carry only so much out of a run; refused names and addresses cost nothing."""
    resolver = Resolver()
    with world("dns: ['*.example.com']", "{lookup-bytes: 30B, lookups: 100}", resolver) as w:
        assert w.look_up(1, "refused.example") == REFUSED
        assert w.look_up(1, "Aa.example.com.") == STARTED
        assert w.look_up(2, "a-longer.example.com") == REFUSED
        assert w.look_up(3, "bbbb.example.com") == STARTED
        assert w.look_up(4, "c.example.com") == REFUSED
        limit = happening(
            "limit",
            site=DNS,
            capability="limits.lookup-bytes",
            resource="a-longer.example.com",
            reason="the bytes of names that may be looked up are used up (30 bytes)",
            line=7,
        )
        assert w.told[1:] == [limit, replace(limit, name="denied", resource="c.example.com")]
        for number in (2, 4):
            w.later(number)
        assert resolver.asked == ["aa.example.com", "bbbb.example.com"]


def test_lookups_at_once() -> None:
    """No more than four lookups are with the resolver at once; the others wait for their turn, and all are answered."""
    resolver = Resolver(**{f"n{n}_many_example": [of("8.8.8.8")] for n in range(12)})
    resolver.free.clear()
    with world("dns: ['*.many.example']", "{lookups: 100}", resolver) as w:
        for n in range(12):
            assert w.look_up(n + 1, f"n{n}.many.example") == STARTED
        time.sleep(0.05)
        assert (resolver.inside, len(resolver.asked)) == (4, 4)
        resolver.free.set()
        for number in range(1, 13):
            assert w.later(number) == {"state": "done", "addresses": ["8.8.8.8"]}
        assert resolver.most == 4
        assert sorted(resolver.asked) == sorted(f"n{n}.many.example" for n in range(12))


def test_lookups_at_once_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that a resolver keeps count for all runs of the process together, until they come back."""
    monkeypatch.setattr(resolver, "IN_ALL", threading.BoundedSemaphore(3))
    slow = Resolver(a_example=[of("8.8.8.8")])
    slow.free.clear()
    failed = {"state": "failed", "error": "temporary-resolver-failure"}
    for _ in range(2):
        with world("dns: [a.example]", look_up=slow) as w:
            for n in (1, 2):
                assert w.look_up(n, "a.example") == STARTED
            until = time.monotonic() + WELL
            while len(slow.asked) < 2 and time.monotonic() < until:
                w.turn()
    assert len(slow.asked) == 3
    with world("dns: [a.example]", look_up=slow) as w:
        assert w.look_up(1, "a.example") == STARTED
        assert w.later() == failed
        slow.free.set()
        assert slow.empty()
        until = time.monotonic() + WELL
        answer = failed
        while answer == failed and time.monotonic() < until:  # a thread that was answered has a step to go yet
            assert w.look_up(2, "a.example") == STARTED
            answer = w.later()
            time.sleep(0.2)
        assert answer == {"state": "done", "addresses": ["8.8.8.8"]}


def test_lookup_takes_too_long() -> None:
    """A lookup that is not answered in time is given up, whether it was asked or still waiting; late answers are
    dropped.
    """
    resolver = Resolver(a_example=[of("8.8.8.8")])
    resolver.free.clear()
    with world("dns: [a.example]\naudit: all", "{connect-time: 100ms, lookups: 100}", resolver) as w:
        for n in range(1, 6):
            assert w.look_up(n, "a.example") == STARTED
        for n in range(1, 6):
            assert w.later(n) == {"state": "failed", "error": "temporary-resolver-failure"}
        assert w.broker.patience() is None
        resolver.free.set()
        assert resolver.empty()
        w.turn()
        assert len(w.answers) == 10
        assert len(resolver.asked) == 4
        limit = happening(
            "limit",
            site=DNS,
            capability="limits.connect-time",
            resource="a.example",
            reason="looking up the name took longer than the 0.1 s that the policy allows",
            line=8,
        )
        allowed = happening(
            "allowed",
            site=DNS,
            resource="a.example",
            reason="allowed by the policy: a.example; its time was over before it was answered",
            line=6,
        )
        more = replace(limit, name="denied")
        assert w.told == [limit, allowed, more, allowed, more, allowed, more, allowed, more]
        assert w.look_up(9, "a.example") == STARTED
        assert w.later() == {"state": "done", "addresses": ["8.8.8.8"]}


def test_close_waits_for_no_lookup() -> None:
    """A resolver that never answers keeps nobody; what it says after the end reaches nobody."""
    resolver = Resolver(a_example=[of("8.8.8.8")])
    resolver.free.clear()
    with world("dns: [a.example]\naudit: all", look_up=resolver) as w:
        for n in range(1, 7):
            w.look_up(n, "a.example")
        began = time.monotonic()
        w.broker.close()
        assert time.monotonic() - began < 0.5
        # What a late answer might write to, if it took the pipe for its own.
        read, write = os.pipe2(os.O_NONBLOCK)
        more = os.pipe2(os.O_NONBLOCK)
        resolver.free.set()
        assert resolver.empty()
        time.sleep(0.05)
        for end in (read, more[0]):
            with pytest.raises(BlockingIOError):
                os.read(end, 1)
        for end in (read, write, *more):
            os.close(end)
        assert [answer for _, answer in w.answers] == [STARTED] * 6
        event = happening(
            "allowed",
            site=DNS,
            resource="a.example",
            reason="allowed by the policy: a.example; the run ended before it was answered",
            line=6,
        )
        assert w.told == [event] * 4


def test_lookup_given_up() -> None:
    """A guest that lets go of a lookup hears no more of it."""
    resolver = Resolver(a_example=[of("8.8.8.8")])
    resolver.free.clear()
    with world("dns: [a.example]\naudit: all", look_up=resolver) as w:
        w.look_up(1, "a.example")
        w.closed(1)
        assert w.broker.patience() is None
        resolver.free.set()
        assert resolver.empty()
        w.turn()
        assert w.answers == [(1, STARTED)]
        assert w.told == [
            happening(
                "allowed",
                site=DNS,
                resource="a.example",
                reason="allowed by the policy: a.example; it was given up before it was answered",
                line=6,
            )
        ]


def test_no_thread_and_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is out of threads or descriptors fails lookups for now, and nothing else."""

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    failed = {"state": "failed", "error": "temporary-resolver-failure"}
    with world("dns: [a.example]", look_up=Resolver(a_example=[of("8.8.8.8")])) as w:
        monkeypatch.setattr(os, "pipe2", no_socket)
        assert w.look_up(1, "a.example") == failed
        monkeypatch.undo()
        monkeypatch.setattr(threading.Thread, "start", fail)
        assert w.look_up(2, "a.example") == STARTED
        assert w.later() == failed
        monkeypatch.undo()
        assert w.look_up(3, "a.example") == STARTED
        assert w.later() == {"state": "done", "addresses": ["8.8.8.8"]}


def test_a_request_number_used_again() -> None:
    """A worker that uses a number again cannot have the answer for one name taken for another's."""
    resolver = Resolver(a_example=[of("10.0.0.1")], b_example=[of("8.8.8.8")])
    resolver.free.clear()
    policy = "tcp: {connect: [{to: 'b.example:80', private: true}]}\ndns: [a.example]"
    with world(policy, look_up=resolver) as w:
        w.broker.request(NOW, DNS, 7, "lookup", {"object": 1, "name": "a.example"})
        w.closed(1)
        w.broker.request(NOW, DNS, 7, "lookup", {"object": 2, "name": "b.example"})
        resolver.free.set()
        until = time.monotonic() + WELL
        while len(w.answers) < 3 and time.monotonic() < until:
            w.turn()
        assert w.answers == [(7, STARTED), (7, STARTED), (7, {"state": "done", "addresses": ["8.8.8.8"]})]
        assert w.connect(3, "10.0.0.1", 80) == REFUSED


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses names resolve to, only so many are remembered; what is forgotten is not granted."""
    monkeypatch.setattr(lookups, "MAX_REMEMBERED", 10)
    many = [of(*(f"8.8.{n}.{m}" for m in range(8))) for n in range(3)]
    with world("tcp: {connect: ['a.example:80']}", look_up=Resolver(a_example=[*many])) as w:
        monkeypatch.setattr(kernel, "make_socket", no_socket)
        for n in range(3):
            w.look_up(n + 1, "a.example")
            w.later()
        unreachable = {"state": "failed", "error": "remote-unreachable"}
        answers = [w.connected(10, f"8.8.{n}.{m}", 80) for n in range(3) for m in range(8)]
        assert answers == [REFUSED] * 14 + [unreachable] * 10


def no_socket(*_: object) -> socket.socket:
    raise OSError(errno.ENETUNREACH, "")


# What was allowed, where the policy asks for that.


def test_allowed_connection(server: socket.socket) -> None:
    """A connection is told of when it is closed, with its bytes, and the name that it was made by."""
    port = port_of(server)
    policy = f"tcp:\n  connect:\n    - {{to: 'db.internal:{port}', private: true}}\naudit: all"
    with world(policy, look_up=Resolver(db_internal=[of("127.0.0.1")])) as w:
        w.look_up(1, "DB.internal")
        w.later()
        w.connected(2, "127.0.0.1", port)
        w.closed(2, 100, 2000)
        w.closed(2, 5, 5)
        assert w.told == [
            happening(
                "allowed",
                site=DNS,
                resource="DB.internal",
                resolved="127.0.0.1",
                reason=f"allowed by the policy: db.internal:{port}",
                line=8,
            ),
            happening(
                "allowed",
                resource=f"127.0.0.1:{port}",
                resolved=f"127.0.0.1:{port} (db.internal)",
                reason=f"allowed by the policy: db.internal:{port}",
                line=8,
                sent=100,
                received=2000,
            ),
        ]


def test_allowed_server() -> None:
    """A listener and each connection that it accepted are told of when they are closed, or when the run ends."""
    with world("tcp:\n  listen: ['127.0.0.1:0']\naudit: all") as w:
        _, port = w.bind(1, "127.0.0.1", 0)["local"]
        w.ask("listen", object=1, backlog=1)
        for number in (2, 3):
            args = {"object": number, "protocol": "tcp", "address": "127.0.0.9", "port": 5000, "accepted": True}
            assert w.ask("peer", **args) == {"state": "done"}
        w.closed(2, 7, 8)
        w.broker.close()
        listened = happening(
            "allowed",
            capability="sockets.tcp.listen",
            resource="127.0.0.1:0",
            resolved=f"127.0.0.1:{port}",
            reason="allowed by the policy: 127.0.0.1:0; the run ended before it was closed",
            line=7,
        )
        accepted = replace(
            listened,
            resolved=None,
            capability="sockets.tcp.accept",
            resource="127.0.0.9:5000",
            reason="allowed by the policy: 127.0.0.1:0",
        )
        assert w.told == [
            replace(accepted, sent=7, received=8),
            listened,
            replace(accepted, reason=listened.reason),
        ]


def test_connect_to_itself() -> None:
    """A run may connect to where it listens itself, as long as it does, and to no other place there; denials hold."""
    with world(
        "tcp:\n  listen: ['127.0.0.1:0', '127.0.0.2:0', '[::1]:0']\ndeny: ['127.0.0.2:1-32767']\naudit: all"
    ) as w:
        _, port = w.bind(1, "127.0.0.1", 0)["local"]
        assert w.connect(2, "127.0.0.1", port) == REFUSED
        assert w.ask("listen", object=1, backlog=1) == {"state": "done"}
        assert w.connected(3, "127.0.0.1", port)["state"] == "done"
        others = [("127.0.0.1", port - 1), ("127.0.0.3", port), ("0.0.0.0", port), ("::ffff:127.0.0.1", port)]
        assert [w.connect(4, *other, 6 if ":" in other[0] else 4) for other in others] == [REFUSED] * 4
        w.closed(3, 1, 2)
        w.closed(1)
        assert w.connect(5, "127.0.0.1", port) == REFUSED
        assert w.events[-3].reason == "allowed by the policy: the component itself listens there"


@pytest.mark.parametrize(("address", "family"), [("0.0.0.0", 4), ("::", 6)])
def test_connect_to_itself_nowhere(address: str, family: int) -> None:
    """Who listens on all addresses connects to none of them thereby: an unspecified address is never reached."""
    with world("tcp: {listen: ['0.0.0.0:0', '[::]:0']}") as w:
        _, port = w.bind(1, address, 0, family=family)["local"]
        assert w.ask("listen", object=1, backlog=1) == {"state": "done"}
        assert w.connect(2, address, port, family) == REFUSED
        assert [e.reason for e in w.events] == ["an unspecified address is never reached, whatever is granted"]


def test_where_it_listens_stays_its_own() -> None:
    """Until the worker says that it is closed nobody else can listen there, also where the worker has lost it: what the
    component may connect to for that reason is itself."""
    with world("tcp: {listen: ['127.0.0.1:0']}") as w:
        _, port = w.bind(1, "127.0.0.1", 0)["local"]
        assert w.ask("listen", object=1, backlog=1) == {"state": "done"}
        w.handed.pop(w.number).close()
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                other.bind(("127.0.0.1", port))
            w.closed(1)
            other.bind(("127.0.0.1", port))
        assert w.connect(2, "127.0.0.1", port) == REFUSED


@pytest.mark.parametrize("deny", ["127.0.0.1", "127.0.0.0/8:1024-65535"])
def test_connect_to_itself_denied(deny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A denial of the address wins over listening there."""
    with world(f"tcp: {{listen: ['0.0.0.0:0']}}\ndeny: ['{deny}']") as w:
        monkeypatch.setattr(network, "_end", lambda name: ["127.0.0.1", int(name[1])])
        _, port = w.bind(1, "0.0.0.0", 0)["local"]
        assert w.ask("listen", object=1, backlog=1) == {"state": "done"}
        assert w.connect(2, "127.0.0.1", port) == REFUSED
        assert [e.reason for e in w.events] == [f"denied by the policy: {deny}"]


def test_allowed_datagrams() -> None:
    """A UDP socket with one peer is told of as an exchange with it; any other as itself, and each peer apart."""
    with world("udp:\n  send: ['127.0.0.1:53', '127.0.0.2:53']\n  bind: ['127.0.0.1:0']\naudit: all") as w:
        for number in (1, 2):
            w.bind(number, "0.0.0.0", 0, "udp")
            w.send(number, "127.0.0.1", 53)
        w.send(2, "127.0.0.2", 53)
        w.bind(3, "127.0.0.1", 0, "udp")
        w.send(3, "127.0.0.1", 53)
        args = {"object": 3, "protocol": "udp", "address": "127.0.0.8", "port": 99, "accepted": False}
        w.ask("peer", **args)
        for number in (1, 2, 3):
            w.closed(number, 10 * number, 100 * number)
        sent = happening(
            "allowed",
            capability="sockets.udp.send",
            resource="127.0.0.1:53",
            reason="allowed by the policy: 127.0.0.1:53",
            line=7,
        )
        bound = replace(
            sent,
            capability="sockets.udp.bind",
            resource="0.0.0.0:0",
            reason="allowed by the policy: any local port, to reach what send grants",
            sent=20,
            received=200,
        )
        second = replace(sent, resource="127.0.0.2:53", reason="allowed by the policy: 127.0.0.2:53")
        place = {"reason": "allowed by the policy: 127.0.0.1:0", "line": 8}
        assert w.told == [
            replace(sent, capability="sockets.udp.receive", resource="127.0.0.8:99", **place),  # type: ignore[arg-type]
            replace(sent, sent=10, received=100),
            bound,
            sent,
            second,
            replace(bound, resource="127.0.0.1:0", sent=30, received=300, **place),  # type: ignore[arg-type]
            sent,
        ]


def test_many_destinations() -> None:
    """However many destinations a socket has, only so many are kept until it is closed; none goes untold."""
    with world("udp: {send: ['10.0.0.0/8:53']}\naudit: all") as w:
        w.bind(1, "0.0.0.0", 0, "udp")
        for n in range(100):
            assert w.send(1, f"10.0.0.{n}", 53) == {"state": "done"}
        assert len(w.events) == 100 - network.MAX_TOLD
        w.closed(1, 1, 1)
        assert sorted(e.resource or "" for e in w.events) == sorted(
            ["0.0.0.0:0", *(f"10.0.0.{n}:53" for n in range(100))]
        )


def test_allowed_and_failed(server: socket.socket) -> None:
    """What was allowed and failed is told of at once, with how."""
    port = port_of(server)
    server.close()
    with world(f"tcp: {{connect: ['127.0.0.1:{port}']}}\naudit: all") as w:
        if w.connect(1, "127.0.0.1", port) == STARTED:
            w.later()
        w.closed(1)
        assert w.told == [
            happening(
                "allowed",
                resource=f"127.0.0.1:{port}",
                reason=f"allowed by the policy: 127.0.0.1:{port}; it failed: connection-refused",
                line=6,
                sent=0,
                received=0,
            )
        ]


# Workers that are no longer themselves.

CONNECT = {"object": 1, "family": 4, "address": "127.0.0.1", "port": 80, "options": {}}
BIND = {**CONNECT, "protocol": "udp"}
NONSENSE: list[tuple[str, Any]] = [
    ("exec", CONNECT),
    ("connect", None),
    ("connect", []),
    ("connect", {}),
    ("connect", {**CONNECT, "object": 0}),
    ("connect", {**CONNECT, "object": 1 << 27}),
    ("connect", {**CONNECT, "object": True}),
    ("connect", {**CONNECT, "object": "1"}),
    ("connect", {**CONNECT, "family": 5}),
    ("connect", {**CONNECT, "family": 16}),
    ("connect", {**CONNECT, "address": "localhost"}),
    ("connect", {**CONNECT, "address": "127.1"}),
    ("connect", {**CONNECT, "address": "/run/docker.sock"}),
    ("connect", {**CONNECT, "address": 2130706433}),
    ("connect", {**CONNECT, "address": ""}),
    ("connect", {**CONNECT, "port": -1}),
    ("connect", {**CONNECT, "port": 65536}),
    ("connect", {**CONNECT, "port": 80.0}),
    ("connect", {**CONNECT, "options": []}),
    ("connect", {**CONNECT, "options": {"bind-to-device": 1}}),
    ("connect", {**CONNECT, "options": {"hop-limit": -1}}),
    ("connect", {**CONNECT, "options": {"hop-limit": "1"}}),
    ("bind", {**BIND, "protocol": "raw"}),
    ("bind", {**BIND, "options": {"keep-alive-enabled": 1}}),
    ("listen", {"object": 77, "backlog": 1}),
    ("lookup", {"object": 1, "name": 5}),
    ("lookup", {"object": 1}),
    ("send", {"object": 1, "address": "0", "port": 53}),
    ("peer", {**BIND, "accepted": 1}),
    ("closed", {"object": 1, "sent": -1, "received": 0}),
    ("closed", {"object": 1, "sent": 0}),
]


@pytest.mark.parametrize(("op", "args"), NONSENSE)
def test_nonsense(op: str, args: Any) -> None:
    """What no worker asks for is an error that its supervisor knows, and does nothing."""
    with world("tcp: {connect: ['127.0.0.1:80']}\nudp: {send: ['127.0.0.1:80']}") as w:
        with pytest.raises((LookupError, TypeError, ValueError)):
            w.broker.request(NOW, TCP, 1, op, args)
        assert (w.answers, w.events) == ([], [])


@pytest.mark.parametrize("when", [float("nan"), float("inf"), -1.0, 1e300, "now", None, True])
def test_nonsense_time(when: Any) -> None:
    """A time that is none never reaches the trail."""
    with world("dns: [a.example]") as w:
        with pytest.raises(ValueError, match=r"^no time or number of a request$"):
            w.broker.request(when, TCP, 1, "connect", CONNECT)
        with pytest.raises(ValueError, match=r"^no time or number of a request$"):
            w.broker.request(NOW, TCP, None, "connect", CONNECT)  # type: ignore[arg-type]


def test_out_of_turn(server: socket.socket, full: int) -> None:
    """A socket that is connecting, connected or listening cannot become something else."""
    port = port_of(server)
    policy = f"tcp: {{connect: ['127.0.0.1:{port}', '127.0.0.1:{full}'], listen: ['127.0.0.1:0']}}"
    with world(policy + "\nudp: {bind: ['127.0.0.1:0']}") as w:
        w.connect(1, "127.0.0.1", full)
        w.connected(2, "127.0.0.1", port)
        w.bind(3, "127.0.0.1", 0)
        w.ask("listen", object=3, backlog=1)
        w.bind(4, "127.0.0.1", 0, "udp")
        answers = len(w.answers)
        for number in (1, 2, 3, 4):
            with pytest.raises(ValueError, match=r"^the socket cannot be connected any more$"):
                w.connect(number, "127.0.0.1", port)
            with pytest.raises(ValueError, match=r"^the socket is bound or connected already$"):
                w.bind(number, "127.0.0.1", 0)
            with pytest.raises(ValueError, match=r"^the socket is not bound, or more than that$"):
                w.ask("listen", object=number, backlog=1)
        assert len(w.answers) == answers


def test_more_sockets_than_the_policy_allows(full: int) -> None:
    """The bound on sockets holds here as well, whatever the worker says; nothing is made beyond it."""
    policy = f"tcp: {{connect: ['127.0.0.1:{full}'], listen: ['127.0.0.1:0']}}\naudit: all"
    with world(policy, "{sockets: 3}") as w:
        w.connect(1, "127.0.0.1", full)
        w.bind(2, "127.0.0.1", 0)
        peer = {"protocol": "tcp", "address": "127.0.0.1", "port": 1, "accepted": True}
        w.ask("peer", object=3, **peer)
        before = descriptors()
        beyond = r"^more sockets than the policy allows$"
        with pytest.raises(ValueError, match=beyond):
            w.connect(4, "127.0.0.1", full)
        with pytest.raises(ValueError, match=beyond):
            w.bind(4, "127.0.0.1", 0)
        with pytest.raises(ValueError, match=beyond):
            w.ask("peer", object=4, **peer)
        assert descriptors() == before
        w.closed(1)
        assert w.connect(4, "127.0.0.1", full) == STARTED


def test_reply_fails(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is gone when it is answered costs no descriptor."""
    port = port_of(server)
    with world(f"tcp: {{connect: ['127.0.0.1:{port}'], listen: ['127.0.0.1:0']}}\nudp: {{bind: ['127.0.0.1:0']}}") as w:
        w.bind(1, "127.0.0.1", 0)
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "is_ready", lambda *_: False)
            w.connect(2, "127.0.0.1", port)
        assert w.number not in w.handed
        before = descriptors()

        def gone(*_: object) -> None:
            raise BrokenPipeError

        monkeypatch.setattr(w.broker, "_reply", gone)
        with pytest.raises(BrokenPipeError):
            w.ask("listen", object=1, backlog=1)
        with pytest.raises(BrokenPipeError):
            w.bind(3, "127.0.0.1", 0, "udp")
        with pytest.raises(BrokenPipeError):
            w.turn(WELL)
        assert descriptors() == before - 1  # the listener stays until it is closed


values = st.one_of(
    st.integers(-1, 8),
    st.integers(),
    st.text(max_size=5),
    st.sampled_from(["127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "fe80::1%1", "a.example", "tcp", "udp"]),
    st.booleans(),
    st.none(),
    st.dictionaries(st.sampled_from(["hop-limit", "send-buffer-size", "x"]), st.integers(-1, 300), max_size=2),
)
keys = ["object", "family", "address", "port", "options", "protocol", "backlog", "name", "accepted", "sent", "received"]
likely = st.fixed_dictionaries(
    {
        "object": st.integers(1, 4),
        "family": st.sampled_from([4, 6]),
        "address": st.sampled_from(["127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1%1", "10.0.0.1"]),
        "port": st.sampled_from([0, 1, 9]),
        "protocol": st.sampled_from(["tcp", "udp"]),
        "backlog": st.integers(0, 3),
        "name": st.sampled_from(["a.example", "127.0.0.1", "b.example", "\0"]),
        "accepted": st.booleans(),
        "sent": st.integers(0, 9),
        "received": st.integers(0, 9),
        "options": st.just({}),
    }
)
requests = st.tuples(
    st.sampled_from(["bind", "connect", "listen", "lookup", "send", "peer", "closed", "x"]),
    st.builds(lambda a, b: a | b, likely, st.dictionaries(st.sampled_from(keys), values, max_size=1)),
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(requests, max_size=25))
def test_whatever_a_worker_asks(asked: list[tuple[str, dict[str, Any]]]) -> None:
    """Any sequence of requests is answered or is nonsense; each answer is one of the forms; nothing is left open."""
    policy = """
tcp: {connect: ['127.0.0.1:9', '[::1]:1-9'], listen: ['127.0.0.1:0', '[::1]:0']}
udp: {send: ['127.0.0.1:9'], bind: ['127.0.0.1:0']}
dns: [a.example]
audit: all"""
    with world(policy, "{sockets: 3, lookups: 3}", Resolver(a_example=[of("8.8.8.8")])) as w:
        for op, args in asked:
            w.number += 1
            before = len(w.answers)
            try:
                w.broker.request(NOW, TCP, w.number, op, args)
            except (LookupError, TypeError, ValueError):
                assert len(w.answers) == before
                continue
            now = w.answers[before:]
            assert op == "closed" or (now and now[0][0] == w.number)
            w.turn(0)
        for number, made in w.handed.items():
            assert number <= w.number
            assert made.getsockname()[0] in ("127.0.0.1", "::1", "0.0.0.0", "::")
        for _, answer in w.answers:
            assert answer["state"] in ("refused", "failed", "started", "done")
            assert ("error" in answer) == (answer["state"] in ("refused", "failed"))
