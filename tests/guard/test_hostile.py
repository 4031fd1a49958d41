"""Imports that lie: whatever types a component declares, it is refused with a sentence or guarded soundly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wasmtime import Engine, Store, WasiConfig, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.guard import types as ty
from sandbox.guard.build import guard
from sandbox.guard.instances import instance_type
from sandbox.guard.reflect import Unsupported
from sandbox.guard.shape import Clock, Shape
from sandbox.guard.sockets import ERROR_CODE
from sandbox.guard.wat import quote
from tests.e2e.components import component as program
from tests.guard.test_types import TYPES

DENIED = Shape(
    environment=False,
    arguments=False,
    wall="denied",
    monotonic="denied",
    random="denied",
    counts_writes=True,
    exports=(),
)
OPEN = Shape(
    environment=True,
    arguments=True,
    wall="coarse",
    monotonic="frozen",
    random="seeded",
    counts_writes=False,
    exports=(),
)


NETWORKED = Shape(
    environment=True,
    arguments=True,
    wall="real",
    monotonic="denied",
    random="secure",
    counts_writes=True,
    sockets=True,
    exports=(),
)


def importing(name: str, body: str, before: str = "") -> bytes:
    """A component that imports one instance and has nothing else."""
    return bytes(wat2wasm(f"(component {before} (import {quote(name)} (instance {body})))"))


def fate(component: bytes, shape: Shape = DENIED) -> str:
    """``compiles``, or the sentence with which the guard refuses the component."""
    engine = Engine()
    try:
        guarded = guard(engine, component, shape)
    except Unsupported as error:
        return str(error)
    wasm.Component(engine, guarded.wasm)
    return "compiles"


def links(component: bytes) -> str:
    """``runs``, or why Wasmtime does not link a guarded component."""
    engine = Engine()
    guarded = guard(engine, component, OPEN)
    linker = wasm.Linker(engine)
    linker.add_wasip2()
    functions = {name: (lambda *_: 0) for name in guarded.host}
    if functions:
        with linker.root() as root, root.add_instance("sandbox:guard/host") as host:
            for name, function in functions.items():
                host.add_func(name, function)
    store = Store(engine)
    store.set_wasi(WasiConfig())
    try:
        linker.instantiate(store, wasm.Component(engine, guarded.wasm))
    except WasmtimeError as error:
        return str(error).splitlines()[0]
    return "runs"


RESOURCE = '(export "descriptor" (type $d (sub resource)))'
TYPES_IMPORT = "wasi:filesystem/types@0.2.0"
BIG = "(tuple " + "u64 " * 200 + ")"

REFUSED: dict[str, tuple[bytes, str]] = {
    "an interface that nothing guards": (
        importing("acme:billing/ledger@1.0.0", '(export "f" (func))'),
        "it imports acme:billing/ledger@1.0.0, which no component serves",
    ),
    "an interface of WASI's that nothing guards": (
        importing("wasi:nn/tensor@0.2.0", '(export "f" (func))'),
        "it imports wasi:nn/tensor@0.2.0, which no part of the guard stands in front of",
    ),
    "a function alone": (
        bytes(wat2wasm('(component (import "f" (func)))')),
        "it imports 'f', which is no interface",
    ),
    "an instance in an interface": (
        importing("wasi:cli/stdin@0.2.0", '(export "x" (instance))'),
        "'wasi:cli/stdin@0.2.0' holds 'x', which is neither a type nor a function",
    ),
    "a result as large as the guard's tables": (
        importing("wasi:http/types@0.2.0", f'(type $t {BIG}) (export "f" (func (result $t)))'),
        "it imports a function with a larger result than any of WASI 0.2 has",
    ),
    "types without end": (
        importing(
            "wasi:http/types@0.2.0",
            "(type $t0 (tuple u8 u8))"
            + "".join(f"(type $t{i + 1} (tuple $t{i} $t{i}))" for i in range(16))
            + '(export "f" (func (param "p" $t16)))',
        ),
        "its imported types are nested or repeated beyond any use",
    ),
    "types too deep": (
        importing(
            "wasi:http/types@0.2.0",
            "(type $t0 (list u8))"
            + "".join(f"(type $t{i + 1} (list $t{i}))" for i in range(70))
            + '(export "f" (func (param "p" $t70)))',
        ),
        "its imported types are nested or repeated beyond any use",
    ),
    "open-at with other parameters": (
        importing(
            TYPES_IMPORT,
            RESOURCE + '(export "[method]descriptor.open-at" (func (param "self" (borrow $d)) (param "p" string)))',
        ),
        "it imports [method]descriptor.open-at of wasi:filesystem/types@0.2.0, which is not WASI 0.2's",
    ),
    "unlink without a result": (
        importing(
            TYPES_IMPORT,
            RESOURCE
            + '(export "[method]descriptor.unlink-file-at" (func (param "self" (borrow $d)) (param "p" string)))',
        ),
        "it imports [method]descriptor.unlink-file-at of wasi:filesystem/types@0.2.0, which is not WASI 0.2's",
    ),
    "write with a number for bytes": (
        importing(
            TYPES_IMPORT,
            RESOURCE
            + '(export "[method]descriptor.write" (func (param "self" (borrow $d)) (param "b" u32) (param "o" u64)))',
        ),
        "it imports [method]descriptor.write of wasi:filesystem/types@0.2.0, which is not WASI 0.2's",
    ),
    "a method of a resource that the interface does not have": (
        importing(
            TYPES_IMPORT,
            '(export "door" (type $d (sub resource))) (export "[method]door.open" (func (param "self" (borrow $d))))',
        ),
        "it imports [method]door.open of wasi:filesystem/types@0.2.0, which is not WASI 0.2's",
    ),
    "get-directories with another result": (
        importing("wasi:filesystem/preopens@0.2.0", '(export "get-directories" (func (result (list string))))'),
        "it imports get-directories of wasi:filesystem/preopens@0.2.0, which is not WASI 0.2's",
    ),
    "descriptors from standard input": (
        importing("wasi:cli/stdin@0.2.0", RESOURCE + '(export "get-stdin" (func (result (own $d))))'),
        "it imports get-stdin of wasi:cli/stdin@0.2.0, which is not WASI 0.2's",
    ),
    "a method that descriptors do not have": (
        importing(
            TYPES_IMPORT,
            RESOURCE + '(export "[method]descriptor.chmod" (func (param "self" (borrow $d)) (param "m" u32)))',
        ),
        "it imports [method]descriptor.chmod of wasi:filesystem/types@0.2.0, which is not WASI 0.2's",
    ),
    "stat with another result": (
        importing(
            TYPES_IMPORT,
            RESOURCE + '(export "[method]descriptor.stat" (func (param "self" (borrow $d)) (result u64)))',
        ),
        "it imports [method]descriptor.stat of wasi:filesystem/types@0.2.0, which is not WASI 0.2's",
    ),
    "a plain function that hands out descriptors": (
        importing(TYPES_IMPORT, RESOURCE + '(export "root" (func (result (own $d))))'),
        "it imports root of wasi:filesystem/types@0.2.0, which is not WASI 0.2's",
    ),
    "exit with a string": (
        importing("wasi:cli/exit@0.2.0", '(export "exit" (func (param "status" string)))'),
        "it imports exit of wasi:cli/exit@0.2.0, which is not WASI 0.2's",
    ),
    "random bytes of another type": (
        importing("wasi:random/random@0.2.0", '(export "get-random-bytes" (func (param "len" u64) (result string)))'),
        "it imports get-random-bytes of wasi:random/random@0.2.0, which is not WASI 0.2's",
    ),
    "a clock with a parameter": (
        importing("wasi:clocks/wall-clock@0.2.0", '(export "now" (func (param "x" u8) (result u64)))'),
        "it imports now of wasi:clocks/wall-clock@0.2.0, which is not WASI 0.2's",
    ),
    "the environment as a number": (
        importing("wasi:cli/environment@0.2.0", '(export "get-environment" (func (result u64)))'),
        "it imports get-environment of wasi:cli/environment@0.2.0, which is not WASI 0.2's",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    """A declaration that the guard cannot stand in front of is refused with a sentence that names it."""
    component, sentence = REFUSED[name]
    assert fate(component) == sentence


ONE_RELEASE = ", and sockets are granted: a component may then import one release of WASI only"
SOCKET = '(export "tcp-socket" (type $s (sub resource)))'
CODES = f"(enum {' '.join(f'{chr(34)}{n}{chr(34)}' for n in ERROR_CODE.names)})"
OTHER_CODES = CODES.replace('"unknown" "access-denied"', '"access-denied" "unknown"')

NETWORK_REFUSED: dict[str, tuple[bytes, str]] = {
    "an address as a number": (
        importing(
            "wasi:sockets/tcp@0.2.0",
            SOCKET
            + f'(type $c {CODES}) (export "error-code" (type $e (eq $c))) (export "[method]tcp-socket.start-connect"'
            ' (func (param "self" (borrow $s)) (param "network" u32) (param "remote-address" u64)'
            " (result (result (error $e)))))",
        ),
        "it imports [method]tcp-socket.start-connect of wasi:sockets/tcp@0.2.0, which is not WASI 0.2's",
    ),
    "error codes in another order": (
        importing(
            "wasi:sockets/tcp@0.2.0",
            SOCKET + f'(type $c {OTHER_CODES}) (export "error-code" (type $e (eq $c)))'
            ' (export "[method]tcp-socket.start-listen"'
            ' (func (param "self" (borrow $s)) (result (result (error $e)))))',
        ),
        "it imports [method]tcp-socket.start-listen of wasi:sockets/tcp@0.2.0, which is not WASI 0.2's",
    ),
    "the method of another resource": (
        importing(
            "wasi:sockets/udp@0.2.0",
            '(export "udp-socket" (type $u (sub resource)))'
            ' (export "[method]udp-socket.is-listening" (func (param "self" (borrow $u)) (result bool)))',
        ),
        "it imports [method]udp-socket.is-listening of wasi:sockets/udp@0.2.0, which is not WASI 0.2's",
    ),
    "a raw socket": (
        importing("wasi:sockets/raw@0.2.0", '(export "create-raw-socket" (func (result u32)))'),
        "it imports create-raw-socket of wasi:sockets/raw@0.2.0, which is not WASI 0.2's",
    ),
    "the same resource twice": (
        importing(
            "wasi:sockets/tcp@0.2.0",
            SOCKET,
            '(import "wasi:sockets/tcp-create-socket@0.2.0" (instance (export "tcp-socket" (type (sub resource)))))',
        ),
        f"it imports several types called tcp-socket{ONE_RELEASE}",
    ),
    "two releases": (
        importing(
            "wasi:io/poll@0.2.0",
            '(export "pollable" (type (sub resource)))',
            '(import "wasi:io/poll@0.2.3" (instance (export "pollable" (type (sub resource)))))',
        ),
        f"it imports several types called pollable{ONE_RELEASE}",
    ),
    "a poll for numbers": (
        importing("wasi:io/poll@0.2.0", '(export "poll" (func (param "in" (list u32)) (result (list u32))))'),
        "it imports poll of wasi:io/poll@0.2.0, which is not WASI 0.2's",
    ),
    "reading words": (
        importing(
            "wasi:io/streams@0.2.0",
            '(export "input-stream" (type $i (sub resource))) (export "[method]input-stream.read"'
            ' (func (param "self" (borrow $i)) (param "len" u64) (result (result (list u16)))))',
        ),
        "it imports [method]input-stream.read with a type that is not WASI 0.2's",
    ),
}


@pytest.mark.parametrize("name", NETWORK_REFUSED)
def test_refused_where_sockets_are_granted(name: str) -> None:
    """Where the guard serves sockets itself, it refuses what has not exactly the type that WASI 0.2 gives it."""
    component, sentence = NETWORK_REFUSED[name]
    assert fate(component, NETWORKED) == sentence


@pytest.mark.parametrize("monotonic", ["real", "coarse", "frozen", "denied"])
@pytest.mark.parametrize("counts_writes", [False, True])
def test_all_of_wasi_beside_sockets(monotonic: Clock, counts_writes: bool) -> None:
    """A component that imports every function of WASI 0.2 can be guarded, whatever else is granted beside sockets."""
    shape = replace(NETWORKED, monotonic=monotonic, counts_writes=counts_writes)
    assert [fate(program(version=v), shape) for v in ("0.2.0", "0.2.12")] == ["compiles", "compiles"]


@pytest.mark.parametrize("counts_writes", [False, True])
def test_a_resource_that_another_interface_names(counts_writes: bool) -> None:
    """An interface need not name the resources that it uses, where one before it does."""
    component = importing(
        "wasi:cli/stdout@0.2.0",
        '(alias outer 1 $r (type $x)) (export "get-stdout" (func (result (own $x))))',
        """(import "wasi:io/streams@0.2.0" (instance $i (export "output-stream" (type (sub resource)))))
           (alias export $i "output-stream" (type $r))""",
    )
    assert fate(component, replace(OPEN, counts_writes=counts_writes)) == "compiles"
    assert links(component) == "runs"


UNLINKED: dict[str, bytes] = {
    "a plain function that the interface does not have": importing(
        TYPES_IMPORT, RESOURCE + '(export "open" (func (param "path" string) (result u32)))'
    ),
    "a stream function that the interface does not have": importing(
        "wasi:io/streams@0.2.0",
        '(export "output-stream" (type $s (sub resource))) (export "make" (func (result (own $s))))',
    ),
    "the environment under a name of its own": importing(
        "wasi:cli/environment@0.2.0", '(export "get-secrets" (func (result (list string))))'
    ),
}


@pytest.mark.parametrize("name", UNLINKED)
def test_unlinked(name: str) -> None:
    """What the guard passes on it asks of Wasmtime as the guest did, and Wasmtime links nothing but WASI's own."""
    assert links(UNLINKED[name]).startswith("component imports instance")


