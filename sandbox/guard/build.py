"""From a component to the same component behind its guard: one outer component that runs where the first one ran.

The outer component imports what is left of WASI and instantiates guard and guest side by side (a component cannot call
its own parent). The guest's bytes go in untouched, as a nested component.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from wasmtime import Engine, WasmtimeError, wat2wasm

from sandbox.component import sections, skeleton
from sandbox.guard import cli, clocks, filesystem, random, sockets, streams, stub, waits
from sandbox.guard import types as ty
from sandbox.guard.builder import HOST, Builder, Kind
from sandbox.guard.instances import (
    Barred,
    Imported,
    bundle,
    imported,
    name_resources,
    nominal,
    of_instance,
)
from sandbox.guard.program import Facet, Part, unify
from sandbox.guard.reflect import Imports, Interface, Unsupported, about, reflect
from sandbox.guard.shape import Shape
from sandbox.guard.sites import HOST_INSTANCE, Site
from sandbox.guard.state import (
    drops_descriptor,
    drops_directory_stream,
    drops_pollable,
    drops_tagged,
    state_module,
    tells_drop,
)
from sandbox.guard.wat import Types, params_text, quote, result_text
from sandbox.guard.wire import MAX_INSTANCES, MAX_OWNERS
from sandbox.guard.wiring import check, identified, read_parts

CANON = "(memory $memory) (realloc (core func $realloc))"
MAX_MADE = 900
"""Components in the outer one, besides guests and guard, that put imports together; an engine takes 1,000 in all."""
STUBBED = ("wasi:sockets/", "wasi:http/", "wasi:clocks/timezone")


@dataclass(frozen=True, slots=True)
class Guarded:
    """The wrapped component, ready to compile, and the sites that its guard speaks of."""

    wasm: bytes
    sites: tuple[Site, ...]
    host: tuple[str, ...]
    """The host functions that it imports."""
    places: tuple[tuple[int, int], ...]
    """Where the bytes of each component begin and end in it."""


def guard(engine: Engine, component: bytes, shape: Shape) -> Guarded:
    """Wrap ``component``. Raises ``Unsupported`` where something that it imports cannot be guarded."""
    imports = reflect(engine, skeleton(component))
    builder = _builder(imports, shape)
    _emit(builder, range(len(imports.interfaces)))
    whole = Facet(imports, tuple(range(len(imports.interfaces))))
    return _wrapped([component], [Part(name="", component=0, shape=shape)], [builder], [whole])


def link(engine: Engine, components: Sequence[bytes], parts: Sequence[Part]) -> Guarded:
    """Wrap a program: ``parts`` are its instances, each behind those that it imports from; the last is what is run.

    Their shapes agree on whose the resources are: ``sockets``, ``counts_writes`` and ``program``. Raises
    ``Unsupported`` where something cannot be guarded, or served.
    """
    if len(components) > MAX_OWNERS:
        raise Unsupported(f"a program has at most {MAX_OWNERS} components")
    if len(parts) > MAX_INSTANCES:
        raise Unsupported(f"a program has at most {MAX_INSTANCES} instances")
    read, exports = read_parts(engine, components, parts)
    check(parts, exports)
    identified(parts, exports)
    wired = [{w.name for p in parts if p.component == n for w in p.wires} for n in range(len(components))]
    imports, facets = unify([exported.imports for exported in read], wired)
    first = _builder(imports, parts[0].shape)
    builders = []
    for number, part in enumerate(parts):
        facet = facets[part.component]
        builder = first.facet(facet.imports, part.shape, part.component, number)
        with about(part.name, number):
            _emit(builder, facet.order)
            for wire in part.wires:
                if wire.only is not None:
                    named = [n for n, _ in facet.served[wire.name].functions if n not in wire.only]
                    builder.barred[wire.name] = {n: builder.bar(wire.name, n) for n in named}
        builders.append(builder)
    return _wrapped(components, parts, builders, facets)


def _wrapped(
    components: Sequence[bytes], parts: Sequence[Part], builders: Sequence[Builder], facets: Sequence[Facet]
) -> Guarded:
    text = outer(parts, builders, facets)
    try:
        wrapped = splice(bytes(wat2wasm(text)), components)
    except WasmtimeError as error:
        raise Unsupported(f"its imports cannot be written down: {str(error).splitlines()[0]}") from None
    hosts = tuple(n for n in HOST if n in builders[0].hosts)
    return Guarded(wrapped, tuple(builders[0].sites), hosts, tuple(_places(wrapped, components)))


def _builder(imports: Imports, shape: Shape) -> Builder:
    builder = Builder(imports, shape, {n: _kind(imports, n, shape) for n in range(len(imports.resources))})
    sockets.check(builder)
    return builder


def _emit(builder: Builder, interfaces: Iterable[int]) -> None:
    """All guard functions of one instance."""
    for number in interfaces:
        _emit_interface(builder, number, builder.imports.interfaces[number])


def _emit_interface(b: Builder, number: int, interface: Interface) -> None:
    base = _base(interface.name)
    match base:
        case "wasi:filesystem/types":
            filesystem.emit(b, number)
        case "wasi:filesystem/preopens":
            filesystem.emit_preopens(b, number)
        case "wasi:cli/environment":
            cli.emit_environment(b, number)
        case "wasi:cli/exit":
            cli.emit_exit(b, number)
        case "wasi:clocks/monotonic-clock":
            clocks.emit_monotonic(b, number)
        case "wasi:clocks/wall-clock":
            clocks.emit_wall(b, number)
        case "wasi:random/random" | "wasi:random/insecure" | "wasi:random/insecure-seed":
            random.emit(b, number)
        case _ if b.shape.sockets and base.startswith("wasi:sockets/"):
            sockets.emit(b, number)
        case "wasi:io/poll" if b.shape.owns_streams:
            waits.emit(b, number)
        case _ if base.startswith(STUBBED):
            stub.emit(b, number, base)
        case _ if base.startswith(("wasi:cli/", "wasi:io/")):
            streams.emit(b, number)
        case _ if base.startswith("wasi:"):
            raise Unsupported(f"it imports {interface.name}, which no part of the guard stands in front of")
        case _ if interface.functions or any(isinstance(e, int) for _, e in interface.exports):
            raise Unsupported(f"it imports {interface.name}, which no component serves")
        case _:
            pass  # types alone, which are what they are whoever names them


def _kind(imports: Imports, resource: int, shape: Shape) -> Kind:
    of = imports.resources[resource]
    if not of.interface.startswith("wasi:"):
        return Kind.NATIVE  # another component's
    if shape.sockets and of.interface.startswith("wasi:sockets/"):
        return Kind.SOCKET
    if of.interface.startswith(STUBBED):
        return Kind.STUB
    match of.name:
        case "descriptor":
            return Kind.DESCRIPTOR
        case "directory-entry-stream":
            return Kind.DIRECTORY_STREAM
        case "output-stream" if shape.counts_writes or shape.owns_streams:
            return Kind.OUTPUT_STREAM
        case "input-stream" if shape.owns_streams:
            return Kind.INPUT_STREAM
        case "pollable" if shape.owns_streams:
            return Kind.POLLABLE
        case "error" if shape.owns_streams:
            return Kind.ERROR
    return Kind.NATIVE


def _destructors(b: Builder) -> dict[int, str]:
    """What happens when the guest drops a handle of the guard's, for each such resource."""
    out = {}
    for n, kind in b.kinds.items():
        match kind:
            case Kind.DESCRIPTOR:
                out[n] = drops_descriptor(n)
            case Kind.DIRECTORY_STREAM:
                out[n] = drops_directory_stream(n)
            case Kind.POLLABLE:
                out[n] = drops_pollable(n)
            case Kind.ERROR:
                out[n] = drops_tagged(n, "nop")
            case Kind.INPUT_STREAM | Kind.OUTPUT_STREAM if b.shape.owns_streams:
                b.host("drop")
                side = sockets.SIDES[b.imports.resources[n].name]
                out[n] = drops_tagged(n, tells_drop("(i32.shr_u (local.get $rep) (i32.const 2))", side))
            case Kind.OUTPUT_STREAM:
                out[n] = drops_tagged(n)
            case Kind.SOCKET if b.imports.resources[n].name in sockets.SIDES:
                b.host("drop")
                out[n] = tells_drop("(local.get $rep)", sockets.SIDES[b.imports.resources[n].name])
    return out


