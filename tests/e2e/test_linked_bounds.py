"""A hostile component in a program: what it breaks is the whole program's, what it uses up comes to one bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sandbox.policy.errors import PolicyError
from tests.e2e.components import Call, Drop
from tests.e2e.harness import UNGRANTED, Ran, Runner, directory
from tests.e2e.linked import CALL_GO, GO, LIB, WIRE, Interface, Linked, Refused, captured, guest, refused


@pytest.fixture
def linked(tmp_path: Path, runner: Runner) -> Linked:
    return Linked(tmp_path / "program", runner)


def program(lib: str, app: str = "", calls: tuple[Call | Drop, ...] = (), more: str = "") -> dict[str, dict[str, Any]]:
    """``app`` says that it starts, calls ``lib``, does ``app``, and says that it ends; both have a local ``$a``."""
    run = f"""(result i32) (local $a i32)
(call $print (text "starts\n")) (call $go) {app} (call $print (text "ends\n")) (i32.const 0)"""
    return {
        "app": {
            "guest": guest({"run": run}, imports=[GO], calls=[CALL_GO, *calls], more=more),
            "imports": WIRE,
        },
        "lib": {"guest": guest({"go": f"(local $a i32) {lib}"}, exports=GO, calls=calls, more=more)},
    }


def ended(ran: Ran) -> tuple[str, int, str | None, str]:
    """How a run ended, its status and reason, and what the last event says."""
    return ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason, ran.outcome.events[-1].reason


# What breaks

UNREACHABLE = "wasm trap: wasm `unreachable` instruction executed"


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("unreachable", f"in lib: {UNREACHABLE}"),
        (
            "(i32.store (i32.const -4) (i32.const 1))",
            (
                "in lib: memory fault at wasm address 0xfffffffc in linear memory of size 0x280000"
                " wasm trap: out of bounds memory access"
            ),
        ),
        ("(call $deep)", "in a call of lib: wasm trap: call stack exhausted"),
        ('(call $write (i32.const 77) (text "x") (i32.const 8))', "in a call of lib: unknown handle index 77"),
    ],
    ids=["unreachable", "memory", "recursion", "handle"],
)
def test_a_trap_in_what_is_called(linked: Linked, act: str, reason: str) -> None:
    """A trap ends the whole program: the caller does not go on. It is said in which component it was."""
    ran = linked.run(program(act, more="(func $deep (call $deep))"))
    assert ended(ran) == ("trapped", 122, reason, f"the component trapped: {reason}")
    assert (captured(ran), refused(ran)) == ({"app": "starts\n", "lib": ""}, [])


def test_a_trap_before_anything_is_called(linked: Linked) -> None:
    """What a component does when it is instantiated is done before the program starts, in its own name."""
    more = """
(func $first (drop (call $opened (call $root (i32.const 0)) (text "x") (i32.const 1))) unreachable)
(start $first)"""
    lib = guest({"go": ""}, exports=GO, more=more)
    ran = linked.run(program("") | {"lib": {"guest": lib}})
    assert ended(ran)[:3] == ("trapped", 122, f"in lib: {UNREACHABLE}")
    assert refused(ran) == [Refused("app>lib", "filesystem.read", "/x", UNGRANTED)]
    assert captured(ran) == {"app": "", "lib": ""}


EXIT = (Call("exit", "cli/exit", "exit-with-code", "i32"), Call("quit", "cli/exit", "exit", "i32"))


@pytest.mark.parametrize(("act", "status"), [("(call $exit (i32.const 7))", 7), ("(call $quit (i32.const 0))", 0)])
def test_an_exit_in_what_is_called(linked: Linked, act: str, status: int) -> None:
    """Any component can end the program, with whatever status; the trail says which one did."""
    ran = linked.run(program(act, calls=EXIT))
    reason = "app>lib ended the program"
    assert ended(ran) == ("exited", status, reason, f"the component ended: {reason}")
    assert captured(ran) == {"app": "starts\n", "lib": ""}


def test_an_exit_of_the_component_that_is_run(linked: Linked) -> None:
    """That it ends itself needs no word."""
    ran = linked.run(program("", "(call $exit (i32.const 7))", EXIT))
    assert ended(ran) == ("exited", 7, None, "the component ended")


def test_no_way_back_by_the_policy(linked: Linked) -> None:
    """Components that import from each other are refused, so none can call back who called it."""
    parts = program("")
    parts["lib"]["imports"] = {"acme:x/app": "app"}
    with pytest.raises(PolicyError) as caught:
        linked.run(parts)
    assert "app" in str(caught.value)
    assert "lib" in str(caught.value)


FOUR = Interface(LIB, {"four": '(param "a" u32) (param "b" u32) (param "c" u32) (param "d" u32) (result u32)'})


@pytest.mark.parametrize("evil", [LIB, "wasi:cli/stdin@VERSION"])
def test_no_way_back_while_something_is_returned(linked: Linked, evil: str) -> None:
    """Where a component would have another one, or the guard, called to make room for a result, the call traps."""
    if evil == LIB:
        before = f'(alias export $wasi:{LIB}@VERSION "four" (func $evil)) (core func $bad (canon lower (func $evil)))'
    else:
        # One that takes four numbers and calls out of them.
        before = f"""
