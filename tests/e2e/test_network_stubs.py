"""Sockets, look-ups and HTTP where none is granted: each act is refused in its interface's terms, and recorded."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.components import Call, Drop, component
from tests.e2e.harness import Denial, Ran, Runner, policy_data, write_policy

SOCKETS = "sockets are not granted"
NAMES = "looking up names is not granted"
HTTP = "HTTP is not granted, and no policy can grant it yet"

ADDRESS = "i32 " * 12
CALLS: list[Call | Drop] = [
    Call("network", "sockets/instance-network", "instance-network", "", "i32"),
    Call("tcp", "sockets/tcp-create-socket", "create-tcp-socket", "i32 i32"),
    Call("connect", "sockets/tcp", "[method]tcp-socket.start-connect", f"i32 i32 {ADDRESS} i32"),
    Call("bind", "sockets/tcp", "[method]tcp-socket.start-bind", f"i32 i32 {ADDRESS} i32"),
    Call("listen", "sockets/tcp", "[method]tcp-socket.start-listen", "i32 i32"),
    Call("accept", "sockets/tcp", "[method]tcp-socket.accept", "i32 i32"),
    Call("family", "sockets/tcp", "[method]tcp-socket.address-family", "i32", "i32"),
    Call("subscribe", "sockets/tcp", "[method]tcp-socket.subscribe", "i32", "i32"),
    Call("block", "io/poll", "[method]pollable.block", "i32"),
    Call("udp", "sockets/udp-create-socket", "create-udp-socket", "i32 i32"),
    Call("bind-udp", "sockets/udp", "[method]udp-socket.start-bind", f"i32 i32 {ADDRESS} i32"),
    Call("stream", "sockets/udp", "[method]udp-socket.stream", f"i32 i32 {ADDRESS} i32"),
    Call("resolve", "sockets/ip-name-lookup", "resolve-addresses", "i32 i32 i32 i32"),
    Drop("drop-tcp", "sockets/tcp", "tcp-socket"),
    Drop("drop-udp", "sockets/udp", "udp-socket"),
    Drop("drop-network", "sockets/network", "network"),
]

V4 = "(i32.const 0) (i32.const 3333)" + "".join(f"(i32.const {x})" for x in (203, 0, 113, 7)) + "(i32.const 0)" * 6
V6 = (
    "(i32.const 1) (i32.const 443) (i32.const 9)"
    + "".join(f"(i32.const {x})" for x in (0x2001, 0xDB8, 0, 0, 0, 0, 0, 1))
    + "(i32.const 0)"
)
SCOPED = V6.removesuffix("(i32.const 0)") + "(i32.const 5)"

SETUP = """
(local.set $a (call $network))
(call $tcp (i32.const 0) (i32.const 0)) (call $same (i32.load8_u (i32.const 0)) (i32.const 0))
(local.set $b (i32.load (i32.const 4)))
(call $udp (i32.const 1) (i32.const 0)) (call $same (i32.load8_u (i32.const 0)) (i32.const 0))
(local.set $c (i32.load (i32.const 4)))
"""
"""Locals: $a a network, $b a TCP socket, $c a UDP socket. Objects can be made; that reaches nobody."""
REFUSED = (
    "(call $same (i32.load8_u (i32.const 0)) (i32.const 1)) (call $same (i32.load8_u (i32.const {at})) (i32.const 1))"
)
"""A result at 0 is an error whose code, ``at`` its own place, is ``access-denied``."""


class Act(NamedTuple):
    text: str
    error: int
    """Where the error code stands: its alignment is that of the result's other case."""
    denial: Denial