def _natives(b: Builder, functions: set[tuple[int, str]]) -> list[tuple[int, Interface]]:
    """What is imported from Wasmtime: types, and those of ``functions`` that are in the interface."""
    out = []
    for number, interface in enumerate(b.interfaces):
        if interface.name.startswith(STUBBED) or not interface.name.startswith("wasi:"):
            continue
        kept = tuple((n, e) for n, e in interface.exports if not isinstance(e, ty.Function) or (number, n) in functions)
        if kept:
            out.append((number, Interface(interface.name, kept)))
    return out


def _imported(b: Builder, natives: list[tuple[int, Interface]], name: str = "") -> Imported:
    """What is imported from Wasmtime, as ``$i<number>``; under names of its own, or ``name`` and its number."""
    homes = {
        resource: f"$i{number}"
        for number, interface in natives
        for _, resource in interface.exports
        if isinstance(resource, int) and _base(b.imports.resources[resource].interface) == _base(interface.name)
    }
    return imported(((f"$i{n}", f"{name}{n}" if name else i.name, i) for n, i in natives), homes)


def _base(interface: str) -> str:
    return interface.partition("@")[0]


def outer(parts: Sequence[Part], builders: Sequence[Builder], facets: Sequence[Facet]) -> str:
    """The text of the outer component, with an empty component where each guest goes.

    The builders are of one guard; each part has one. The last part is what the outer component stands for.
    """
    b = builders[0]
    destructors = _destructors(b)
    natives = _natives(b, b.passed | set(b.lowered))
    imports = _imported(b, natives)
    lines, named = imports.lines, dict(imports.resources)
    lines += _host_import(b, HOST_INSTANCE)
    lines.append(_guard_component(b, destructors))
    # Without names, which would be sections inside them. They are components 1, 2, ..., after the guard.
    lines += ["(component)"] * (max(part.component for part in parts) + 1)
    given = " ".join(f'(with "i{n}" (instance $i{n}))' for n, _ in _natives(b, set(b.lowered)))
    host = '(with "host" (instance $host))' if b.hosts else ""
    lines.append(f"(instance $guard (instantiate $guard {given} {host}))")
    for resource, kind in b.kinds.items():
        if kind is not Kind.NATIVE:
            lines.append(f'(alias export $guard "r{resource}" (type $G{resource}))')
            named[resource] = f"$G{resource}"
    made: dict[str, str] = {}
    for number, (part, builder) in enumerate(zip(parts, builders, strict=True)):
        facet = facets[part.component]
        with_: list[str] = []
        for at in facet.order:
            interface = facet.imports.interfaces[at]
            lines.append(bundle(interface, named, f"{number}-{at}", _sources(builder, at), made))
            with_.append(f"(with {quote(interface.name)} (instance $b{number}-{at}))")
        for count, wire in enumerate(part.wires):
            lines.append(f"(alias export $app{wire.instance} {quote(wire.export)} (instance $w{number}-{count}))")
        known = dict(named)
        for count, wire in enumerate(part.wires if builder.barred else ()):
            label = f"w{number}-{count}"
            lines += name_resources(facet.served[wire.name], f"${label}", f"$r{label}", known)
        for count, wire in enumerate(part.wires):
            label = f"w{number}-{count}"
            if wire.name in builder.barred:
                barred = Barred(sites=builder.barred[wire.name], tell='$host "barred"')
                lines.append(bundle(facet.served[wire.name], known, label, of_instance(f"${label}"), made, barred))
                label = f"b{label}"
            with_.append(f"(with {quote(wire.name)} (instance ${label}))")
        lines.append(f"(instance $app{number} (instantiate {1 + part.component} {' '.join(with_)}))")
    if len(made) > MAX_MADE:
        raise Unsupported("the program is too large: its instances import too many different sets of functions")
    for count, export in enumerate(parts[-1].shape.exports):
        sort, _, name = export.partition(" ")
        lines.append(
            f"(alias export $app{len(parts) - 1} {quote(name)} ({sort} $e{count}))"
            f" (export {quote(name)} ({sort} $e{count}))"
        )
    return "(component\n" + "\n".join(lines) + ")\n"


