"""What of a module is called, and in which order: start section, ``_initialize``, ``_start``, other functions."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox, UsageError
from sandbox.runtime.outcome import Outcome
from tests.e2e.harness import ROOT, Ran, Runner, policy_data, write_policy
from tests.e2e.modules import SAY, imports, module

Run = Callable[..., Ran]


@pytest.fixture
def run(tmp_path: Path, runner: Runner) -> Run:
    """Runs the module of these fields under standard grants."""

    def run(text: str, *arguments: str, limits: dict[str, object] | None = None, **grants: Any) -> Ran:
        source = module(tmp_path, text)
        return runner.run(write_policy(tmp_path, policy_data(source=source, limits=limits, **grants)), *arguments)

    return run


def calls(folder: Path, text: str, *calls: tuple[str, ...], **more: Any) -> list[Outcome]:
    """What each call of a function with its arguments comes to."""
    with Sandbox(write_policy(folder, policy_data(source=module(folder, text), **more))) as box:
        return [box.call(None, *call) for call in calls]


def ended(outcome: Outcome) -> tuple[str, int, str | None]:
    return outcome.how, outcome.exit_status, outcome.reason


EXITED = ("exited", 0, None)

START = (
    imports("fd_write", "proc_exit")
    + SAY
    + """
  (memory (export "memory") 1)
  (data (i32.const 16) "start\\n") (data (i32.const 32) "_start\\n") (data (i32.const 48) "initialize\\n")
  (data (i32.const 64) "call\\n")
