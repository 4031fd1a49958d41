"""Handles that one component of a program passes to another: they work, and stay what their giver was granted."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from tests.e2e.components import Call, Drop
from tests.e2e.harness import ACROSS, EXCEPTED, LEADS_OUT, READ_ONLY, UNGRANTED, Ran, Runner, directory, snapshot
from tests.e2e.linked import (
    ACCESS,
    CROSS_DEVICE,
    LIB,
    NOT_PERMITTED,
    WIRE,
    Interface,
    Linked,
    Refused,
    captured,
    guest,
    refused,
)
from tests.e2e.network import Server, echo, free_port


@pytest.fixture
def linked(tmp_path: Path, runner: Runner) -> Linked:
    return Linked(tmp_path / "program", runner)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("one", "one/sub", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name.txt").write_text(f"{name}\n")
        (tmp_path / name / "name.key").write_text(f"key of {name}\n")
    return tmp_path


FILES = Interface(
    LIB,
    {
        "use": '(param "directory" (borrow $descriptor)) (result u32)',
        "keep": '(param "directory" (own $descriptor))',
        "again": "",
        "back": "(result (own $descriptor))",
    },
    ("descriptor",),
)
FILE_CALLS = (
    Call("use", LIB, "use", "i32", "i32"),
    Call("keep", LIB, "keep", "i32"),
    Call("again", LIB, "again", ""),
    Call("back", LIB, "back", "", "i32"),
)
RENAME = """
(func $moved (param $from i32) (param $to i32) (result i32)
  (call $rename (local.get $from) (text "name.txt") (local.get $to) (text "moved.txt") (i32.const 16))
  (if (i32.load8_u (i32.const 16)) (then (return (i32.add (i32.const 1000000) (i32.load8_u (i32.const 17))))))
  (i32.const 0))
(global $kept (mut i32) (i32.const 0))
"""


def holder(use: str) -> bytes:
    """A component that uses a directory which it is lent, and keeps one that it is given."""
    return guest(
        {
            "use": f"(param i32) (result i32) {use} (call $drop (local.get 0)) (i32.const 7)",
            "keep": "(param i32) (global.set $kept (local.get 0))",
            "again": '(call $cat (call $opened (global.get $kept) (text "name.txt") (i32.const 1)))',
            "back": "(result i32) (global.get $kept)",
        },
        exports=FILES,
        more=RENAME,
    )


def test_a_directory_stays_what_its_giver_was_granted(linked: Linked, tree: Path) -> None:
    """Who is lent a directory reads where the giver may, and no more: not what that excepts, does not write, or holds.

    Its own grants, a wider one of the same directory among them, do not count; nothing moves between the two.
    """
    before = snapshot(tree / "one")
    use = """
(call $cat (call $opened (local.get 0) (text "name.txt") (i32.const 1)))
(call $cat (call $opened (local.get 0) (text "name.key") (i32.const 1)))
(call $say (call $tried (call $opened (local.get 0) (text "new") (i32.const 2))))
(call $say (call $tried (call $opened (local.get 0) (text "../two/name.txt") (i32.const 1))))
(call $say (call $moved (local.get 0) (call $root (i32.const 0))))
(call $say (call $moved (call $root (i32.const 0)) (local.get 0)))
(call $say (call $moved (local.get 0) (local.get 0)))
"""
    app = guest(
        {"run": "(result i32) (call $say (call $use (call $root (i32.const 0)))) (i32.const 0)"},
        imports=[FILES],
        calls=FILE_CALLS,
    )
    path = linked.write(
        {
            "app": {
                "guest": app,
                "imports": WIRE,
                "filesystem": [directory(tree / "one", "/data", excepted=["*.key"])],
            },
            "lib": {"guest": holder(use), "filesystem": [directory(tree / "one", "/mine", "write")]},
        }
    )
    ran = linked.runner.run(path)
    assert captured(ran) == {
        "app": "7\n",
        "lib": f"one\n{ACCESS}\n{NOT_PERMITTED}\n{NOT_PERMITTED}\n{CROSS_DEVICE}\n{CROSS_DEVICE}\n{NOT_PERMITTED}\n",
    }
    assert refused(ran) == [
        Refused("app>lib", "filesystem.read", "/data/name.key", EXCEPTED),
        Refused("app>lib", "filesystem.write", "/data/new", READ_ONLY),
        Refused("app>lib", "filesystem.read", "/data/../two/name.txt", LEADS_OUT),
        Refused("app>lib", "filesystem.write", "/data/name.txt -> /mine/moved.txt", ACROSS),
        Refused("app>lib", "filesystem.write", "/mine/name.txt -> /data/moved.txt", ACROSS),
        Refused("app>lib", "filesystem.write", "/data/name.txt -> /data/moved.txt", READ_ONLY),
    ]
    assert snapshot(tree / "one") == before


def test_the_line_is_the_givers(linked: Linked, tree: Path) -> None:
    """The refusal names who asked, and the line of the grant that the handle came of; no other grant would help."""
    use = '(drop (call $opened (local.get 0) (text "new") (i32.const 2)))'
    run = """(result i32)
