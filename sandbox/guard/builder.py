"""What every family of guard functions is written with: imports from Wasmtime and the host, sites, core functions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from sandbox.guard import types as ty
from sandbox.guard.instances import resources
from sandbox.guard.reflect import Imports, Interface, Unsupported
from sandbox.guard.shape import Shape
from sandbox.guard.sites import Site
from sandbox.guard.state import MAX_SITES, ONCE, RESULT
from sandbox.guard.wat import get, params_text, result_text

HOST: dict[str, ty.Function] = {
    "denied": ty.Function(
        (("site", ty.U32), ("reason", ty.U32), ("grant", ty.U32), ("base", ty.STRING), ("path", ty.STRING)), None
    ),
    "denied-pair": ty.Function(
        (
            ("site", ty.U32),
            ("reason", ty.U32),
            ("grant", ty.U32),
            ("base", ty.STRING),
            ("path", ty.STRING),
            ("other-grant", ty.U32),
            ("other-base", ty.STRING),
            ("other-path", ty.STRING),
        ),
        None,
    ),
    "refused": ty.Function((("site", ty.U32), ("text", ty.STRING), ("raw", ty.STRING)), None),
    "note": ty.Function((("site", ty.U32), ("object", ty.U32), ("case", ty.U32), ("text", ty.STRING)), None),
    "route": ty.Function(
        (("site", ty.U32), ("intent", ty.U32), ("grant", ty.U32), ("base", ty.STRING), ("path", ty.STRING)),
        ty.Tuple((ty.U32, ty.STRING)),
    ),
    "route-pair": ty.Function(
        (
            ("site", ty.U32),
            ("intent", ty.U32),
            ("grant", ty.U32),
            ("base", ty.STRING),
            ("path", ty.STRING),
            ("other-grant", ty.U32),
            ("other-base", ty.STRING),
            ("other-path", ty.STRING),
        ),
        ty.Tuple((ty.U32, ty.STRING, ty.STRING)),
    ),
    "config": ty.Function((), ty.Tuple((ty.U32, ty.U64, ty.STRING))),
    "seed": ty.Function((("owner", ty.U32),), ty.U64),
    "barred": ty.Function((("site", ty.U32),), None),
    "words": ty.Function((("what", ty.U32),), ty.STRING),
    "exit": ty.Function((("status", ty.U32),), None),
    "socket": ty.Function((("call", ty.U64), ("words", ty.STRING), ("text", ty.STRING)), ty.STRING),
    "secret": ty.Function((), ty.STRING),
    "locate": ty.Function((("offset", ty.U32),), ty.U32),
    "receive": ty.Function((("stream", ty.U64), ("place", ty.U64)), ty.U64),
    "receive-text": ty.Function((("stream", ty.U64), ("length", ty.U32)), ty.Tuple((ty.U32, ty.STRING))),
    "send": ty.Function((("stream", ty.U64), ("place", ty.U64)), ty.U32),
    "send-text": ty.Function((("stream", ty.U64), ("data", ty.STRING)), ty.U32),
    "room": ty.Function((("object", ty.U32),), ty.U64),
    "datagram": ty.Function((("object", ty.U32), ("to", ty.STRING), ("data", ty.STRING)), ty.U32),
    "wait": ty.Function((("what", ty.STRING), ("nanoseconds", ty.U64)), ty.STRING),
    "drop": ty.Function((("handle", ty.U64),), None),
}
"""What a guard may ask of the host. Text crosses as Latin-1, one character a byte, whatever the bytes are.

``exit`` is told the status in eight bits, and above them the site that asks for it and one more. ``barred`` is told of
a call to another component that the policy does not allow, before it traps. ``words`` answers the arguments of a
component of a program (twice its number) or its variables (one more): how many strings there are, in four bytes, and
each behind its length, in four bytes.

``config`` answers the handle limit, the bytes that may be written to files, and one byte of flags a preopen.
``route`` answers a grant and a path from its root, or, with the highest bit set, the error code to give the guest:
then the host has recorded the denial. ``route-pair`` does so for two paths below one grant.