ACTS = {
    "connect v4": Act(
        f"(call $connect (local.get $b) (local.get $a) {V4} (i32.const 0))",
        1,
        Denial("sockets.tcp.connect", "203.0.113.7:3333", SOCKETS),
    ),
    "connect v6": Act(
        f"(call $connect (local.get $b) (local.get $a) {V6} (i32.const 0))",
        1,
        Denial("sockets.tcp.connect", "[2001:db8::1]:443", SOCKETS),
    ),
    "connect v6 with a scope": Act(
        f"(call $connect (local.get $b) (local.get $a) {SCOPED} (i32.const 0))",
        1,
        Denial("sockets.tcp.connect", "[2001:db8::1%5]:443", SOCKETS),
    ),
    "bind": Act(
        f"(call $bind (local.get $b) (local.get $a) {V4} (i32.const 0))",
        1,
        Denial("sockets.tcp.bind", "203.0.113.7:3333", SOCKETS),
    ),
    "bind v6": Act(
        f"(call $bind (local.get $b) (local.get $a) {V6} (i32.const 0))",
        1,
        Denial("sockets.tcp.bind", "[2001:db8::1]:443", SOCKETS),
    ),
    "listen": Act("(call $listen (local.get $b) (i32.const 0))", 1, Denial("sockets.tcp.listen", None, SOCKETS)),
    "accept": Act("(call $accept (local.get $b) (i32.const 0))", 4, Denial("sockets.tcp.listen", None, SOCKETS)),
    "bind udp": Act(
        f"(call $bind-udp (local.get $c) (local.get $a) {V6} (i32.const 0))",
        1,
        Denial("sockets.udp.bind", "[2001:db8::1]:443", SOCKETS),
    ),
    "stream udp": Act(
        f"(call $stream (local.get $c) (i32.const 1) {V4} (i32.const 0))",
        4,
        Denial("sockets.udp.send", "203.0.113.7:3333", SOCKETS),
    ),
    "stream udp to anyone": Act(
        f"(call $stream (local.get $c) (i32.const 0) {'(i32.const 0)' * 12} (i32.const 0))",
        4,
        Denial("sockets.udp.send", None, SOCKETS),
    ),
    "resolve": Act(
        "(call $resolve (local.get $a) (i32.const 64) (i32.const 21) (i32.const 0))",
        4,
        Denial("dns.resolve", "pool.minexmr.example\x1b", NAMES),
    ),
    "resolve nothing": Act(
        "(call $resolve (local.get $a) (i32.const 64) (i32.const 0) (i32.const 0))",
        4,
        Denial("dns.resolve", None, NAMES),
    ),
}


def run(runner: Runner, folder: Path, guest: bytes) -> Ran:
    """Run ``guest`` with no grant that concerns the network."""
    (folder / "guest.wasm").write_bytes(guest)
    return runner.run(write_policy(folder, policy_data(source=folder / "guest.wasm")))


@pytest.mark.parametrize("name", ACTS)
def test_refused(name: str, runner: Runner, tmp_path: Path) -> None:
    """An act is answered ``access-denied``, as often as it is tried, with an event each time; the guest goes on."""
    act = ACTS[name]
    body = SETUP + (act.text + REFUSED.format(at=act.error)) * 2 + "(i32.const 0)"
    ran = run(runner, tmp_path, component(body, CALLS, data='(data (i32.const 64) "pool.minexmr.example\\1b")'))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == [act.denial] * 2


def test_objects(runner: Runner, tmp_path: Path) -> None:
    """Sockets and networks are made, asked about, waited for and dropped without an event."""
    body = f"""{SETUP}
    (call $same (call $family (local.get $b)) (i32.const 0))
    (call $block (call $subscribe (local.get $b)))
    (call $tcp (i32.const 1) (i32.const 0))
    (call $same (call $family (i32.load (i32.const 4))) (i32.const 1))
    (call $drop-tcp (local.get $b)) (call $drop-udp (local.get $c)) (call $drop-network (local.get $a))
    (i32.const 0)"""
    ran = run(runner, tmp_path, component(body, CALLS))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == []


def test_use_after_drop(runner: Runner, tmp_path: Path) -> None:
    """A handle that was dropped is no handle: the call traps before anything is asked of the guard."""
    body = f"""{SETUP} (call $drop-tcp (local.get $b)) (call $listen (local.get $b) (i32.const 0)) (i32.const 0)"""
    ran = run(runner, tmp_path, component(body, CALLS))
    assert (ran.outcome.how, ran.outcome.reason) == ("trapped", "unknown handle index 2")
    assert ran.denials == []


