"""``wasi:sockets`` where the policy grants some of it: sockets are numbered objects of the worker's.

The guard gives handles to the numbers, checks that every function has the type that WASI 0.2 gives it, and passes calls
on. What is allowed is not decided here.
"""

from __future__ import annotations

from typing import TypeAlias

from sandbox.guard import types as ty
from sandbox.guard.builder import BROKERED, Builder, Kind
from sandbox.guard.reflect import Unsupported
from sandbox.guard.state import PATH_MAX, RESULT, SCRATCH
from sandbox.guard.streams import CODE, DATA, LENGTH, NOTHING, ask, forget_clear
from sandbox.guard.waits import READABLE, STATE, WRITABLE, subscribe
from sandbox.guard.wat import get
from sandbox.guard.wire import ERROR_CODES, MAX_DATAGRAMS

SIDES = {
    "tcp-socket": STATE,
    "udp-socket": STATE,
    "resolve-address-stream": STATE,
    "input-stream": READABLE,
    "incoming-datagram-stream": READABLE,
    "output-stream": WRITABLE,
    "outgoing-datagram-stream": WRITABLE,
}
"""What a resource is a side of; dropping it, and waiting for it, say so."""

ERROR_CODE = ty.Enum(ERROR_CODES)
WOULD_BLOCK = ERROR_CODE.names.index("would-block")

U16 = ty.Scalar("u16")
FOUR, SIX = ty.Tuple((ty.U8,) * 4), ty.Tuple((U16,) * 8)
IP_ADDRESS = ty.Variant((("ipv4", FOUR), ("ipv6", SIX)))
FAMILY = ty.Enum(("ipv4", "ipv6"))
ADDRESS = ty.Variant(
    (
        ("ipv4", ty.Record((("port", U16), ("address", FOUR)))),
        ("ipv6", ty.Record((("port", U16), ("flow-info", ty.U32), ("address", SIX), ("scope-id", ty.U32)))),
    )
)
INCOMING = ty.Record((("data", ty.List(ty.U8)), ("remote-address", ADDRESS)))
OUTGOING = ty.Record((("data", ty.List(ty.U8)), ("remote-address", ty.Option(ADDRESS))))
SHUTDOWN = ty.Enum(("receive", "send", "both"))
ADDRESS_BYTES, MAYBE_ADDRESS_BYTES = ty.layout(ADDRESS)[0], ty.layout(ty.Option(ADDRESS))[0]
MAX_DATAGRAM = 65535
"""Bytes of the longest datagram that any protocol carries."""
TOO_LARGE = ERROR_CODE.names.index("datagram-too-large")

Shape: TypeAlias = "ty.Type | str | tuple[Shape, ...] | None"
"""A type as the tables below have it: a resource by its name (borrowed as a parameter, owned in a result), a tuple."""

_SELF: dict[str, tuple[tuple[Shape, ...], Shape]] = {
    "address-family": ((), FAMILY),
    "start-bind": (("network", ADDRESS), None),
    "finish-bind": ((), None),
    "local-address": ((), ADDRESS),
    "remote-address": ((), ADDRESS),
    "receive-buffer-size": ((), ty.U64),
    "set-receive-buffer-size": ((ty.U64,), None),
    "send-buffer-size": ((), ty.U64),
    "set-send-buffer-size": ((ty.U64,), None),
}
"""What both kinds of sockets have. The second part is what a result holds where the call succeeds."""

METHODS: dict[str, dict[str, tuple[tuple[Shape, ...], Shape]]] = {
    "tcp-socket": _SELF
    | {
        "start-connect": (("network", ADDRESS), None),
        "finish-connect": ((), ("input-stream", "output-stream")),
        "start-listen": ((), None),
        "finish-listen": ((), None),
        "accept": ((), ("tcp-socket", "input-stream", "output-stream")),
        "is-listening": ((), ty.BOOL),
        "set-listen-backlog-size": ((ty.U64,), None),
        "keep-alive-enabled": ((), ty.BOOL),
        "set-keep-alive-enabled": ((ty.BOOL,), None),
        "keep-alive-idle-time": ((), ty.U64),
        "set-keep-alive-idle-time": ((ty.U64,), None),
        "keep-alive-interval": ((), ty.U64),
        "set-keep-alive-interval": ((ty.U64,), None),
        "keep-alive-count": ((), ty.U32),
        "set-keep-alive-count": ((ty.U32,), None),
        "hop-limit": ((), ty.U8),
        "set-hop-limit": ((ty.U8,), None),
        "shutdown": ((SHUTDOWN,), None),
    },
    "udp-socket": _SELF
    | {
        "stream": ((ty.Option(ADDRESS),), ("incoming-datagram-stream", "outgoing-datagram-stream")),
        "unicast-hop-limit": ((), ty.U8),
        "set-unicast-hop-limit": ((ty.U8,), None),
    },
    "incoming-datagram-stream": {"receive": ((ty.U64,), ty.List(INCOMING))},
    "outgoing-datagram-stream": {
        "check-send": ((), ty.U64),
        "send": ((ty.List(OUTGOING),), ty.U64),
    },
    "resolve-address-stream": {"resolve-next-address": ((), ty.Option(IP_ADDRESS))},
}

