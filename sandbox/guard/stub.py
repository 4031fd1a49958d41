"""Interfaces that no policy grants: sockets, name lookup, HTTP. Nothing here reaches Wasmtime, let alone the network.

Objects can be made and asked about, so that a guest gets as far as naming its destination; each call that would reach
out is refused with the interface's own error, and told to the host with what the guest named. A call that has neither a
harmless answer nor an error traps.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.guard import types as ty
from sandbox.guard.builder import Builder, Kind
from sandbox.guard.reflect import Unsupported
from sandbox.guard.state import PATH_MAX, RESULT, SCRATCH
from sandbox.guard.waits import READY
from sandbox.guard.wat import get

REFUSALS = ("access-denied", "HTTP-request-denied", "access", "not-permitted", "not-supported", "invalid-state")
"""Error cases that say no, best first."""


@dataclass(frozen=True, slots=True)
class Act:
    """A call that would reach out: the capability that it needs, and the parameter that names its destination."""

    capability: str
    names: str | None = None


ACTS: dict[tuple[str, str], Act] = {
    ("wasi:sockets/tcp", "[method]tcp-socket.start-bind"): Act("sockets.tcp.bind", "local-address"),
    ("wasi:sockets/tcp", "[method]tcp-socket.start-connect"): Act("sockets.tcp.connect", "remote-address"),
    ("wasi:sockets/tcp", "[method]tcp-socket.start-listen"): Act("sockets.tcp.listen"),
    ("wasi:sockets/tcp", "[method]tcp-socket.accept"): Act("sockets.tcp.listen"),
    ("wasi:sockets/udp", "[method]udp-socket.start-bind"): Act("sockets.udp.bind", "local-address"),
    ("wasi:sockets/udp", "[method]udp-socket.stream"): Act("sockets.udp.send", "remote-address"),
    ("wasi:sockets/ip-name-lookup", "resolve-addresses"): Act("dns.resolve", "name"),
    ("wasi:http/outgoing-handler", "handle"): Act("http.request", "request"),
}

CAPABILITIES = {
    "wasi:sockets/udp": "sockets.udp",
    "wasi:sockets/ip-name-lookup": "dns.resolve",
    "wasi:sockets/": "sockets.tcp",
    "wasi:http/": "http.request",
    "wasi:clocks/timezone": "clocks.timezone",
}
"""What any other refused call of an interface is recorded under."""

NOTED: dict[tuple[str, str], str] = {
    ("wasi:http/types", "[method]outgoing-request.set-method"): "method",
    ("wasi:http/types", "[method]outgoing-request.set-scheme"): "scheme",
    ("wasi:http/types", "[method]outgoing-request.set-authority"): "authority",
    ("wasi:http/types", "[method]outgoing-request.set-path-with-query"): "path",
}
"""Calls that say where a later request would go; the host keeps what they say."""


def emit(b: Builder, interface: int, base: str) -> None:
    """Stub all functions of one imported interface; ``base`` is its name without the version."""
    for name, function in b.imports.interfaces[interface].functions:
        signature = ty.signature(function)
        locals_ = [f"$value {signature.result}"] if signature.result else []
        act = ACTS.get((base, name))
        if act is None:
            body = f"{_drops(b, function)}\n    {_answer(b, interface, base, name, function)}"
        else:
            body = _act(b, interface, name, function, act)
        b.emit(interface, name, function, body, locals_)


def _drops(b: Builder, function: ty.Function) -> str:
    """Text that drops the handles among the parameters that the call takes over: it goes nowhere."""
    if ty.signature(function).spilled:
        return ""
    out = []
    for (_, t), at in zip(function.params, ty.parameter_positions(function), strict=True):
        taken = (Kind.NATIVE, Kind.STUB) if isinstance(t, ty.Own) else (Kind.NATIVE,)
        if isinstance(t, (ty.Own, ty.Borrow)) and b.kinds[t.resource] in taken:
            out.append(f"(call {b.drop(t.resource)} {get(at)})")
    return " ".join(out)


def _act(b: Builder, interface: int, name: str, function: ty.Function, act: Act) -> str:
    if ty.signature(function).spilled:
        raise Unsupported(
            f"it imports {name} of {b.interfaces[interface].name} with parameters that are not WASI 0.2's"
        )
    text, raw, store, address = "(i32.const 8) (i32.const 0)", "(i32.const 8) (i32.const 0)", "", False
    for (parameter, t), at in zip(function.params, ty.parameter_positions(function), strict=True):
        if parameter != act.names:
            continue
        core = ty.flat(t)
        if isinstance(t, ty.String):
            short = f"(select {get(at + 1)} (i32.const {PATH_MAX}) (i32.lt_u {get(at + 1)} (i32.const {PATH_MAX})))"
            text = f"{get(at)} {short}"
            continue
        address = not isinstance(t, ty.Own)
        for i, kind in enumerate(core):
            value = get(at + i)
            if isinstance(t, ty.Own) and b.kinds[t.resource] is Kind.STUB:
                value = f"(call {b.rep(t.resource)} {value})"
            if kind == "i32":
                value = f"(i64.extend_i32_u {value})"
            elif kind != "i64":
                value = "(i64.const 0)"
            store += f"(i64.store (i32.const {SCRATCH + 8 * i}) {value})"
        raw = f"(i32.const {SCRATCH}) (i32.const {8 * len(core)})"
    site = b.site(interface, name, act.capability, address=address)
    return f"{store} {_drops(b, function)} {b.tell(site, text, raw)}\n    {_refusal(b, function)}"


def _refusal(b: Builder, function: ty.Function) -> str:
    result = function.result
    if isinstance(result, ty.Result) and result.error is not None:
        names = dict(ty.cases(result.error) or ())
        for case in REFUSALS:
            if case in names and names[case] is None and ty.signature(function).returns_pointer:
                return f"{b.fail(result, case)} (i32.const {RESULT})"
    return "unreachable"


def _answer(b: Builder, interface: int, base: str, name: str, function: ty.Function) -> str:
    """The harmless answer of a call that does not reach out."""
    noted = ""
    if (base, name) in NOTED and len(function.params) == 2 and not ty.signature(function).spilled:
        noted = _note(b, interface, base, name, function)
    signature = ty.signature(function)
    if function.result is None:
        return noted
    if name.endswith(".address-family") and _is_stub(b, function) and isinstance(function.result, ty.Enum):
        return "(local.get 0)"
    made = _family(function) if isinstance(function.result, ty.Result) else None
    stores = _neutral(b, function.result, RESULT, made)
    if stores is None:
        return f"{noted} {_told(b, interface, base, name)} unreachable"
    wanted = function.result.ok if isinstance(function.result, ty.Result) else None
    if wanted is not None and _neutral(b, wanted, RESULT) is None:
        noted += _told(b, interface, base, name)  # the only answer left is the error
    if signature.returns_pointer:
        return f"{noted} {stores} (i32.const {RESULT})"
    # A single core value: lay it out in memory, then read it back as the type says.
    loads = {
        1: "(i32.load8_u (i32.const {at}))",
        2: "(i32.load16_u (i32.const {at}))",
        4: "(i32.load (i32.const {at}))",
    }
    size = ty.layout(function.result)[0]
    match signature.result:
        case "i64":
            load = f"(i64.load (i32.const {RESULT}))"
        case "f32" | "f64":
            load = f"({signature.result}.const 0)"
        case _:
            load = loads[size].format(at=RESULT)
    return f"{noted} {stores} {load}"


def _told(b: Builder, interface: int, base: str, name: str) -> str:
    capability = next(c for prefix, c in CAPABILITIES.items() if base.startswith(prefix))
    return b.tell(b.site(interface, name, capability))


def _family(function: ty.Function) -> str | None:
    """A socket keeps the address family that it was made for, as its representation."""
    named = {n: (t, at) for (n, t), at in zip(function.params, ty.parameter_positions(function), strict=True)}
    t, at = named.get("address-family", (None, 0))
    return get(at) if isinstance(t, ty.Enum) else None


def _is_stub(b: Builder, function: ty.Function) -> bool:
    """Whether a function is a method of an object that the guard made."""
    this = function.params[0][1] if function.params else None
    return isinstance(this, ty.Borrow) and b.kinds[this.resource] is Kind.STUB


def _neutral(b: Builder, t: ty.Type, at: int, rep: str | None = None) -> str | None:
    """Text that stores the most harmless value of ``t`` at ``at``; ``None`` where there is none."""
    size, _ = ty.layout(t)
    zero = "".join(f"(i32.store8 (i32.const {at + i}) (i32.const 0))" for i in range(size))
    match t:
        case ty.Scalar() | ty.Enum() | ty.Flags() | ty.Option():
            return zero
        case ty.String() | ty.List():
            return f"(i32.store (i32.const {at}) (i32.const 8)) (i32.store (i32.const {at + 4}) (i32.const 0))"
        case ty.Own(resource):
            handle = _handle(b, resource, rep)
            return None if handle is None else f"(i32.store (i32.const {at}) {handle})"
        case ty.Borrow():
            return None
        case ty.Record() | ty.Tuple():
            parts = [_neutral(b, c, at + o) for c, o in zip(ty.children(t), ty.field_offsets(t), strict=True)]
            return None if None in parts else " ".join(p for p in parts if p)
    for number, (_, payload) in enumerate(ty.cases(t) or ()):
        inner = "" if payload is None else _neutral(b, payload, at + ty.payload_offset(t), rep)
        if inner is not None:
            return f"{zero} (i32.store8 (i32.const {at}) (i32.const {number})) {inner}"
    return None


def _handle(b: Builder, resource: int, rep: str | None) -> str | None:
    if b.kinds[resource] is Kind.STUB:
        return f"(call {b.new(resource)} {rep or _serial(b)})"
    if b.kinds[resource] is Kind.POLLABLE:
        return f"(call {b.new(resource)} (i32.const {READY}))"
    if b.imports.resources[resource].name == "pollable":
        # A wait of no time is a pollable that is ready.
        after = ty.Function((("when", ty.U64),), ty.Own(resource))
        clock = b.companion("wasi:clocks/monotonic-clock", resource)
        return f"(call {b.native(clock, 'subscribe-duration', after)} (i64.const 0))"
    return None


def _serial(b: Builder) -> str:
    """A number for each object, so that what the host notes of one is not taken for another's."""
    b.globals["serial"] = "(global $serial (mut i32) (i32.const 0))"
    b.helpers["serial"] = """
  (func $serial (result i32) (global.set $serial (i32.add (global.get $serial) (i32.const 1))) (global.get $serial))"""
    return "(call $serial)"