"""
)


def test_start_section_runs_first(run: Run) -> None:
    """A start section may call WASI: what it writes comes before what ``_start`` writes, once."""
    ran = run(
        START
        + """
        (func $first (call $say (i32.const 16) (i32.const 6)))
        (start $first)
        (func (export "_start") (call $say (i32.const 32) (i32.const 7)))"""
    )
    assert (ended(ran.outcome), ran.stdout, ran.denials) == (EXITED, "start\n_start\n", [])


def test_order_of_calls(tmp_path: Path) -> None:
    """A call has an instance of its own: start section, ``_initialize``, then the function; never ``_start``."""
    text = (
        START
        + """
        (global $calls (mut i32) (i32.const 0))
        (func $first (call $say (i32.const 16) (i32.const 6)))
        (start $first)
        (func (export "_initialize") (call $say (i32.const 48) (i32.const 11)))
        (func (export "_start") (call $say (i32.const 32) (i32.const 7)))
        (func (export "count") (result i32)
          (call $say (i32.const 64) (i32.const 5))
          (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
          (global.get $calls))"""
    )
    outcomes = calls(tmp_path, text, ("count",), ("count",))
    assert [(ended(o), o.value, o.stdout) for o in outcomes] == [(EXITED, "1", b"start\ninitialize\ncall\n")] * 2


def test_commands_are_not_initialized(run: Run) -> None:
    """A run of a command calls ``_start`` alone, also where there is an ``_initialize``."""
    ran = run(
        START
        + """
        (func (export "_initialize") (call $say (i32.const 48) (i32.const 11)))
        (func (export "_start") (call $say (i32.const 32) (i32.const 7)))"""
    )
    assert (ended(ran.outcome), ran.stdout) == (EXITED, "_start\n")


def test_reactors_are_no_commands(tmp_path: Path) -> None:
    """A module without ``_start`` is not run; its functions are called."""
    text = START + '(func (export "_initialize")) (func (export "answer") (result i32) (i32.const 42))'
    policy = write_policy(tmp_path, policy_data(source=module(tmp_path, text)))
    with Sandbox(policy) as box:
        with pytest.raises(UsageError) as caught:
            box.run()
        assert str(caught.value) == (
            f"{tmp_path}/guest.wasm is no command (it does not export _start); call one of its functions instead"
        )
        assert box.call("guest", "answer").value == "42"
        with pytest.raises(UsageError) as caught:
            box.call("guest", "question")
        assert str(caught.value) == "the module exports no function 'question'; it exports answer"
        for own in ("_initialize", "memory"):
            with pytest.raises(UsageError):
                box.call("guest", own)


TYPED = """
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "all") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "none"))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "bits") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
"""

CALLS = [
    (("i32", "0"), "0"),
    (("i32", "-2147483648"), "-2147483648"),
    (("i32", "2147483648"), "-2147483648"),
    (("i32", "4294967295"), "-1"),
    (("i64", "9223372036854775807"), "9223372036854775807"),
    (("i64", "-9223372036854775808"), "-9223372036854775808"),
    (("i64", "18446744073709551615"), "-1"),
    (("f32", "1.5"), "1.5"),
    (("f32", "0.1"), "0.1"),
    (("f32", "-inf"), "-inf"),
    (("f64", "0.1"), "0.1"),
    (("f64", "-0.0"), "-0"),
    (("f64", "inf"), "inf"),
    (("f64", "nan"), "nan"),
    (("f64", "1e300"), "1e+300"),
    (("f64", "7"), "7"),
    (("all", "1", "-2", "3.5", "4.25"), "(4.25, 3.5, -2, 1)"),
    (("none",), None),
    (("add", "2147483647", "1"), "-2147483648"),
    (("bits", "1.0"), "4607182418800017408"),
]


def test_typed_calls(tmp_path: Path) -> None:
    """Numbers go in and come out in WAVE; several results are a tuple. It takes neither WASI nor a memory."""
    outcomes = calls(tmp_path, TYPED, *(call for call, _ in CALLS))
    assert [(call, ended(o), o.value) for (call, _), o in zip(CALLS, outcomes, strict=True)] == [
        (call, EXITED, value) for call, value in CALLS
    ]
    assert [[(e.name, e.capability) for e in o.events] for o in outcomes] == [[("ended", "run")]] * len(CALLS)


I32 = "expected an i32 from -2147483648 to 4294967295, found"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (("i32", "4294967296"), f"argument 1: out of range: {I32} 4294967296\n  4294967296\n  ^"),
        (("i32", "-2147483649"), f"argument 1: out of range: {I32} -2147483649\n  -2147483649\n  ^"),
        (("i32", "1.5"), f"argument 1: {I32} 1.5\n  1.5\n  ^"),
        (("i32", "one"), f"argument 1: {I32} one\n  one\n  ^"),
        (("i32", ""), f"argument 1: {I32} the end\n  \n  ^"),
        (("f64", "x"), "argument 1: expected a number, inf, -inf or nan for f64, found x\n  x\n  ^"),
        (("f32", "1e39"), "argument 1: out of range: no f32 is as large as 1e39\n  1e39\n  ^"),
        (("i32",), "0 arguments given, the function takes 1 argument: (i32)"),
        (("i32", "1", "2"), "2 arguments given, the function takes 1 argument: (i32)"),
        (("none", "1"), "1 argument given, the function takes 0 arguments: ()"),
    ],
)
def test_arguments_that_do_not_fit(tmp_path: Path, call: tuple[str, ...], reason: str) -> None:
    """What is no value of the type, or one too many, is a usage error in a sentence; nothing ran."""
    (outcome,) = calls(tmp_path, TYPED, call)
    assert (*ended(outcome), outcome.value) == ("failed", 2, reason, None)


def test_types_that_cannot_be_written(tmp_path: Path) -> None:
    """Vectors and references have no spelling on a command line: refused in a sentence."""
    text = """
      (func (export "vector") (param v128) (result i32) (i32.const 1))
      (func (export "made-vector") (result v128) (v128.const i64x2 0 0))
      (func (export "reference") (param externref) (result i32) (i32.const 1))
      (func (export "made-reference") (result funcref) (ref.null func))"""
    found = calls(tmp_path, text, ("vector", "0"), ("made-vector",), ("reference", "0"), ("made-reference",))
    takes = "takes or returns {}, which cannot be passed as text"
    assert [(*ended(o), o.value) for o in found] == [
        ("failed", 2, f"vector {takes.format('a v128')}", None),
        ("failed", 2, f"made-vector {takes.format('a v128')}", None),
        ("failed", 2, f"reference {takes.format('a reference')}", None),
        ("failed", 2, f"made-reference {takes.format('a reference')}", None),
    ]


def test_calls_that_trap(tmp_path: Path) -> None:
    """A trap in a call is told as a trap in a run is."""
    (outcome,) = calls(tmp_path, TYPED, ("divide", "1", "0"))
    assert ended(outcome) == ("trapped", 122, "wasm trap: integer divide by zero")


def test_call_from_the_command_line(tmp_path: Path) -> None:
    """``sandbox call`` prints the result in WAVE."""
    policy = write_policy(tmp_path, policy_data(source=module(tmp_path, TYPED)))
    line = [sys.executable, "-m", "sandbox", "call", str(policy), "guest", "all", "1", "2", "3", "4"]
    done = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"(4, 3, 2, 1)\n", b"")


@pytest.mark.parametrize("status", [0, 1, 2, 42, 119, 125, 126, 127, 255])
def test_exit_statuses(run: Run, status: int) -> None:
    """``proc_exit`` gives each status from 0 to 255."""
    ran = run(START + f'(func (export "_start") (call $proc_exit (i32.const {status})))')
    assert ended(ran.outcome) == ("exited", status, None)
    assert [(e.name, e.reason, e.exit_status) for e in ran.outcome.events] == [("ended", "the component ended", status)]


@pytest.mark.parametrize(
    ("status", "kept"), [(256, 1), (257, 1), (300, 44), (512, 1), (-1, 255), (-256, 1), (-2147483648, 1)]
)
def test_exit_statuses_beyond_a_byte(run: Run, status: int, kept: int) -> None:
    """Of a larger status the low byte is kept, as the system does; but failure never becomes success."""
    ran = run(START + f'(func (export "_start") (call $proc_exit (i32.const {status})))')
    assert ended(ran.outcome) == ("exited", kept, None)


@pytest.mark.parametrize("where", ["start section", "_initialize", "function"])
def test_exit_from_anywhere(tmp_path: Path, where: str) -> None:
    """A call may end by ``proc_exit`` wherever it is; nothing is called after it, and there is no result."""
    leave = "(call $say (i32.const 16) (i32.const 6)) (call $proc_exit (i32.const 3))"
    bodies = {name: leave if name == where else "" for name in ("start section", "_initialize", "function")}
    text = (
        START
        + f"""
        (func $first {bodies["start section"]}) (start $first)
        (func (export "_initialize") {bodies["_initialize"]})
        (func (export "f") (result i32) {bodies["function"]} (i32.const 5))"""
    )
    (outcome,) = calls(tmp_path, text, ("f",))
    assert (ended(outcome), outcome.value, outcome.stdout) == (("exited", 3, None), None, b"start\n")


def test_start_section_that_traps(run: Run) -> None:
    """A trap in the start section is a trap of the run; ``_start`` is not called."""
    ran = run(
        START
        + """
        (func $first (call $say (i32.const 16) (i32.const 6)) unreachable)
        (start $first)
        (func (export "_start") (call $say (i32.const 32) (i32.const 7)))"""
    )
    reason = "wasm trap: wasm `unreachable` instruction executed"
    assert (ended(ran.outcome), ran.stdout) == (("trapped", 122, reason), "start\n")


@pytest.mark.parametrize("own", [START, ""], ids=["with WASI", "without WASI"])
def test_start_section_without_end(run: Run, own: str) -> None:
    """A loop in the start section ends at the deadline."""
    begun = time.monotonic()
    ran = run(
        f'{own} (func $first (loop $l (br $l))) (start $first) (func (export "_start"))', limits={"deadline": "1s"}
    )
    assert 0.9 < time.monotonic() - begun < 6
    reason = "the deadline of 1 s passed while the component was running"
    assert ended(ran.outcome) == ("deadline", 124, reason)
    assert [(e.name, e.capability, e.reason) for e in ran.outcome.events] == [
        ("limit", "limits.deadline", reason),
        ("ended", "run", reason),
    ]


def test_start_section_out_of_fuel(run: Run) -> None:
    """Fuel counts in the start section too."""
    ran = run(f'{START} (func $first (loop $l (br $l))) (start $first) (func (export "_start"))', limits={"fuel": 1000})
    assert ended(ran.outcome) == ("limit", 123, "the fuel that the policy grants is used up")


def test_module_without_wasi(run: Run) -> None:
    """A module that imports nothing runs, with or without memory or a start section."""
    assert ended(run('(func (export "_start"))').outcome) == EXITED
    assert ended(run('(memory 1) (func (export "_start") (i32.store (i32.const 0) (i32.const 1)))').outcome) == EXITED
    counted = "(global $g (mut i32) (i32.const 0)) (func $s (global.set $g (i32.const 1))) (start $s)"
    checks = '(func (export "_start") (if (i32.eqz (global.get $g)) (then unreachable)))'
    assert ended(run(counted + checks).outcome) == EXITED


@pytest.mark.parametrize(
    "start",
    [
        '(func (export "_start") (param i32))',
        '(func (export "_start") (result i32) (i32.const 7))',
        '(func (export "_start") (param externref) (result v128) (v128.const i64x2 0 0))',
    ],
    ids=["parameter", "result", "both"],
)
def test_start_of_another_type(run: Run, start: str) -> None:
    """A ``_start`` that takes or gives something is no command's: the run is refused with a sentence, and told."""
    ran = run(start)
    assert (ran.outcome.how, ran.outcome.exit_status) == ("refused", 121)
    assert "_start" in (ran.outcome.reason or "")
    assert [(e.name, e.exit_status) for e in ran.outcome.events][-1] == ("ended", 121)