def _sources(b: Builder, number: int) -> Callable[[str], str]:
    """Where each function of an imported interface comes from: Wasmtime, or the guard."""

    def source(name: str) -> str:
        guarded = b.guarded.get((number, name))
        return f"$i{number} {quote(name)}" if guarded is None else f'$guard "f{guarded}"'

    return source


def _host_import(b: Builder, name: str) -> list[str]:
    if not b.hosts:
        return []
    exports = tuple((n, f) for n, f in HOST.items() if n in b.hosts)
    return imported([("$host", name, Interface(name, exports))]).lines


def _guard_component(b: Builder, destructors: dict[int, str]) -> str:
    imports = _imported(b, _natives(b, set(b.lowered)), "i")
    lines, known = imports.lines, imports.resources
    lines += _host_import(b, "host")
    mine = [n for n in destructors if b.kinds[n] is not Kind.SOCKET]
    drops = sorted(b.dropped | set(mine))
    dropped = [n for n in drops if b.kinds[n] is not Kind.STUB]
    if not known.keys() >= set(dropped):
        raise Unsupported("it imports a resource of WASI's from an interface that does not have it")
    lines += [f"(core func $drop{n} (canon resource.drop {known[n]}))" for n in dropped]
    lines.append(state_module(destructors, tells_drops="drop" in b.hosts))
    given = " ".join(f'(export "drop{n}" (func $drop{n}))' for n in mine)
    told = ""
    if "drop" in b.hosts:
        lines.append(
            '(alias export $host "drop" (func $chost-drop)) (core func $host-drop (canon lower (func $chost-drop)))'
        )
        told = '(with "host" (instance (export "drop" (func $host-drop))))'
    lines.append(f'(core instance $state (instantiate $state (with "native" (instance {given})) {told}))')
    lines.append('(alias core export $state "memory" (core memory $memory))')
    lines += [
        f'(alias core export $state "{n}" (core func ${n}))'
        for n in ("realloc", "post", "post-i32", "post-i64", "slot", "timer", "mark", "rewind")
    ]
    lines.append('(alias core export $state "open" (core global $open))')
    resources = dict(known)
    created = sorted(b.created)
    for n, kind in b.kinds.items():
        if kind is Kind.NATIVE:
            continue
        destructor = ""
        if n in destructors:
            lines.append(f'(alias core export $state "drop{n}" (core func $destroy{n}))')
            destructor = f" (dtor (core func $destroy{n}))"
        lines.append(f"(type $T{n} (resource (rep i32){destructor}))")
        lines.append(f'(export $G{n} "r{n}" (type $T{n}))')
        resources[n] = f"$G{n}"
    lines += [f"(core func $new{n} (canon resource.new $T{n}))" for n in created]
    lines += [f"(core func $drop{n} (canon resource.drop $T{n}))" for n in drops if b.kinds[n] is Kind.STUB]
    represented = sorted(b.represented)
    lines += [f"(core func $rep{n} (canon resource.rep $T{n}))" for n in represented]
    lines += _lowered(b)
    lines.append(_main_module(b, drops, created))
    host = " ".join(f'(export "{n}" (func $host-{n}))' for n in sorted(b.hosts - {"drop"}))
    native = " ".join(f'(export "{label[1:]}" (func {label}))' for label, _ in _labels(b))
    handles = " ".join(f'(export "new{n}" (func $new{n}))' for n in created)
    handles += " ".join(f'(export "rep{n}" (func $rep{n}))' for n in represented)
    handles += " ".join(f'(export "drop{n}" (func $drop{n}))' for n in drops)
    lines.append(
        f'(core instance $main (instantiate $main (with "state" (instance $state))'
        f' (with "host" (instance {host})) (with "native" (instance {native})) (with "handle" (instance {handles}))))'
    )
    lines += _lifted(b, resources)
    return "(component $guard\n" + "\n".join(lines) + ")"