FUNCTIONS: dict[str, tuple[tuple[Shape, ...], Shape]] = {
    "create-tcp-socket": ((FAMILY,), "tcp-socket"),
    "create-udp-socket": ((FAMILY,), "udp-socket"),
    "resolve-addresses": (("network", ty.STRING), "resolve-address-stream"),
}

PLAIN = ("address-family", "is-listening")
"""Methods that cannot fail."""

CAPABILITIES = {
    "tcp-socket.start-bind": "sockets.tcp.bind",
    "tcp-socket.start-connect": "sockets.tcp.connect",
    "tcp-socket.start-listen": "sockets.tcp.listen",
    "tcp-socket.accept": "sockets.tcp.accept",
    "udp-socket.start-bind": "sockets.udp.bind",
    "udp-socket.stream": "sockets.udp.send",
    "outgoing-datagram-stream.send": "sockets.udp.send",
    "incoming-datagram-stream.receive": "sockets.udp.receive",
    "resolve-addresses": "dns.resolve",
}


def emit(b: Builder, interface: int) -> None:
    """Guard all functions of one imported interface of ``wasi:sockets``."""
    for name, function in b.imports.interfaces[interface].functions:
        resource, _, method = name.removeprefix("[method]").partition(".")
        if name == "instance-network":
            _network(b, interface, name, function)
        elif name == "network-error-code":
            _error_code(b, interface, name, function)
        elif method == "subscribe":
            _subscribe(b, interface, name, function)
        elif name == "[method]outgoing-datagram-stream.send":
            _known(b, interface, name, function)
            _send(b, interface, name, function)
        elif name == "[method]incoming-datagram-stream.receive":
            _known(b, interface, name, function)
            _receive(b, interface, name, function)
        else:
            _known(b, interface, name, function)
            _pass_on(b, interface, name, function, resource, method)