def _note(b: Builder, interface: int, base: str, name: str, function: ty.Function) -> str:
    """Text that tells the host what an object is being told: a string, or the number of a case."""
    value = function.params[1][1]
    # A method is a variant whose last case is a string, a scheme an option of one, the rest are options of a string.
    inner = value.payload if isinstance(value, ty.Option) else value
    cases = ty.cases(inner)
    text = inner if cases is None else cases[-1][1]
    core = ty.flat(value)
    if not _is_stub(b, function) or not isinstance(text, ty.String) or set(core) != {"i32"} or len(core) < 3:
        return ""
    pointer, length = len(core) - 1, len(core)
    case = f"(i32.sub {get(1)} (i32.const 1))" if cases is None else get(pointer - 1)
    last = 0 if cases is None else len(cases) - 1
    short = f"(select {get(length)} (i32.const {PATH_MAX}) (i32.lt_u {get(length)} (i32.const {PATH_MAX})))"
    call = f"(call {b.host('note')} (i32.const {b.site(interface, name, f'note.{NOTED[base, name]}')}) {get(0)} {case}"
    return (
        f"(if (i32.eq {case} (i32.const {last})) (then {call} {get(pointer)} {short}))"
        f" (else {call} (i32.const 8) (i32.const 0))))"
    )
