"""Streams: Wasmtime's, passed on; those of sockets, served by the worker.

``output-stream`` is the guard's own where writing to files is counted, and both kinds of streams are where sockets are
granted. Everywhere else they stay Wasmtime's.

The worker answers for a socket with a status: done, ``CLOSED``, ``PENDING`` (taken, though not all of it is on its way
yet), ``ASK`` (done, but it is to be asked for the room before the next write), or ``FAILED`` and an error code more.
"""

from __future__ import annotations

from sandbox.guard import types as ty
from sandbox.guard.builder import BROKERED, Builder, Kind
from sandbox.guard.instances import resources
from sandbox.guard.reflect import Unsupported
from sandbox.guard.sites import Reason
from sandbox.guard.state import AUXILIARY, CLEAR, CLEARS, RESULT, SCRATCH
from sandbox.guard.waits import READABLE, UNSENT, WRITABLE, subscribe, waits_for
from sandbox.guard.wat import get
from sandbox.guard.wire import CLOSED, FAILED, MAX_OBJECT, PENDING, PERMIT

AMOUNT = {
    "write": "(i64.extend_i32_u (local.get 2))",
    "blocking-write-and-flush": "(i64.extend_i32_u (local.get 2))",
    "write-zeroes": "(local.get 1)",
    "blocking-write-zeroes-and-flush": "(local.get 1)",
    "splice": "(local.get 2)",
    "blocking-splice": "(local.get 2)",
}
"""How many bytes a call means to write. A splice is charged for what it asks for, which is never less than it moves."""

CLOSED_CASE = 1
"""The case of ``stream-error`` that has no payload."""
MOST_READ = 65536
MOST_FLUSHED = 4096
"""Bytes that one ``blocking-write-and-flush`` may hold, by its specification."""

NUMBER = "(i32.shr_u (local.get 0) (i32.const 2))"
NOTHING = "(i32.const 8) (i32.const 0)"


def emit(b: Builder, interface: int) -> None:
    """Guard ``wasi:io/streams`` or any interface that hands out or takes streams."""
    owned = (Kind.OUTPUT_STREAM, Kind.INPUT_STREAM, Kind.ERROR, Kind.POLLABLE)
    for name, function in b.imports.interfaces[interface].functions:
        resource, _, method = name.removeprefix("[method]").partition(".")
        if b.shape.program and b.owner and name in TERMINALS:
            _no_terminal(b, interface, name, function)
        elif not any(b.kinds[r] in owned for r in resources(function)):
            b.pass_through(interface, name)
        elif b.shape.program and b.owner and name in STANDARD:
            _standard(b, interface, name, function)
        elif resource == "output-stream" and method in AMOUNT:
            _write(b, interface, name, method, function)
        elif not b.shape.owns_streams or not name.startswith("[method]"):
            b.forward(interface, name, function)
        elif resource == "error" and method == "to-debug-string":
            _describe(b, interface, name, function)
        else:
            before = _brokered(b, interface, name, resource, method, function)
            b.forward(interface, name, function, before=before, locals_=["$status i32", "$room i64"])


STANDARD = ("get-stdin", "get-stdout", "get-stderr")


TERMINALS = ("get-terminal-stdin", "get-terminal-stdout", "get-terminal-stderr")


def standard_stream(instance: int, which: int) -> int:
    """The number that a standard stream of an instance in a program has among the worker's objects.

    Wasmtime's own are those of the component that is run.
    """
    return MAX_OBJECT - len(STANDARD) * instance - which


