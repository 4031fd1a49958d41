"""Core modules in a worker: how they are started, called, ended, bounded and kept."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from wasmtime import Instance, Module, Store, wat2wasm
from wasmtime import _ffi as ffi

from sandbox.plan import Plan
from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache
from sandbox.runtime.callbacks import Callbacks, UnfitError
from sandbox.runtime.channel import Channel
from sandbox.runtime.engine import SHIM_NEEDS, compiled_key, shim_sources, shims_key
from sandbox.runtime.engines import Engines, Settings
from sandbox.runtime.modules import Modules, _Get, export_getter
from sandbox.runtime.outcome import Outcome
from sandbox.runtime.process import WorkerProcess
from sandbox.runtime.session import UsageError, execute, plan_of, resolve_call
from sandbox.runtime.worker import HOST_MEMORY
from tests.e2e.harness import policy_data, write_policy

PAGE = 65536

P1 = '"wasi_snapshot_preview1"'
WRITE = f'(import {P1} "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))'
EXIT = f'(import {P1} "proc_exit" (func $exit (param i32)))'


def says(text: str) -> str:
    """A data segment and the function ``$say`` that writes it to standard output."""
    return f"""(memory (export "memory") 1) (data (i32.const 16) "{text}")
      (func $say
        (i32.store (i32.const 0) (i32.const 16)) (i32.store (i32.const 4) (i32.const {len(text)}))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))"""


class Told:
    """Keeps what a worker tells its supervisor."""

    def __init__(self) -> None:
        self.messages: list[tuple[Any, ...]] = []

    def send(self, *message: object) -> None:
        self.messages.append(message)


class Bench:
    """Runs modules, given as text, in a worker that stays warm. ``compiled`` says of the last run if it compiled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = Cache(folder / "cache")
        self.worker: WorkerProcess | None = None

    def plan(self, text: str, limits: Mapping[str, object] | None = None, **grants: Any) -> Plan:
        source = self.folder / "guest.wasm"
        source.write_bytes(wat2wasm(text))
        data = policy_data(source=source, limits=limits, **grants)
        policy = Policy.load(write_policy(self.folder, data))
        return plan_of(policy, policy.components[0], self.cache)

    def run(self, text: str, **more: Any) -> Outcome:
        return self.execute(self.plan(text, **more))

    def call(self, text: str, name: str, *arguments: str, **more: Any) -> Outcome:
        return self.execute(self.plan(text, **more), name, *arguments)

    def execute(self, plan: Plan, name: str | None = None, *arguments: str) -> Outcome:
        call = None if name is None else resolve_call(plan, name, arguments)
        worker, self.worker = self.worker or WorkerProcess.spawn(), None
        reusable = False
        try:
            outcome, reusable = execute(plan, worker, self.cache, call=call, stdin=b"")
        finally:
            if reusable:
                self.worker = worker
            else:
                worker.kill()
                worker.close()
        return outcome

    def restart(self) -> None:
        if self.worker is not None:
            self.worker.kill()
            self.worker.close()
            self.worker = None


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    found = Bench(tmp_path_factory.mktemp("modules"))
    yield found
    found.restart()


def ended(outcome: Outcome) -> tuple[str, int, str | None]:
    return outcome.how, outcome.exit_status, outcome.reason


NUMBERS = """(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "long") (param i64) (result i64) (local.get 0))
  (func (export "single") (param f32) (result f32) (local.get 0))
  (func (export "double") (param f64) (result f64) (local.get 0))
  (func (export "divide") (param i32 i32) (result i32 i32)
    (i32.div_s (local.get 0) (local.get 1)) (i32.rem_s (local.get 0) (local.get 1)))
  (func (export "mixed") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "nothing"))
  (func (export "a:b/c@1.0.0#d.e") (result i32) (i32.const 5))
  (func (export "vector") (param v128))
  (func (export "gives-vector") (result v128) (v128.const i64x2 0 0))
  (func (export "function") (param i32 funcref))
  (func (export "any") (param (ref null any)))
  (func (export "exception") (result exnref) (ref.null exn))
  (func (export "typed") (param (ref null func))))"""


