"""Programs of several components: a call from one to another, instances, and how many fit into memory."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from wasmtime import Engine, Store, WasiConfig, wat2wasm
from wasmtime import component as wasm

from benchmarks.bench import ROOT, Bench, Cases
from benchmarks.measure import Row, each, in_turns, interleave, seconds
from sandbox.guard.build import link
from sandbox.guard.compose import compose
from sandbox.guard.program import Instance, Part, Wire
from sandbox.guard.shape import Shape
from sandbox.guard.sites import HOST_INSTANCE

AIM = 20.0
"""Nanoseconds that a call into another component may take more than one within a component."""
PARTS = (2, 5, 20)
LIVE = 1000
"""Programs that are alive at once."""
CALLS = 5_000_000
HOST_CALLS = 20_000
REQUESTS = 400
KIBIBYTE = 1024

LINE = "bench:calls/line{}@1.0.0"
SHAPE = Shape(
    environment=False,
    arguments=False,
    wall="denied",
    monotonic="denied",
    random="denied",
    counts_writes=False,
    exports=(),
    program=True,
)

_EXPORT = """
  (func $f (param "x" u32) (result u32) (canon lift (core func $i "inc")))
  (component $c (import "f" (func $f (param "x" u32) (result u32))) (export "inc" (func $f)))
  (instance $e (instantiate $c (with "f" (func $f))))
  (export "{name}" (instance $e))"""
LAST = f"""(component
  (core module $m (func (export "inc") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
  (core instance $i (instantiate $m)) {_EXPORT})"""
"""The component at the end of a chain: it counts."""
LINK = f"""(component
  (import "{{imported}}" (instance $next (export "inc" (func (param "x" u32) (result u32)))))
  (core func $inc (canon lower (func $next "inc")))
  (core module $m (import "m" "inc" (func $inc (param i32) (result i32)))
    (func (export "inc") (param i32) (result i32) (call $inc (local.get 0))))
  (core instance $i (instantiate $m (with "m" (instance (export "inc" (func $inc)))))) {_EXPORT})"""
"""One in the middle: it passes calls on."""
LOOP = """
    (func (export "loop") (param $n i32) (result i32) (local $x i32)
      (loop $next
        (local.set $x {call})
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x))"""
CALLER = f"""(component
  (import "{{imported}}" (instance $next (export "inc" (func (param "x" u32) (result u32)))))
  (core func $inc (canon lower (func $next "inc")))
  (core module $m (import "m" "inc" (func $inc (param i32) (result i32)))
    {LOOP.format(call="(call $inc (local.get $x))")})
  (core instance $i (instantiate $m (with "m" (instance (export "inc" (func $inc))))))
  (func (export "loop") (param "n" u32) (result u32) (canon lift (core func $i "loop"))))"""
"""The one that is run: it calls in a loop."""
ALONE = f"""(component
  (core module $m (table 1 funcref) (elem (i32.const 0) $inc) (type $t (func (param i32) (result i32)))
    (func $inc (type $t) (i32.add (local.get 0) (i32.const 1)))
    {LOOP.format(call="(call_indirect (type $t) (local.get $x) (i32.const 0))")})
  (core instance $i (instantiate $m))
  (func (export "loop") (param "n" u32) (result u32) (canon lift (core func $i "loop"))))"""
"""The same loop over a function of its own, called through a table so that it is not taken into the loop."""
TEXT = LINE.format("-text")
TEXT_BYTES = 16
MEASURES = f"""(component
  (core module $m (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "inc") (param i32 i32) (result i32) (local.get 1)))
  (core instance $i (instantiate $m))
  (type $t (func (param "x" string) (result u32)))
  (func $f (type $t)
    (canon lift (core func $i "inc") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (component $c (type $t (func (param "x" string) (result u32)))
    (import "f" (func $f (type $t))) (export "inc" (func $f)))
  (instance $e (instantiate $c (with "f" (func $f))))
  (export "{TEXT}" (instance $e)))"""
"""One that is given a string: it says how many bytes long that is."""
SPEAKS = f"""(component
  (import "{TEXT}" (instance $next (export "inc" (func (param "x" string) (result u32)))))
  (core module $memory (memory (export "memory") 1) (data (i32.const 64) "sixteen letters."))
  (core instance $memory (instantiate $memory))
  (core func $inc (canon lower (func $next "inc") (memory (core memory $memory "memory"))))
  (core module $m (import "m" "inc" (func $inc (param i32 i32) (result i32)))
    {LOOP.format(call=f"(call $inc (i32.const 64) (i32.const {TEXT_BYTES}))")})
  (core instance $i (instantiate $m (with "m" (instance (export "inc" (func $inc))))))
  (func (export "loop") (param "n" u32) (result u32) (canon lift (core func $i "loop"))))"""
"""The one that is run, giving it one."""
HOST = LINE.format("-host")

SERVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        body = str(int(self.path[1:]) + 1).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
server = HTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def cases(bench: Bench) -> Cases:
    found: Cases = {
        "programs.call": lambda: _call(bench),
        "programs.call.text": lambda: _call_text(bench),
        "programs.host-call": lambda: _host_call(bench),
        "programs.request": lambda: _request(bench),
    }
    for count in PARTS:
        found[f"programs.instantiate.{count}"] = partial(_instantiate, bench, count)
    found["programs.memory"] = lambda: _memory(bench)
    return found


def chain(count: int) -> tuple[list[bytes], list[tuple[Wire, ...]]]:
    """``count`` components, each of which calls the one before it; the last one calls in a loop."""
    texts = [LAST.replace("{name}", LINE.format(0))]
    wires: list[tuple[Wire, ...]] = [()]
    for number in range(1, count):
        imported = LINE.format(number - 1)
        text = CALLER if number == count - 1 else LINK.replace("{name}", LINE.format(number))
        texts.append(text.replace("{imported}", imported))
        wires.append((Wire(name=imported, instance=number - 1, export=imported),))
    return [bytes(wat2wasm(text)) for text in texts], wires


class Program:
    """A compiled program and what it is linked with."""

    def __init__(self, engine: Engine, code: bytes | wasm.Component, hosts: Sequence[str] = ()) -> None:
        self.engine = engine
        self.code = wasm.Component(engine, code) if isinstance(code, bytes) else code
        self.hosts = hosts
        self.linker = wasm.Linker(engine)
        self.linker.add_wasip2()
        with self.linker.root() as root:
            if hosts:
                with root.add_instance(HOST_INSTANCE) as host:
                    for name in hosts:
                        host.add_func(name, lambda *_: None)

    def instantiate(self) -> tuple[Store, wasm.Instance]:
        store = Store(self.engine)
        store.set_wasi(WasiConfig())
        return store, self.linker.instantiate(store, self.code)

    def once(self) -> None:
        store, _ = self.instantiate()
        store.close()

    def caller(self) -> Callable[[int], object]:
        store, instance = self.instantiate()
        function = instance.get_func(store, "loop")
        assert function is not None
        return lambda count: function(store, count)


def guarded(engine: Engine, count: int) -> Program:
    """A program of ``count`` components behind their guard, as a worker has it."""
    return _guarded(engine, *chain(count))


def _guarded(engine: Engine, components: Sequence[bytes], wires: Sequence[tuple[Wire, ...]]) -> Program:
    last = len(components) - 1
    parts = [
        Part(
            name=str(number),
            component=number,
            shape=SHAPE if number < last else replace(SHAPE, exports=("func loop",)),
            wires=wires[number],
        )
        for number in range(last + 1)
    ]
    linked = link(engine, components, parts)
    return Program(engine, linked.wasm, linked.host)


def composed(engine: Engine, count: int) -> Program:
    """The same without a guard."""
    components, wires = chain(count)
    instances = [Instance(name=str(n), component=n, wires=wires[n]) for n in range(count)]
    return Program(engine, compose(engine, components, instances))


def _nanoseconds(call: Callable[[int], object], count: int) -> Callable[[], float]:
    return lambda: seconds(lambda: call(count)) / count * 1e9


def _call(bench: Bench) -> Iterator[Row]:
    count = bench.count(CALLS, 1000)
    ours, plain = interleave(
        _nanoseconds(guarded(bench.engine, 2).caller(), count),
        _nanoseconds(Program(bench.engine, bytes(wat2wasm(ALONE))).caller(), count),
        bench.count(15),
    )
    what = "a call of another component of the program, beside one within a component"
    yield Row(name="programs.call", what=what, unit="ns", ours=ours, plain=plain, kind="added", aim=AIM)


def _call_text(bench: Bench) -> Iterator[Row]:
    components = [bytes(wat2wasm(text)) for text in (MEASURES, SPEAKS)]
    program = _guarded(bench.engine, components, [(), (Wire(name=TEXT, instance=0, export=TEXT),)])
    call = program.caller()
    assert call(1) == TEXT_BYTES
    ours, plain = interleave(
        _nanoseconds(call, bench.count(CALLS, 1000)),
        _nanoseconds(guarded(bench.engine, 2).caller(), bench.count(CALLS, 1000)),
        bench.count(15),
    )
    what = f"the same with a string of {TEXT_BYTES} bytes, beside one with a number"
    yield Row(name="programs.call.text", what=what, unit="ns", ours=ours, plain=plain, kind="added")


def _host_call(bench: Bench) -> Iterator[Row]:
    host = Program(bench.engine, bytes(wat2wasm(CALLER.replace("{imported}", HOST))))
    with host.linker.root() as root, root.add_instance(HOST) as instance:
        instance.add_func("inc", lambda _, x: x + 1)
    ours, plain = interleave(
        _nanoseconds(guarded(bench.engine, 2).caller(), bench.count(CALLS, 1000)),
        _nanoseconds(host.caller(), bench.count(HOST_CALLS, 100)),
        bench.count(9),
    )
    what = "the same, beside a function of the host's in Python"
    yield Row(name="programs.host-call", what=what, unit="ns", ours=ours, plain=plain)


def _request(bench: Bench) -> Iterator[Row]:
    with _server() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)

        def ask(count: int) -> None:
            for number in range(count):
                connection.request("GET", f"/{number}")
                connection.getresponse().read()

        ours, plain = interleave(
            _nanoseconds(guarded(bench.engine, 2).caller(), bench.count(CALLS, 1000)),
            _nanoseconds(ask, bench.count(REQUESTS, 10)),
            bench.count(9),
        )
        connection.close()
    what = "the same, beside an HTTP request on loopback, on a connection that stays open, from Python to Python"
    yield Row(name="programs.request", what=what, unit="ns", ours=ours, plain=plain)


@contextmanager
def _server() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.terminate()


def _instantiate(bench: Bench, count: int) -> Iterator[Row]:
    times = bench.count(200)
    ours, plain = interleave(
        each(guarded(bench.engine, count).once, times, 1e6),
        each(composed(bench.engine, count).once, times, 1e6),
        bench.count(15),
    )
    what = f"a program of {count} components: store, instance and drop, beside the same without a guard"
    yield Row(name=f"programs.instantiate.{count}", what=what, unit="us", ours=ours, plain=plain)


def _memory(bench: Bench) -> Iterator[Row]:
    live = bench.count(LIVE, 5)
    sides = [partial(_resident, bench, make(bench.engine, 5), live) for make in (guarded, composed)]
    ours, plain = in_turns(sides, bench.count(3))
    what = f"resident memory of each of {live:,} live programs of 5 components, beside the same without a guard"
    yield Row(name="programs.memory", what=what, unit="KiB", ours=ours, plain=plain)


def _resident(bench: Bench, program: Program, live: int) -> float:
    """KiB that one program more takes, in a process that has let go of no memory: that would be used again first."""
    compiled = bench.directory / "program.compiled"
    compiled.write_bytes(program.code.serialize())
    code = "import sys; from benchmarks.programs import resident; print(resident(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(compiled), str(live), *program.hosts]
    return float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def resident(compiled: str, live: str, *hosts: str) -> float:
    """What :func:`_resident` says, of this process."""
    engine = Engine()
    program = Program(engine, wasm.Component.deserialize_file(engine, compiled), hosts)
    first = program.instantiate()
    before = _pages()
    kept = [first, *(program.instantiate() for _ in range(int(live)))]
    return (_pages() - before) / (len(kept) - 1) * os.sysconf("SC_PAGE_SIZE") / KIBIBYTE


def _pages() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1])