INTERFACES = [
    "wasi:http/types@0.2.0",
    "wasi:http/outgoing-handler@0.2.0",
    "wasi:sockets/tcp@0.2.3",
    "wasi:sockets/udp@0.2.3",
    "wasi:sockets/ip-name-lookup@0.2.3",
    "wasi:sockets/tcp-create-socket@0.2.3",
    "wasi:sockets/network@0.2.3",
    "wasi:sockets/instance-network@0.2.3",
    "wasi:io/error@0.2.0",
    "wasi:clocks/timezone@0.2.0",
    "wasi:clocks/monotonic-clock@0.2.0",
    "wasi:clocks/wall-clock@0.2.0",
    "wasi:filesystem/types@0.2.0",
    "wasi:filesystem/preopens@0.2.0",
    "wasi:io/streams@0.2.0",
    "wasi:io/poll@0.2.0",
    "wasi:cli/environment@0.2.0",
    "wasi:cli/exit@0.2.0",
    "wasi:cli/stdout@0.2.0",
    "wasi:random/random@0.2.0",
    "wasi:random/insecure-seed@0.2.0",
]
NAMES = [
    "f",
    "handle",
    "now",
    "resolution",
    "subscribe-duration",
    "exit",
    "get-environment",
    "get-directories",
    "get-stdout",
    "get-random-u64",
    "resolve-addresses",
    "create-tcp-socket",
    "instance-network",
    "network-error-code",
    "poll",
]
METHODS = [
    "start-connect",
    "start-bind",
    "stream",
    "address-family",
    "set-method",
    "set-scheme",
    "set-authority",
    "open-at",
    "stat",
    "stat-at",
    "rename-at",
    "read-directory",
    "write",
    "set-size",
    "write-zeroes",
    "splice",
    "read",
    "check-write",
    "flush",
    "subscribe",
    "ready",
    "block",
    "to-debug-string",
    "accept",
    "finish-connect",
    "receive",
    "send",
    "resolve-next-address",
]
RESOURCES = [
    "descriptor",
    "output-stream",
    "input-stream",
    "error",
    "pollable",
    "tcp-socket",
    "udp-socket",
    "incoming-datagram-stream",
    "outgoing-request",
    "network",
]
PARAMETERS = ["name", "request", "remote-address", "local-address", "address-family", "path", "x"]