@pytest.mark.parametrize(
    ("name", "arguments", "value"),
    [
        ("add", ["1", "2"], "3"),
        ("add", ["4294967295", "0"], "-1"),
        ("add", ["2147483647", "1"], "-2147483648"),
        ("add", ["-2147483648", "-1"], "2147483647"),
        ("long", ["18446744073709551615"], "-1"),
        ("long", ["-9223372036854775808"], "-9223372036854775808"),
        ("single", ["0.1"], "0.1"),
        ("single", ["-inf"], "-inf"),
        ("double", ["1e300"], "1e+300"),
        ("double", ["nan"], "nan"),
        ("double", ["-0"], "-0"),
        ("divide", ["7", "2"], "(3, 1)"),
        ("mixed", ["-1", "2", "1.5", "2.5"], "(2.5, 1.5, 2, -1)"),
        ("nothing", [], None),
        ("a:b/c@1.0.0#d.e", [], "5"),
    ],
)
def test_numbers(bench: Bench, name: str, arguments: list[str], value: str | None) -> None:
    """Numbers go in with a sign or without, and come out with one; several as a tuple. Any name can be called."""
    outcome = bench.call(NUMBERS, name, *arguments)
    assert (ended(outcome), outcome.value) == (("exited", 0, None), value)
    assert [e.name for e in outcome.events] == ["ended"]


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("add", ["1"], "1 argument given, the function takes 2 arguments: (i32, i32)"),
        (
            "add",
            ["1", "4294967296"],
            (
                "argument 2: out of range: expected an i32 from -2147483648 to 4294967295, found 4294967296"
                "\n  4294967296\n  ^"
            ),
        ),
        ("single", ["x"], "argument 1: expected a number, inf, -inf or nan for f32, found x\n  x\n  ^"),
        ("vector", ["1"], "vector takes or returns a v128, which cannot be passed as text"),
        ("gives-vector", [], "gives-vector takes or returns a v128, which cannot be passed as text"),
        ("function", ["1", "2"], "function takes or returns a reference, which cannot be passed as text"),
        ("any", ["1"], "any takes or returns a reference, which cannot be passed as text"),
        ("exception", [], "exception takes or returns a reference, which cannot be passed as text"),
        ("typed", ["1"], "typed takes or returns a reference, which cannot be passed as text"),
    ],
)
def test_wrong_arguments(bench: Bench, name: str, arguments: list[str], reason: str) -> None:
    """What does not fit the function is a wrong use; a type that Wasmtime's binding would die of included."""
    outcome = bench.call(NUMBERS, name, *arguments)
    assert (outcome.exit_status, outcome.value) == (2, None)
    assert outcome.reason == reason
    assert bench.worker is not None


def test_a_name_that_is_not_exported(bench: Bench) -> None:
    """Nothing is run, and the message says what there is."""
    text = '(module (memory (export "memory") 1) (func (export "one")) (func (export "_initialize")))'
    plan = bench.plan(text)
    with pytest.raises(UsageError) as raised:
        bench.execute(plan, "memory")
    assert str(raised.value) == "the module exports no function 'memory'; it exports one"
    with pytest.raises(UsageError) as raised:
        bench.execute(plan)
    assert str(raised.value) == (
        f"{plan.source} is no command (it does not export _start); call one of its functions instead"
    )


ORDER = """(module
  (global $at (mut i32) (i32.const 0))
  (func $then (param i32) (global.set $at (i32.add (i32.mul (global.get $at) (i32.const 10)) (local.get 0))))
  (func $start (call $then (i32.const 1))) (start $start)
  (func (export "_initialize") (call $then (i32.const 2)))
  (func (export "at") (result i32) (call $then (i32.const 3)) (global.get $at))
  (func (export "_start") (if (i32.ne (global.get $at) (i32.const 1)) (then unreachable))))"""


def test_the_order_of_things(bench: Bench) -> None:
    """A call comes after the start function and ``_initialize``; a run after the start function alone. Each is new."""
    for _ in range(2):
        assert bench.call(ORDER, "at").value == "123"
        assert ended(bench.run(ORDER)) == ("exited", 0, None)


def test_a_start_function_that_uses_wasi(bench: Bench) -> None:
    """It finds WASI as any other function does, under the policy; what it is not granted is told once."""
    text = f"""(module {WRITE} {says("started ")} (start $say) (func (export "_start") (call $say)))"""
    outcome = bench.run(text)
    assert (ended(outcome), outcome.stdout) == (("exited", 0, None), b"started started ")
    outcome = bench.run(text, stdio=None)
    assert [(e.name, e.capability, e.interface, e.function) for e in outcome.events] == [
        ("denied", "stdio.stdout", "wasi_snapshot_preview1", "fd_write"),
        ("ended", "run", None, None),
    ]