(drop (call $use (call $root (i32.const 0)))) (drop (call $use (call $root (i32.const 1)))) (i32.const 0)"""
    app = guest({"run": run}, imports=[FILES], calls=FILE_CALLS)
    for name, data in (("app", app), ("lib", holder(use))):
        (tree / f"{name}.wasm").write_bytes(data)
    (tree / "policy.yaml").write_text(f"""version: 1
run: app
components:
  app:
    source: app.wasm
    imports: {{"{LIB}": lib}}
    grants:
      filesystem:
        - host: one
          guest: /data
          access: read
  lib:
    source: lib.wasm
    grants: {{}}
""")
    events = linked.runner.run(tree / "policy.yaml").outcome.events[:-1]
    assert [(e.component, e.path, e.resource, e.reason, e.policy_line, e.resolved, e.grant) for e in events] == [
        ("lib", "app>lib", "/data/new", READ_ONLY, 11, str(tree / "one" / "new"), None),
        ("lib", "app>lib", "/new", UNGRANTED, 8, None, None),
    ]


def test_handles_that_are_kept(linked: Linked, tree: Path) -> None:
    """A directory that is given away is used after the call, also when nobody else holds it, and given back."""
    app = """(result i32) (local $a i32)
(call $keep (call $opened (call $root (i32.const 0)) (text "sub") (i32.const 1)))
(call $again) (call $again)
(local.set $a (call $back))
(call $cat (call $opened (local.get $a) (text "name.key") (i32.const 1)))
(call $drop (local.get $a))
(i32.const 0)"""
    ran = linked.run(
        {
            "app": {
                "guest": guest({"run": app}, imports=[FILES], calls=FILE_CALLS),
                "imports": WIRE,
                "filesystem": [directory(tree / "one", "/data", "write")],
            },
            "lib": {"guest": holder("")},
        }
    )
    assert (captured(ran), refused(ran)) == ({"app": "key of one/sub\n", "lib": "one/sub\none/sub\n"}, [])


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (
            '(call $keep (local.get $a)) (drop (call $opened (local.get $a) (text "x") (i32.const 1)))',
            "in a call of app: unknown handle index 1",
        ),
        ("(call $keep (local.get $a)) (call $drop (local.get $a))", "in app: unknown handle index 1"),
        (
            "(call $keep (local.get $a)) (drop (call $back)) (drop (call $back))",
            "in a call of app: unknown handle index 1",
        ),
        ("(call $keep (local.get $a)) (drop (call $back)) (call $again)", "in a call of lib: unknown handle index 1"),
        ("(drop (call $use (i32.const 12345)))", "in a call of app: unknown handle index 12345"),
        (
            "(drop (call $use (call $stdout)))",
            (
                "in a call of app: handle index 3 used with the wrong type,"
                " expected guest-defined resource but found a different guest-defined resource"
            ),
        ),
    ],
    ids=["used after", "dropped after", "returned twice", "used when returned", "made up", "of another type"],
)
def test_handles_that_are_not_held(linked: Linked, tree: Path, act: str, reason: str) -> None:
    """Who passed a handle on has it no more, nor can a number be made up: the call traps, and it is said whose."""
    app = f"(result i32) (local $a i32) (local.set $a (call $root (i32.const 0))) {act} (i32.const 0)"
    ran = linked.run(
        {
            "app": {
                "guest": guest({"run": app}, imports=[FILES], calls=FILE_CALLS),
                "imports": WIRE,
                "filesystem": [directory(tree / "one", "/data")],
            },
            "lib": {"guest": holder("")},
        }
    )
    assert (ran.outcome.how, ran.outcome.reason) == ("trapped", reason)


STREAMS = Interface(
    LIB,
    {
        "say-to": '(param "out" (borrow $output-stream))',
        "read-of": '(param "in" (own $input-stream))',
        "wait-for": '(param "what" (own $pollable))',
        "mine": "(result (own $output-stream))",
        "ready": "(result (own $pollable))",
    },
    ("output-stream", "input-stream", "pollable"),
)
STREAM_CALLS = (
    Call("say-to", LIB, "say-to", "i32"),
    Call("read-of", LIB, "read-of", "i32"),
    Call("wait-for", LIB, "wait-for", "i32"),
    Call("mine", LIB, "mine", "", "i32"),
    Call("its-ready", LIB, "ready", "", "i32"),
    Call("timer", "clocks/monotonic-clock", "subscribe-duration", "i64", "i32"),
    Call("block", "io/poll", "[method]pollable.block", "i32"),
)
WAITS = (
    Call("out-ready", "io/streams", "[method]output-stream.subscribe", "i32", "i32"),
    Call("block", "io/poll", "[method]pollable.block", "i32"),
    Drop("drop-pollable", "io/poll", "pollable"),
)


def test_streams_and_pollables(linked: Linked, tree: Path) -> None:
    """Streams and pollables of files, timers and standard output pass in both directions, and stay their giver's."""
    lib = guest(
        {
            "say-to": """(param i32) (call $write (local.get 0) (text "of lib\n") (i32.const 8))
              (call $drop-out (local.get 0))""",
            "read-of": """(param i32) (call $take (local.get 0) (i64.const 100) (i32.const 8))
              (call $print (i32.load (i32.const 12)) (i32.load (i32.const 16))) (call $drop-in (local.get 0))""",
            "wait-for": "(param i32) (call $block (local.get 0)) (call $drop-pollable (local.get 0))",
            "mine": "(result i32) (call $stdout)",
            "ready": "(result i32) (call $out-ready (call $stdout))",
        },
        exports=STREAMS,
        calls=WAITS,
    )
    app = """(result i32)
(call $say-to (call $stdout))
(call $reads (call $opened (call $root (i32.const 0)) (text "name.txt") (i32.const 1)) (i64.const 0) (i32.const 8))
(call $read-of (i32.load (i32.const 12)))
(call $wait-for (call $timer (i64.const 1000000)))
(call $write (call $mine) (text "of app\n") (i32.const 8))
(call $block (call $its-ready))
(call $say-to (call $mine))
(i32.const 0)"""
    ran = linked.run(
        {
            "app": {
                "guest": guest({"run": app}, imports=[STREAMS], calls=STREAM_CALLS),
                "imports": WIRE,
                "filesystem": [directory(tree / "one", "/data")],
            },
            "lib": {"guest": lib},
        }
    )
    assert (captured(ran), refused(ran)) == ({"app": "of lib\n", "lib": "one\nof app\nof lib\n"}, [])


