"""Components of one program are apart: none can use or name another's files, environment, arguments or streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.components import Call
from tests.e2e.harness import EXCEPTED, READ_ONLY, UNGRANTED, Runner, by_name, directory, snapshot
from tests.e2e.linked import (
    ACCESS,
    NOT_PERMITTED,
    Interface,
    Linked,
    Refused,
    both,
    captured,
    guest,
    refused,
)


@pytest.fixture
def linked(tmp_path: Path, runner: Runner) -> Linked:
    return Linked(tmp_path / "program", runner)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("one", "two", "one/in"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name.txt").write_text(f"{name}\n")
        (tmp_path / name / "name.key").write_text(f"key of {name}\n")
    return tmp_path


def test_one_path_two_directories(linked: Linked, tree: Path) -> None:
    """One path of two components' is a directory of each; what only the other has is below no grant of its own."""
    body = """
(call $roots)
(call $cat (call $opened (call $root (i32.const 0)) (text "name.txt") (i32.const 1)))
(local.set $a (call $root (i32.const 2)))
(call $cat (call $opened (local.get $a) (text "app/name.txt") (i32.const 1)))
(call $cat (call $opened (local.get $a) (text "lib/name.txt") (i32.const 1)))
"""
    program = both(body)
    program["app"]["filesystem"] = [directory(tree / "one", "/data"), directory(tree / "one" / "in", "/app")]
    program["lib"]["filesystem"] = [directory(tree / "two", "/data"), directory(tree / "one" / "in", "/lib")]
    ran = linked.run(program)
    assert captured(ran) == {
        "app": f"/data\n/app\n/\none\n{ACCESS}\n{ACCESS}\n",
        "lib": f"/data\n/lib\n/\ntwo\n{ACCESS}\n{ACCESS}\n",
    }
    assert refused(ran) == [
        Refused("app", "filesystem.read", "/app/name.txt", by_name("/app")),
        Refused("app", "filesystem.read", "/lib/name.txt", UNGRANTED),
        Refused("app>lib", "filesystem.read", "/app/name.txt", UNGRANTED),
        Refused("app>lib", "filesystem.read", "/lib/name.txt", by_name("/lib")),
    ]


@pytest.mark.parametrize("writer", ["app", "lib"])
def test_one_directory_two_accesses(linked: Linked, tree: Path, writer: str) -> None:
    """A directory that one component may write is read-only for the other, though it is the same one."""
    before = snapshot(tree / "one")
    body = """
(local.set $a (call $opened (call $root (i32.const 0)) (text "new") (i32.const 2)))
(call $say (call $tried (local.get $a)))
"""
    program = both(body)
    reader = {"app": "lib", "lib": "app"}[writer]
    program[writer]["filesystem"] = [directory(tree / "one", "/data", "write")]
    program[reader]["filesystem"] = [directory(tree / "one", "/data")]
    ran = linked.run(program)
    assert captured(ran) == {writer: "0\n", reader: f"{NOT_PERMITTED}\n"}
    path = {"app": "app", "lib": "app>lib"}[reader]
    assert refused(ran) == [Refused(path, "filesystem.write", "/data/new", READ_ONLY)]
    (tree / "one" / "new").unlink()
    assert snapshot(tree / "one").keys() == before.keys()


def test_exceptions_are_each_components_own(linked: Linked, tree: Path) -> None:
    """``except``, and a grant inside another, cut the directories of the component that has them and no other's."""
    body = """
(local.set $a (call $root (i32.const 0)))
(call $cat (call $opened (local.get $a) (text "name.key") (i32.const 1)))
(call $cat (call $opened (local.get $a) (text "name.txt") (i32.const 1)))
(call $say (call $tried (call $opened (local.get $a) (text "in/new") (i32.const 2))))
"""
    program = both(body)
    program["app"]["filesystem"] = [
        directory(tree / "one", "/data", "write", excepted=["*.key"]),
        directory(tree / "one" / "in", "/in"),
    ]
    program["lib"]["filesystem"] = [directory(tree / "one", "/data", "write", excepted=["*.txt"])]
    ran = linked.run(program)
    assert captured(ran) == {
        "app": f"{ACCESS}\none\n{NOT_PERMITTED}\n",
        "lib": f"key of one\n{ACCESS}\n0\n",
    }
    assert refused(ran) == [
        Refused("app", "filesystem.read", "/data/name.key", EXCEPTED),
        Refused("app", "filesystem.write", "/data/in/new", READ_ONLY),
        Refused("app>lib", "filesystem.read", "/data/name.txt", EXCEPTED),
    ]


