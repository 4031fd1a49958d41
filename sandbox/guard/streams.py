"""``output-stream`` as the guard's own, so that writing to files can be counted. Input streams stay Wasmtime's."""

from __future__ import annotations

from sandbox.guard import types as ty
from sandbox.guard.builder import Builder, Kind, mentioned
from sandbox.guard.reflect import Unsupported
from sandbox.guard.sites import Reason
from sandbox.guard.state import RESULT
from sandbox.guard.wat import get

AMOUNT = {
    "write": "(i64.extend_i32_u (local.get 2))",
    "blocking-write-and-flush": "(i64.extend_i32_u (local.get 2))",
    "write-zeroes": "(local.get 1)",
    "blocking-write-zeroes-and-flush": "(local.get 1)",
    "splice": "(local.get 2)",
    "blocking-splice": "(local.get 2)",
}
"""How many bytes a call means to write. A splice is charged for what it asks for, which is never less than it moves."""

CLOSED = 1
"""The case of ``stream-error`` that has no payload."""


def emit(b: Builder, interface: int) -> None:
    """Guard ``wasi:io/streams`` or any interface that hands out or takes output streams."""
    for name, function in b.imports.interfaces[interface].functions:
        if not any(b.kinds[r] is Kind.OUTPUT_STREAM for r in mentioned(function)):
            b.pass_through(interface, name)
            continue
        method = name.removeprefix("[method]output-stream.")
        if method not in AMOUNT:
            b.forward(interface, name, function)
            continue
        wide = method in ("write", "blocking-write-and-flush")
        expected = [ty.List(ty.U8)] if wide else [ty.U64]
        if [t for _, t in function.params if not isinstance(t, ty.Borrow)] != expected or not isinstance(
            function.result, ty.Result
        ):
            raise Unsupported(f"it imports {name} with a type that is not WASI 0.2's")
        error = function.result.error
        if not isinstance(error, ty.Variant) or [n for n, _ in error.cases] != ["last-operation-failed", "closed"]:
            raise Unsupported(f"it imports {name} with an error that is not WASI 0.2's")
        _helpers(b)
        site = b.site(interface, name, "filesystem.write")
        call, result = b.call(interface, name, function)
        at = RESULT + ty.payload_offset(function.result)
        after = f"(call {b.drop(_source(b, interface, name, function))} {get(1)})" if method.endswith("splice") else ""
        b.emit(
            interface,
            name,
            function,
            f"""
    (if (i32.and (local.get 0) (i32.const 1)) (then
      (if (i32.eqz (call $charge {AMOUNT[method]})) (then
        (call {b.host("denied")} (i32.const {site}) (i32.const {int(Reason.DISK) | int(Reason.WRITES)}) (i32.const -1)
          (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 0))
        {after}
        (i32.store8 (i32.const {RESULT}) (i32.const 1)) (i32.store8 (i32.const {at}) (i32.const {CLOSED}))
        (return (i32.const {RESULT}))))))
    {call}
    {result}""",
        )


def _source(b: Builder, interface: int, name: str, function: ty.Function) -> int:
    """The resource of the stream that a splice takes from."""
    source = function.params[1][1]
    if not isinstance(source, ty.Borrow) or b.kinds[source.resource] is not Kind.NATIVE:
        raise b.unknown(interface, name)
    return source.resource


def _helpers(b: Builder) -> None:
    # Where no filesystem interface stands beside the streams, none of them writes to a file.
    b.helpers.setdefault("charge", "(func $charge (param i64) (result i32) unreachable)")