# Sockets

SOCKETS = Interface(
    LIB,
    {
        "talk": '(param "it" (own $tcp-socket)) (param "in" (own $input-stream)) (param "out" (own $output-stream))',
        "accept": '(param "socket" (borrow $tcp-socket)) (result u32)',
        "connect": '(param "socket" (borrow $tcp-socket)) (result u32)',
    },
    ("tcp-socket", "input-stream", "output-stream"),
)
ADDRESS = "i32 " * 12
TCP = (
    Call("network", "sockets/instance-network", "instance-network", "", "i32"),
    Call("tcp", "sockets/tcp-create-socket", "create-tcp-socket", "i32 i32"),
    Call("start-connect", "sockets/tcp", "[method]tcp-socket.start-connect", f"i32 i32 {ADDRESS} i32"),
    Call("finish-connect", "sockets/tcp", "[method]tcp-socket.finish-connect", "i32 i32"),
    Call("start-bind", "sockets/tcp", "[method]tcp-socket.start-bind", f"i32 i32 {ADDRESS} i32"),
    Call("finish-bind", "sockets/tcp", "[method]tcp-socket.finish-bind", "i32 i32"),
    Call("start-listen", "sockets/tcp", "[method]tcp-socket.start-listen", "i32 i32"),
    Call("finish-listen", "sockets/tcp", "[method]tcp-socket.finish-listen", "i32 i32"),
    Call("take-one", "sockets/tcp", "[method]tcp-socket.accept", "i32 i32"),
    Call("ready", "sockets/tcp", "[method]tcp-socket.subscribe", "i32", "i32"),
    Call("timer", "clocks/monotonic-clock", "subscribe-duration", "i64", "i32"),
    Call("block", "io/poll", "[method]pollable.block", "i32"),
    Drop("drop-tcp", "sockets/tcp", "tcp-socket"),
    Drop("drop-pollable", "io/poll", "pollable"),
)
SOCKET_CALLS = (
    *TCP,
    Call("talk", LIB, "talk", "i32 i32 i32"),
    Call("its-accept", LIB, "accept", "i32", "i32"),
    Call("its-connect", LIB, "connect", "i32", "i32"),
)


