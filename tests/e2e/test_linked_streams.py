"""Standard streams of the components of a program: each its own, told of by instance, whole at the end of the run."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.components import Call, Drop
from tests.e2e.harness import ROOT, Runner, directory
from tests.e2e.linked import CALL_GO, GO, LIB, WIRE, Interface, Linked, Refused, both, captured, guest, refused

S = "io/streams"
NO_OUTPUT = "standard output is not granted; what is written is thrown away"
NO_ERROR = "standard error is not granted; what is written is thrown away"
NO_INPUT = "standard input is not granted; it is at its end"


@pytest.fixture
def linked(tmp_path: Path, runner: Runner) -> Linked:
    return Linked(tmp_path / "program", runner)


def test_each_stream_goes_where_its_policy_says(linked: Linked, tmp_path: Path) -> None:
    """One component's output to a file, another's to one of its own, a third's captured; none goes elsewhere."""
    program = both('(call $print (text "out\n")) (call $write (call $stderr) (text "err\n") (i32.const 8))')
    program["app"] |= {"stdio": {"stdout": {"file": str(tmp_path / "app.out")}, "stderr": "capture"}}
    program["lib"] |= {"stdio": {"stdout": "capture", "stderr": {"file": str(tmp_path / "lib.err")}}}
    ran = linked.run(program)
    assert ran.outcome.captured == (("app", "stderr", b"err\n"), ("lib", "stdout", b"out\n"))
    assert (ran.outcome.stdout, ran.outcome.stderr, ran.outcome.usage.output) == (None, b"err\n", 16)
    assert ((tmp_path / "app.out").read_bytes(), (tmp_path / "lib.err").read_bytes()) == (b"out\n", b"err\n")
    assert refused(ran) == []


MID = Interface("acme:x/mid", {"go-on": ""})
USE = """
(call $print (text "x")) (call $print (text "y"))
(call $write (call $stderr) (text "z") (i32.const 8))
(call $take (call $stdin) (i64.const 10) (i32.const 8))
(if (i32.ne (i32.load (i32.const 8)) (i32.const 1)) (then unreachable))
(call $take (call $stdin) (i64.const 10) (i32.const 8))"""


def test_instances_are_told_apart(linked: Linked) -> None:
    """Of streams that are not granted, each instance's first use is told, under its own path, in the order of use."""
    app = guest(
        {"run": "(result i32) (call $go) (call $go-on) (call $go) (i32.const 0)"},
        imports=[GO, MID],
        calls=[CALL_GO, Call("go-on", MID.name, "go-on", "")],
    )
    mid = guest({"go-on": "(call $go) (call $go)"}, exports=MID, imports=[GO], calls=[CALL_GO])
    lib = {"guest": guest({"go": USE}, exports=GO), "stdio": None}
    ran = linked.run(
        {
            "app": {"guest": app, "imports": {LIB: {"component": "lib", "instance": "own"}, MID.name: "mid"}},
            "mid": {"guest": mid, "imports": WIRE},
            "lib": lib,
        },
        stdin=b"nobody's",
    )
    assert refused(ran) == [
        Refused(path, capability, None, reason)
        for path in ("app>lib", "app>mid>lib")
        for capability, reason in (
            ("stdio.stdout", NO_OUTPUT),
            ("stdio.stderr", NO_ERROR),
            ("stdio.stdin", NO_INPUT),
        )
    ]
    assert (ran.outcome.how, ran.outcome.exit_status) == ("exited", 0)