(alias export ${evil} "get-stdin" (func $evil)) (core func $out (canon lower (func $evil)))
(core module $evil-module (import "out" "out" (func $out (result i32)))
  (func (export "bad") (param i32 i32 i32 i32) (result i32) (call $out)))
(core instance $evil (instantiate $evil-module (with "out" (instance (export "out" (func $out))))))
(alias core export $evil "bad" (core func $bad))"""
    app = guest({"run": "(result i32) (call $roots) (i32.const 0)"}, imports=[FOUR], before=before, realloc="$bad")
    lib = guest({"four": "(param i32 i32 i32 i32) (result i32) (i32.const 65536)"}, exports=FOUR)
    ran = linked.run({"app": {"guest": app, "imports": WIRE}, "lib": {"guest": lib}})
    assert (ran.outcome.how, ran.outcome.exit_status) == ("trapped", 122)
    assert "cannot leave component instance" in str(ran.outcome.reason)


# What is used up


def test_memory(linked: Linked) -> None:
    """Memory that one component takes is none that another gets."""
    grow = """
(block $full (loop $next
  (br_if $full (i32.eq (i32.const -1) (memory.grow (i32.const 16))))
  (local.set $a (i32.add (local.get $a) (i32.const 1)))
  (br $next)))
(call $say (local.get $a))"""
    parts = program(grow, grow)
    parts["app"]["limits"] = {"memory": "64MiB"}
    ran = linked.run(parts)
    lib, app = int(captured(ran)["lib"]), int(captured(ran)["app"].split("\n")[1])
    assert lib + app <= 64 + 32  # what the worker itself may hold
    assert app < lib
    assert (ran.outcome.how, captured(ran)["app"].split("\n")[2]) == ("exited", "ends")


HANDLES = "8 handles are open, which is all that the policy allows"


def test_handles(linked: Linked, tmp_path: Path) -> None:
    """Handles that one component holds are none that another gets; each refusal names who asked."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").touch()
    take = """
(local.set $a (call $root (i32.const 0)))
(block $full (loop $next
  (br_if $full (i32.ge_u (call $opened (local.get $a) (text "file") (i32.const 1)) (i32.const 1000000)))
  (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
  (br $next)))
(call $say (i32.load (i32.const 200)))"""
    parts = program(take, '(call $say (call $opened (i32.const 1) (text "file") (i32.const 1)))')
    early = "(call $directories (i32.const 8))"
    parts["app"]["guest"] = guest(
        {
            "run": f"""(result i32) (local $a i32) {early}
(local.set $a (i32.load (i32.load (i32.const 8))))
(call $go) (call $say (call $opened (local.get $a) (text "file") (i32.const 1))) (i32.const 0)"""
        },
        imports=[GO],
        calls=[CALL_GO],
    )
    for part in parts.values():
        part["filesystem"] = [directory(tmp_path / "data", "/data")]
    parts["app"]["limits"] = {"handles": 8}
    ran = linked.run(parts)
    # Each component has its directory and the empty root.
    assert captured(ran) == {"app": "1000006\n", "lib": "4\n"}
    assert refused(ran) == [
        Refused("app>lib", "limits.handles", "/data/file", HANDLES),
        Refused("app", "limits.handles", "/data/file", HANDLES),
    ]


def test_disk(linked: Linked, tmp_path: Path) -> None:
    """Bytes that one component writes to files are none that another may."""
    for name in ("app", "lib"):
        (tmp_path / name).mkdir()
    write = """
(call $writes (call $opened (call $root (i32.const 0)) (text "file") (i32.const 2)) (i64.const 0) (i32.const 8))
(local.set $a (i32.load (i32.const 12)))
(block $full (loop $next
  (call $write (local.get $a) (i32.const 65536) (i32.const 4096) (i32.const 8))
  (br_if $full (i32.load8_u (i32.const 8)))
  (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
  (br $next)))
(call $say (i32.load (i32.const 200)))"""
    parts = program(
        write, '(call $say (call $tried (call $opened (call $root (i32.const 0)) (text "file") (i32.const 2))))'
    )
    for name, part in parts.items():
        part["filesystem"] = [directory(tmp_path / name, "/data", "write")]
    parts["app"]["limits"] = {"disk": "64KiB"}
    ran = linked.run(parts)
    full = "the bytes that may be written to files are used up (65,536 bytes)"
    assert captured(ran) == {"app": "starts\n1000023\nends\n", "lib": "15\n"}
    assert refused(ran) == [
        Refused("app>lib", "limits.disk", None, full),
        Refused("app", "limits.disk", "/data/file", full),
    ]
    assert (tmp_path / "lib" / "file").stat().st_size == 15 * 4096


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("mode", ["capture", "discard", "closed"])
def test_output(linked: Linked, stream: str, mode: str) -> None:
    """A flood from one component ends the program at the bound on the output of all, wherever it goes."""
    flood = f"""
(local.set $a (call ${stream}))
(loop $next (call $write (local.get $a) (i32.const 65536) (i32.const 4096) (i32.const 8)) (br $next))"""
    parts = program(flood)
    parts["lib"]["stdio"] = {stream: mode}
    parts["app"]["limits"] = {"output": "100KiB", "deadline": "30s"}
    ran = linked.run(parts)
    assert (ran.outcome.how, ran.outcome.bound, ran.outcome.usage.output) == ("limit", "limits.output", 102400)
    assert ran.outcome.stdout == b"starts\n"