@pytest.mark.parametrize(("status", "kept"), [(0, 0), (7, 7), (255, 255), (256, 1)])
def test_statuses(bench: Bench, status: int, kept: int) -> None:
    """All of 0 to 255 arrive, from wherever the module exits; beyond that, failure stays failure."""
    for functions, name in (
        ('(start $end) (func (export "_start") unreachable)', None),
        ('(export "_start" (func $end))', None),
        ('(export "_initialize" (func $end)) (func (export "f") unreachable)', "f"),
        ('(export "f" (func $end))', "f"),
    ):
        text = f'(module {EXIT} (memory (export "memory") 1) (func $end (call $exit (i32.const {status}))) {functions})'
        plan = bench.plan(text)
        outcome = bench.execute(plan, name)
        assert (ended(outcome), outcome.value) == (("exited", kept, None), "" or None), functions


TRAPS = [
    ('(func (export "_start") unreachable)', "wasm trap: wasm `unreachable` instruction executed"),
    ('(func $f (export "_start") (call $f))', "wasm trap: call stack exhausted"),
    ('(func $f unreachable) (start $f) (func (export "_start"))', "wasm trap: wasm `unreachable` instruction executed"),
    ('(memory 1) (data (i32.const 65536) "x") (func (export "_start"))', "wasm trap: out of bounds memory access"),
    ('(func (export "_start") (drop (i32.div_s (i32.const 1) (i32.const 0))))', "wasm trap: integer divide by zero"),
]


@pytest.mark.parametrize(("body", "reason"), TRAPS)
@pytest.mark.parametrize("preview1", [False, True])
def test_traps(bench: Bench, body: str, reason: str, preview1: bool) -> None:
    """A trap is one wherever it happens: in a function, in the start function, or while memory is filled."""
    body = body.replace("(memory 1)", '(memory (export "memory") 1)')
    own = "" if "(memory" in body else '(memory (export "memory") 1)'
    outcome = bench.run(f"(module {WRITE if preview1 else ''} {own} {body})")
    assert ended(outcome) == ("trapped", 122, reason)