def _known(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """Raise ``Unsupported`` unless ``function`` has the type that WASI 0.2 gives it."""
    resource, _, method = name.removeprefix("[method]").partition(".")
    found = METHODS.get(resource, {}).get(method) if name.startswith("[method]") else FUNCTIONS.get(name)
    if found is None:
        raise b.unknown(interface, name)
    params, ok = found
    expected = ((resource, *params) if name.startswith("[method]") else params, ok)
    given = [t for _, t in function.params]
    result = function.result
    if method in PLAIN:
        held = result
    elif isinstance(result, ty.Result) and result.error == ERROR_CODE:
        held = result.ok
    else:
        raise b.unknown(interface, name)
    if len(given) != len(expected[0]) or not all(map(_is(b, ty.Borrow), given, expected[0])):
        raise b.unknown(interface, name)
    if not _is(b, ty.Own)(held, expected[1]):
        raise b.unknown(interface, name)


def _is(b: Builder, handle: type[ty.Own] | type[ty.Borrow]):  # type: ignore[no-untyped-def]
    kinds = {"input-stream": Kind.INPUT_STREAM, "output-stream": Kind.OUTPUT_STREAM}

    def same(t: ty.Type | None, expected: Shape) -> bool:
        match expected:
            case str(name):
                if not isinstance(t, (ty.Own, ty.Borrow)) or not isinstance(t, handle):
                    return False
                kind = kinds.get(name, Kind.SOCKET)
                return b.imports.resources[t.resource].name == name and b.kinds[t.resource] is kind
            case tuple():
                return (
                    isinstance(t, ty.Tuple)
                    and len(t.elements) == len(expected)
                    and all(map(same, t.elements, expected))
                )
            case _:
                return t == expected

    return same


def _network(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    result = function.result
    if function.params or not isinstance(result, ty.Own) or b.kinds[result.resource] is not Kind.SOCKET:
        raise b.unknown(interface, name)
    b.emit(interface, name, function, f"(call {b.new(result.resource)} (i32.const 0))")


def _error_code(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    match [t for _, t in function.params], function.result:
        case [ty.Borrow(r)], ty.Option(payload) if b.kinds[r] is Kind.ERROR and payload == ERROR_CODE:
            at = RESULT + ty.payload_offset(function.result)
            text = f"""
    (i32.store8 (i32.const {RESULT}) (i32.eq (i32.and (local.get 0) (i32.const 3)) (i32.const {BROKERED})))
    (i32.store8 (i32.const {at}) (i32.shr_u (local.get 0) (i32.const 2)))
    (i32.const {RESULT})"""
            b.emit(interface, name, function, text)
        case _:
            raise b.unknown(interface, name)


def _subscribe(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    match [t for _, t in function.params], function.result:
        case [ty.Borrow(r)], ty.Own(pollable) if b.kinds[r] is Kind.SOCKET and b.kinds[pollable] is Kind.POLLABLE:
            resource = b.imports.resources[r].name
            if resource not in SIDES or name != f"[method]{resource}.subscribe":
                raise b.unknown(interface, name)
            b.emit(interface, name, function, subscribe(b, pollable, get(0), SIDES[resource]))
        case _:
            raise b.unknown(interface, name)


def _words(core: tuple[str, ...], first: int) -> str:
    """Text that lays out core parameters from ``first`` on for the host."""
    out = []
    for i, kind in enumerate(core):
        value = get(first + i) if kind == "i64" else f"(i64.extend_i32_u {get(first + i)})"
        out.append(f"(i64.store (i32.const {SCRATCH + 8 * i}) {value})")
    return " ".join(out)


def _pass_on(b: Builder, interface: int, name: str, function: ty.Function, resource: str, method: str) -> None:
    """A call that the worker carries out, whatever it is."""
    signature = ty.signature(function)
    if signature.spilled:
        raise b.unknown(interface, name)
    capability = CAPABILITIES.get(name.removeprefix("[method]"), "sockets.udp" if "udp" in resource else "sockets.tcp")
    types = [t for _, t in function.params]
    address = any(t in (ADDRESS, ty.Option(ADDRESS)) for t in types)
    site = b.site(interface, name, capability, address=address)
    number, first = "(i32.const 0)", 0
    if name.startswith("[method]"):
        number, first = get(0), 1
    text = "(i32.const 8) (i32.const 0)"
    if types and types[-1] == ty.STRING:
        at = len(signature.params) - 2
        short = f"(select {get(at + 1)} (i32.const {PATH_MAX}) (i32.lt_u {get(at + 1)} (i32.const {PATH_MAX})))"
        text = f"{get(at)} {short}"
    core = signature.params[first:]
    forget = forget_clear(get(0)) if method == "shutdown" else ""
    call = f"""{_words(core, first)} {forget}
    {ask(b, site, number, f"(i32.const {SCRATCH}) (i32.const {8 * len(core)}) {text}")}"""
    data, length = DATA, LENGTH
    result = function.result
    if not isinstance(result, ty.Result):
        b.emit(interface, name, function, f"{call} (i32.load8_u {data})")
        return
    held = ""
    if result.ok is not None:
        at, size = RESULT + ty.payload_offset(result), ty.layout(result.ok)[0]
        held = f"""
    (if (i32.ne {length} (i32.const {size})) (then unreachable))
    (memory.copy (i32.const {at}) {data} (i32.const {size}))
    {_handles(b, result.ok, at)}"""
    body = f"""{call}
    (if {CODE} (then {b.fail_code(result, f"(i32.sub {CODE} (i32.const 1))")} (return (i32.const {RESULT}))))
    (i32.store8 (i32.const {RESULT}) (i32.const 0)) {held}
    (i32.const {RESULT})"""
    b.emit(interface, name, function, body)


def _handles(b: Builder, t: ty.Type, at: int) -> str:
    """Text that turns the numbers in a value at ``at`` into handles."""
    match t:
        case ty.Own(resource):
            here = f"(i32.load (i32.const {at}))"
            if b.kinds[resource] is not Kind.SOCKET:
                here = f"(i32.or (i32.shl {here} (i32.const 2)) (i32.const {BROKERED}))"
            return f"(i32.store (i32.const {at}) (call {b.new(resource)} {here}))"
        case ty.Tuple():
            parts = zip(t.elements, ty.field_offsets(t), strict=True)
            return " ".join(_handles(b, x, at + offset) for x, offset in parts)
        case _:
            return ""


def _send(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """Send datagrams one by one until one is refused; the error of the first is the call's."""
    result = function.result
    at = RESULT + ty.payload_offset(result) if isinstance(result, ty.Result) else 0
    size = ty.layout(OUTGOING)[0]
    to = ty.field_offsets(OUTGOING)[1]
    body = f"""
    (block $done (loop $next
      (br_if $done (i32.ge_u (local.get $i) (local.get 2)))
      (br_if $done (i32.ge_u (local.get $i) (i32.const {MAX_DATAGRAMS})))
      (local.set $at (i32.add (local.get 1) (i32.mul (local.get $i) (i32.const {size}))))
      (local.set $code (i32.const {TOO_LARGE + 1}))
      (if (i32.le_u (i32.load offset=4 (local.get $at)) (i32.const {MAX_DATAGRAM})) (then
        (local.set $code (call {b.host("datagram")} (local.get 0)
          (i32.add (local.get $at) (i32.const {to})) (i32.const {MAYBE_ADDRESS_BYTES})
          (i32.load (local.get $at)) (i32.load offset=4 (local.get $at))))))
      (if (local.get $code) (then
        (br_if $done (local.get $i))
        (br_if $done (i32.eq (local.get $code) (i32.const {WOULD_BLOCK + 1})))
        {b.fail_code(result, "(i32.sub (local.get $code) (i32.const 1))")}
        (return (i32.const {RESULT}))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.store8 (i32.const {RESULT}) (i32.const 0))
    (i64.store (i32.const {at}) (i64.extend_i32_u (local.get $i)))
    (i32.const {RESULT})"""
    b.emit(interface, name, function, body, ["$i i32", "$at i32", "$code i32"])


def _receive(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """Take datagrams one by one until there is none; each comes as its address and its bytes."""
    result = function.result
    at = RESULT + ty.payload_offset(result) if isinstance(result, ty.Result) else 0
    size, offset = ty.layout(INCOMING)[0], ty.field_offsets(INCOMING)[1]
    site = b.site(interface, name, CAPABILITIES["incoming-datagram-stream.receive"])
    body = f"""
    (local.set $list (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {size * MAX_DATAGRAMS})))
    (i32.store (i32.const {SCRATCH}) (i32.const 0))
    (block $done (loop $next
      (br_if $done (i64.ge_u (i64.extend_i32_u (local.get $i)) (local.get 1)))
      (br_if $done (i32.ge_u (local.get $i) (i32.const {MAX_DATAGRAMS})))
      {ask(b, site, get(0), f"{NOTHING} {NOTHING}")}
      (if {CODE} (then
        (br_if $done (local.get $i))
        {b.fail_code(result, f"(i32.sub {CODE} (i32.const 1))")}
        (return (i32.const {RESULT}))))
      (local.set $data {DATA})
      (local.set $length {LENGTH})
      (br_if $done (i32.eqz (local.get $length)))
      (if (i32.lt_u (local.get $length) (i32.const {ADDRESS_BYTES})) (then unreachable))
      (local.set $at (i32.add (local.get $list) (i32.mul (local.get $i) (i32.const {size}))))
      (i32.store (local.get $at) (i32.add (local.get $data) (i32.const {ADDRESS_BYTES})))
      (i32.store offset=4 (local.get $at) (i32.sub (local.get $length) (i32.const {ADDRESS_BYTES})))
      (memory.copy (i32.add (local.get $at) (i32.const {offset})) (local.get $data) (i32.const {ADDRESS_BYTES}))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.store8 (i32.const {RESULT}) (i32.const 0))
    (i32.store (i32.const {at}) (local.get $list)) (i32.store (i32.const {at + 4}) (local.get $i))
    (i32.const {RESULT})"""
    b.emit(interface, name, function, body, ["$list i32", "$i i32", "$at i32", "$data i32", "$length i32"])


def check(b: Builder) -> None:
    """Raise ``Unsupported`` where a guest declares a resource twice, as one that imports two releases of WASI does: the
    guard could not tell their handles apart.
    """
    owned = (Kind.SOCKET, Kind.INPUT_STREAM, Kind.OUTPUT_STREAM, Kind.POLLABLE, Kind.ERROR)
    names = [b.imports.resources[n].name for n, kind in b.kinds.items() if kind in owned]
    twice = {n for n in names if names.count(n) > 1}
    if b.shape.owns_streams and twice:
        raise Unsupported(
            f"it imports several types called {min(twice)}, and sockets are granted: a component may then import one"
            " release of WASI only"
        )
