"""A guest's sockets as the worker keeps them: states, data, bounds and waits, over real sockets."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.broker.kernel import bind_socket
from sandbox.broker.objects import CODE, Answer, standard_stream
from sandbox.broker.sockets import Sockets
from sandbox.broker.table import FOR_EVER, LINGER, MAX_DROPPED, STANDARD_STREAMS
from sandbox.broker.tcp import CHUNK
from sandbox.broker.udp import MAX_PEERS
from sandbox.guard import types as ty
from sandbox.guard.sockets import ERROR_CODE, FUNCTIONS, IP_ADDRESS, METHODS, PLAIN
from sandbox.guard.wire import ASK, DONE, ERROR_CODES, FAILED, LEAST_PERMIT, MAX_OBJECT, PERMIT

VERSION = "0.2.0"
STREAMS = "[method]tcp-socket."
LIMITS = {"sockets": 8, "sent": 1 << 30, "received": 1 << 30, "judge_peers": False}


def rows() -> list[list[Any]]:
    """A site for each function that the guard passes on, as its table has them."""
    found = [[f"wasi:sockets/any@{VERSION}", name, "sockets", False, 0] for name in FUNCTIONS]
    for resource, methods in METHODS.items():
        interface = f"wasi:sockets/{resource.partition('-')[0]}@{VERSION}"
        found += [[interface, f"[method]{resource}.{m}", "sockets", False, 0] for m in methods]
    return [*found, [f"wasi:io/error@{VERSION}", "[method]error.to-debug-string", "sockets", False, 0]]


ROWS = rows()
SITE = {row[1]: number for number, row in enumerate(ROWS)}
Served = tuple[dict[str, Any], int | None]


class Supervisor:
    """Answers what a worker asks as a test says, and keeps it."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.bounds: list[tuple[str, str, str | None]] = []
        self.rows: list[list[Any]] = []
        self.serve: dict[str, Callable[[int, dict[str, Any]], Served]] = {}
        self.waiting: deque[tuple[int, dict[str, Any], int | None]] = deque()
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def send(self, *message: object) -> None:
        kind, when, row, *rest = message
        assert isinstance(when, float)
        assert isinstance(row, list)
        if kind == "bound":
            name, resource = rest
            self.bounds.append((row[1], str(name), resource))  # type: ignore[arg-type]
            return
        assert kind == "net"
        number, op, args = rest
        assert isinstance(number, int)
        assert isinstance(args, dict)
        args = json.loads(json.dumps(args))
        self.asked.append((str(op), args))
        self.rows.append(row)
        if op not in ("closed", "barred"):
            result, descriptor = self.serve[str(op)](number, args)
            self.say(number, result, descriptor)

    def say(self, number: int, result: dict[str, Any], descriptor: int | None = None) -> None:
        """Answer a request, now or later."""
        self.waiting.append((number, result, descriptor))
        os.write(self.write_end, b".")

    def reply(self, *, wait: bool) -> tuple[int, dict[str, Any], int | None] | None:
        if not self.waiting:
            assert not wait, "a request that is never answered"
            return None
        os.read(self.read_end, 1)
        return self.waiting.popleft()

    def fileno(self) -> int:
        return self.read_end

    def close(self) -> None:
        for descriptor in (self.read_end, self.write_end):
            if descriptor >= 0:
                os.close(descriptor)
        self.read_end = self.write_end = -1


def done(descriptor: int | None = None, **more: Any) -> Served:
    return {"state": "done", **more}, descriptor


def refused(error: str = "access-denied") -> Served:
    return {"state": "refused", "error": error}, None


def failed(error: str) -> Served:
    return {"state": "failed", "error": error}, None


def started() -> Served:
    return {"state": "started"}, None


def starts(requests: list[int]) -> Callable[[int, dict[str, Any]], Served]:
    """Serves what is answered later, by the request's number in ``requests``."""

    def start(number: int, _: dict[str, Any]) -> Served:
        requests.append(number)
        return started()

    return start


def spread(host: str, port: int, *, scope: int = 0, flow: int = 0) -> list[int]:
    """An ``ip-socket-address`` as core parameters."""
    if ":" not in host:
        return [0, port, *socket.inet_aton(host), *[0] * 6]
    return [1, port, flow, *struct.unpack(">8H", socket.inet_pton(socket.AF_INET6, host)), scope]


def memory(host: str, port: int, *, scope: int = 0) -> bytes:
    """An ``ip-socket-address`` in memory, written without regard to how the worker writes it."""
    out = bytearray(32)
    out[0] = ":" in host
    out[4:6] = port.to_bytes(2, "little")
    if ":" not in host:
        out[6:10] = socket.inet_aton(host)
    else:
        packed = socket.inet_pton(socket.AF_INET6, host)
        for at in range(0, 16, 2):
            out[12 + at : 14 + at] = packed[at : at + 2][::-1]
        out[28:32] = scope.to_bytes(4, "little")
    return bytes(out)


def latin(data: bytes) -> str:
    return data.decode("latin-1")


def error(name: str) -> Answer:
    return CODE[name] + 1, ""


def u32(*numbers: int) -> str:
    return latin(struct.pack(f"<{len(numbers)}I", *numbers))


def u64(number: int) -> str:
    return latin(number.to_bytes(8, "little"))


def word(number: int, side: int) -> str:
    return u32(number << 2 | side)


class World:
    """Sockets under test, with calls by name."""

    def __init__(self, **limits: Any) -> None:
        self.supervisor = Supervisor()
        self.peers: list[socket.socket] = []
        _worlds.append(self)
        self.sockets = Sockets(self.supervisor, {**LIMITS, **limits}, ROWS)

    def call(self, name: str, number: int = 0, *words: int, text: str = "") -> Answer:
        return self.sockets.control(SITE[name], number, latin(struct.pack(f"<{len(words)}Q", *words)), text)

    def tcp(self, method: str, number: int, *words: int) -> Answer:
        return self.call(f"[method]tcp-socket.{method}", number, *words)

    def udp(self, method: str, number: int, *words: int) -> Answer:
        return self.call(f"[method]udp-socket.{method}", number, *words)

    def new(self, family: int = 4, kind: str = "tcp") -> int:
        status, payload = self.call(f"create-{kind}-socket", 0, int(family == 6))
        assert (status, len(payload)) == (0, 4)
        return int.from_bytes(payload.encode("latin-1"), "little")

    def connected(self, *, narrow: bool = False) -> tuple[int, socket.socket]:
        """A connected socket of the guest's, and its peer."""
        mine, theirs = pair(narrow=narrow)
        self.peers.append(theirs)
        self.supervisor.serve["connect"] = lambda _, __: done(mine.detach(), local=["127.0.0.1", 1])
        number = self.new()
        assert self.tcp("start-connect", number, 0, *spread("203.0.113.7", 443)) == (0, "")
        assert self.tcp("finish-connect", number) == (0, u32(number, number))
        return number, theirs

    def listening(self, host: str = "127.0.0.1") -> tuple[int, tuple[str, int]]:
        """A listening socket of the guest's, and where it listens."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        real = socket.socket(family)
        real.bind((host, 0))
        where = real.getsockname()[:2]

        def listen(_: int, args: dict[str, Any]) -> Served:
            real.listen(args["backlog"])
            return done(real.detach())

        self.supervisor.serve |= {"bind": lambda _, __: done(local=list(where)), "listen": listen}
        number = self.new(6 if ":" in host else 4)
        assert self.tcp("start-bind", number, 0, *spread(host, 0)) == (0, "")
        assert self.tcp("finish-bind", number) == (0, "")
        assert self.tcp("start-listen", number) == (0, "")
        assert self.tcp("finish-listen", number) == (0, "")
        return number, where

    def bound(self, host: str = "127.0.0.1", *, anyone: bool = True) -> tuple[int, tuple[str, int]]:
        """A bound UDP socket of the guest's, and where it is."""
        real = bind_socket(6 if ":" in host else 4, "udp", host, 0, {})
        where = real.getsockname()[:2]
        self.supervisor.serve["bind"] = lambda _, __: done(real.detach(), local=list(where), anyone=anyone)
        number = self.new(6 if ":" in host else 4, "udp")
        assert self.udp("start-bind", number, 0, *spread(host, 0)) == (0, "")
        assert self.udp("finish-bind", number) == (0, "")
        return number, where

    def stream(self, number: int, host: str | None = None, port: int = 0) -> Answer:
        return self.udp("stream", number, *([0] * 13 if host is None else [1, *spread(host, port)]))

    def receive_datagram(self, number: int) -> Answer:
        return self.call("[method]incoming-datagram-stream.receive", number)

    def check_send(self, number: int) -> Answer:
        return self.call("[method]outgoing-datagram-stream.check-send", number)

    def datagram(self, number: int, to: tuple[str, int] | None, data: bytes) -> int:
        where = bytes(36) if to is None else b"\1\0\0\0" + memory(*to)
        return self.sockets.datagram(number, latin(where), latin(data))

    def close(self) -> None:
        self.sockets.close()
        self.supervisor.close()
        for peer in self.peers:
            peer.close()

    def wait(self, what: str, nanoseconds: int) -> str:
        """Which of some sides are ready, once one is or the time is over."""
        answer = self.sockets.wait(what, nanoseconds)
        assert answer[-1] == chr(bool(self.sockets.flushing)), "whether something is pending"
        return answer[:-1]

    def ops(self) -> list[str]:
        return [op for op, _ in self.supervisor.asked]


def pair(*, narrow: bool = False) -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection; ``narrow``: it holds little of what the first end sends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if narrow:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        mine = socket.create_connection(server.getsockname())
        if narrow:
            mine.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        theirs, _ = server.accept()
    return mine, theirs