def address(port: int) -> str:
    """127.0.0.1 and a port, as core values."""
    return (
        f"(i32.const 0) (i32.const {port})" + "".join(f"(i32.const {x})" for x in (127, 0, 0, 1)) + "(i32.const 0)" * 6
    )


def sockets(port: int) -> str:
    """Core functions: each answers 0, or one more than the error code; results lie at 200."""
    return f"""
(func $code (result i32)
  (if (i32.load8_u (i32.const 200)) (then (return (i32.add (i32.const 1) (i32.load8_u (i32.const 201))))))
  (i32.const 0))
(func $new (result i32) (call $tcp (i32.const 0) (i32.const 200)) (i32.load (i32.const 204)))
;; The streams are then at 208 and 212.
(func $connected (param $s i32) (result i32) (local $code i32) (local $p i32)
  (call $start-connect (local.get $s) (call $network) {address(port)} (i32.const 200))
  (local.set $code (call $code))
  (if (local.get $code) (then (return (local.get $code))))
  (local.set $p (call $ready (local.get $s)))
  (call $block (local.get $p))
  (call $drop-pollable (local.get $p))
  (call $finish-connect (local.get $s) (i32.const 204))
  (if (i32.load8_u (i32.const 204)) (then (return (i32.add (i32.const 1) (i32.load8_u (i32.const 208))))))
  (i32.const 0))
(func $listening (result i32) (local $s i32)
  (local.set $s (call $new))
  (call $start-bind (local.get $s) (call $network) {address(port)} (i32.const 200))
  (if (call $code) (then unreachable))
  (call $finish-bind (local.get $s) (i32.const 200))
  (call $start-listen (local.get $s) (i32.const 200))
  (if (call $code) (then unreachable))
  (call $finish-listen (local.get $s) (i32.const 200))
  (local.get $s))
"""


def talker(port: int) -> bytes:
    return guest(
        {
            "talk": """(param $s i32) (param $in i32) (param $out i32)
              (call $write (local.get $out) (text "ping") (i32.const 8))
              (call $take (local.get $in) (i64.const 100) (i32.const 8))
              (call $print (i32.load (i32.const 12)) (i32.load (i32.const 16)))
              (call $drop-in (local.get $in)) (call $drop-out (local.get $out)) (call $drop-tcp (local.get $s))""",
            "connect": """(param $s i32) (result i32) (local $code i32)
              (local.set $code (call $connected (local.get $s)))
              (call $drop-tcp (local.get $s)) (local.get $code)""",
            "accept": """(param $s i32) (result i32) (local $p i32)
              (local.set $p (call $ready (local.get $s)))
              (call $block (local.get $p)) (call $drop-pollable (local.get $p))
              (call $take-one (local.get $s) (i32.const 200))
              (call $drop-tcp (local.get $s))
              (if (i32.load8_u (i32.const 200)) (then
                (return (i32.add (i32.const 1) (i32.load8_u (i32.const 204))))))
              (i32.const 0)""",
        },
        exports=SOCKETS,
        calls=TCP,
        more=sockets(port),
    )


DENIED = 2
NO_GRANT = "no grant covers this address and port"


def run_sockets(linked: Linked, port: int, body: str, app: object, lib: object) -> Ran:
    started = guest(
        {"run": f"(result i32) (local $s i32) {body} (i32.const 0)"},
        imports=[SOCKETS],
        calls=SOCKET_CALLS,
        more=sockets(port),
    )
    return linked.run(
        {
            "app": {"guest": started, "imports": WIRE, "sockets": app},
            "lib": {"guest": talker(port), "sockets": lib},
        }
    )


@pytest.mark.parametrize("lib", [None, {"tcp": {"connect": ["127.0.0.1:1"]}}], ids=["nothing", "another"])
def test_a_connection_is_given(linked: Linked, lib: object) -> None:
    """A connection works for whoever is given it, which may make none like it, whether it is granted others or none."""
    with Server(echo) as server:
        body = """
(local.set $s (call $new))
(call $say (call $connected (local.get $s)))
(call $talk (local.get $s) (i32.load (i32.const 208)) (i32.load (i32.const 212)))
(call $say (call $its-connect (call $new)))"""
        ran = run_sockets(linked, server.port, body, {"tcp": {"connect": [f"127.0.0.1:{server.port}"]}}, lib)
    assert captured(ran) == {"app": f"0\n{DENIED}\n", "lib": "ping"}
    assert refused(ran) == [Refused("app>lib", "sockets.tcp.connect", f"127.0.0.1:{server.port}", NO_GRANT)]