def test_initialize_of_another_type(tmp_path: Path) -> None:
    """Likewise an ``_initialize`` that takes something."""
    text = '(func (export "_initialize") (param i32)) (func (export "f"))'
    (outcome,) = calls(tmp_path, text, ("f",))
    assert (outcome.how, outcome.exit_status) == ("refused", 121)
    assert "_initialize" in (outcome.reason or "")


def test_imports_again_and_exported(run: Run, tmp_path: Path) -> None:
    """A function may be imported twice, put into a table, called through it, and exported."""
    twice = imports("fd_write", "sched_yield") + imports("sched_yield").replace("$sched_yield", "$again")
    text = (
        twice
        + SAY
        + """
        (memory (export "memory") 1) (data (i32.const 16) "same\\n")
        (type $t (func (result i32)))
        (table 2 funcref) (elem (i32.const 0) $sched_yield $again)
        (export "yield" (func $again))
        (func (export "_start")
          (if (call_indirect (type $t) (i32.const 0)) (then unreachable))
          (if (call_indirect (type $t) (i32.const 1)) (then unreachable))
          (call $say (i32.const 16) (i32.const 5)))"""
    )
    assert run(text).stdout == "same\n"
    assert [(ended(o), o.value) for o in calls(tmp_path, text, ("yield",))] == [(EXITED, "0")]