def fill(world: World, number: int) -> int:
    """Write until the kernel takes no more; how much was taken in all."""
    total = 0
    while world.wait(word(number, 2), 50_000_000) == "\1":
        assert world.sockets.send(number, 0, "x" * PERMIT) in (0, 2)
        total += PERMIT
    return total


def drain(world: World, peer: socket.socket) -> bytes:
    """All that comes to a peer until its end, while the guest waits for nothing in particular."""
    got = bytearray()
    peer.settimeout(0.01)
    while True:
        world.wait("", 0)
        try:
            data = peer.recv(65536)
        except TimeoutError:
            continue
        if not data:
            return bytes(got)
        got += data


def read_until_reset(peer: socket.socket) -> int:
    """How much comes to a peer until the connection is reset; a clean end would let that pass for the whole."""
    got = 0
    while True:
        try:
            data = peer.recv(65536)
        except ConnectionResetError:
            return got
        assert data, "a clean end"
        got += len(data)


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


_worlds: list[World] = []


@pytest.fixture(autouse=True)
def worlds() -> Iterator[None]:
    yield
    while _worlds:
        _worlds.pop().close()


@pytest.fixture
def world() -> World:
    return World()


def test_error_codes_are_those_of_the_guard() -> None:
    """The worker numbers errors as the guard does, which has them from WASI."""
    assert ERROR_CODE.names == ERROR_CODES


def test_every_function_of_the_guard_is_served() -> None:
    """Whatever the guard passes on to the worker is carried out, sending apart, which has a call of its own."""
    sockets = World().sockets
    unserved = [row[1] for row, handler in zip(ROWS, sockets.handlers, strict=True) if handler is None]
    assert unserved == ["[method]outgoing-datagram-stream.send"]
    with pytest.raises(LookupError, match="no function"):
        sockets.control(SITE["[method]outgoing-datagram-stream.send"], 1, "", "")


def held(shape: Any) -> ty.Type:
    """A type of the guard's table with numbers where handles are."""
    if isinstance(shape, str):
        return ty.U32
    return ty.Tuple(tuple(held(x) for x in shape)) if isinstance(shape, tuple) else shape


def test_payloads_have_the_size_of_their_type(world: World) -> None:
    """Each answer has exactly as many bytes as the Canonical ABI gives to what the function answers."""
    listener, where = world.listening()
    with socket.create_connection(where):
        accepted = world.tcp("accept", listener)
        connection = int.from_bytes(accepted[1][:4].encode("latin-1"), "little")
        mine, theirs = pair()
        world.supervisor.serve["connect"] = lambda _, __: done(mine.detach(), local=["127.0.0.1", 1])
        other = world.new()
        world.tcp("start-connect", other, 0, *spread("203.0.113.7", 443))
        world.supervisor.serve |= {
            "send": lambda _, __: done(),
            "lookup": lambda _, __: done(addresses=["192.0.2.1", "2001:db8::1"]),
        }
        datagrams, _ = world.bound()
        lookup = world.call("resolve-addresses", 0, 0, text="a.example")
        number = int.from_bytes(lookup[1].encode("latin-1"), "little")
        answers = {
            "resolve-addresses": lookup,
            "create-tcp-socket": world.call("create-tcp-socket", 0, 0),
            "create-udp-socket": world.call("create-udp-socket", 0, 1),
            "[method]tcp-socket.accept": accepted,
            "[method]tcp-socket.finish-connect": world.tcp("finish-connect", other),
            "[method]udp-socket.stream": world.stream(datagrams, "127.0.0.1", 9),
            "[method]resolve-address-stream.resolve-next-address": world.call(
                "[method]resolve-address-stream.resolve-next-address", number
            ),
            "[method]outgoing-datagram-stream.check-send": world.check_send(datagrams),
        }
        for resource, object_ in (("tcp-socket", connection), ("udp-socket", datagrams)):
            for method, (params, ok) in METHODS[resource].items():
                name = f"[method]{resource}.{method}"
                if not params and ok is not None and name not in answers:
                    answers[name] = world.call(name, object_)
        theirs.close()
    expected = {}
    for name in answers:
        resource, _, method = name.removeprefix("[method]").partition(".")
        _, ok = METHODS[resource][method] if method else FUNCTIONS[name]
        expected[name] = (0, ty.layout(held(ok))[0])
    assert {name: (status, len(payload)) for name, (status, payload) in answers.items()} == expected
    assert set(PLAIN) == {"address-family", "is-listening"}


# States.

EVERY = {
    "is-listening": (),
    "local-address": (),
    "remote-address": (),
    "finish-bind": (),
    "finish-listen": (),
    "finish-connect": (),
    "accept": (),
    "shutdown": (2,),
    "start-bind": (0, *spread("127.0.0.1", 0)),
    "start-listen": (),
    "start-connect": (0, *spread("127.0.0.1", 9)),
    "set-listen-backlog-size": (5,),
}


def said(world: World, number: int, *but: str) -> dict[str, str]:
    """What each function answers that is called in a state where it changes nothing."""
    answers = {name: world.tcp(name, number, *words) for name, words in EVERY.items() if name not in but}
    return {name: ERROR_CODES[status - 1] if status else "ok" for name, (status, _) in answers.items()}


WRONG = {
    "is-listening": "ok",
    "local-address": "invalid-state",
    "remote-address": "invalid-state",
    "finish-bind": "not-in-progress",
    "finish-listen": "not-in-progress",
    "finish-connect": "not-in-progress",
    "accept": "invalid-state",
    "shutdown": "invalid-state",
    "start-bind": "invalid-state",
    "start-listen": "invalid-state",
    "start-connect": "invalid-state",
    "set-listen-backlog-size": "invalid-state",
}


def without(table: dict[str, str], *but: str, **other: str) -> dict[str, str]:
    changed = {k.replace("_", "-"): v for k, v in other.items()}
    return {name: changed.get(name, value) for name, value in table.items() if name not in but}


def test_states_of_a_listener(world: World) -> None:
    """In each state, every function answers what Wasmtime's own sockets do; none asks the supervisor out of turn."""
    world.supervisor.serve["bind"] = lambda _, __: done(local=["127.0.0.1", 4711])
    real = socket.create_server(("127.0.0.1", 0))
    world.supervisor.serve["listen"] = lambda _, __: done(real.detach())
    number = world.new()
    backlog = {"set_listen_backlog_size": "ok"}
    assert said(world, number, "start-bind", "start-connect") == without(
        WRONG, "start-bind", "start-connect", **backlog
    )
    assert world.ops() == []
    assert world.tcp("start-bind", number, 0, *spread("127.0.0.1", 0)) == (0, "")
    assert said(world, number, "finish-bind") == without(WRONG, "finish-bind", **backlog)
    assert world.tcp("finish-bind", number) == (0, "")
    assert said(world, number, "start-listen", "start-connect") == without(
        WRONG, "start-listen", "start-connect", local_address="ok", **backlog
    )
    assert world.tcp("local-address", number) == (0, latin(memory("127.0.0.1", 4711)))
    assert world.tcp("start-listen", number) == (0, "")
    assert said(world, number, "finish-listen") == without(WRONG, "finish-listen")
    assert world.tcp("is-listening", number) == (0, "\0")
    assert world.tcp("finish-listen", number) == (0, "")
    assert said(world, number) == without(WRONG, accept="would-block", local_address="ok", **backlog)
    assert world.tcp("is-listening", number) == (0, "\1")
    assert world.ops() == ["bind", "listen"]
    assert world.supervisor.asked[0][1] == {
        "object": number,
        "protocol": "tcp",
        "family": 4,
        "address": "127.0.0.1",
        "port": 0,
        "options": {},
    }
    assert world.supervisor.asked[1][1] == {"object": number, "backlog": 5}


def test_states_of_a_connection(world: World) -> None:
    """A connection that is started is finished once; while it is in progress, another start is a conflict."""
    requests: list[int] = []
    world.supervisor.serve["connect"] = starts(requests)
    number = world.new()
    assert world.tcp("start-connect", number, 0, *spread("203.0.113.7", 443)) == (0, "")
    assert said(world, number) == without(WRONG, start_connect="concurrency-conflict", finish_connect="would-block")
    assert world.wait(word(number, 0), 0) == "\0"
    mine, theirs = pair()
    name = mine.getsockname()
    world.supervisor.say(requests[0], {"state": "done", "local": list(name)}, mine.detach())
    assert world.wait(word(number, 0), FOR_EVER) == "\1"
    assert world.tcp("finish-connect", number) == (0, u32(number, number))
    assert said(world, number, "shutdown") == without(WRONG, "shutdown", local_address="ok", remote_address="ok")
    assert world.tcp("local-address", number) == (0, latin(memory(*name)))
    assert world.tcp("remote-address", number) == (0, latin(memory("203.0.113.7", 443)))
    assert [world.tcp("shutdown", number, how) for how in (0, 1, 2, 2)] == [(0, "")] * 4
    assert said(world, number) == without(WRONG, local_address="ok", remote_address="ok", shutdown="ok")
    assert world.supervisor.asked == [
        (
            "connect",
            {"object": number, "family": 4, "address": "203.0.113.7", "port": 443, "options": {}},
        )
    ]
    theirs.close()


def test_states_of_a_connection_that_failed(world: World) -> None:
    """Finishing says why, once; then the socket can only be dropped."""
    requests: list[int] = []
    world.supervisor.serve["connect"] = starts(requests)
    number = world.new()
    assert world.tcp("start-connect", number, 0, *spread("203.0.113.7", 443)) == (0, "")
    world.supervisor.say(requests[0], {"state": "failed", "error": "connection-refused"})
    assert world.tcp("finish-connect", number) == error("connection-refused")
    assert said(world, number) == WRONG
    assert world.tcp("hop-limit", number) == error("invalid-state")
    assert world.tcp("set-hop-limit", number, 3) == error("invalid-state")
    assert world.wait(word(number, 0), 0) == "\1"
    assert world.sockets.receive(number, 10, 1) == (1, "")
    assert world.sockets.send(number, 1, "x") == 1
    assert world.sockets.room(number) == 1 << 32