def _no_terminal(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """What a component's standard streams are not; Wasmtime would speak of those of the component that is run."""
    if function.params or not isinstance(function.result, ty.Option):
        raise b.unknown(interface, name)
    b.emit(interface, name, function, f"(i32.store8 (i32.const {RESULT}) (i32.const 0)) (i32.const {RESULT})")


def _standard(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """A standard stream of a component that another one of the program imports: the worker has it."""
    result = function.result
    kind = Kind.INPUT_STREAM if name == STANDARD[0] else Kind.OUTPUT_STREAM
    if function.params or not isinstance(result, ty.Own) or b.kinds[result.resource] is not kind:
        raise b.unknown(interface, name)
    rep = standard_stream(b.instance, STANDARD.index(name)) << 2 | BROKERED
    b.site(interface, name, f"stdio.{name.removeprefix('get-')}")
    b.host("drop")
    b.emit(interface, name, function, f"(call {b.new(result.resource)} (i32.const {rep}))")


def _check(name: str, function: ty.Function, params: list[ty.Type], ok: ty.Type | None) -> int:
    """Where the error of a stream's function lies. Raises ``Unsupported`` for a type that WASI 0.2 does not give it."""
    result = function.result
    given = [t for _, t in function.params if not isinstance(t, ty.Borrow)]
    if given != params or not isinstance(result, ty.Result) or result.ok != ok:
        raise Unsupported(f"it imports {name} with a type that is not WASI 0.2's")
    error = result.error
    if not isinstance(error, ty.Variant) or [n for n, _ in error.cases] != ["last-operation-failed", "closed"]:
        raise Unsupported(f"it imports {name} with an error that is not WASI 0.2's")
    return RESULT + ty.payload_offset(result)


def _error(b: Builder, function: ty.Function) -> int:
    """The resource in a stream's error."""
    result = function.result
    error = result.error if isinstance(result, ty.Result) else None
    payload = error.cases[0][1] if isinstance(error, ty.Variant) else None
    if not isinstance(payload, ty.Own) or b.kinds[payload.resource] is not Kind.ERROR:
        raise Unsupported("it imports streams with an error that is not WASI 0.2's")
    return payload.resource


def _fails(b: Builder, function: ty.Function, status: str) -> str:
    """Text that ends the call where ``status`` is none of success."""
    result = function.result
    assert isinstance(result, ty.Result)
    assert result.error is not None
    at = RESULT + ty.payload_offset(result)
    b.helpers.setdefault(
        "stream_error",
        f"""
  (func $is_failure (param $status i32) (result i32)
    (i32.or (i32.eq (local.get $status) (i32.const {CLOSED})) (i32.ge_u (local.get $status) (i32.const {FAILED}))))
  (func $stream_error (param $status i32) (param $at i32)
    (i32.store8 (i32.const {RESULT}) (i32.const 1))
    (i32.store8 (local.get $at) (i32.eq (local.get $status) (i32.const {CLOSED})))
    (if (i32.ne (local.get $status) (i32.const {CLOSED})) (then
      (i32.store offset={ty.payload_offset(result.error)} (local.get $at)
        (call {b.new(_error(b, function))} (i32.or (i32.const {BROKERED})
          (i32.shl (i32.sub (local.get $status) (i32.const {FAILED})) (i32.const 2))))))))""",
    )
    return f"""
      (local.set $status {status})
      (if (call $is_failure (local.get $status)) (then
        (call $stream_error (local.get $status) (i32.const {at}))
        (return (i32.const {RESULT}))))"""


def _brokered(b: Builder, interface: int, name: str, resource: str, method: str, function: ty.Function) -> str:
    """Text that answers a call on a socket's stream."""
    if method == "subscribe" and isinstance(function.result, ty.Own) and len(function.params) == 1:
        side = READABLE if resource == "input-stream" else WRITABLE
        answer = subscribe(b, function.result.resource, NUMBER, side)
        return f"(if (i32.and (local.get 0) (i32.const {BROKERED})) (then (return {answer})))"
    blocking = f"(i32.const {int(method.startswith('blocking'))})"
    match resource, method:
        case "input-stream", "read" | "blocking-read" | "skip" | "blocking-skip":
            reads = method.endswith("read")
            at = _check(name, function, [ty.U64], ty.List(ty.U8) if reads else ty.U64)
            most = f"(select (i32.wrap_i64 (local.get 1)) (i32.const {MOST_READ})"
            most += f" (i64.lt_u (local.get 1) (i64.const {MOST_READ})))"
            call = f"(call {_receive(b)} {NUMBER} {blocking} {most})"
            length = f"(i32.load (i32.const {AUXILIARY + 8}))"
            if reads:
                store = f"(i32.store (i32.const {at}) (i32.load (i32.const {AUXILIARY + 4})))"
                store += f" (i32.store (i32.const {at + 4}) {length})"
            else:
                store = f"(i64.store (i32.const {at}) (i64.extend_i32_u {length}))"
            answer = f"{call} {_fails(b, function, f'(i32.load (i32.const {AUXILIARY}))')} {store}"
        case "output-stream", "check-write":
            at = _check(name, function, [], ty.U64)
            answer = f"""
      (local.set $room (i64.const {PERMIT}))
      (if (i32.ne (i32.load {_clear(NUMBER)}) {NUMBER}) (then
        (local.set $room (call {b.host("room")} {NUMBER}))))
      {_fails(b, function, "(i32.wrap_i64 (i64.shr_u (local.get $room) (i64.const 32)))")}
      (i64.store (i32.const {at}) (i64.and (local.get $room) (i64.const 0xffffffff)))"""
        case "output-stream", "flush" | "blocking-flush":
            _check(name, function, [], None)
            answer = _fails(b, function, f"(call {_send(b)} {NUMBER} {blocking} {NOTHING})")
        case _:
            raise b.unknown(interface, name)
    first = _patiently(b, interface, function) if method in ("blocking-read", "blocking-skip") else ""
    return f"""
    (if (i32.and (local.get 0) (i32.const {BROKERED})) (then
      {answer}
      (i32.store8 (i32.const {RESULT}) (i32.const 0))
      (return (i32.const {RESULT})))) {first}"""


def _patiently(b: Builder, interface: int, function: ty.Function) -> str:
    """Text that waits for a stream of Wasmtime's as long as sockets still have something to send: Wasmtime's own wait
    would keep that from going on."""
    this = function.params[0][1]
    pollables = [n for n, kind in b.kinds.items() if kind is Kind.POLLABLE]
    name = "[method]input-stream.subscribe"
    if len(pollables) != 1 or not isinstance(this, ty.Borrow) or name not in dict(b.interfaces[interface].exports):
        return ""  # a guest that cannot ask for such a pollable waits for nothing else meanwhile
    waits_for(b, pollables[0])
    b.globals["unsent"] = UNSENT
    expected = ty.Function((("self", this),), ty.Own(pollables[0]))
    subscribed = b.native(interface, name, expected)
    return f"""
    (if (global.get $unsent) (then
      (local.set $status (call {subscribed} {NUMBER}))
      (i32.store (i32.const {SCRATCH}) (i32.shl (local.get $status) (i32.const 2)))
      (drop (call $await (i32.const {SCRATCH}) (i32.const 1)))
      (call {b.drop(pollables[0])} (local.get $status))))"""


def _write(b: Builder, interface: int, name: str, method: str, function: ty.Function) -> None:
    """A call that writes: counted where the stream is a file's, the worker's where it is a socket's."""
    wide = method in ("write", "blocking-write-and-flush")
    splices = method.endswith("splice")
    params: list[ty.Type] = [ty.List(ty.U8)] if wide else [ty.U64]
    at = _check(name, function, params, ty.U64 if splices else None)
    _helpers(b)
    site = b.site(interface, name, "filesystem.write")
    call, result = b.call(interface, name, function)
    call += b.adopt(function.result) if function.result is not None else ""
    source = _source(b, interface, name, function) if splices else None
    after = f"(call {b.drop(source)} {get(1)})" if source is not None and b.kinds[source] is Kind.NATIVE else ""
    over = f"""
        (call {b.host("denied")} (i32.const {site}) (i32.const {int(Reason.DISK) | int(Reason.WRITES)}) (i32.const -1)
          (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 0))
        {after}
        (i32.store8 (i32.const {RESULT}) (i32.const 1)) (i32.store8 (i32.const {at}) (i32.const {CLOSED_CASE}))
        (return (i32.const {RESULT}))"""
    before, locals_ = "", []
    if b.shape.owns_streams:
        locals_ = ["$status i32", "$room i64", "$data i32", "$length i32"]
        before = (
            _brokered_splice(b, interface, method, function, at, over)
            if splices
            else _brokered_write(b, method, function, wide=wide)
        )
    body = f"""{before}
    (if (i32.and (local.get 0) (i32.const 1)) (then
      (if (i32.eqz (call $charge {AMOUNT[method]})) (then {over}))))
    {call}
    {result}"""
    b.emit(interface, name, function, body, locals_)


def _brokered_write(b: Builder, method: str, function: ty.Function, *, wide: bool) -> str:
    blocking = method.startswith("blocking")
    most = MOST_FLUSHED if blocking else PERMIT
    data = f"""
      (local.set $data (local.get 1)) (local.set $length (local.get 2))
      (if (i32.gt_u (local.get $length) (i32.const {most})) (then unreachable))"""
    if not wide:
        data = f"""
      (if (i64.gt_u (local.get 1) (i64.const {most})) (then unreachable))
      (local.set $length (i32.wrap_i64 (local.get 1)))
      (local.set $data (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $length)))
      (memory.fill (local.get $data) (i32.const 0) (local.get $length))"""
    call = f"(call {_send(b)} {NUMBER} (i32.const {int(blocking)}) (local.get $data) (local.get $length))"
    return f"""
    (if (i32.and (local.get 0) (i32.const {BROKERED})) (then {data}
      {_fails(b, function, call)}
      (i32.store8 (i32.const {RESULT}) (i32.const 0))
      (return (i32.const {RESULT}))))"""


def _brokered_splice(b: Builder, interface: int, method: str, function: ty.Function, at: int, over: str) -> str:
    """A splice of which one end at least is a socket: read what fits, then write it."""
    blocking = method.startswith("blocking")
    flag = f"(i32.const {int(blocking)})"
    (_, to), (_, of) = function.params[:2]
    result = function.result
    assert isinstance(result, ty.Result)
    error = result.error
    bytes_ = ty.Result(ty.List(ty.U8), error)
    wrote = ty.Result(None, error)
    check = b.native(interface, "[method]output-stream.check-write", ty.Function((("self", to),), result))
    reading = "blocking-read" if blocking else "read"
    read = b.native(interface, f"[method]input-stream.{reading}", ty.Function((("self", of), ("len", ty.U64)), bytes_))
    writing = "blocking-write-and-flush" if blocking else "write"
    write = b.native(
        interface,
        f"[method]output-stream.{writing}",
        ty.Function((("self", to), ("contents", ty.List(ty.U8))), wrote),
    )
    size = ty.layout(error)[0] if error is not None else 0
    source = "(i32.shr_u (local.get 1) (i32.const 2))"

    def passed_on(t: ty.Type) -> str:
        """Text that ends the call where Wasmtime's answer at ``AUXILIARY`` is an error."""
        return f"""
          (if (i32.load8_u (i32.const {AUXILIARY})) (then
            (i32.store8 (i32.const {RESULT}) (i32.const 1))
            (memory.copy (i32.const {at}) (i32.const {AUXILIARY + ty.payload_offset(t)}) (i32.const {size}))
            {b.adopt(result)}
            (return (i32.const {RESULT}))))"""

    room = "(i32.wrap_i64 (i64.shr_u (local.get $room) (i64.const 32)))"
    flush = _fails(b, function, f"(call {_send(b)} {NUMBER} (i32.const 1) {NOTHING})") if blocking else ""
    permit = f"""
          (local.set $room (call {b.host("room")} {NUMBER}))
          {_fails(b, function, room)}
          (local.set $room (i64.and (local.get $room) (i64.const 0xffffffff)))"""
    native_permit = (
        f"(local.set $room (i64.const {MOST_FLUSHED}))"
        if blocking
        else f"""
          (call {check} {NUMBER} (i32.const {AUXILIARY})) {passed_on(result)}
          (local.set $room (i64.load (i32.const {AUXILIARY + ty.payload_offset(result)})))"""
    )
    received = f"(i32.load (i32.const {AUXILIARY}))"
    return f"""
    (if (i32.and (i32.or (local.get 0) (local.get 1)) (i32.const {BROKERED})) (then
      (if (i32.and (local.get 0) (i32.const {BROKERED}))
        (then {flush} {permit})
        (else {native_permit}))
      (if (i64.gt_u (local.get $room) (i64.const {PERMIT})) (then (local.set $room (i64.const {PERMIT}))))
      (if (i64.gt_u (local.get $room) (local.get 2)) (then (local.set $room (local.get 2))))
      (local.set $length (i32.const 0))
      (if (i64.ne (local.get $room) (i64.const 0)) (then
        (if (i32.and (local.get 0) (i32.const 1)) (then
          (if (i32.eqz (call $charge (local.get $room))) (then {over}))))
        (if (i32.and (local.get 1) (i32.const {BROKERED}))
          (then
            (call {_receive(b)} {source} {flag} (i32.wrap_i64 (local.get $room)))
            {_fails(b, function, received)})
          (else
            (call {read} {source} (local.get $room) (i32.const {AUXILIARY})) {passed_on(bytes_)}))
        (local.set $data (i32.load (i32.const {AUXILIARY + 4})))
        (local.set $length (i32.load (i32.const {AUXILIARY + 8})))))
      (if (local.get $length) (then
        (if (i32.and (local.get 0) (i32.const {BROKERED}))
          (then {_fails(b, function, f"(call {_send(b)} {NUMBER} {flag} (local.get $data) (local.get $length))")})
          (else
            (call {write} {NUMBER} (local.get $data) (local.get $length) (i32.const {AUXILIARY}))
            {passed_on(wrote)}))))
      (i32.store8 (i32.const {RESULT}) (i32.const 0))
      (i64.store (i32.const {at}) (i64.extend_i32_u (local.get $length)))
      (return (i32.const {RESULT}))))"""


def _describe(b: Builder, interface: int, name: str, function: ty.Function) -> None:
    """``to-debug-string``: the worker says what its error codes are called."""
    if len(function.params) != 1 or function.result != ty.STRING:
        raise b.unknown(interface, name)
    site = b.site(interface, name, "sockets")
    before = f"""
    (if (i32.and (local.get 0) (i32.const {BROKERED})) (then
      {ask(b, site, NUMBER, f"{NOTHING} {NOTHING}")}
      (i32.store (i32.const {RESULT}) {DATA}) (i32.store (i32.const {RESULT + 4}) {LENGTH})
      (return (i32.const {RESULT}))))"""
    b.forward(interface, name, function, before=before)


CODE = f"(i32.load8_u (i32.load (i32.const {AUXILIARY})))"
DATA = f"(i32.add (i32.load (i32.const {AUXILIARY})) (i32.const 1))"
LENGTH = f"(i32.sub (i32.load (i32.const {AUXILIARY + 4})) (i32.const 1))"
"""What the host's ``socket`` answered."""


def ask(b: Builder, site: int, number: str, strings: str) -> str:
    """Text that has the host carry out a function of ``wasi:sockets``."""
    call = f"(i64.or (i64.const {site << 32}) (i64.extend_i32_u {number}))"
    return f"""
      (call {b.host("socket")} {call} {strings} (i32.const {AUXILIARY}))
      (if (i32.eqz (i32.load (i32.const {AUXILIARY + 4}))) (then unreachable))"""


def _pair(high: str, low: str) -> str:
    """Two locals of 32 bits as one value of 64."""
    return (
        f"(i64.or (i64.shl (i64.extend_i32_u (local.get {high})) (i64.const 32)) (i64.extend_i32_u (local.get {low})))"
    )


def _direct(b: Builder) -> None:
    """Whether the worker knows where this memory is, found out when that is first asked."""
    b.globals["direct"] = "(global $direct (mut i32) (i32.const 0))"
    b.helpers["direct"] = f"""
  (func $direct (result i32) (local $at i32)
    (if (i32.eqz (global.get $direct)) (then
      (call {b.host("secret")} (i32.const {AUXILIARY}))
      (local.set $at (i32.load (i32.const {AUXILIARY})))
      (global.set $direct (select (i32.const 1) (i32.const 2) (call {b.host("locate")} (local.get $at))))
      (memory.fill (local.get $at) (i32.const 0) (i32.load (i32.const {AUXILIARY + 4})))))
    (i32.eq (global.get $direct) (i32.const 1)))"""


def _receive(b: Builder) -> str:
    """The core name of the function that receives: a status, an address and a length are then at ``AUXILIARY``."""
    _direct(b)
    b.helpers["receive"] = f"""
  (func $receive (param $object i32) (param $blocking i32) (param $length i32) (local $at i32) (local $answer i64)
    (if (call $direct)
      (then
        (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 8) (local.get $length)))
        (local.set $answer (call {b.host("receive")} {_pair("$blocking", "$object")} {_pair("$at", "$length")}))
        (i32.store (i32.const {AUXILIARY}) (i32.wrap_i64 (i64.shr_u (local.get $answer) (i64.const 32))))
        (i32.store (i32.const {AUXILIARY + 4}) (local.get $at))
        (i32.store (i32.const {AUXILIARY + 8}) (i32.wrap_i64 (local.get $answer))))
      (else
        (call {b.host("receive-text")} {_pair("$blocking", "$object")} (local.get $length) (i32.const {AUXILIARY}))))
    (if (i32.gt_u (i32.load (i32.const {AUXILIARY + 8})) (local.get $length)) (then unreachable)))"""
    return "$receive"


def _send(b: Builder) -> str:
    """The core name of the function that sends, and answers a status."""
    _direct(b)
    b.globals["unsent"] = UNSENT
    b.helpers["send"] = f"""
  (func $send (param $object i32) (param $blocking i32) (param $at i32) (param $length i32) (result i32)
    (local $status i32)
    (local.set $status
      (if (result i32) (call $direct)
        (then (call {b.host("send")} {_pair("$blocking", "$object")} {_pair("$at", "$length")}))
        (else (call {b.host("send-text")} {_pair("$blocking", "$object")} (local.get $at) (local.get $length)))))
    (i32.store {_clear("(local.get $object)")} (select (i32.const 0) (local.get $object) (local.get $status)))
    (if (i32.eq (local.get $status) (i32.const {PENDING})) (then (global.set $unsent (i32.const 1))))
    (local.get $status))"""
    return "$send"


def _clear(number: str) -> str:
    """The address at which the number of a socket stands, if the last that was sent there is on its way as a whole.

    Then there is room, and nobody needs to be asked. Numbers that share an address push each other out.
    """
    return f"(i32.add (i32.const {CLEAR}) (i32.shl (i32.and {number} (i32.const {CLEARS - 1})) (i32.const 2)))"


def forget_clear(number: str) -> str:
    """Text that has the worker asked for the room again."""
    return f"(i32.store {_clear(number)} (i32.const 0))"


def _source(b: Builder, interface: int, name: str, function: ty.Function) -> int:
    """The resource of the stream that a splice takes from."""
    source = function.params[1][1]
    if not isinstance(source, ty.Borrow) or b.kinds[source.resource] not in (Kind.NATIVE, Kind.INPUT_STREAM):
        raise b.unknown(interface, name)
    return source.resource


def _helpers(b: Builder) -> None:
    # Where no filesystem interface stands beside the streams, none of them writes to a file.
    b.helpers.setdefault("charge", "(func $charge (param i64) (result i32) unreachable)")