def _labels(b: Builder) -> list[tuple[str, ty.Function]]:
    """The core name of each native function that the guard calls."""
    out = []
    for (interface, name), function in b.lowered.items():
        out.append((f"$n{interface}-{list(dict(b.interfaces[interface].exports)).index(name)}", function))
    return out


def _lowered(b: Builder) -> list[str]:
    lines = []
    for ((interface, name), _), (label, _) in zip(b.lowered.items(), _labels(b), strict=True):
        lines.append(f"(alias export $i{interface} {quote(name)} (func $c{label[1:]}))")
        lines.append(f"(core func {label} (canon lower (func $c{label[1:]}) {CANON} string-encoding=utf8))")
    for name in sorted(b.hosts - {"drop"}):
        lines.append(f"(alias export $host {quote(name)} (func $chost-{name}))")
        lines.append(
            f"(core func $host-{name} (canon lower (func $chost-{name}) {CANON} string-encoding=latin1+utf16))"
        )
    return lines


def _main_module(b: Builder, drops: list[int], created: list[int]) -> str:
    imports = ['(import "state" "memory" (memory 1))', '(import "state" "open" (global $open (mut i32)))']
    imports.append('(import "state" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))')
    imports.append('(import "state" "slot" (func $slot (result i32)))')
    imports.append('(import "state" "timer" (func $timer_slot (result i32)))')
    imports.append('(import "state" "mark" (func $mark (result i32)))')
    imports.append('(import "state" "rewind" (func $rewind (param i32)))')
    functions = [("host", f"host-{n}", n, HOST[n]) for n in sorted(b.hosts - {"drop"})]
    functions += [("native", label[1:], label[1:], f) for label, f in _labels(b)]
    for module, label, name, function in functions:
        s = ty.signature(function)
        place = "(param i32)" if s.returns_pointer else ""
        result = "" if s.returns_pointer else result_text(s.result)
        imports.append(f'(import "{module}" "{name}" (func ${label} {params_text(s.params)}{place} {result}))')
    imports += [f'(import "handle" "new{n}" (func $new{n} (param i32) (result i32)))' for n in created]
    imports += [f'(import "handle" "rep{n}" (func $rep{n} (param i32) (result i32)))' for n in sorted(b.represented)]
    imports += [f'(import "handle" "drop{n}" (func $drop{n} (param i32)))' for n in drops]
    body = [*imports, *b.globals.values(), *b.helpers.values(), *(e.text for e in b.emitted)]
    return "(core module $main\n  " + "\n  ".join(body) + ")"