HTTP_CALLS: list[Call | Drop] = [
    Call("fields", "http/types", "[constructor]fields", "", "i32"),
    Call("request", "http/types", "[constructor]outgoing-request", "i32", "i32"),
    Call("method", "http/types", "[method]outgoing-request.set-method", "i32 i32 i32 i32", "i32"),
    Call("scheme", "http/types", "[method]outgoing-request.set-scheme", "i32 i32 i32 i32 i32", "i32"),
    Call("authority", "http/types", "[method]outgoing-request.set-authority", "i32 i32 i32 i32", "i32"),
    Call("path", "http/types", "[method]outgoing-request.set-path-with-query", "i32 i32 i32 i32", "i32"),
    Call("handle", "http/outgoing-handler", "handle", "i32 i32 i32 i32"),
]
HTTP_DATA = """
(data (i32.const 64) "api.example.com") (data (i32.const 96) "/v1/items?page=1") (data (i32.const 128) "BREW")
(func $make (param $method i32) (param $path i32) (result i32) (local $request i32)
  (local.set $request (call $request (call $fields)))
  (drop (call $method (local.get $request) (local.get $method) (i32.const 128) (i32.const 4)))
  (drop (call $scheme (local.get $request) (i32.const 1) (i32.const 1) (i32.const 0) (i32.const 0)))
  (drop (call $authority (local.get $request) (i32.const 1) (i32.const 64) (i32.const 15)))
  (drop (call $path (local.get $request) (i32.const 1) (i32.const 96) (local.get $path)))
  (local.get $request))
(func $send (param $request i32)
  (call $handle (local.get $request) (i32.const 0) (i32.const 0) (i32.const 0))
  (call $same (i32.load8_u (i32.const 0)) (i32.const 1))
  (call $same (i32.load8_u (i32.const 8)) (i32.const 15)))
"""
"""``$make`` makes a request of a method by number (9 has a name of its own); ``$send`` expects HTTP-request-denied."""


def test_http(runner: Runner, tmp_path: Path) -> None:
    """Requests are recorded with method and URL, each with its own, in the order in which they are sent."""
    body = """
    (local.set $a (call $make (i32.const 0) (i32.const 16)))
    (local.set $b (call $make (i32.const 2) (i32.const 3)))
    (local.set $c (call $make (i32.const 9) (i32.const 9)))
    (call $send (local.get $b)) (call $send (local.get $a)) (call $send (local.get $c))
    (call $send (call $request (call $fields)))
    (i32.const 0)"""
    ran = run(runner, tmp_path, component(body, HTTP_CALLS, data=HTTP_DATA))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == [
        Denial("http.request", "POST https://api.example.com/v1", HTTP),
        Denial("http.request", "GET https://api.example.com/v1/items?page=1", HTTP),
        Denial("http.request", "BREW https://api.example.com/v1/items", HTTP),
        Denial("http.request", "GET http://", HTTP),
    ]


def test_many_requests(runner: Runner, tmp_path: Path) -> None:
    """Requests that are sent one after the other do not add up in the guard: their objects go with them."""
    body = """
    (loop $more
      (call $send (call $request (call $fields)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (i32.const 300))))
    (i32.const 0)"""
    ran = run(runner, tmp_path, component(body, HTTP_CALLS, data=HTTP_DATA))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == [Denial("http.request", "GET http://", HTTP)] * 300


def test_request_is_taken(runner: Runner, tmp_path: Path) -> None:
    """A request that was sent is the guest's no longer: sending it again traps."""
    body = """
    (local.set $a (call $make (i32.const 0) (i32.const 16)))
    (call $send (local.get $a)) (call $send (local.get $a)) (i32.const 0)"""
    ran = run(runner, tmp_path, component(body, HTTP_CALLS, data=HTTP_DATA))
    assert (ran.outcome.how, ran.outcome.reason) == ("trapped", "unknown handle index 1")
    assert ran.denials == [Denial("http.request", "GET https://api.example.com/v1/items?page=1", HTTP)]