def test_output_in_all(linked: Linked) -> None:
    """The bound holds for what all write together."""
    parts = program('(call $print (text "0123456789"))')
    parts["app"]["limits"] = {"output": len("starts\n0123456789ends")}
    ran = linked.run(parts)
    assert (ran.outcome.how, ran.outcome.bound, sum(map(len, captured(ran).values()))) == ("limit", "limits.output", 21)


def test_events(linked: Linked) -> None:
    """Refusals beyond the bound are counted apart for each component, so that a flood of one hides no other's kind."""
    lib = """
(local.set $a (call $root (i32.const 0)))
(loop $next
  (drop (call $opened (local.get $a) (text "etc/passwd") (i32.const 1)))
  (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
  (br_if $next (i32.lt_u (i32.load (i32.const 200)) (i32.const 50))))"""
    app = '(drop (call $opened (call $root (i32.const 0)) (text "mine") (i32.const 1)))'
    parts = program(lib, app)
    parts["app"]["limits"] = {"events": 3}
    events = linked.run(parts).outcome.events
    assert [(e.name, e.path, e.capability, e.count) for e in events] == [
        *[("denied", "app>lib", "filesystem.read", 1)] * 3,
        ("limit", "app>lib", "limits.events", 1),
        ("folded", "app>lib", "filesystem.read", 47),
        ("folded", "app", "filesystem.read", 1),
        ("ended", "app", "run", 1),
    ]


SPIN = "(loop $for-ever (br $for-ever))"


def test_time(linked: Linked) -> None:
    """The deadline ends a program in whichever component it is."""
    parts = program(SPIN)
    parts["app"]["limits"] = {"deadline": "1s"}
    ran = linked.run(parts)
    assert (ran.outcome.how, ran.outcome.exit_status, captured(ran)) == (
        "deadline",
        124,
        {"app": "starts\n", "lib": ""},
    )


def test_fuel(linked: Linked) -> None:
    """Fuel is the program's: what one component burns is burnt for all."""
    parts = program(SPIN)
    parts["app"]["limits"] = {"fuel": 10_000_000}
    ran = linked.run(parts)
    assert (ran.outcome.how, ran.outcome.bound, ran.outcome.usage.fuel) == ("limit", "limits.fuel", 10_000_000)


NETWORK = (
    Call("network", "sockets/instance-network", "instance-network", "", "i32"),
    Call("tcp", "sockets/tcp-create-socket", "create-tcp-socket", "i32 i32"),
    Call("resolve", "sockets/ip-name-lookup", "resolve-addresses", "i32 i32 i32 i32"),
)


def test_sockets(linked: Linked) -> None:
    """Sockets that one component holds are none that another gets."""
    take = """
(block $full (loop $next
  (call $tcp (i32.const 0) (i32.const 8))
  (br_if $full (i32.load8_u (i32.const 8)))
  (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
  (br $next)))
(call $say (i32.load (i32.const 200)))"""
    parts = program(take, take, NETWORK)
    for part in parts.values():
        part["sockets"] = {"tcp": {"connect": ["127.0.0.1:9"]}}
    parts["app"]["limits"] = {"sockets": 5}
    ran = linked.run(parts)
    reason = "5 sockets are open, which is all that the policy allows"
    assert captured(ran) == {"app": "starts\n0\nends\n", "lib": "5\n"}
    assert refused(ran) == [
        Refused("app>lib", "limits.sockets", None, reason),
        Refused("app", "limits.sockets", None, reason),
    ]


def test_lookups(linked: Linked) -> None:
    """Names that one component looks up are none that another may in the same second."""
    ask = """
(call $resolve (call $network) (text "localhost") (i32.const 8))
(call $say (i32.mul (i32.load8_u (i32.const 8)) (i32.add (i32.const 1) (i32.load8_u (i32.const 12)))))"""
    parts = program(ask * 2, ask, NETWORK)
    for part in parts.values():
        part["sockets"] = {"dns": ["localhost"]}
    parts["app"]["limits"] = {"lookups": 2}
    ran = linked.run(parts)
    reason = "2 names were looked up within a second, which is all that the policy allows"
    assert captured(ran) == {"app": "starts\n20\nends\n", "lib": "0\n0\n"}
    assert refused(ran) == [Refused("app", "limits.lookups", "localhost", reason)]
