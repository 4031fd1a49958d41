"""Small components in text that import from each other, to be composed into programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from wasmtime import wat2wasm

from tests.e2e.components import MEMORY

AUTH = "bank:payments/auth@1.0.0"
LEDGER = "bank:payments/ledger@1.0.0"
BOOK = "bank:payments/book@1.0.0"
PRINTER = "acme:text/printer@0.3.1"


class Call(NamedTuple):
    """A function of an imported instance, which a part calls as ``$label``. The last two are its core types."""

    label: str
    instance: str
    function: str
    params: str = ""
    result: str = ""


def part(imports: str, calls: Iterable[Call], core: str, exports: str) -> bytes:
    """A component: imports, functions of them that its module calls, the module's text, and what it lifts and exports.

    Its memory's first 64 KiB are its own.
    """
    lowered, core_imports, given = [], [], []
    for call in calls:
        lowered.append(
            f'(alias export ${call.instance} "{call.function}" (func $f-{call.label})) (core func ${call.label}'
            f" (canon lower (func $f-{call.label}) (memory $memory) (realloc $realloc)))"
        )
        params = f"(param {call.params})" if call.params else ""
        result = f"(result {call.result})" if call.result else ""
        core_imports.append(f'(import "other" "{call.label}" (func ${call.label} {params} {result}))')
        given.append(f'(export "{call.label}" (func ${call.label}))')
    return bytes(
        wat2wasm(f"""(component
{imports}
{MEMORY}
{" ".join(lowered)}
(core module $main (import "memory" "memory" (memory 40)) {" ".join(core_imports)} {core})
(core instance $main (instantiate $main (with "memory" (instance (export "memory" (memory $memory))))
  (with "other" (instance {" ".join(given)}))))
{exports})""")
    )


STREAMS = """
(import "wasi:io/error@RELEASE" (instance $error (export "error" (type (sub resource)))))
(alias export $error "error" (type $error-type))
(import "wasi:io/streams@RELEASE" (instance $streams
  (export "output-stream" (type $s (sub resource)))
  (alias outer 1 $error-type (type $x)) (export "error" (type $e (eq $x)))
  (type $v (variant (case "last-operation-failed" (own $e)) (case "closed")))
  (export "stream-error" (type $w (eq $v)))
  (export "[method]output-stream.blocking-write-and-flush"
    (func (param "self" (borrow $s)) (param "contents" (list u8)) (result (result (error $w)))))))
(alias export $streams "output-stream" (type $output-stream))
"""
STDOUT = """
(import "wasi:cli/stdout@RELEASE" (instance $stdout
  (alias outer 1 $output-stream (type $x)) (export "output-stream" (type $s (eq $x)))
  (export "get-stdout" (func (result (own $s))))))
"""
WRITE = Call("write", "streams", "[method]output-stream.blocking-write-and-flush", "i32 i32 i32 i32")
GET_STDOUT = Call("get-stdout", "stdout", "get-stdout", "", "i32")


def command(imports: str, calls: Iterable[Call], run: str, *, release: str = "0.2.0", data: str = "") -> bytes:
    """A program whose ``run`` is core text. ``(call $say POINTER LENGTH)`` writes to standard output.

    ``data`` starts at 1024 of its memory.
    """
    core = f"""
(data (i32.const 1024) "{data}")
(func $say (param i32 i32) (call $write (call $get-stdout) (local.get 0) (local.get 1) (i32.const 8)))
(func (export "run") (result i32) (local $a i32) (local $b i32) {run} (i32.const 0))"""
    exports = """
(func $run (result (result)) (canon lift (core func $main "run")))
(instance $exports (export "run" (func $run)))
(export "wasi:cli/run@RELEASE" (instance $exports))"""
    return part(
        (STREAMS + STDOUT + imports).replace("RELEASE", release),
        (WRITE, GET_STDOUT, *calls),
        core,
        exports.replace("RELEASE", release),
    )


def auth(name: str = AUTH, result: str = "bool", parameter: str = "name") -> bytes:
    """Exports ``validate-user``, which says yes to names that begin with an ``a``."""
    return part(
        "",
        (),
        """(func (export "validate-user") (param i32 i32) (result i32)
             (i32.eq (i32.load8_u (local.get 0)) (i32.const 97)))""",
        f"""(func $validate (param "{parameter}" string) (result {result})
  (canon lift (core func $main "validate-user") (memory $memory) (realloc $realloc)))
(instance $auth (export "validate-user" (func $validate)))
(export "{name}" (instance $auth))""",
    )


def auth_import(name: str = AUTH) -> str:
    return (
        f'(import "{name}" (instance $auth (export "validate-user" (func (param "name" string) (result bool)))))'
    )


VALIDATE = Call("validate", "auth", "validate-user", "i32 i32", "i32")

ENTRY = '(record (field "memo" string) (field "amount" u32))'

LEDGER_IMPORT = f"""
(import "{LEDGER}" (instance $ledger
  (export "account" (type $r (sub resource)))
  (type $e' {ENTRY}) (export "entry" (type $e (eq $e')))
  (export "open" (func (param "owner" string) (result (option (own $r)))))
  (export "[method]account.post" (func (param "self" (borrow $r)) (param "entry" $e)))
  (export "[method]account.balance" (func (param "self" (borrow $r)) (result u32)))))
(alias export $ledger "account" (type $account))
"""
OPEN = Call("open", "ledger", "open", "i32 i32 i32")
POST = Call("post", "ledger", "[method]account.post", "i32 i32 i32 i32")
BALANCE = Call("balance", "ledger", "[method]account.balance", "i32", "i32")


def ledger(imports: str = auth_import(), calls: Iterable[Call] = (VALIDATE,)) -> bytes:
    """Exports a resource of its own, ``account``, which it opens only for those whom ``auth`` lets in.

    All accounts of one instance share one balance.
    """
    return part(
        imports + "(type $account (resource (rep i32)))",
        calls,
        """
(global $balance (mut i32) (i32.const 0))
(func (export "open") (param i32 i32) (result i32)
  (i32.store8 (i32.const 16) (call $validate (local.get 0) (local.get 1)))
  (i32.store (i32.const 20) (call $new (i32.const 7)))
  (i32.const 16))
(func (export "post") (param i32 i32 i32 i32)
  (global.set $balance (i32.add (global.get $balance) (local.get 3))))
(func (export "balance") (param i32) (result i32) (global.get $balance))""".replace(
            "(call $new (i32.const 7))", "(i32.const 0)"
        )
        if not calls
        else _LEDGER_CORE,
        _LEDGER_EXPORTS,
    )