def test_who_is_granted_a_connection_alone(linked: Linked) -> None:
    """What the library is granted, its caller is not; a socket that nothing was done with is whoever's uses it."""
    with Server(echo) as server:
        body = """
(local.set $s (call $new))
(call $say (call $connected (local.get $s)))
(call $say (call $its-connect (local.get $s)))"""
        ran = run_sockets(linked, server.port, body, None, {"tcp": {"connect": [f"127.0.0.1:{server.port}"]}})
    assert captured(ran) == {"app": f"{DENIED}\n0\n", "lib": ""}
    assert refused(ran) == [Refused("app", "sockets.tcp.connect", f"127.0.0.1:{server.port}", NO_GRANT)]


def test_what_is_allowed_is_told_of_who_asked(linked: Linked) -> None:
    """With ``audit: all`` the trail names who connected, and whom a refused peer came to, each by its path."""
    with Server(echo) as server:
        allowed = {"tcp": {"connect": [f"127.0.0.1:{server.port}"]}, "audit": "all"}
        ran = run_sockets(linked, server.port, "(call $say (call $its-connect (call $new)))", None, allowed)
    assert [(e.name, e.component, e.path, e.capability, e.resource) for e in ran.outcome.events[:-1]] == [
        ("allowed", "lib", "app>lib", "sockets.tcp.connect", f"127.0.0.1:{server.port}")
    ]


@pytest.mark.parametrize("lib", [None, {"tcp": {"connect": ["127.0.0.1:1"]}}], ids=["nothing", "another"])
def test_a_listener_keeps_whom_its_giver_denies(linked: Linked, lib: object) -> None:
    """Whom the giver's ``deny`` names is not accepted, whoever accepts; the refusal names that one, at its own line."""
    port, other, peer = free_port(), free_port(), free_port()

    def visit() -> None:
        for source in (peer, other):
            for _ in range(500):
                try:
                    end = socket.create_connection(("127.0.0.1", port), 5, ("127.0.0.1", source))
                except OSError:
                    time.sleep(0.02)  # nobody listens yet
                    continue
                with end:
                    assert end.recv(1) == b""  # it is refused, or the run is over
                break

    visitor = threading.Thread(target=visit)
    visitor.start()
    accept = "(local.set $s (call $listening)) (loop $again (br_if $again (call $its-accept (local.get $s))))"
    app = {"tcp": {"listen": [f"127.0.0.1:{port}"]}, "deny": [f"127.0.0.1:{peer}"]}
    ran = run_sockets(linked, port, accept, app, lib)
    visitor.join()
    assert (ran.outcome.how, ran.outcome.exit_status) == ("exited", 0)
    assert refused(ran) == [
        Refused("app>lib", "sockets.tcp.accept", f"127.0.0.1:{peer}", f"denied by the policy: 127.0.0.1:{peer}")
    ]


def test_a_bound_socket_is_its_giver_s(linked: Linked) -> None:
    """What was bound under one component's grants is used under these alone, though another one may connect."""
    with Server(echo) as server:
        body = f"""
(local.set $s (call $new))
(call $start-bind (local.get $s) (call $network) {address(0)} (i32.const 200))
(call $say (call $code))
(call $finish-bind (local.get $s) (i32.const 200))
(call $say (call $its-connect (local.get $s)))"""
        ran = run_sockets(
            linked,
            server.port,
            body,
            {"tcp": {"listen": ["127.0.0.1:0"]}},
            {"tcp": {"connect": [f"127.0.0.1:{server.port}"]}},
        )
    assert captured(ran) == {"app": f"0\n{DENIED}\n", "lib": ""}
    (event,) = ran.outcome.events[:-1]
    assert (event.component, event.path, event.reason, event.grant) == ("lib", "app>lib", NO_GRANT, None)


def test_a_socket_where_nothing_is_granted(linked: Linked) -> None:
    """A socket that leads nowhere can be passed on, and leads nowhere there."""
    ran = run_sockets(
        linked, 9, "(local.set $s (call $new)) (call $say (call $its-connect (local.get $s)))", None, None
    )
    assert captured(ran) == {"app": f"{DENIED}\n", "lib": ""}
    assert refused(ran) == [Refused("app>lib", "sockets.tcp.connect", "127.0.0.1:9", "sockets are not granted")]