Sockets are numbered objects of the worker's. ``socket`` carries out a function of ``wasi:sockets``: its parameters come
as core values of eight bytes each, a string apart; it answers a zero and the result's bytes as the Canonical ABI lays
them out, with numbers where handles are, or one character, the error code and one more. ``receive``, ``send`` and
``room`` answer a status: see ``streams``. The bytes themselves lie in the guard's memory, if the host has found it by
the ``secret`` that the guard keeps there, or go as text. ``wait`` takes a word of four bytes for each object and side
that is waited for, and answers a byte for each, whether it is ready, and one more, whether all was sent (0) or not.

Each parameter takes time of its own, so two that have 32 bits go as one: a site and an object, a flag that the
call may wait and an object, an offset and a length, a side and an object.
"""


class Kind(Enum):
    """Whose a resource type is."""

    NATIVE = auto()
    DESCRIPTOR = auto()
    DIRECTORY_STREAM = auto()
    OUTPUT_STREAM = auto()
    INPUT_STREAM = auto()
    POLLABLE = auto()
    ERROR = auto()
    SOCKET = auto()
    STUB = auto()


TAG, TIMER, BROKERED = 3, 1, 2
"""The lowest two bits of a representation. Streams, pollables and errors may be Wasmtime's (its handle above the bits;
a stream that is counted has the lowest one set), or stand for an object of the worker's. A timer is the address of its
time."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A finished guard function, ``f<number>`` in core and component."""

    number: int
    function: ty.Function
    text: str