def _lifted(b: Builder, resources: dict[int, str]) -> list[str]:
    """Named types first (a component may export no function that uses an unnamed one), then the functions."""
    lines: list[str] = []
    types = Types(resource=lambda r: resources[r])
    for e in b.emitted:
        for t in nominal(e.function):
            if t not in types.named:
                n = len(types.named)
                lines.append(f"(type $v{n} {types.body(t)})")
                lines.append(f'(export $w{n} "t{n}" (type $v{n}))')
                types.named[t] = f"$w{n}"
    for e in b.emitted:
        signature = ty.signature(e.function)
        post = {"i32": "post-i32", "i64": "post-i64"}.get(signature.result or "", "post")
        clean = f"(post-return (core func ${post}))" if signature.result not in ("f32", "f64") else ""
        n = e.number
        lines.append(f'(alias core export $main "f{n}" (core func $f{n}))')
        lines.append(f"(type $ft{n} {types.function(e.function)})")
        lines.append(f"(func $l{n} (type $ft{n}) (canon lift (core func $f{n}) {CANON} string-encoding=utf8 {clean}))")
        lines.append(f'(export "f{n}" (func $l{n}))')
    return lines


def splice(wrapped: bytes, guests: Sequence[bytes]) -> bytes:
    """Put the guests' bytes where the outer component holds empty ones, in their order."""
    empty = b"\0asm\x0d\0\1\0"
    out = [wrapped[:8]]
    left = list(guests)
    for number, start, body, end in sections(wrapped):
        if number == 4 and wrapped[body:end] == empty:
            if not left:
                raise Unsupported("there are more places than guests")
            guest = left.pop(0)
            out += [b"\x04", _leb(len(guest)), guest]
        else:
            out.append(wrapped[start:end])
    if left:
        raise Unsupported(f"{len(left)} guests have no place in their guard")
    return b"".join(out)


def _places(whole: bytes, guests: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where the bytes of each guest are in the component that they were put into."""
    left = list(guests)
    for number, _, body, end in sections(whole):
        if left and number == 4 and end - body == len(left[0]) and whole[body:end] == left[0]:
            del left[0]
            yield body, end


def _leb(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])