WORDS = (
    Call("environment", "cli/environment", "get-environment", "i32"),
    Call("arguments", "cli/environment", "get-arguments", "i32"),
)
SHOW_WORDS = """
;; Prints a list of strings, of which each is two words of memory, in quotes.
(func $list (param $at i32) (param $count i32)
  (block $done (loop $next
    (br_if $done (i32.eqz (local.get $count)))
    (call $print (text "<"))
    (call $print (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
    (call $print (text ">"))
    (local.set $at (i32.add (local.get $at) (i32.const 8)))
    (local.set $count (i32.sub (local.get $count) (i32.const 1)))
    (br $next))))
(func $words
  (call $environment (i32.const 8))
  (call $list (i32.load (i32.const 8)) (i32.shl (i32.load (i32.const 12)) (i32.const 1)))
  (call $print (text " "))
  (call $arguments (i32.const 8))
  (call $list (i32.load (i32.const 8)) (i32.load (i32.const 12))))
"""
EMPTY, NONE = (
    "the environment is not granted; the component got an empty one",
    "arguments are not granted; the component got none",
)


def test_environment_and_arguments(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each component gets its own variables and arguments, of any length and in any script, and no other's."""
    monkeypatch.setenv("PASSED_ON", "grüße\t€")
    program = both("(call $words) (call $words)", calls=WORDS, more=SHOW_WORDS)
    program["app"] |= {"environment": {"set": {"A": "", "ONE": "1"}}, "arguments": "inherit"}
    program["lib"] |= {"environment": {"set": {"LONG": "x" * 3000}, "inherit": ["PASSED_ON"]}, "arguments": ["ünï", ""]}
    ran = linked.run(program, "first", "")
    app = "<A><><ONE><1> <app><first><>"
    lib = f"<LONG><{'x' * 3000}><PASSED_ON><grüße\t€> <lib><ünï><>"
    assert (captured(ran), refused(ran)) == ({"app": app * 2, "lib": lib * 2}, [])


@pytest.mark.parametrize("granted", ["app", "lib"])
def test_environment_and_arguments_of_one(linked: Linked, granted: str) -> None:
    """What one component is granted, the other asks for in vain: it gets nothing, and each asking is told once."""
    program = both("(call $words) (call $words)", calls=WORDS, more=SHOW_WORDS)
    other = {"app": "lib", "lib": "app"}[granted]
    program[granted] |= {"environment": {"set": {"SECRET": "1"}}, "arguments": ["own"]}
    program[other] |= {"environment": None, "arguments": None}
    ran = linked.run(program)
    own = f"<SECRET><1> <{granted}><own>"
    assert captured(ran) == {granted: own * 2, other: "  "}
    path = {"app": "app", "lib": "app>lib"}[other]
    assert refused(ran) == [Refused(path, "environment", None, EMPTY), Refused(path, "arguments", None, NONE)]


def test_granted_lists_that_are_empty(linked: Linked) -> None:
    """A grant of no variable is an empty list, and no event."""
    program = both("(call $words)", calls=WORDS, more=SHOW_WORDS)
    program["lib"] |= {"environment": {}, "arguments": []}
    ran = linked.run(program)
    assert (captured(ran), refused(ran)) == ({"app": " <app>", "lib": " <lib>"}, [])


def test_a_large_environment(linked: Linked) -> None:
    """Hundreds of kilobytes of variables and arguments reach the component that they are granted to."""
    names = {f"V{n}": "y" * 64 for n in range(2000)}
    body = """
(call $environment (i32.const 8)) (local.set $a (i32.load (i32.const 8))) (call $say (i32.load (i32.const 12)))
(call $print (i32.load offset=31992 (local.get $a)) (i32.load offset=31996 (local.get $a)))
(call $arguments (i32.const 8)) (local.set $a (i32.load (i32.const 8))) (call $say (i32.load (i32.const 12)))
(call $say (i32.load offset=20 (local.get $a)))
"""
    program = both(body, calls=WORDS)
    program["app"] |= {"environment": {"set": names}, "arguments": ["x"] * 2}
    program["lib"] |= {"environment": {"set": names}, "arguments": ["z" * 65536] * 2}
    ran = linked.run(program)
    assert captured(ran) == {"app": f"2000\n{'y' * 64}3\n1\n", "lib": f"2000\n{'y' * 64}3\n65536\n"}


STILL = "the {} clock is not granted; it stands still"
TIMES = (
    Call("wall", "clocks/wall-clock", "now", "i32"),
    Call("now", "clocks/monotonic-clock", "now", "", "i64"),
    Call("secure", "random/random", "get-random-u64", "", "i64"),
    Call("insecure", "random/insecure", "get-insecure-random-u64", "", "i64"),
)


@pytest.mark.parametrize("granted", ["app", "lib"])
def test_clocks_of_one(linked: Linked, granted: str) -> None:
    """Clocks that one component is granted stand still for the other."""
    body = """
(call $wall (i32.const 8)) (call $say (i64.gt_u (i64.load (i32.const 8)) (i64.const 1600000000)))
(call $say (i64.eq (call $now) (call $now)))"""
    program = both(body, calls=TIMES)
    other = {"app": "lib", "lib": "app"}[granted]
    program[other] |= {"clocks": None}
    ran = linked.run(program)
    assert captured(ran) == {granted: "1\n0\n", other: "0\n1\n"}
    path = {"app": "app", "lib": "app>lib"}[other]
    assert refused(ran) == [
        Refused(path, "clocks.wall", None, STILL.format("wall")),
        Refused(path, "clocks.monotonic", None, STILL.format("monotonic")),
    ]


def test_seeds_are_each_components_own(linked: Linked) -> None:
    """Components with one seed get the same numbers, each from the first; with another one, or none, others."""
    numbers = "(call $say (i32.wrap_i64 (call $insecure))) (call $say (i32.wrap_i64 (call $insecure)))"

    def printed(app: Any, lib: Any) -> tuple[str, str]:
        program = both(numbers, calls=TIMES)
        program["app"] |= {"random": app}
        program["lib"] |= {"random": lib}
        found = captured(linked.run(program))
        return found["app"], found["lib"]

    one, other = printed({"seed": 1}, {"seed": 2})
    assert one != other
    assert printed({"seed": 2}, {"seed": 2}) == (other, other)
    assert printed({"seed": 1}, "secure")[0] == one != printed({"seed": 1}, "secure")[1]


def test_secure_random_of_another(linked: Linked) -> None:
    """Secure random numbers that one component is granted are none of another's: its call traps."""
    program = both("(drop (call $secure))", calls=TIMES)
    program["lib"] |= {"random": None}
    ran = linked.run(program)
    assert (ran.outcome.how, ran.outcome.reason) == ("trapped", "in app>lib: secure random numbers are not granted")
    assert refused(ran) == [
        Refused("app>lib", "random.secure", None, "secure random numbers are not granted; the call trapped")
    ]


def test_as_many_directories_as_there_can_be(linked: Linked, tmp_path: Path) -> None:
    """Thirty-one components with four directories each, the empty root among them, find their own at the same paths."""
    parts: dict[str, dict[str, Any]] = {}
    every, calls, run = [], [], ""
    look = '(call $roots) (call $cat (call $opened (call $root (i32.const 2)) (text "name") (i32.const 1)))'
    for number in range(31):
        name = f"c{number}" if number else "app"
        for place in range(3):
            folder = tmp_path / f"{name}-{place}"
            folder.mkdir()
            (folder / "name").write_text(f"{name}-{place}")
        if number:
            own = Interface(f"acme:x/{name}", {f"go{number}": ""})
            every.append(own)
            calls.append(Call(f"go{number}", own.name, f"go{number}", ""))
            run += f"(call $go{number})"
            parts[name] = {"guest": guest({f"go{number}": look}, exports=own)}
    app = guest({"run": f"(result i32) {look} {run} (i32.const 0)"}, imports=every, calls=calls)
    parts = {"app": {"guest": app, "imports": {own.name: own.name[7:] for own in every}}, **parts}
    for name, part in parts.items():
        part["filesystem"] = [directory(tmp_path / f"{name}-{n}", f"/d{n}", "write") for n in range(3)]
    ran = linked.run(parts)
    assert captured(ran) == {name: f"/d0\n/d1\n/d2\n/\n{name}-2" for name in parts}
    assert refused(ran) == []


def test_names_that_another_looked_up(linked: Linked) -> None:
    """An address that one component's name led to is none that another may connect to."""
    address = "(i32.const 0) (i32.const 9)" + "".join(f"(i32.const {x})" for x in (127, 0, 0, 1)) + "(i32.const 0)" * 6
    body = f"""
(call $resolve (call $network) (text "localhost") (i32.const 8))
(call $block (call $looked-up (i32.load (i32.const 12))))
(call $tcp (i32.const 0) (i32.const 8))
(call $connect (i32.load (i32.const 12)) (call $network) {address} (i32.const 16))
(call $say (i32.load8_u (i32.const 16)))"""
    calls = (
        Call("network", "sockets/instance-network", "instance-network", "", "i32"),
        Call("tcp", "sockets/tcp-create-socket", "create-tcp-socket", "i32 i32"),
        Call("connect", "sockets/tcp", "[method]tcp-socket.start-connect", f"i32 i32 {'i32 ' * 12} i32"),
        Call("resolve", "sockets/ip-name-lookup", "resolve-addresses", "i32 i32 i32 i32"),
        Call("looked-up", "sockets/ip-name-lookup", "[method]resolve-address-stream.subscribe", "i32", "i32"),
        Call("block", "io/poll", "[method]pollable.block", "i32"),
    )
    program = both(body, calls)
    program["app"]["sockets"] = {"tcp": {"connect": [{"to": "localhost:9", "private": True}]}}
    program["lib"]["sockets"] = {"dns": ["localhost"]}
    ran = linked.run(program)
    assert captured(ran) == {"app": "0\n", "lib": "1\n"}
    reason = "no grant covers this address and port"
    assert refused(ran) == [Refused("app>lib", "sockets.tcp.connect", "127.0.0.1:9", reason)]