@dataclass
class Builder:
    """Writes the guard functions of one instance of a component: its facet of the guard.

    All but ``imports``, ``shape``, ``owner``, ``instance``, ``guarded``, ``barred`` and ``first`` is shared by the
    facets of a program: ``facet`` makes another one over the same.
    """

    imports: Imports
    shape: Shape
    kinds: dict[int, Kind]
    owner: int = 0
    """The number of its component, which the flags of granted directories name."""
    instance: int = 0
    interfaces: list[Interface] = field(default_factory=list)
    """The guest's imports, with what the guard adds to them; those past the guest's own are the guard's alone."""
    sites: list[Site] = field(default_factory=list)
    emitted: list[Emitted] = field(default_factory=list)
    lowered: dict[tuple[int, str], ty.Function] = field(default_factory=dict)
    """Native functions that the guard calls."""
    passed: set[tuple[int, str]] = field(default_factory=set)
    """Native functions that the guest calls directly."""
    guarded: dict[tuple[int, str], int] = field(default_factory=dict)
    barred: dict[str, dict[str, int]] = field(default_factory=dict)
    """Functions of other components that may not be called: interface -> function -> the site that tells of it."""
    hosts: set[str] = field(default_factory=set)
    created: set[int] = field(default_factory=set)
    """Resources that the guard makes handles of."""
    represented: set[int] = field(default_factory=set)
    """Resources of the guard's whose owned handles it looks behind."""
    dropped: set[int] = field(default_factory=set)
    """Resources of which the guard drops handles: native ones, and those of refused interfaces."""
    first: dict[str, int] = field(default_factory=dict)
    """Capability -> the first site that speaks of it only once."""
    helpers: dict[str, str] = field(default_factory=dict)
    globals: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.interfaces = self.interfaces or list(self.imports.interfaces)

    def facet(self, imports: Imports, shape: Shape, owner: int, instance: int) -> Builder:
        """The builder of another instance's facet of the same guard."""
        return replace(
            self, imports=imports, shape=shape, owner=owner, instance=instance, guarded={}, barred={}, first={}
        )

    def named(self, interface: int) -> str:
        """The name of an interface as the instance imports it, or as the guard does where that does not."""
        own = self.imports.interfaces[interface] if interface < len(self.imports.interfaces) else None
        return own.name if own is not None else self.interfaces[interface].name

    def native(self, interface: int, name: str, expected: ty.Function | None = None) -> str:
        """The core name of Wasmtime's ``name``; declared as ``expected`` where the guest does not import it."""
        declared = dict(self.interfaces[interface].exports).get(name)
        if declared is None:
            if expected is None:
                raise Unsupported(f"{self.interfaces[interface].name} lacks {name}")
            self._declare(interface, name, expected)
            declared = expected
        if not isinstance(declared, ty.Function) or (expected is not None and not same_types(declared, expected)):
            raise Unsupported(f"it imports {self.interfaces[interface].name} with a {name} that is not WASI 0.2's")
        self.lowered[interface, name] = declared
        return f"$n{interface}-{list(dict(self.interfaces[interface].exports)).index(name)}"

    def _declare(self, interface: int, name: str, function: ty.Function) -> None:
        at = self.interfaces[interface]
        exports = list(at.exports)
        names = {n for n, _ in exports}
        for t in [p for _, p in function.params] + ([function.result] if function.result is not None else []):
            for inner in ty.walk(t):
                if isinstance(inner, (ty.Record, ty.Variant, ty.Enum, ty.Flags)) and inner not in [
                    e for _, e in exports
                ]:
                    label = f"guard-{len(exports)}"
                    if label in names:
                        raise Unsupported(f"{at.name} has an export named {label}")
                    exports.append((WASI_NAMES.get(inner, label), inner))
        exports.append((name, function))
        self.interfaces[interface] = Interface(at.name, tuple(exports))

    def host(self, name: str) -> str:
        self.hosts.add(name)
        return f"$host-{name}"

    def site(self, interface: int, function: str, capability: str, *, address: bool = False) -> int:
        return self._place(Site(self.named(interface), function, capability, address, self.instance))

    def _place(self, site: Site) -> int:
        if len(self.sites) >= MAX_SITES:
            raise Unsupported(
                f"more than {MAX_SITES} functions are guarded in all the program"
                if self.shape.program
                else "it imports more functions than any WASI 0.2 world has"
            )
        self.sites.append(site)
        return len(self.sites) - 1

    def bar(self, interface: str, function: str) -> int:
        """The site of a function of another component's that may not be called."""
        self.host("barred")
        return self._place(Site(interface, function, "imports", instance=self.instance))

    def new(self, resource: int) -> str:
        """The core name of the function that makes an owned handle of a guard's resource from its representation."""
        self.created.add(resource)
        return f"$new{resource}"

    def rep(self, resource: int) -> str:
        """The core name of the function that finds the representation behind an owned handle of the guard's."""
        self.represented.add(resource)
        return f"$rep{resource}"

    def drop(self, resource: int) -> str:
        """The core name of the function that drops a handle: Wasmtime's, or to a refused resource."""
        self.dropped.add(resource)
        return f"$drop{resource}"

    def emit(self, interface: int, name: str, function: ty.Function, body: str, locals_: Iterable[str] = ()) -> None:
        """Finish a guard function. ``body`` leaves its core result on the stack; parameters are locals 0, 1, ..."""
        signature = ty.signature(function)
        number = len(self.emitted)
        text = (
            f'(func (export "f{number}") {params_text(signature.params)} {result_text(signature.result)}'
            f" {' '.join(f'(local {x})' for x in locals_)}\n    {body})"
        )
        self.emitted.append(Emitted(number, function, text))
        self.guarded[interface, name] = number

    def pass_through(self, interface: int, name: str) -> None:
        """Let the guest call Wasmtime's function itself, which knows nothing of what the guard owns."""
        function = dict(self.interfaces[interface].exports)[name]
        assert isinstance(function, ty.Function)
        if any(self.kinds[r] is not Kind.NATIVE for r in resources(function)):
            raise self.unknown(interface, name)
        self.passed.add((interface, name))

    def unknown(self, interface: int, name: str) -> Unsupported:
        """The refusal of a function that is none of WASI 0.2's, by its name or by its types."""
        return Unsupported(f"it imports {name} of {self.interfaces[interface].name}, which is not WASI 0.2's")

    def own(self, resource: int, native: str, *, counted: bool = False) -> str:
        """An owned handle of the guard's for the native handle that ``native`` computes."""
        match self.kinds[resource]:
            case Kind.NATIVE:
                return native
            case Kind.OUTPUT_STREAM:
                rep = f"(i32.or (i32.shl {native} (i32.const 2)) (i32.const {int(counted)}))"
                return f"(call {self.new(resource)} {rep})"
            case Kind.INPUT_STREAM | Kind.POLLABLE | Kind.ERROR:
                return f"(call {self.new(resource)} (i32.shl {native} (i32.const 2)))"
            case Kind.DIRECTORY_STREAM:
                return f"(call {self.new(resource)} {native})"
            case _:
                raise Unsupported("a handle comes from a function that WASI 0.2 does not have")

    def borrowed(self, resource: int, rep: str) -> str:
        """The native handle behind a borrowed one."""
        match self.kinds[resource]:
            case Kind.NATIVE | Kind.DIRECTORY_STREAM:
                return rep
            case Kind.DESCRIPTOR:
                return f"(i32.load {rep})"
            case Kind.OUTPUT_STREAM | Kind.INPUT_STREAM | Kind.POLLABLE | Kind.ERROR:
                return f"(i32.shr_u {rep} (i32.const 2))"
            case Kind.STUB | Kind.SOCKET:
                raise Unsupported("a resource of the sandbox's own reaches a function of Wasmtime's")

    def arguments(self, function: ty.Function) -> tuple[list[str], str]:
        """The core arguments that pass a call on, and the text that drops borrowed native handles afterwards."""
        out, after = [], []
        for (_, t), at in zip(function.params, ty.parameter_positions(function), strict=True):
            match t:
                case ty.Borrow(resource):
                    out.append(self.borrowed(resource, get(at)))
                    if self.kinds[resource] is Kind.NATIVE:
                        after.append(f"(call {self.drop(resource)} {get(at)})")
                case _:
                    if ty.resources(t):
                        raise Unsupported(
                            "it passes handles inside values, which no function of WASI 0.2 that is passed on does"
                        )
                    out.extend(get(at + i) for i in range(len(ty.flat(t))))
        if ty.signature(function).spilled:
            raise Unsupported("a function that is passed on has more parameters than any of WASI 0.2")
        return out, " ".join(after)

    def call(
        self, interface: int, name: str, function: ty.Function, arguments: list[str] | None = None
    ) -> tuple[str, str]:
        """A call passed on: the text that calls (result at ``RESULT`` or in ``$value``), and that of the result."""
        given, after = self.arguments(function)
        target, signature = self.native(interface, name), ty.signature(function)
        passed = " ".join(arguments if arguments is not None else given)
        if signature.returns_pointer:
            return f"(call {target} {passed} (i32.const {RESULT})) {after}", f"(i32.const {RESULT})"
        if signature.result:
            return f"(local.set $value (call {target} {passed})) {after}", "(local.get $value)"
        return f"(call {target} {passed}) {after}", ""

    def forward(
        self, interface: int, name: str, function: ty.Function, *, before: str = "", locals_: Iterable[str] = ()
    ) -> None:
        """A guard function that only passes on, for functions that touch a resource that the guard owns.

        ``before`` is text that may answer in its place, and ``locals_`` what it needs.
        """
        call, result = self.call(interface, name, function)
        signature = ty.signature(function)
        if signature.result and not signature.returns_pointer:
            locals_ = (*locals_, f"$value {signature.result}")
        if isinstance(function.result, ty.Own):
            result = self.own(function.result.resource, result)
        elif function.result is not None:
            call += self.adopt(function.result)
        self.emit(interface, name, function, f"{before} {call}\n    {result}", locals_)

    def adopt(self, result: ty.Type, *, at: int = RESULT, counted: bool = False) -> str:
        """Turn each owned native handle in a ``result`` at ``at`` into the guard's."""
        if not any(self.kinds[r] is not Kind.NATIVE for r in ty.owned(result)):
            return ""
        if isinstance(result, ty.Own):
            mine = self.own(result.resource, f"(i32.load (i32.const {at}))", counted=counted)
            return f"(i32.store (i32.const {at}) {mine})"
        out = []
        for number, (_, payload) in enumerate(ty.cases(result) or ()):
            inner = "" if payload is None else self.adopt(payload, at=at + ty.payload_offset(result), counted=counted)
            if inner:
                out.append(f"(if (i32.eq (i32.load8_u (i32.const {at})) (i32.const {number})) (then {inner}))")
        if not out:
            raise Unsupported("it expects a handle where WASI 0.2 has none")
        return " ".join(out)

    def companion(self, base: str, resource: int) -> int:
        """The number of the imported interface ``base`` over ``resource``; declared where the guest does not import it
        so."""
        name = self.imports.resources[resource].name
        found = None
        for number, interface in enumerate(self.interfaces):
            if interface.name.partition("@")[0] == base:
                if resource in (e for _, e in interface.exports):
                    return number
                found = number if found is None else found
        if found is None:
            version = self.imports.resources[resource].interface.partition("@")[2]
            self.interfaces.append(Interface(f"{base}@{version}", ((name, resource),)))
            return len(self.interfaces) - 1
        at = self.interfaces[found]
        if name in dict(at.exports):
            raise Unsupported(f"it imports {at.name} with a {name} that is not WASI 0.2's")
        self.interfaces[found] = Interface(at.name, (*at.exports, (name, resource)))
        return found

    def fail(self, result: ty.Type | None, case: str) -> str:
        """Text that leaves ``error(case)`` of a ``result<_, e>`` at ``RESULT``; ``case`` is one without payload."""
        if not isinstance(result, ty.Result) or result.error is None:
            raise Unsupported("it expects a result where WASI 0.2 has another")
        names = [n for n, _ in ty.cases(result.error) or ()]
        if case not in names:
            raise Unsupported(f"its error type lacks {case}")
        return self.fail_code(result, f"(i32.const {names.index(case)})")

    def fail_code(self, result: ty.Type | None, code: str) -> str:
        if not isinstance(result, ty.Result) or result.error is None:
            raise Unsupported("it expects a result where WASI 0.2 has another")
        return (
            f"(i32.store8 (i32.const {RESULT}) (i32.const 1))"
            f" (i32.store8 (i32.const {RESULT + ty.payload_offset(result)}) {code})"
        )

    def once(self, site: int) -> str:
        """Text that tells the host of the first use of the capability of ``site``, wherever that is."""
        tell = self.host("refused")
        flag = self.first.setdefault(self.sites[site].capability, site)
        self.helpers.setdefault(
            "once",
            "(func $once (param $site i32) (param $flag i32)"
            f" (if (i32.eqz (i32.load8_u (i32.add (local.get $flag) (i32.const {ONCE})))) (then"
            f" (i32.store8 (i32.add (local.get $flag) (i32.const {ONCE})) (i32.const 1))"
            f" (call {tell} (local.get $site) (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 0)))))",
        )
        return f"(call $once (i32.const {site}) (i32.const {flag}))"

    def tell(
        self, site: int, text: str = "(i32.const 8) (i32.const 0)", raw: str = "(i32.const 8) (i32.const 0)"
    ) -> str:
        """Text that tells the host of a refusal, every time; ``text`` and ``raw`` are each an address and a length."""
        return f"(call {self.host('refused')} (i32.const {site}) {text} {raw})"


def same_types(one: ty.Function, other: ty.Function) -> bool:
    """Whether two functions differ in the names of parameters at most."""
    return one.result == other.result and [t for _, t in one.params] == [t for _, t in other.params]


WASI_NAMES: dict[ty.Type, str] = {}
"""Names that WASI 0.2 gives to types which a guard may have to declare; filled by the modules that define them."""