NO_PROCEDURE = "its _start is no function without parameters and results"
UNLIKE = (
    "incompatible import type for `wasi_snapshot_preview1::%s`: types incompatible: expected type `%s`, found type `%s`"
)
REFUSED = [
    (
        f"""(module (import {P1} "fd_write" (func (param i64) (result i32))) (memory (export "memory") 1)
          (func (export "_start")))""",
        UNLIKE % ("fd_write", "(func (param i64) (result i32))", "(func (param i32 i32 i32 i32) (result i32))"),
    ),
    (
        f"""(module {WRITE} (import {P1} "proc_exit" (func (param exnref))) (memory (export "memory") 1)
          (func (export "_start")))""",
        UNLIKE % ("proc_exit", "(func (param (ref null exn)))", "(func (param i32))"),
    ),
    ('(module (func (export "_start") (param i32)))', NO_PROCEDURE),
    ('(module (func (export "_start") (result v128) unreachable))', NO_PROCEDURE),
    (
        '(module (memory 1 1 shared) (func (export "_start")))',
        "shared memory support is disabled for this engine -- see `Config::shared_memory`",
    ),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(bench: Bench, text: str, reason: str) -> None:
    """A module that cannot be put together is refused with Wasmtime's reason; one without a command with ours."""
    outcome = bench.run(text)
    assert (outcome.how, outcome.exit_status) == ("refused", 121)
    assert outcome.reason == reason
    assert [e.name for e in outcome.events] == ["refused", "ended"]
    assert bench.worker is not None


SAYS_FIRST = f"""(module {WRITE} {says("ran")} (start $say)
  (func (export "_initialize") (call $say)) (func (export "f") (param i32)) (func (export "v") (param v128)))"""


@pytest.mark.parametrize(
    ("text", "call", "how", "status", "reason"),
    [
        (
            SAYS_FIRST,
            ("f", "x"),
            "failed",
            2,
            "argument 1: expected an i32 from -2147483648 to 4294967295, found x\n  x\n  ^",
        ),
        (SAYS_FIRST, ("f",), "failed", 2, "0 arguments given, the function takes 1 argument: (i32)"),
        (SAYS_FIRST, ("v", "1"), "failed", 2, "v takes or returns a v128, which cannot be passed as text"),
        (
            SAYS_FIRST.replace('(export "_initialize")', '(export "_initialize") (param i32)'),
            ("f", "1"),
            "refused",
            121,
            "its _initialize is no function without parameters and results",
        ),
        (
            SAYS_FIRST.replace('(export "f")', '(export "_start")'),
            (),
            "refused",
            121,
            "its _start is no function without parameters and results",
        ),
    ],
)
def test_a_call_is_judged_before_anything_runs(
    bench: Bench, text: str, call: tuple[str, ...], how: str, status: int, reason: str
) -> None:
    """Neither the start function nor ``_initialize`` runs for a call that cannot be made."""
    outcome = bench.call(text, *call) if call else bench.run(text)
    assert (ended(outcome), outcome.stdout) == ((how, status, reason), b"")
    assert bench.call(SAYS_FIRST, "f", "1").stdout == b"ranran"


@pytest.mark.parametrize(
    "wanted",
    [
        '(func (import "wasi_snapshot_preview1" "own.path_unlink_file") (param i32 i32 i32) (result i32))',
        '(memory (import "wasi_snapshot_preview1" "memory") 1)',
        '(table (import "wasi_snapshot_preview1" "table") 1 funcref)',
        '(func (import "sandbox:guard/host" "exit") (param i32))',
    ],
)
def test_what_is_the_shims_is_for_no_guest(tmp_path: Path, wanted: str) -> None:
    """The worker gives a guest nothing of the base but the functions of preview 1, whatever the plan has let by."""
    guests = Modules(Engines(), Callbacks(cast(Channel, Told())))
    job = {"key": "guest", "shims": "shims", "cache": str(tmp_path), "fuel": None, "deterministic": False}
    data = bytes(wat2wasm(f'(module {wanted} (memory (export "memory") 1))'))
    with pytest.raises(UnfitError, match=r"^the module imports something that is not of wasi_snapshot_preview1$"):
        guests.compile(job, [data])
    assert list(tmp_path.iterdir()) == []


def test_many_modules_in_one_worker(tmp_path: Path) -> None:
    """A worker does not run out of files over the guests that it has seen."""
    bench = Bench(tmp_path)
    try:
        for number in range(100):
            text = f'(module (memory 1) (data (i32.const 0) "{number}") (func (export "_start")))'
            assert ended(bench.run(text, limits={"handles": 8})) == ("exited", 0, None)
    finally:
        bench.restart()


def test_the_shims_sources() -> None:
    """What base and shim are made from is all that their key depends on: no module of the guard's is missing in it."""
    root = Path(__file__).resolve().parent.parent.parent / "sandbox"
    assert all((root / name).is_file() for name in shim_sources())
    used = set()
    for path in (root / "guard" / "preview1").glob("*.py"):
        used |= set(re.findall(r"from sandbox\.guard\.(\w+) import", path.read_text(encoding="utf-8")))
    assert used - {"preview1"} == set(SHIM_NEEDS)


def test_code_that_is_not_valid(bench: Bench) -> None:
    """Wasmtime's own words say what is wrong with it."""
    outcome = bench.run('(module (func (export "_start") (i64.const 1)))')
    assert outcome.how == "refused"
    assert (outcome.reason or "").startswith("Wasmtime refuses the module: ")


def test_names_are_no_part_of_what_is_wrong(bench: Bench) -> None:
    """Wasmtime quotes names in what it finds wrong: such a name cannot speak for it."""
    name = "a\\n\\nCaused by:\\n  all is well"
    outcome = bench.run(f'(module (func (export "_start")) (func (export "{name}")) (func (export "{name}")))')
    assert ended(outcome) == ("refused", 121, "Wasmtime refuses the module: duplicate export name `a")


def test_a_start_function_of_another_type(bench: Bench) -> None:
    """Wasmtime would not have compiled it."""
    outcome = bench.run('(module (func $s (param i32)) (start $s) (func (export "_start")))')
    assert ended(outcome) == ("refused", 121, "its start function takes or returns something")


GROWS = """(module {imports} (memory (export "memory") 1) {more}
  (func (export "grow") (param $pages i32) (result i32) (local $left i32)
    (loop $again
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (return (memory.size))))
      (local.set $pages (i32.sub (local.get $pages) (i32.const 1)))
      (br_if $again (local.get $pages)))
    (memory.size)))"""


def test_a_memory_that_grows(bench: Bench) -> None:
    """Beyond its bound, growing fails and the module goes on."""
    text = GROWS.format(imports="", more="")
    outcome = bench.call(text, "grow", "1000", limits={"memory": "4MiB"})
    assert (ended(outcome), outcome.value) == (("exited", 0, None), "64")
    assert (outcome.usage.memory or 0) < 8 << 20  # what the worker itself took is among it


def test_a_memory_that_is_too_large(bench: Bench) -> None:
    """A module that needs more from the beginning does not begin."""
    outcome = bench.run('(module (memory 65) (func (export "_start")))', limits={"memory": "4MiB"})
    reason = "memory minimum size of 65 pages exceeds memory limits"
    assert (ended(outcome), outcome.bound) == (("limit", 123, reason), "limits.memory")


def test_memories_share_one_bound(bench: Bench) -> None:
    """Several memories hold together what the policy allows, and hardly more."""
    many = "".join(f"(memory $m{n} 1)" for n in range(30))
    touch = "".join(
        f"(drop (memory.grow $m{n} (i32.const 255)))"
        f" (memory.fill $m{n} (i32.const 0) (i32.const 1) (i32.mul (memory.size $m{n}) (i32.const 65536)))"
        for n in range(30)
    )
    total = "(i32.const 0)"
    for n in range(30):
        total = f"(i32.add {total} (memory.size $m{n}))"
    text = f'(module {WRITE} (memory (export "memory") 1) {many} (func (export "f") (result i32) {touch} {total}))'
    outcome = bench.call(text, "f", limits={"memory": "32MiB"})
    assert ended(outcome) == ("exited", 0, None)
    assert 16 << 20 <= int(outcome.value or 0) * PAGE <= (32 << 20) + HOST_MEMORY


def test_fuel(bench: Bench) -> None:
    """It bounds the start function as much as what is called after it, and says how much was used."""
    endless = "(func $f (loop $l (br $l)))"
    reason = "the fuel that the policy grants is used up"
    for text in (
        f'(module {endless} (export "_start" (func $f)))',
        f'(module {WRITE} (memory (export "memory") 1) {endless} (start $f) (func (export "_start")))',
    ):
        outcome = bench.run(text, limits={"fuel": 1_000_000})
        assert (ended(outcome), outcome.bound) == (("limit", 123, reason), "limits.fuel")
    outcome = bench.call(NUMBERS, "add", "1", "2", limits={"fuel": 1000})
    assert (outcome.value, outcome.usage.fuel) == ("3", 4)


def test_the_deadline(bench: Bench) -> None:
    """A module that does not end is ended, and the next runs in another worker."""
    outcome = bench.run('(module (func (export "_start") (loop $l (br $l))))', limits={"deadline": "1s"})
    reason = "the deadline of 1 s passed while the component was running"
    assert (ended(outcome), outcome.bound) == (("deadline", 124, reason), "limits.deadline")
    assert bench.worker is None
    assert bench.call(NUMBERS, "add", "1", "2").value == "3"


HELLO = f'(module {WRITE} {says("hello")} (export "_start" (func $say)))'


def files(cache: Cache) -> dict[str, tuple[int, int]]:
    """Compiled code in a cache: size, and what changes when it is written again."""
    found = {}
    for entry in os.scandir(cache.directory):
        if entry.name.endswith(".cwasm"):
            info = entry.stat()
            found[entry.name] = (info.st_size, info.st_mtime_ns)
    return found


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed", "no-facts", "odd-facts"])
@pytest.mark.parametrize("what", ["guest", "base", "shim"])
def test_a_damaged_cache(tmp_path: Path, what: str, damage: str) -> None:
    """What is missing, cut short or nonsense is compiled again, that alone where it can be told, and kept."""
    bench = Bench(tmp_path)
    plan = bench.plan(HELLO)
    try:
        assert bench.execute(plan).stdout == b"hello"
        shims = shims_key(Settings())
        keys = {"guest": compiled_key(plan), "base": f"{shims}.base", "shim": f"{shims}.shim"}
        facts = compiled_key(plan) + ".module" if what == "guest" else shims + ".shims"
        before = files(bench.cache)
        assert set(before) == {f"{k}.cwasm" for k in keys.values()}
        code = Path(bench.cache.path(f"{keys[what]}.cwasm"))
        if damage == "cut":
            os.truncate(code, code.stat().st_size - 1)
        elif damage == "emptied":
            os.truncate(code, 0)
        elif damage == "removed":
            code.unlink()
        elif damage == "no-facts":
            os.unlink(bench.cache.path(facts))
        else:
            Path(bench.cache.path(facts)).write_text('{"size": [], "imports": 5}')
        assert bench.execute(plan).stdout == b"hello"  # it is still in the worker
        bench.restart()
        assert bench.execute(plan).stdout == b"hello"
        after = files(bench.cache)
        assert {name: size for name, (size, _) in after.items()} == {name: size for name, (size, _) in before.items()}
        again = {"guest"} if what == "guest" else {"base", "shim"}
        assert {w for w, k in keys.items() if after[f"{k}.cwasm"][1] != before[f"{k}.cwasm"][1]} == again
        bench.restart()
        assert bench.execute(plan).stdout == b"hello"
        assert files(bench.cache) == after
    finally:
        bench.restart()


def test_what_code_depends_on(bench: Bench) -> None:
    """A module is compiled once for all policies, and again for each kind of engine; its base and shim likewise."""
    plans = [bench.plan(HELLO), bench.plan(HELLO, clocks=None, stdio=None), bench.plan(HELLO, limits={"fuel": 10**9})]
    one, same, fuel = (compiled_key(p) for p in plans)
    assert one == same
    declared = [compiled_key(replace(plan, deterministic=True)) for plan in plans]
    assert declared[0] == declared[1]
    guarded = [compiled_key(replace(plans[0], kind="component", deterministic=said)) for said in (False, True)]
    shims = [shims_key(Settings(fuel=fuel, deterministic=same)) for fuel in (False, True) for same in (False, True)]
    assert len({one, fuel, *declared[1:], *guarded, *shims, compiled_key(bench.plan(NUMBERS))}) == 11


def test_a_module_that_needs_no_shim(tmp_path: Path) -> None:
    """It is instantiated alone: base and shim are not even compiled."""
    bench = Bench(tmp_path)
    try:
        plan = bench.plan(NUMBERS)
        assert bench.execute(plan, "add", "1", "2").value == "3"
        assert set(files(bench.cache)) == {f"{compiled_key(plan)}.cwasm"}
    finally:
        bench.restart()


def test_one_worker_for_both(bench: Bench) -> None:
    """Components and modules take turns in a worker, and share nothing of a run."""
    component = Path(__file__).parent.parent / "guests" / "exit-with-code.wat"
    data = policy_data(source=bench.folder / "component.wasm")
    (bench.folder / "component.wasm").write_bytes(wat2wasm(component.read_text()))
    policy = Policy.load(write_policy(bench.folder, data, "component.yaml"))
    plan = plan_of(policy, policy.components[0], bench.cache)
    bench.run(HELLO)
    worker = bench.worker
    for _ in range(2):
        assert ended(bench.execute(plan)) == ("exited", 42, None)
        assert bench.run(HELLO).stdout == b"hello"
    assert bench.worker is worker


def test_a_module_that_changed(bench: Bench) -> None:
    """What is compiled is what was planned, or nothing."""
    plan = bench.plan('(module (func (export "_start") (drop (i32.const 77))))')
    (bench.folder / "guest.wasm").write_bytes(wat2wasm("(module)"))
    assert ended(bench.execute(plan)) == ("refused", 121, "the module changed while it was being read")
    (bench.folder / "guest.wasm").unlink()
    assert ended(bench.execute(plan)) == ("refused", 121, "the module cannot be read: No such file or directory")


@pytest.mark.parametrize("change", ["none", "result", "arguments", "untyped"])
def test_a_binding_that_is_not_known(change: str) -> None:
    """Exports are found all the same where the binding's function is not as it was, if it does what it says."""

    class Entry:
        restype = ctypes.c_bool if change != "result" else ctypes.c_int
        argtypes = (
            None
            if change == "untyped"
            else ffi.dll.wasmtime_instance_export_get.argtypes[: 4 if change == "arguments" else 5]
        )

    class Library:
        wasmtime_extern_t = ffi.wasmtime_extern_t
        wasmtime_instance_export_get = staticmethod(ffi.wasmtime_instance_export_get)
        dll = ffi.dll if change == "none" else type("Dll", (), {"wasmtime_instance_export_get": Entry})

    get = export_getter(Library)
    assert (type(get) is _Get) == (change == "none")
    store = Store()
    instance = Instance(store, Module(store.engine, '(module (func (export "f")))'), [])
    item = ffi.wasmtime_extern_t()
    place, names = ctypes.addressof(item), [ctypes.create_string_buffer(name) for name in (b"f", b"g")]
    found = [get(store._context(), ctypes.byref(instance._instance), name, 1, place) for name in names]
    assert found == [True, False]
    kind: Any = item.kind
    assert kind == ffi.WASMTIME_EXTERN_FUNC.value