def test_input_goes_to_the_component_that_is_run(linked: Linked) -> None:
    """Whoever else asks for standard input finds it at its end, whether that is granted as closed or not at all."""
    lib = guest({"go": USE}, exports=GO)
    app = """(result i32)
(call $go)
(call $take (call $stdin) (i64.const 10) (i32.const 8))
(call $print (i32.load (i32.const 12)) (i32.load (i32.const 16)))
(i32.const 0)"""
    ran = linked.run(
        {
            "app": {
                "guest": guest({"run": app}, imports=[GO], calls=[CALL_GO]),
                "imports": WIRE,
                "stdio": {"stdin": "inherit", "stdout": "capture"},
            },
            "lib": {"guest": lib, "stdio": {"stdin": "discard", "stdout": "capture", "stderr": "capture"}},
        },
        stdin=b"app's own",
    )
    assert (captured(ran), refused(ran)) == ({"app": "app's own", "lib": "xyxy"[:2]}, [])


WAITS = (
    Call("out-ready", S, "[method]output-stream.subscribe", "i32", "i32"),
    Call("in-ready", S, "[method]input-stream.subscribe", "i32", "i32"),
    Call("timer", "clocks/monotonic-clock", "subscribe-duration", "i64", "i32"),
    Call("poll", "io/poll", "poll", "i32 i32 i32"),
    Call("check", S, "[method]output-stream.check-write", "i32 i32"),
    Call("put", S, "[method]output-stream.write", "i32 i32 i32 i32"),
    Call("flushed", S, "[method]output-stream.blocking-flush", "i32 i32"),
    Call("splice", S, "[method]output-stream.blocking-splice", "i32 i32 i64 i32"),
    Call("zeroes", S, "[method]output-stream.blocking-write-zeroes-and-flush", "i32 i64 i32"),
    Drop("drop-pollable", "io/poll", "pollable"),
)


def test_waiting_for_standard_streams(linked: Linked) -> None:
    """Standard streams are waited for together with a timer, an hour of which nobody waits for."""
    body = """
(i32.store (i32.const 200) (call $timer (i64.const 3600000000000)))
(i32.store (i32.const 204) (call $in-ready (call $stdin)))
(i32.store (i32.const 208) (call $timer (i64.const 1000000)))
(call $poll (i32.const 200) (i32.const 2) (i32.const 8))
(call $say (i32.load (i32.load (i32.const 8))))
(call $poll (i32.const 208) (i32.const 1) (i32.const 8))
(i32.store (i32.const 204) (call $out-ready (call $stdout)))
(call $poll (i32.const 200) (i32.const 3) (i32.const 8))
(call $say (i32.add (i32.mul (i32.load (i32.const 12)) (i32.const 100))
  (i32.add (i32.mul (i32.load (i32.load (i32.const 8))) (i32.const 10)) (i32.load offset=4 (i32.load (i32.const 8))))))
"""
    ran = linked.run(both(body, WAITS))
    assert (captured(ran), refused(ran)) == ({"app": "1\n212\n", "lib": "1\n212\n"}, [])


def test_ways_to_write(linked: Linked, tmp_path: Path) -> None:
    """Splices of files, zeroes and writes after the handle was dropped reach the component's own output alone."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_bytes(b"of a file\n")
    body = """
(call $reads (call $opened (call $root (i32.const 0)) (text "file") (i32.const 1)) (i64.const 0) (i32.const 8))
(call $splice (call $stdout) (i32.load (i32.const 12)) (i64.const 100) (i32.const 8))
(call $zeroes (call $stdout) (i64.const 2) (i32.const 8))
(local.set $a (call $stdout)) (call $drop-out (local.get $a)) (call $drop-out (call $stdout))
(call $print (text "after"))
"""
    program = both(body, WAITS)
    for component in program.values():
        component["filesystem"] = [directory(tmp_path / "data", "/data")]
    ran = linked.run(program)
    said = "of a file\n\0\0after"
    assert (captured(ran), refused(ran)) == ({"app": said, "lib": said}, [])


TERMINALS = tuple(
    Call(f"tty-{name}", f"cli/terminal-{name}", f"get-terminal-{name}", "i32") for name in ("stdin", "stdout", "stderr")
)


def sandbox(path: Path, **more: object) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "sandbox", "run", "--quiet", str(path)]
    return subprocess.Popen(line, env={**os.environ, "PYTHONPATH": str(ROOT)}, **more)  # type: ignore[call-overload,no-any-return]


def test_a_terminal_is_the_run_components_alone(linked: Linked) -> None:
    """Another component cannot even tell that the program's input is a terminal."""
    body = "".join(
        f"(call $tty-{name} (i32.const 8)) (call $say (i32.load8_u (i32.const 8)))"
        for name in ("stdin", "stdout", "stderr")
    )
    program = both(body, TERMINALS)
    program["app"] |= {"stdio": {"stdin": "inherit", "stdout": "inherit"}}
    program["lib"] |= {"stdio": {"stdout": "inherit"}}
    terminal, other = pty.openpty()
    try:
        with sandbox(linked.write(program), stdin=other, stdout=subprocess.PIPE) as run:
            assert run.communicate(timeout=60)[0] == b"1\n0\n0\n" + b"0\n0\n0\n"
    finally:
        os.close(terminal)
        os.close(other)