@pytest.mark.parametrize(
    ("answer", "code", "again"),
    [
        (refused(), "access-denied", (0, "")),
        (failed("invalid-argument"), "invalid-argument", (0, "")),
        (failed("remote-unreachable"), "remote-unreachable", error("invalid-state")),
        (failed("no such error"), "unknown", error("invalid-state")),
    ],
)
def test_a_connection_that_is_not_started(world: World, answer: Served, code: str, again: Answer) -> None:
    """What was refused may be tried elsewhere; what was tried and failed ends the socket."""
    answers = [answer, started()]
    world.supervisor.serve["connect"] = lambda _, __: answers.pop(0)
    number = world.new()
    assert world.tcp("start-connect", number, 0, *spread("10.0.0.1", 443)) == error(code)
    assert world.tcp("start-connect", number, 0, *spread("10.0.0.2", 443)) == again


def test_a_bind_that_is_refused(world: World) -> None:
    """It can be tried again, elsewhere; nothing is told of a socket that the supervisor never had."""
    world.supervisor.serve["bind"] = lambda _, __: refused()
    number = world.new()
    assert world.tcp("start-bind", number, 0, *spread("192.0.2.1", 80)) == error("access-denied")
    world.supervisor.serve["bind"] = lambda _, __: failed("address-in-use")
    assert world.tcp("start-bind", number, 0, *spread("127.0.0.1", 80)) == error("address-in-use")
    assert world.tcp("finish-bind", number) == error("not-in-progress")
    world.sockets.drop(number, 0)
    assert world.ops() == ["bind", "bind"]


@pytest.mark.parametrize(("answer", "after"), [(refused(), "ok"), (failed("address-in-use"), "invalid-state")])
def test_listening_that_is_refused(world: World, answer: Served, after: str) -> None:
    """A refusal leaves the socket bound, a failure ends it."""
    world.supervisor.serve |= {"bind": lambda _, __: done(local=["127.0.0.1", 80]), "listen": lambda _, __: answer}
    number = world.new()
    world.tcp("start-bind", number, 0, *spread("127.0.0.1", 80))
    world.tcp("finish-bind", number)
    assert world.tcp("start-listen", number) == error(answer[0]["error"])
    assert said(world, number, "start-listen", "start-connect")["local-address"] == after


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (spread("::1", 80), "::1"),
        (spread("::ffff:10.0.0.1", 80), "::ffff:10.0.0.1"),
        (spread("fe80::1", 80, scope=3), "fe80::1%3"),
        (spread("fe80::1", 80, scope=0xFFFF_FFFF, flow=7), "fe80::1%4294967295"),
        (spread("64:ff9b::a00:1", 80, flow=9), "64:ff9b::a00:1"),
        ([0, 80 | 0x1_0000, 0x10A, 0, 0, 1, *[0] * 6], "10.0.0.1"),
    ],
)
def test_addresses_that_are_asked_for(world: World, words: list[int], address: str) -> None:
    """The supervisor judges the address that the guest wrote, zone and all, whatever its family or the socket's."""
    world.supervisor.serve["connect"] = lambda _, __: refused()
    number = world.new(4)
    world.tcp("start-connect", number, 0, *words)
    assert world.supervisor.asked == [
        ("connect", {"object": number, "family": 4, "address": address, "port": 80, "options": {}})
    ]