def test_memory_that_grows(run: Run) -> None:
    """What the guest hands over may lie in memory that it got while running, up to the last byte."""
    ran = run(
        imports("fd_write")
        + SAY
        + """
        (memory (export "memory") 1)
        (func (export "_start")
          (if (i32.ne (memory.grow (i32.const 100)) (i32.const 1)) (then unreachable))
          (i32.store8 (i32.const 6619134) (i32.const 120)) (i32.store8 (i32.const 6619135) (i32.const 10))
          (call $say (i32.const 6619134) (i32.const 2)))"""
    )
    assert (ended(ran.outcome), ran.stdout) == (EXITED, "x\n")


def test_one_of_several_memories(run: Run) -> None:
    """Of several memories WASI has the one that is exported as ``memory``, whichever number it has."""
    ran = run(
        imports("fd_write")
        + """
        (memory $a 1) (memory $b (export "memory") 1) (memory $c (export "other") 1)
        (data (memory $a) (i32.const 16) "wrong\\n") (data (memory $b) (i32.const 16) "right\\n")
        (data (memory $c) (i32.const 16) "other\\n")
        (func (export "_start")
          (i32.store $b (i32.const 0) (i32.const 16)) (i32.store $b (i32.const 4) (i32.const 6))
          (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (i32.ne (i32.load $b (i32.const 8)) (i32.const 6)) (then unreachable)))"""
    )
    assert (ended(ran.outcome), ran.stdout) == (EXITED, "right\n")


def test_forty_memories_share_one_bound(run: Run) -> None:
    """Forty memories of up to 64 MiB each hold little more than 64 MiB together."""
    names = [f"$m{n}" for n in range(40)]
    memories = '(export "memory" (memory 0))' + "".join(f"(memory {name} 1)" for name in names)
    grow = "".join(
        f"""(loop $l
          (br_if $l (i32.and
            (i32.ne (memory.grow {name} (i32.const 16)) (i32.const -1))
            (i32.lt_u (memory.size {name}) (i32.const 1000)))))
          (global.set $pages (i32.add (global.get $pages) (memory.size {name})))"""
        for name in names
    )
    ran = run(
        imports("proc_exit") + memories + f'(global $pages (mut i32) (i32.const 0)) (func (export "_start") {grow}'
        " (call $proc_exit (i32.shr_u (global.get $pages) (i32.const 4))))",  # mebibytes
        limits={"memory": "64MiB"},
    )
    assert ran.outcome.how == "exited"
    assert 32 <= ran.outcome.exit_status <= 128