FLOOD = """
(local.set $a (call $stdout))
(loop $next
  (call $flushed (local.get $a) (i32.const 8))
  (call $put (local.get $a) (i32.const 65536) (i32.const 65536) (i32.const 8))
  (if (i32.load8_u (i32.const 8)) (then unreachable))
  (i32.store (i32.const 200) (i32.add (i32.load (i32.const 200)) (i32.const 1)))
  (br_if $next (i32.lt_u (i32.load (i32.const 200)) (i32.const 128))))
"""


def flooding(linked: Linked, limits: dict[str, object] | None = None) -> Path:
    lib = guest({"go": f"(local $a i32) {FLOOD}"}, exports=GO, calls=WAITS)
    app = guest({"run": "(result i32) (call $go) (i32.const 0)"}, imports=[GO], calls=[CALL_GO])
    stdio = {"stdout": "inherit", "stderr": "inherit"}
    started = {"guest": app, "imports": WIRE, "stdio": stdio, "limits": limits or {}}
    return linked.write({"app": started, "lib": {"guest": lib, "stdio": stdio}})


def test_a_slow_reader_gets_all(linked: Linked) -> None:
    """What a component wrote just before the end arrives whole, also where its reader pauses for seconds."""
    with sandbox(flooding(linked), stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        time.sleep(3)
        got = len(run.stdout.read())
    assert (got, run.returncode) == (128 * 65536, 0)


def test_a_reader_that_stops(linked: Linked) -> None:
    """A reader that takes nothing more holds a program up until its deadline, and no longer."""
    began = time.monotonic()
    with sandbox(flooding(linked, {"deadline": "1s"}), stdout=subprocess.PIPE) as run:
        assert run.wait(30) == 124
        assert time.monotonic() - began < 20


def test_a_reader_that_goes(linked: Linked) -> None:
    """A reader that closes its end fails the writes of the component that writes there, which may go on or trap."""
    with sandbox(flooding(linked), stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        run.stdout.read(10)
        run.stdout.close()
    assert run.returncode == 122


def test_output_into_one_file(linked: Linked, tmp_path: Path) -> None:
    """Where the caller's output is a file, what the components write there stands one behind the other."""
    with open(tmp_path / "out", "wb") as file:
        program = both('(call $print (text "0123456789"))')
        for component in program.values():
            component["stdio"] = {"stdout": "inherit"}
        assert sandbox(linked.write(program), stdout=file).wait(60) == 0
    assert (tmp_path / "out").read_bytes() == b"0123456789" * 2


def test_output_that_is_closed(linked: Linked) -> None:
    """A caller without standard output runs a program all the same; what is written goes nowhere."""
    program = both('(call $print (text "0123456789"))')
    for component in program.values():
        component["stdio"] = {"stdout": "inherit"}
    line = f"exec {sys.executable} -m sandbox run --quiet {linked.write(program)} >&-"
    done = subprocess.run(["sh", "-c", line], check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert done.returncode == 0