@st.composite
def declarations(draw: st.DrawFn) -> bytes:
    """A component that imports one interface of WASI with resources and functions of its names and any types."""
    resources = draw(st.lists(st.sampled_from(RESOURCES), max_size=3, unique=True))
    exports: list[tuple[str, ty.Type | ty.Function | int]] = list(zip(resources, range(len(resources)), strict=True))
    handles: list[ty.Type] = [kind(n) for n in range(len(resources)) for kind in (ty.Own, ty.Borrow)]
    owned: list[ty.Type] = [ty.Own(n) for n in range(len(resources))]
    any_type: st.SearchStrategy[ty.Type] = st.one_of(TYPES, st.sampled_from(handles)) if handles else TYPES
    errors = ty.Enum(("access", "quota"))
    results: list[st.SearchStrategy[ty.Type | None]] = [st.none(), TYPES]
    if owned:
        results.append(st.sampled_from([*owned, *(ty.Result(t, errors) for t in owned)]))
    taken = set(resources)
    for number in range(draw(st.integers(1, 4))):
        method = draw(st.none() | st.sampled_from(METHODS)) if resources else None
        this = draw(st.integers(0, max(0, len(resources) - 1)))
        name = draw(st.sampled_from(NAMES)) if method is None else f"[method]{resources[this]}.{method}"
        if name in taken:
            continue
        taken.add(name)
        parameters = draw(st.lists(st.sampled_from(PARAMETERS), max_size=4, unique=True))
        params = [(p, draw(any_type)) for p in parameters]
        if method is not None:
            params.insert(0, ("self", ty.Borrow(this)))
        function = ty.Function(tuple(params), draw(st.one_of(results)))
        named = [t for t in _nominal(function) if t not in [e for _, e in exports]]
        exports += [(f"t{number}-{i}", t) for i, t in enumerate(named)]
        exports.append((name, function))
    text = instance_type(exports)
    return bytes(wat2wasm(f"(component (import {quote(draw(st.sampled_from(INTERFACES)))} {text}))"))


def _nominal(function: ty.Function) -> list[ty.Type]:
    mentioned = [t for _, t in function.params] + ([function.result] if function.result is not None else [])
    inner = [x for t in mentioned for x in ty.walk(t)]
    return list(dict.fromkeys(x for x in inner if isinstance(x, (ty.Record, ty.Variant, ty.Enum, ty.Flags))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(declarations(), st.sampled_from([DENIED, OPEN, NETWORKED]))
def test_any_declaration(component: bytes, shape: Shape) -> None:
    """Whatever is declared under WASI's names, the guard refuses it or is a component that Wasmtime compiles."""
    assert fate(component, shape)


def test_splice_finds_one_place(tmp_path: Path) -> None:
    """A guest that is itself empty, or full of empty components, does not confuse where it is put."""
    empty = bytes(wat2wasm("(component)"))
    nested = bytes(wat2wasm("(component (component) (component (component)))"))
    assert [fate(empty), fate(nested)] == ["compiles", "compiles"]