# Options.


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("connected", [False, True])
def test_options(world: World, family: int, connected: bool) -> None:
    """Options are set and read alike before there is a socket and after, within the kernel's bounds."""
    number = world.connected()[0] if connected else world.new(family)
    second = 1_000_000_000
    table: list[tuple[str, int, int, list[tuple[int, int | None]]]] = [
        ("keep-alive-enabled", 1, 0, [(1, 1), (0, 0)]),
        (
            "keep-alive-idle-time",
            8,
            7200 * second,
            [(0, None), (1, second), (second * 3 // 2, 2 * second), (2**64 - 1, 32767 * second)],
        ),
        ("keep-alive-interval", 8, 75 * second, [(0, None), (1, second), (2**64 - 1, 32767 * second)]),
        ("keep-alive-count", 4, 9, [(0, None), (5, 5), (2**32 - 1, 127)]),
        ("hop-limit", 1, 64, [(0, None), (1, 1), (255, 255)]),
        ("receive-buffer-size", 8, 65536, [(0, None), (32768, 32768), (1, 1152)]),
        ("send-buffer-size", 8, 8192, [(0, None), (32768, 32768), (1, 2304)]),
    ]
    for name, size, first, steps in table:
        if not (connected and "buffer" in name):
            assert world.tcp(name, number) == (0, latin(first.to_bytes(size, "little"))), name
        for value, then in steps:
            expected = error("invalid-argument") if then is None else (0, "")
            assert world.tcp(f"set-{name}", number, value) == expected, (name, value)
            if then is not None:
                assert world.tcp(name, number) == (0, latin(then.to_bytes(size, "little"))), (name, value)


def test_options_that_were_set_before(world: World) -> None:
    """They go to the supervisor, which makes the socket; those that came late are set when it is handed over."""
    number = world.new()
    world.tcp("set-hop-limit", number, 42)
    world.tcp("set-keep-alive-idle-time", number, 1)
    mine, theirs = pair()
    requests: list[int] = []
    world.supervisor.serve["connect"] = starts(requests)
    world.tcp("start-connect", number, 0, *spread("203.0.113.7", 443))
    assert world.supervisor.asked[0][1]["options"] == {"hop-limit": 42, "keep-alive-idle-time": 1_000_000_000}
    world.tcp("set-keep-alive-enabled", number, 1)
    world.supervisor.say(requests[0], {"state": "done", "local": ["127.0.0.1", 1]}, mine.detach())
    assert world.tcp("finish-connect", number) == (0, u32(number, number))
    real = world.sockets.tcp[number].socket
    assert real is not None
    got = (
        real.getsockopt(socket.IPPROTO_IP, socket.IP_TTL),
        real.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        real.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    )
    assert got == (42, 1, 1)
    theirs.close()


def test_the_backlog(world: World) -> None:
    """It is never nothing, goes to the supervisor within bounds, and can be changed while listening.

    No more connections wait to be accepted than there may be sockets: they are the run's as well.
    """
    number, _ = world.listening()
    assert world.supervisor.asked[1] == ("listen", {"object": number, "backlog": 128})
    assert world.tcp("set-listen-backlog-size", number, 0) == error("invalid-argument")
    assert world.tcp("set-listen-backlog-size", number, 1 << 63) == (0, "")
    other = world.new()
    assert world.tcp("set-listen-backlog-size", other, 1 << 63) == (0, "")
    assert (world.sockets.tcp[other].backlog, world.sockets.tcp[other].options) == (LIMITS["sockets"], {})
    many = World(sockets=100_000)
    other = many.new()
    assert many.tcp("set-listen-backlog-size", other, 1 << 63) == (0, "")
    assert many.sockets.tcp[other].backlog == 4096


# Data.


def test_reading_and_writing(world: World) -> None:
    """Bytes of every value go both ways; nothing is no end; the end is, once nothing is left."""
    number, peer = world.connected()
    everything = bytes(range(256))
    assert world.sockets.receive(number, 100, 0) == (0, "")
    assert world.sockets.room(number) == PERMIT
    assert world.sockets.send(number, 0, latin(everything)) == 0
    assert world.sockets.send(number, 0, "") == 0
    assert peer.recv(1000) == everything
    peer.sendall(everything)
    assert world.sockets.receive(number, 0, 1) == (0, "")
    assert world.sockets.receive(number, 10, 1) == (0, latin(everything[:10]))
    assert world.sockets.receive(number, 1 << 31, 1) == (0, latin(everything[10:]))
    peer.close()
    assert [world.sockets.receive(number, 10, 1) for _ in range(2)] == [(1, "")] * 2


def test_reading_and_writing_in_place(world: World) -> None:
    """Bytes go into memory and come from it; what is pending is a copy, since the guest goes on using that memory."""
    number, peer = world.connected(narrow=True)
    memory_ = bytearray(PERMIT)
    view = memoryview(memory_)
    peer.sendall(b"hello")
    assert world.sockets.receive_into(number, 1, view[10:13]) == (0, 3)
    assert world.sockets.receive_into(number, 1, view[20:30]) == (0, 2)
    assert world.sockets.receive_into(number, 0, view[20:30]) == (0, 0)
    assert world.sockets.receive_into(number, 1, view[0:0]) == (0, 0)
    assert bytes(view[8:24]) == bytes(2) + b"hel" + bytes(7) + b"lo" + bytes(2)
    total = fill(world, number)
    expected = bytearray(b"x" * total)
    while world.wait(word(number, 2), 0) == "\0":
        expected = expected[len(peer.recv(65536)) :]
    view[:] = b"y" * PERMIT
    assert world.sockets.send_from(number, 0, view) == 2
    view[:] = b"z" * PERMIT
    world.tcp("shutdown", number, 1)
    assert drain(world, peer) == expected + b"y" * PERMIT
    peer.close()
    assert world.sockets.receive_into(number, 1, view) == (1, 0)
    assert world.sockets.send_from(number, 1, view) == 1


def test_half_close(world: World) -> None:
    """Shutting one way down ends that stream at once, and the peer hears of it; the other way goes on."""
    number, peer = world.connected()
    assert world.tcp("shutdown", number, 1) == (0, "")
    assert world.sockets.room(number) == 1 << 32
    assert world.sockets.send(number, 0, "x") == 1
    assert world.sockets.send(number, 1, "") == 1
    assert peer.recv(10) == b""
    peer.sendall(b"late")
    assert world.sockets.receive(number, 10, 1) == (0, "late")
    assert world.tcp("shutdown", number, 0) == (0, "")
    assert world.sockets.receive(number, 10, 1) == (1, "")
    assert world.wait(word(number, 1) + word(number, 2), 0) == "\1\1"
    peer.close()


def test_a_reset(world: World) -> None:
    """A connection that is reset fails the read once; both streams are closed then. Who the peer was can be asked."""
    number, peer = world.connected()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert world.wait(word(number, 1), FOR_EVER) == "\1"
    reset = FAILED + CODE["connection-reset"]
    assert [world.sockets.receive(number, 10, 0) for _ in range(2)] == [(reset, ""), (1, "")]
    assert world.sockets.send(number, 0, "x") == 1
    assert world.sockets.room(number) == 1 << 32
    assert world.tcp("remote-address", number) == (0, latin(memory("203.0.113.7", 443)))
    assert world.tcp("shutdown", number, 2) == (0, "")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_peer_that_is_gone_when_it_is_accepted(world: World, host: str) -> None:
    """It is accepted like any other, and its address is known: libraries ask for it at once, natively with accept."""
    listener, where = world.listening(host)
    peer = socket.create_connection(where)
    at = peer.getsockname()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    assert world.tcp("accept", listener) == (0, u32(2, 2, 2))
    assert world.tcp("remote-address", 2) == (0, latin(memory(*at[:2])))


def test_a_reset_that_writing_meets(world: World) -> None:
    """A write that fails says so once, then the stream is closed."""
    number, peer = world.connected()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    poll = select.poll()
    poll.register(world.sockets.tcp[number].fd, 0)
    poll.poll(1000)
    assert [world.sockets.send(number, 0, "x") for _ in range(2)] == [FAILED + CODE["connection-reset"], 1]


def test_what_is_pending(world: World) -> None:
    """A write that the kernel has no room for is kept in order; until it is gone, nothing more is permitted."""
    number, peer = world.connected(narrow=True)
    total = fill(world, number)
    assert world.sockets.room(number) == 0
    assert world.sockets.send(number, 0, "") == 2
    assert world.sockets.send(number, 0, "y") == FAILED + CODE["invalid-state"]
    assert world.wait(word(number, 2), 1_000_000) == "\0"
    got = 0
    while world.wait(word(number, 2), 0) == "\0":
        got += len(peer.recv(65536))
    assert world.sockets.room(number) == PERMIT
    assert world.sockets.send(number, 0, "end") in (0, 2)
    world.tcp("shutdown", number, 1)
    rest = drain(world, peer)
    assert (got + len(rest), rest[-3:]) == (total + 3, b"end")
    peer.close()


def test_a_wait_says_whether_something_is_pending(world: World) -> None:
    """After a byte for each side comes one more: as long as it is set, the guard goes on waiting with the worker."""
    number, peer = world.connected(narrow=True)
    other, _ = world.listening()
    assert world.sockets.wait(word(number, 2), 0) == "\1\0"
    assert world.sockets.wait(word(other, 0), 0) == "\0\0"
    assert world.sockets.wait(word(number, 2) + word(other, 0), 0) == "\1\0\0"
    assert world.sockets.wait("", 0) == "\0"
    total = fill(world, number)
    assert world.sockets.wait("", 0) == "\1"
    assert world.sockets.wait(word(number, 2), 0) == "\0\1"
    assert world.sockets.wait(word(number, 1) + word(other, 0), 1_000_000) == "\0\0\1"
    got = 0
    while world.sockets.wait("", 0) == "\1":
        got += len(peer.recv(65536))
    world.tcp("shutdown", number, 1)
    assert got + len(drain(world, peer)) == total


def test_shutting_down_with_something_pending(world: World) -> None:
    """The peer gets all that was written, and then the end."""
    number, peer = world.connected(narrow=True)
    total = fill(world, number)
    assert world.tcp("shutdown", number, 1) == (0, "")
    assert world.sockets.room(number) == 1 << 32
    assert len(drain(world, peer)) == total
    peer.close()


def test_waiting_for_an_answer_with_the_question_pending(world: World) -> None:
    """A blocking read sends what is pending, of this socket and others: the peer answers only to the whole of it."""
    number, peer = world.connected(narrow=True)
    other, other_peer = world.connected(narrow=True)
    totals = fill(world, number), fill(world, other)

    def answer() -> None:
        for end, total in ((other_peer, totals[1]), (peer, totals[0])):
            while total:
                total -= len(end.recv(65536))
        peer.sendall(b"thanks")

    thread = threading.Thread(target=answer)
    thread.start()
    assert world.sockets.receive(number, 100, 1) == (0, "thanks")
    thread.join()
    assert world.sockets.send(other, 0, "") == 0
    peer.close()
    other_peer.close()


def test_a_blocking_write(world: World) -> None:
    """It ends when everything is with the kernel, however slowly the peer reads."""
    number, peer = world.connected(narrow=True)
    total = fill(world, number)

    def read() -> bytes:
        time.sleep(0.02)
        return b"".join(iter(lambda: peer.recv(65536), b""))

    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(read()))
    thread.start()
    assert world.sockets.send(number, 1, "") == 0
    assert [world.sockets.send(number, 1, "z" * 4096) for _ in range(100)] == [0] * 100
    world.tcp("shutdown", number, 1)
    thread.join()
    assert got == [b"x" * total + b"z" * 409600]
    peer.close()


def test_a_blocking_write_that_fails(world: World) -> None:
    """A peer that goes away ends the wait."""
    number, peer = world.connected(narrow=True)
    fill(world, number)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    thread = threading.Timer(0.02, peer.close)
    thread.start()
    assert world.sockets.send(number, 1, "") == FAILED + CODE["connection-reset"]
    thread.join()
    assert world.sockets.send(number, 1, "") == 1
    assert world.sockets.flushing == {}


# Bounds.


def test_open_sockets_are_bounded() -> None:
    """Beyond the bound no socket is made, and each attempt is told; one that is closed makes room."""
    world = World(sockets=2)
    numbers = [world.new(), world.new(6, "udp")]
    assert world.call("create-tcp-socket", 0, 0) == error("new-socket-limit")
    assert world.call("create-udp-socket", 0, 0) == error("new-socket-limit")
    world.sockets.drop(numbers[1], 0)
    assert world.new() == 3
    assert world.supervisor.bounds == [
        ("create-tcp-socket", "sockets", None),
        ("create-udp-socket", "sockets", None),
    ]
    world.sockets.close()
    assert world.sockets.open == 0


def test_accepting_is_bounded() -> None:
    """A connection beyond the bound waits in the backlog until there is room; where none waits, none is refused."""
    world = World(sockets=2)
    listener, where = world.listening()
    first, second = socket.create_connection(where), socket.create_connection(where)
    assert world.tcp("accept", listener) == (0, u32(2, 2, 2))
    assert world.tcp("accept", listener) == error("new-socket-limit")
    assert world.supervisor.bounds == [("[method]tcp-socket.accept", "sockets", f"127.0.0.1:{where[1]}")]
    for side in (0, 1, 2):
        world.sockets.drop(2, side)
    assert world.tcp("accept", listener) == (0, u32(3, 3, 3))
    assert world.tcp("accept", listener) == error("would-block")
    assert len(world.supervisor.bounds) == 1
    second.sendall(b"hello")
    assert world.sockets.receive(3, 10, 1) == (0, "hello")
    first.close()
    second.close()


def test_accepting_cuts_nobody_off_in_vain() -> None:
    """One that only sends its rest makes way for a connection that is there, not for the question whether one is."""
    world = World(sockets=2)
    listener, where = world.listening()
    number, peer = world.connected(narrow=True)
    total = fill(world, number)
    for side in (0, 1, 2):
        world.sockets.drop(number, side)
    assert world.tcp("accept", listener) == error("would-block")
    assert list(world.sockets.flushing) == [number]
    with socket.create_connection(where):
        assert world.tcp("accept", listener) == (0, u32(3, 3, 3))
    assert world.sockets.flushing == {}
    assert read_until_reset(peer) < total
    assert world.supervisor.bounds == []
    peer.close()


@pytest.mark.parametrize(("families", "answers"), [([4], [True, False]), ([6], [False, True]), ([], [False, False])])
def test_families_that_the_host_has(families: list[int], answers: list[bool]) -> None:
    """A socket of another family is not supported, which is said where it is made, and takes no room."""
    world = World(families=families, sockets=2)
    for kind in ("tcp", "udp"):
        made = [world.call(f"create-{kind}-socket", 0, family)[0] for family in (0, 1)]
        assert made == [0 if served else CODE["not-supported"] + 1 for served in answers]
    assert world.sockets.open == 2 * len(families)


def test_numbers_run_out() -> None:
    """A number is never used twice; when they have run out, there are no more sockets."""
    world = World()
    last = MAX_OBJECT - STANDARD_STREAMS
    world.sockets.number = last - 1
    assert world.new() == last
    assert world.call("create-udp-socket", 0, 0) == error("new-socket-limit")
    assert world.call("resolve-addresses", 0, 0, text="a") == error("new-socket-limit")
    assert world.sockets.open == 1


def test_sent_bytes_are_bounded() -> None:
    """Up to the bound everything goes; beyond it nothing of a write does, and every stream that tries fails."""
    world = World(sent=10)
    (number, peer), (other, other_peer) = world.connected(), world.connected()
    assert world.sockets.room(number) == 10
    assert world.sockets.send(number, 0, "12345678") == 0
    assert world.sockets.room(number) == 2
    assert [world.sockets.send(number, 0, text) for text in ("90!", "9")] == [FAILED + CODE["access-denied"], 1]
    assert world.sockets.send(other, 0, "90") == 0
    assert world.sockets.send(other, 0, "") == 0
    assert [world.sockets.room(other) >> 32 for _ in range(2)] == [FAILED + CODE["access-denied"], 1]
    assert world.supervisor.bounds == [(f"{STREAMS}start-connect", "sent", "203.0.113.7:443")] * 2
    assert (peer.recv(100), other_peer.recv(100)) == (b"12345678", b"90")
    peer.sendall(b"heard")
    assert world.sockets.receive(number, 10, 1) == (0, "heard")


def test_received_bytes_are_bounded() -> None:
    """The bytes of the bound are received; a stream with more fails and is told of, one that is at its end is not."""
    world = World(received=5)
    (number, peer), (other, other_peer) = world.connected(), world.connected()
    peer.sendall(b"123456")
    assert world.sockets.receive(number, 3, 1) == (0, "123")
    assert world.sockets.receive(number, 3, 1) == (0, "45")
    assert world.sockets.receive(number, 0, 0) == (0, "")
    assert world.sockets.receive(other, 3, 0) == (0, "")
    failed = FAILED + CODE["access-denied"]
    assert [world.sockets.receive(number, 3, 1) for _ in range(2)] == [(failed, ""), (1, "")]
    threading.Timer(0.02, other_peer.close).start()
    assert world.sockets.receive(other, 3, 1) == (1, "")
    assert world.supervisor.bounds == [(f"{STREAMS}start-connect", "received", "203.0.113.7:443")]


def test_many_sockets_have_less_pending_each() -> None:
    """What may be pending in all does not grow with the number of sockets, down to the least that a flush may hold."""
    permits = {n: World(sockets=n).sockets.permit for n in (1, 64, 256, 1024, 100_000)}
    assert permits == {1: 65536, 64: 65536, 256: 65536, 1024: 16384, 100_000: LEAST_PERMIT}


@pytest.mark.parametrize(("sockets", "clear"), [(256, DONE), (257, ASK)])
def test_no_write_goes_beyond_the_permit(sockets: int, clear: int) -> None:
    """A longer one is refused, whatever the guard asked before; and where less than is usual is permitted, every answer
    says that it is to be asked."""
    world = World(sockets=sockets)
    number, peer = world.connected(narrow=True)
    permit = world.sockets.permit
    beyond = FAILED + CODE["invalid-state"]
    assert world.sockets.send(number, 0, "x" * (permit + 1)) == beyond
    assert world.sockets.send(number, 1, "x" * (permit + 1)) == beyond
    assert world.sockets.send(number, 0, "x") == clear
    assert world.sockets.send(number, 1, "x" * LEAST_PERMIT) == clear
    assert world.sockets.send(number, 0, "") == clear
    total = 1 + LEAST_PERMIT
    while world.sockets.send(number, 0, "x" * permit) == clear:
        total += permit
    total += permit
    assert len(world.sockets.tcp[number].pending) <= permit
    assert world.sockets.room(number) == 0

    def read() -> None:
        for _ in iter(lambda: peer.recv(65536), b""):
            pass

    thread = threading.Thread(target=read)
    thread.start()
    assert world.sockets.send(number, 1, "") == clear
    assert world.sockets.room(number) == permit
    assert world.sockets.send(number, 1, "x" * LEAST_PERMIT) == clear
    world.tcp("shutdown", number, 1)
    thread.join()
    assert world.sockets.tcp[number].sent == total + LEAST_PERMIT


# Closing.


def test_dropping_in_any_order(world: World) -> None:
    """A socket is closed when all three handles are gone, and told of once, with its bytes."""
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        world.supervisor.asked.clear()
        number, peer = world.connected()
        peer.sendall(b"abc")
        assert world.sockets.receive(number, 10, 1) == (0, "abc")
        assert world.sockets.send(number, 0, "de") == 0
        for side in order[:2]:
            world.sockets.drop(number, side)
            world.sockets.drop(number, side)
        assert world.ops() == ["connect"]
        assert peer.recv(10) == b"de"
        world.sockets.drop(number, order[2])
        assert world.supervisor.asked[1:] == [("closed", {"object": number, "sent": 2, "received": 3})]
        assert peer.recv(10) == b""
        peer.close()
    assert world.sockets.open == 0


def test_letting_go_with_something_pending() -> None:
    """The rest goes on its way while the run waits for anything; the slot is given to a new socket if one is needed."""
    world = World(sockets=2)
    (number, peer), (other, other_peer) = world.connected(narrow=True), world.connected(narrow=True)
    total = fill(world, number)
    fill(world, other)
    for n in (number, other):
        for side in (0, 1, 2):
            world.sockets.drop(n, side)
    assert (world.sockets.open, world.ops()) == (2, ["connect", "connect"])
    assert len(drain(world, peer)) == total
    assert world.supervisor.asked[2:] == [("closed", {"object": number, "sent": total, "received": 0})]
    assert (world.new(), world.new()) == (3, 4)
    assert world.ops() == ["connect", "connect", "closed", "closed"]
    other_peer.close()
    peer.close()


def test_the_end_of_a_run() -> None:
    """Everything is closed and told of, sockets that are connecting too; what is pending gets its moment, no more."""
    before = descriptors()
    world = World()
    connected, peer = world.connected(narrow=True)
    stuck, stuck_peer = world.connected(narrow=True)
    total = fill(world, connected)
    fill(world, stuck)
    listener, _ = world.listening()
    datagrams, _ = world.bound()
    world.supervisor.serve["connect"] = lambda _, __: started()
    connecting = world.new()
    world.tcp("start-connect", connecting, 0, *spread("203.0.113.7", 443))
    world.new()
    got: list[int] = []

    def read_slowly() -> None:
        while data := peer.recv(65536):
            got.append(len(data))
            if sum(got) < total:
                time.sleep(0.02)

    thread = threading.Thread(target=read_slowly)
    thread.start()
    began = time.monotonic()
    world.sockets.close()
    assert LINGER <= time.monotonic() - began < LINGER + 5
    thread.join()
    assert sum(got) == total
    read_until_reset(stuck_peer)
    closed = [args["object"] for op, args in world.supervisor.asked if op == "closed"]
    assert sorted(closed) == [connected, stuck, listener, datagrams, connecting]
    assert world.sockets.open == 0
    for end in (peer, stuck_peer, world.supervisor):
        end.close()
    assert descriptors() == before


def test_the_end_of_a_run_with_a_slow_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it takes something now and then, it gets everything: a program's own kernel would see to that."""
    monkeypatch.setattr("sandbox.broker.table.LINGER", 0.3)
    world = World()
    number, peer = world.connected(narrow=True)
    total = fill(world, number)
    got = 0

    def read_slowly() -> None:
        nonlocal got
        # It moves once there is room for a good part of the buffer: a tenth of what is in the way is taken at a time.
        while data := peer.recv(max(4096, total // 10)):
            got += len(data)
            time.sleep(0.1)

    thread = threading.Thread(target=read_slowly)
    began = time.monotonic()
    thread.start()
    world.sockets.close()
    took = time.monotonic() - began
    thread.join()
    assert got == total
    assert took > 0.3
    peer.close()


def test_a_standard_stream_is_whole_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written to one arrives, however long its reader pauses: the supervisor, which ends a run in time."""
    monkeypatch.setattr("sandbox.broker.table.LINGER", 0.1)
    world = World()
    mine, theirs = socket.socketpair()
    world.sockets.keep(standard_stream(MAX_OBJECT, ROWS[0], mine))
    total = fill(world, MAX_OBJECT)
    got: list[int] = []

    def read_late() -> None:
        time.sleep(0.5)
        while data := theirs.recv(65536):
            got.append(len(data))

    thread = threading.Thread(target=read_late)
    thread.start()
    world.sockets.close()
    thread.join()
    assert sum(got) == total
    theirs.close()


# The supervisor.


def test_answers_out_of_turn(world: World) -> None:
    """An answer that comes while another is waited for finds its own object."""
    requests: list[int] = []
    world.supervisor.serve["connect"] = starts(requests)
    numbers = [world.new(), world.new()]
    for number in numbers:
        world.tcp("start-connect", number, 0, *spread("203.0.113.7", 443))
    world.supervisor.say(requests[1], {"state": "failed", "error": "timeout"})
    world.supervisor.say(requests[0], {"state": "failed", "error": "connection-refused"})
    world.supervisor.serve["bind"] = lambda _, __: refused()
    assert world.tcp("start-bind", world.new(), 0, *spread("127.0.0.1", 0)) == error("access-denied")
    assert world.wait(word(numbers[0], 0) + word(numbers[1], 0), FOR_EVER) == "\1\1"
    assert [world.tcp("finish-connect", n) for n in numbers] == [error("connection-refused"), error("timeout")]


def test_an_answer_for_what_was_dropped() -> None:
    """Nothing of it is kept until then, and its descriptor is closed; likewise one that nobody asked for."""
    world = World()
    requests: list[int] = []
    world.supervisor.serve["connect"] = starts(requests)
    number = world.new()
    world.tcp("start-connect", number, 0, *spread("203.0.113.7", 443))
    world.supervisor.serve["lookup"] = starts(requests)
    world.call("resolve-addresses", 0, 0, text="a.example")
    assert len(world.sockets.started) == 2
    for dropped in (number, number + 1):
        world.sockets.drop(dropped, 0)
    assert world.ops() == ["connect", "lookup", "closed", "closed"]
    assert world.sockets.started == {}
    before = descriptors()
    for request in (*requests, 999):
        read, write = os.pipe()
        os.close(write)
        world.supervisor.say(request, {"state": "done", "local": ["127.0.0.1", 1]}, read)
    world.supervisor.serve["bind"] = lambda _, __: refused()
    world.tcp("start-bind", world.new(), 0, *spread("127.0.0.1", 0))
    assert descriptors() == before


def test_a_descriptor_that_could_not_come(world: World) -> None:
    """A process that is out of descriptors gets none: the guest is told that there are no more sockets, and the
    supervisor lets go at once of what it holds for one that can only be dropped."""
    world.supervisor.serve |= {
        "connect": lambda _, __: done(None, local=["127.0.0.1", 1]),
        "bind": lambda _, __: done(None, local=["127.0.0.1", 1], anyone=True),
        "listen": lambda _, __: done(None),
    }
    number = world.new()
    assert world.tcp("start-connect", number, 0, *spread("203.0.113.7", 443)) == (0, "")
    assert world.tcp("finish-connect", number) == error("new-socket-limit")
    datagrams = world.new(4, "udp")
    assert world.udp("start-bind", datagrams, 0, *spread("127.0.0.1", 0)) == error("new-socket-limit")
    assert world.udp("start-bind", datagrams, 0, *spread("127.0.0.1", 0)) == error("invalid-state")
    listener = world.new()
    world.tcp("start-bind", listener, 0, *spread("127.0.0.1", 0))
    world.tcp("finish-bind", listener)
    assert world.tcp("start-listen", listener) == error("new-socket-limit")
    assert world.tcp("start-listen", listener) == error("invalid-state")
    for object_ in (number, datagrams, listener):
        world.sockets.drop(object_, 0)
    assert world.ops() == ["connect", "closed", "bind", "closed", "bind", "listen", "closed"]
    assert [args for op, args in world.supervisor.asked if op == "closed"] == [
        {"object": object_, "sent": 0, "received": 0} for object_ in (number, datagrams, listener)
    ]
    assert world.sockets.open == 0


# Accepting.


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_accepting(world: World, host: str) -> None:
    """An accepted connection has the listener's options and both addresses; nobody is asked where nothing is denied."""
    listener, where = world.listening(host)
    world.tcp("set-hop-limit", listener, 42)
    world.tcp("set-keep-alive-enabled", listener, 1)
    assert world.wait(word(listener, 0), 0) == "\0"
    with socket.create_connection(where) as peer:
        assert world.wait(word(listener, 0), FOR_EVER) == "\1"
        assert world.tcp("accept", listener) == (0, u32(2, 2, 2))
        assert world.tcp("remote-address", 2) == (0, latin(memory(*peer.getsockname()[:2])))
        assert world.tcp("local-address", 2) == (0, latin(memory(*where)))
        assert world.tcp("keep-alive-enabled", 2) == (0, "\1")
        assert world.tcp("address-family", 2) == (0, "\1" if ":" in host else "\0")
        if ":" not in host:
            assert world.tcp("hop-limit", 2) == (0, chr(42))
    assert world.ops() == ["bind", "listen"]
    assert not os.get_inheritable(world.sockets.tcp[2].fd)
    assert not os.get_blocking(world.sockets.tcp[2].fd)


def test_peers_that_are_refused() -> None:
    """Where peers are judged, a connection that is refused is closed unseen, and the next is taken."""
    world = World(judge_peers=True)
    listener, where = world.listening()
    answers = [refused(), done()]
    world.supervisor.serve["peer"] = lambda _, __: answers.pop(0)
    first, second = socket.create_connection(where), socket.create_connection(where)
    assert world.tcp("accept", listener) == (0, u32(3, 3, 3))
    assert first.recv(10) == b""
    assert world.supervisor.asked[2:] == [
        (
            "peer",
            {
                "object": number,
                "protocol": "tcp",
                "address": "127.0.0.1",
                "port": end.getsockname()[1],
                "accepted": True,
                "listener": listener,
            },
        )
        for number, end in ((2, first), (3, second))
    ]
    for side in (0, 1, 2):
        world.sockets.drop(3, side)
    assert world.supervisor.asked[4:] == [("closed", {"object": 3, "sent": 0, "received": 0})]
    first.close()
    second.close()


def test_a_flood_of_refused_peers() -> None:
    """One call closes a bounded number of connections, then answers that there is none."""
    world = World(judge_peers=True)
    listener, where = world.listening()
    world.supervisor.serve["peer"] = lambda _, __: refused()
    ends = [socket.create_connection(where) for _ in range(MAX_DROPPED + 1)]
    assert world.tcp("accept", listener) == error("would-block")
    assert world.ops().count("peer") == MAX_DROPPED
    assert world.wait(word(listener, 0), 0) == "\1"
    for end in ends:
        end.close()


# UDP.


@pytest.fixture
def echo() -> Iterator[Callable[[], tuple[socket.socket, tuple[str, int]]]]:
    made: list[socket.socket] = []

    def make() -> tuple[socket.socket, tuple[str, int]]:
        end = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        end.bind(("127.0.0.1", 0))
        end.settimeout(5)
        made.append(end)
        return end, end.getsockname()

    yield make
    for end in made:
        end.close()


Echo = Callable[[], tuple[socket.socket, tuple[str, int]]]


def test_states_of_udp(world: World) -> None:
    """In each state, every function answers what Wasmtime's own sockets do."""

    def states(number: int) -> list[str]:
        answers = [world.udp(name, number) for name in ("local-address", "remote-address", "finish-bind")]
        return [ERROR_CODES[status - 1] if status else "ok" for status, _ in answers]

    number = world.new(4, "udp")
    assert states(number) == ["invalid-state", "invalid-state", "not-in-progress"]
    assert world.stream(number) == error("invalid-state")
    assert world.receive_datagram(number) == error("invalid-state")
    assert world.datagram(number, ("127.0.0.1", 9), b"x") == CODE["invalid-state"] + 1
    assert world.wait(word(number, 0) + word(number, 1) + word(number, 2), 0) == "\1\1\1"
    real = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    real.bind(("127.0.0.1", 0))
    where = real.getsockname()
    world.supervisor.serve["bind"] = lambda _, __: done(real.detach(), local=list(where), anyone=True)
    assert world.udp("start-bind", number, 0, *spread("127.0.0.1", 0)) == (0, "")
    assert states(number)[:2] == ["invalid-state", "invalid-state"]
    assert world.udp("start-bind", number, 0, *spread("127.0.0.1", 0)) == error("invalid-state")
    assert world.udp("local-address", number) == (0, latin(memory(*where)))
    assert states(number) == ["ok", "invalid-state", "not-in-progress"]
    assert world.stream(number) == (0, u32(number, number))
    assert world.stream(number) == error("invalid-state")
    world.sockets.drop(number, 1)
    assert world.stream(number) == error("invalid-state")
    world.sockets.drop(number, 2)
    assert world.stream(number) == (0, u32(number, number))
    assert world.udp("address-family", number) == (0, "\0")


def test_datagrams_to_one_peer(world: World, echo: Echo) -> None:
    """A stream to a peer sends there alone and hears nobody else, whatever came before."""
    number, where = world.bound()
    (peer, at), (other, elsewhere) = echo(), echo()
    other.sendto(b"early", where)
    world.supervisor.serve["send"] = lambda _, __: done()
    assert world.stream(number, *at) == (0, u32(number, number))
    assert world.udp("remote-address", number) == (0, latin(memory(*at)))
    assert world.check_send(number) == (0, u64(16))
    assert world.datagram(number, None, b"one") == 0
    assert world.datagram(number, at, b"two") == 0
    assert world.datagram(number, elsewhere, b"no") == CODE["invalid-argument"] + 1
    assert [peer.recvfrom(100) for _ in range(2)] == [(b"one", where), (b"two", where)]
    other.sendto(b"late", where)
    assert world.receive_datagram(number) == (0, "")
    peer.sendto(b"", where)
    peer.sendto(bytes(range(256)), where)
    assert world.wait(word(number, 1), FOR_EVER) == "\1"
    assert world.receive_datagram(number) == (0, latin(memory(*at)))
    assert world.receive_datagram(number) == (0, latin(memory(*at) + bytes(range(256))))
    assert world.receive_datagram(number) == (0, "")
    assert world.supervisor.asked[1:] == [
        ("send", {"object": number, "address": host, "port": port}) for host, port in (at, elsewhere)
    ]
    for side in (0, 1, 2):
        world.sockets.drop(number, side)
    assert world.supervisor.asked[3:] == [("closed", {"object": number, "sent": 6, "received": 256})]


def test_datagrams_to_anybody(world: World, echo: Echo) -> None:
    """Each destination is judged once where it is allowed, and each time where it is not."""
    number, where = world.bound()
    (peer, at), (_, elsewhere) = echo(), echo()
    assert world.stream(number) == (0, u32(number, number))
    world.supervisor.serve["send"] = lambda _, args: done() if args["port"] == at[1] else refused()
    assert [world.datagram(number, at, b"x") for _ in range(3)] == [0] * 3
    denied = CODE["access-denied"] + 1
    assert [world.datagram(number, elsewhere, b"x") for _ in range(2)] == [denied] * 2
    assert world.datagram(number, None, b"x") == CODE["invalid-argument"] + 1
    assert [args["port"] for op, args in world.supervisor.asked if op == "send"] == [at[1], elsewhere[1], elsewhere[1]]
    assert world.supervisor.rows[-1] == [
        f"wasi:sockets/udp@{VERSION}",
        "[method]outgoing-datagram-stream.send",
        "sockets.udp.send",
        True,
        0,
    ]
    assert peer.recvfrom(10) == (b"x", where)
    assert world.udp("remote-address", number) == error("invalid-state")


def test_leaving_a_peer(world: World, echo: Echo) -> None:
    """A stream to another peer hears that one, and a stream to nobody in particular hears anybody again, all of them
    at the port that was bound."""
    number, where = world.bound()
    (first, at), (second, there) = echo(), echo()
    world.supervisor.serve["send"] = lambda _, __: done()

    def stream(host: str | None = None, port: int = 0) -> Answer:
        world.sockets.drop(number, 1)
        world.sockets.drop(number, 2)
        return world.stream(number, host, port)

    assert stream(*at) == (0, u32(number, number))
    assert world.datagram(number, None, b"1") == 0
    assert stream(*there) == (0, u32(number, number))
    assert world.datagram(number, None, b"2") == 0
    assert (first.recv(10), second.recv(10)) == (b"1", b"2")
    assert stream() == (0, u32(number, number))
    assert world.datagram(number, at, b"3") == 0
    assert first.recvfrom(10) == (b"3", where)
    assert world.udp("local-address", number) == (0, latin(memory(*where)))
    second.sendto(b"anybody", where)
    assert world.wait(word(number, 1), FOR_EVER) == "\1"
    assert world.receive_datagram(number) == (0, latin(memory(*there) + b"anybody"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_no_datagram_goes_to(world: World, host: str) -> None:
    """What the interface forbids is an invalid argument, once it was judged; what is refused stays refused."""
    number, _ = world.bound(host)
    assert world.stream(number) == (0, u32(number, number))
    bad = [
        ("::1", 9) if host == "127.0.0.1" else ("127.0.0.1", 9),
        (host, 0),
        ("::" if host == "::1" else "0.0.0.0", 9),
        ("::ffff:127.0.0.1", 9),
    ]
    world.supervisor.serve["send"] = lambda _, __: done()
    assert [world.datagram(number, to, b"x") for to in bad] == [CODE["invalid-argument"] + 1] * 4
    world.sockets.drop(number, 1)
    world.sockets.drop(number, 2)
    assert [world.stream(number, *to) for to in bad] == [error("invalid-argument")] * 4
    world.supervisor.serve["send"] = lambda _, __: refused()
    assert [world.stream(number, *to) for to in bad] == [error("access-denied")] * 4
    asked = [(args["address"], args["port"]) for op, args in world.supervisor.asked if op == "send"]
    assert asked == bad * 3


def test_a_zone_is_judged(world: World) -> None:
    """The zone of a destination is part of what is asked for."""
    number, _ = world.bound("::1")
    world.supervisor.serve["send"] = lambda _, __: refused()
    assert world.udp("stream", number, 1, *spread("fe80::1", 9, scope=2)) == error("access-denied")
    world.stream(number)
    where = latin(b"\1\0\0\0" + memory("fe80::1", 9, scope=3))
    assert world.sockets.datagram(number, where, "x") == CODE["access-denied"] + 1
    assert [args["address"] for op, args in world.supervisor.asked if op == "send"] == ["fe80::1%2", "fe80::1%3"]


def test_hearing_only_those_it_sent_to(world: World, echo: Echo) -> None:
    """A socket whose binding gives nothing by itself receives from peers that it was allowed to send to alone."""
    number, where = world.bound(anyone=False)
    (peer, at), (stranger, _) = echo(), echo()
    world.supervisor.serve["send"] = lambda _, __: done()
    world.stream(number)
    for end in (stranger, peer):
        end.sendto(b"unasked", where)
    assert world.receive_datagram(number) == (0, "")
    assert world.datagram(number, at, b"question") == 0
    for _ in range(MAX_DROPPED - 1):
        stranger.sendto(b"flood", where)
    peer.sendto(b"answer", where)
    assert world.receive_datagram(number) == (0, latin(memory(*at) + b"answer"))


def test_senders_that_are_judged(echo: Echo) -> None:
    """Where senders are judged, each is asked about once, and what a refused one sends is dropped."""
    world = World(judge_peers=True)
    number, where = world.bound()
    (good, at), (bad, _) = echo(), echo()
    world.supervisor.serve["peer"] = lambda _, args: done() if args["port"] == at[1] else refused()
    world.stream(number)
    for _ in range(3):
        bad.sendto(b"bad", where)
        good.sendto(b"good", where)
    assert [world.receive_datagram(number) for _ in range(4)] == [(0, latin(memory(*at) + b"good"))] * 3 + [(0, "")]
    assert [args for op, args in world.supervisor.asked if op == "peer"] == [
        {
            "object": number,
            "protocol": "udp",
            "address": "127.0.0.1",
            "port": end.getsockname()[1],
            "accepted": False,
        }
        for end in (bad, good)
    ]


def test_remembered_peers_are_bounded(world: World) -> None:
    """However many destinations a guest makes up, a bounded number is remembered."""
    number, _ = world.bound()
    world.stream(number)
    world.supervisor.serve["send"] = lambda _, __: done()
    udp = world.sockets.udp[number]
    for n in range(MAX_PEERS + 10):
        assert world.datagram(number, (f"127.1.{n >> 8}.{n & 255}", 9), b"") == 0
    assert (len(udp.peers), len(udp.routes) <= MAX_PEERS) == (MAX_PEERS, True)


def test_a_peer_that_was_forgotten(world: World, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one judged longest ago makes way, and none where there is nobody new; sending to it again, it is judged and
    heard again."""
    monkeypatch.setattr("sandbox.broker.udp.MAX_PEERS", 2)
    number, where = world.bound(anyone=False)
    ends = [echo() for _ in range(3)]
    world.stream(number)
    world.supervisor.serve["send"] = lambda _, __: done()

    def asked() -> list[int]:
        return [[at[1] for _, at in ends].index(a["port"]) for op, a in world.supervisor.asked if op == "send"]

    def answers(n: int) -> str:
        ends[n][0].sendto(b"answer", where)
        return world.receive_datagram(number)[1][32:]

    for n in (0, 1, 1, 0, 1):
        assert world.datagram(number, ends[n][1], b"x") == 0
    world.sockets.drop(number, 1)
    world.sockets.drop(number, 2)
    world.stream(number)  # what was remembered of the way there is forgotten, those that were judged are not
    assert world.datagram(number, ends[0][1], b"x") == 0
    assert (asked(), [answers(n) for n in (0, 1, 2)]) == ([0, 1], ["answer", "answer", ""])
    assert world.datagram(number, ends[2][1], b"x") == 0
    assert (asked(), [answers(n) for n in (0, 1, 2)]) == ([0, 1, 2], ["", "answer", "answer"])
    assert world.datagram(number, ends[0][1], b"x") == 0
    assert (asked(), [answers(n) for n in (0, 1, 2)]) == ([0, 1, 2, 0], ["answer", "", "answer"])


def test_datagrams_are_bounded(echo: Echo) -> None:
    """A datagram beyond the bound on sent or received bytes is refused whole, and told of each time."""
    world = World(sent=5, received=5)
    number, where = world.bound()
    peer, at = echo()
    world.supervisor.serve["send"] = lambda _, __: done()
    world.stream(number)
    denied = CODE["access-denied"] + 1
    assert [world.datagram(number, at, data) for data in (b"123", b"456", b"45", b"")] == [0, denied, 0, 0]
    for data in (b"123", b"456", b"45"):
        peer.sendto(data, where)
    assert [world.receive_datagram(number) for _ in range(3)] == [
        (0, latin(memory(*at) + b"123")),
        error("access-denied"),
        (0, latin(memory(*at) + b"45")),
    ]
    shown = f"127.0.0.1:{at[1]}"
    assert [b[1:] for b in world.supervisor.bounds] == [("sent", shown), ("received", shown)]


def test_failures_of_datagrams(world: World, echo: Echo) -> None:
    """What the kernel says of a datagram is said in the interface's words."""
    number, _ = world.bound()
    peer, at = echo()
    world.supervisor.serve["send"] = lambda _, __: done()
    world.stream(number, *at)
    assert world.datagram(number, None, bytes(70000)) == CODE["datagram-too-large"] + 1
    peer.close()
    assert world.datagram(number, None, b"anybody there?") == 0
    assert world.wait(word(number, 1), FOR_EVER) == "\1"
    assert world.receive_datagram(number) == error("connection-refused")
    assert world.receive_datagram(number) == (0, "")


def test_datagrams_that_the_host_refuses(world: World) -> None:
    """Sending to a network's broadcast address is refused by the kernel; the supervisor is told, who records it."""
    number, _ = world.bound()
    world.supervisor.serve["send"] = lambda _, __: done()
    assert world.stream(number, "127.255.255.255", 9) == error("access-denied")
    assert world.stream(number) == (0, u32(number, number))
    to = ("127.255.255.255", 9)
    assert [world.datagram(number, to, b"x") for _ in range(2)] == [CODE["access-denied"] + 1] * 2
    assert [args for op, args in world.supervisor.asked if op == "barred"] == [
        {"object": number, "address": "127.255.255.255", "port": 9}
    ] * 3
    functions = [row[1] for op, row in zip(world.ops(), world.supervisor.rows, strict=True) if op == "barred"]
    assert functions == ["[method]udp-socket.stream", *["[method]outgoing-datagram-stream.send"] * 2]


def test_no_room_for_datagrams(world: World) -> None:
    """A datagram that the kernel has no room for would block; nothing is permitted, nor ready, until there is room."""
    number, _ = world.bound()
    world.supervisor.serve["send"] = lambda _, __: done()
    world.stream(number, "127.0.0.1", 9)
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    mine.setblocking(False)
    udp = world.sockets.udp[number]
    real = udp.socket
    udp.socket, udp.fd = mine, mine.fileno()  # loopback never runs out of room
    while (status := world.datagram(number, None, bytes(1000))) == 0:
        pass
    assert status == CODE["would-block"] + 1
    assert world.check_send(number) == (0, u64(0))
    assert world.wait(word(number, 2), 1_000_000) == "\0"
    while True:
        try:
            theirs.recv(2000, socket.MSG_DONTWAIT)
        except BlockingIOError:
            break
    assert world.wait(word(number, 2), FOR_EVER) == "\1"
    assert world.check_send(number) == (0, u64(16))
    assert real is not None
    real.close()
    theirs.close()


def test_options_of_udp(world: World) -> None:
    """Hops and buffers are set and read alike before there is a socket and after."""
    number = world.new(4, "udp")
    assert world.udp("receive-buffer-size", number) == (0, u64(106496))
    real = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for value, answer in ((0, error("invalid-argument")), (9, (0, ""))):
        assert world.udp("set-unicast-hop-limit", number, value) == answer
    assert world.udp("set-send-buffer-size", number, 32768) == (0, "")
    world.supervisor.serve["bind"] = lambda _, __: done(real.detach(), local=["0.0.0.0", 1], anyone=False)
    world.udp("start-bind", number, 0, *spread("0.0.0.0", 0))
    assert world.supervisor.asked[0][1]["options"] == {"hop-limit": 9, "send-buffer-size": 32768}
    assert world.udp("set-unicast-hop-limit", number, 7) == (0, "")
    assert world.udp("unicast-hop-limit", number) == (0, chr(7))


# Names.


def next_address(world: World, number: int) -> Answer:
    return world.call("[method]resolve-address-stream.resolve-next-address", number)


def test_a_lookup(world: World) -> None:
    """Addresses come one by one in order, and then none; until they are known, it would block."""
    requests: list[int] = []
    world.supervisor.serve["lookup"] = starts(requests)
    assert world.call("resolve-addresses", 0, 0, text="a.example") == (0, u32(1))
    assert next_address(world, 1) == error("would-block")
    assert world.wait(word(1, 0), 0) == "\0"
    world.supervisor.say(requests[0], {"state": "done", "addresses": ["192.0.2.1", "2001:db8::1"]})
    assert world.wait(word(1, 0), FOR_EVER) == "\1"
    kind = ty.Option(IP_ADDRESS)
    outer, inner = ty.payload_offset(kind), ty.payload_offset(kind) + ty.payload_offset(IP_ADDRESS)
    four, six = bytearray(ty.layout(kind)[0]), bytearray(ty.layout(kind)[0])
    four[0], four[inner : inner + 4] = 1, bytes([192, 0, 2, 1])
    six[0], six[outer], six[inner : inner + 16] = 1, 1, struct.pack("<8H", 0x2001, 0xDB8, *[0] * 5, 1)
    expected = [bytes(four), bytes(six), bytes(20), bytes(20)]
    assert [next_address(world, 1) for _ in range(4)] == [(0, latin(data)) for data in expected]
    assert world.supervisor.asked == [("lookup", {"object": 1, "name": "a.example"})]


def test_a_lookup_that_is_refused(world: World) -> None:
    """A refusal is the answer to the call itself, a failure that to asking for addresses, each time."""
    world.supervisor.serve["lookup"] = lambda _, __: refused()
    assert world.call("resolve-addresses", 0, 0, text="evil.example") == error("access-denied")
    world.supervisor.serve["lookup"] = lambda _, __: failed("invalid-argument")
    assert world.call("resolve-addresses", 0, 0, text="a b") == error("invalid-argument")
    requests: list[int] = []
    world.supervisor.serve["lookup"] = starts(requests)
    assert world.call("resolve-addresses", 0, 0, text="gone.example") == (0, u32(3))
    world.supervisor.say(requests[0], {"state": "failed", "error": "name-unresolvable"})
    assert [next_address(world, 3) for _ in range(2)] == [error("name-unresolvable")] * 2


def test_names_as_they_come(world: World) -> None:
    """A name reaches the supervisor as the text that its bytes are; one that is no name for its length does not."""
    world.supervisor.serve["lookup"] = lambda _, __: refused()
    for text in ("löcalhost".encode(), b"\xff\x00\n", b"x" * 4095, b"x" * 4096):
        world.call("resolve-addresses", 0, 0, text=latin(text))
    names = [args["name"] for _, args in world.supervisor.asked]
    assert names == ["löcalhost", "\ufffd\x00\n", "x" * 4095]


def test_giving_up_a_lookup(world: World) -> None:
    """One that is dropped before it is answered is given up at the supervisor too; its answer is nobody's then."""
    requests: list[int] = []
    world.supervisor.serve["lookup"] = starts(requests)
    for _ in range(2):
        world.call("resolve-addresses", 0, 0, text="a.example")
    world.supervisor.say(requests[0], {"state": "done", "addresses": ["192.0.2.1"]})
    assert world.wait(word(1, 0) + word(2, 0), FOR_EVER) == "\1\0"
    world.sockets.drop(1, 0)
    world.sockets.drop(2, 0)
    assert world.supervisor.asked[2:] == [("closed", {"object": 2, "sent": 0, "received": 0})]
    world.supervisor.say(requests[1], {"state": "done", "addresses": ["192.0.2.1"]})
    world.call("resolve-addresses", 0, 0, text="a.example")
    assert sorted(world.sockets.lookups) == [3]


# Waiting.


def test_waiting_for_many(world: World) -> None:
    """Each side is judged by itself; what is dropped, unknown or in no need of waiting is ready."""
    (number, peer), (other, other_peer) = world.connected(), world.connected()
    listener, where = world.listening()
    everything = [(number, 1), (number, 2), (other, 1), (listener, 0), (number, 0), (999, 1), (number, 3)]
    what = "".join(word(*each) for each in everything)
    assert world.wait(what, FOR_EVER) == "\0\1\0\0\1\1\1"
    peer.sendall(b"x")
    with socket.create_connection(where):
        assert world.wait(what, FOR_EVER) == "\1\1\0\1\1\1\1"
        world.sockets.receive(number, 10, 1)
        world.sockets.drop(other, 1)
        assert world.wait(word(number, 1) + word(other, 1) + word(listener, 0), FOR_EVER) == "\0\0\1"
        for side in (0, 2):
            world.sockets.drop(other, side)
        assert world.wait(word(other, 1), FOR_EVER) == "\1"
    peer.close()
    other_peer.close()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_waiting_in_vain(world: World, count: int) -> None:
    """A wait ends when its time is up, not before, with nothing ready."""
    number, peer = world.connected()
    began = time.monotonic_ns()
    assert world.wait(word(number, 1) * count, 20_000_000) == "\0" * count
    assert 20_000_000 <= time.monotonic_ns() - began < 5_000_000_000
    peer.close()


def test_a_wait_that_is_interrupted(world: World) -> None:
    """A signal is no reason to end a wait."""
    import signal

    number, peer = world.connected()
    hits: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
    try:
        threading.Timer(0.05, peer.sendall, [b"x"]).start()
        assert world.wait(word(number, 1), FOR_EVER) == "\1"
        assert world.sockets.receive(number, 1, 1) == (0, "x")
        threading.Timer(0.05, peer.sendall, [b"y"]).start()
        assert world.sockets.receive(number, 1, 1) == (0, "y")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hits
    peer.close()


def test_a_peer_that_hangs_up_wakes(world: World) -> None:
    """The end of a connection makes reading ready."""
    number, peer = world.connected()
    threading.Timer(0.02, peer.close).start()
    assert world.wait(word(number, 1), FOR_EVER) == "\1"
    assert world.sockets.receive(number, 1, 0) == (1, "")


def test_connecting_and_data_in_one_wait(world: World) -> None:
    """One wait watches the supervisor for a connection and a socket for data, and takes what comes first."""
    number, peer = world.connected()
    requests: list[int] = []
    world.supervisor.serve["connect"] = starts(requests)
    connecting = world.new()
    world.tcp("start-connect", connecting, 0, *spread("203.0.113.7", 443))
    what = word(connecting, 0) + word(number, 1)
    threading.Timer(0.02, peer.sendall, [b"x"]).start()
    assert world.wait(what, FOR_EVER) == "\0\1"
    world.sockets.receive(number, 1, 0)
    timer = threading.Timer(0.02, world.supervisor.say, [requests[0], {"state": "failed", "error": "timeout"}])
    timer.start()
    assert world.wait(what, FOR_EVER) == "\1\0"
    assert world.tcp("finish-connect", connecting) == error("timeout")
    peer.close()


def test_the_words_of_an_error() -> None:
    """An error is described as Linux does, or by its name where Linux has none."""
    described = {name: World().call("[method]error.to-debug-string", CODE[name]) for name in ERROR_CODES}
    assert described["connection-reset"] == (0, f"Connection reset by peer (os error {errno.ECONNRESET})")
    assert described["name-unresolvable"] == (0, "name-unresolvable")
    assert World().call("[method]error.to-debug-string", 99) == (0, "unknown")
    assert len({text for _, text in described.values()}) == len(ERROR_CODES)


def test_much_data_in_both_directions(world: World) -> None:
    """Megabytes of random bytes come through whole, however they are cut."""
    number, peer = world.connected()
    data = os.urandom(3 << 20)

    def echo() -> None:
        while part := peer.recv(100_000):
            peer.sendall(part)
        peer.close()

    thread = threading.Thread(target=echo)
    thread.start()
    back, at = bytearray(), 0
    while len(back) < len(data):
        room = world.sockets.room(number)
        if at < len(data) and room:
            part = data[at : at + min(room, 50_001)]
            assert world.sockets.send(number, 0, latin(part)) in (0, 2)
            at += len(part)
        status, got = world.sockets.receive(number, CHUNK, 0)
        assert status == 0
        back += got.encode("latin-1")
        if not got:
            world.wait(word(number, 1) + word(number, 2), FOR_EVER)
        if at == len(data):
            at += 1
            world.tcp("shutdown", number, 1)
    assert bytes(back) == data
    thread.join()
