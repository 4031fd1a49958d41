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


class Canon(NamedTuple):
    """A function of the component model itself, such as ``resource.new $account``, from a number to a number."""

    label: str
    text: str
    result: str = "i32"


def part(before: str, calls: Iterable[Call | Canon], core: str, after: str) -> bytes:
    """A component: imports and types, what its module calls, the module's text, then what is lifted and exported.

    The first 64 KiB of memory are the module's own; what it is given starts there.
    """
    defined, imported, given = [], [], []
    for call in calls:
        if isinstance(call, Call):
            params = f"(param {call.params})"
            defined.append(f'(alias export ${call.instance} "{call.function}" (func $f-{call.label}))')
            canon = f"lower (func $f-{call.label}) (memory $memory) (realloc $realloc)"
        else:
            params, canon = "(param i32)", call.text
        result = f"(result {call.result})" if call.result else ""
        defined.append(f"(core func ${call.label} (canon {canon}))")
        imported.append(f'(import "other" "{call.label}" (func ${call.label} {params} {result}))')
        given.append(f'(export "{call.label}" (func ${call.label}))')
    return bytes(
        wat2wasm(f"""(component
{before}
{MEMORY}
{" ".join(defined)}
(core module $main
  (import "memory" "memory" (memory 40))
  {" ".join(imported)}
  {core})
(core instance $main (instantiate $main
  (with "memory" (instance (export "memory" (memory $memory))))
  (with "other" (instance {" ".join(given)}))))
{after})""")
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


def command(imports: str, calls: Iterable[Call | Canon], run: str, *, release: str = "0.2.0", data: str = "") -> bytes:
    """A program whose ``run`` is core text; ``(call $say NUMBER)`` writes a line. ``data`` stands at 1024 of memory."""
    core = f"""
(data (i32.const 1024) "{data}")
(func $say (param i32) (local $at i32)
  (local.set $at (i32.const 99))
  (i32.store8 (local.get $at) (i32.const 10))
  (loop $digit
    (local.set $at (i32.sub (local.get $at) (i32.const 1)))
    (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get 0) (i32.const 10))))
    (br_if $digit (local.tee 0 (i32.div_u (local.get 0) (i32.const 10)))))
  (call $write (call $get-stdout) (local.get $at) (i32.sub (i32.const 100) (local.get $at)) (i32.const 8)))
(func (export "run") (result i32) (local $a i32) (local $b i32) {run} (i32.const 0))"""
    after = """
(func $run (result (result)) (canon lift (core func $main "run")))
(instance $run (export "run" (func $run)))
(export "wasi:cli/run@RELEASE" (instance $run))"""
    before = STREAMS + STDOUT
    calls = (WRITE, GET_STDOUT, *calls)
    return part(before.replace("RELEASE", release) + imports, calls, core, after.replace("RELEASE", release))


def auth_import(name: str = AUTH) -> str:
    return f"""
(import "{name}" (instance $auth (export "validate-user" (func (param "name" string) (result bool)))))"""


VALIDATE = Call("validate", "auth", "validate-user", "i32 i32", "i32")


def auth(name: str = AUTH, function: str = '(param "name" string) (result bool)') -> bytes:
    """Exports ``validate-user``, which says yes to whoever begins with an ``a``."""
    return part(
        "",
        (),
        """(func (export "validate-user") (param i32 i32) (result i32)
             (i32.eq (i32.load8_u (local.get 0)) (i32.const 97)))""",
        f"""
(func $validate {function} (canon lift (core func $main "validate-user") (memory $memory) (realloc $realloc)))
(instance $auth (export "validate-user" (func $validate)))
(export "{name}" (instance $auth))""",
    )


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


def ledger() -> bytes:
    """Exports a resource of its own, ``account``, which it opens for those whom ``auth`` lets in.

    All accounts of one instance share one balance.
    """
    return part(
        auth_import() + "(type $account (resource (rep i32)))",
        (VALIDATE, Canon("new", "resource.new $account")),
        """
(global $balance (mut i32) (i32.const 0))
(func (export "open") (param i32 i32) (result i32)
  (i32.store8 (i32.const 16) (call $validate (local.get 0) (local.get 1)))
  (if (i32.load8_u (i32.const 16)) (then (i32.store (i32.const 20) (call $new (i32.const 7)))))
  (i32.const 16))
(func (export "post") (param i32 i32 i32 i32)
  (if (i32.ne (local.get 0) (i32.const 7)) (then unreachable))
  (global.set $balance (i32.add (global.get $balance) (local.get 3))))
(func (export "balance") (param i32) (result i32) (global.get $balance))""",
        f"""
(type $entry {ENTRY})
(func $open (param "owner" string) (result (option (own $account)))
  (canon lift (core func $main "open") (memory $memory) (realloc $realloc)))
(func $post (param "self" (borrow $account)) (param "entry" $entry)
  (canon lift (core func $main "post") (memory $memory) (realloc $realloc)))
(func $balance (param "self" (borrow $account)) (result u32) (canon lift (core func $main "balance")))
(component $interface
  (import "account" (type $r (sub resource)))
  (type $e' {ENTRY}) (import "entry" (type $e (eq $e')))
  (import "open" (func $open (param "owner" string) (result (option (own $r)))))
  (import "post" (func $post (param "self" (borrow $r)) (param "entry" $e)))
  (import "balance" (func $balance (param "self" (borrow $r)) (result u32)))
  (export $account "account" (type $r))
  (export $entry "entry" (type $e))
  (export "open" (func $open) (func (param "owner" string) (result (option (own $account)))))
  (export "[method]account.post" (func $post) (func (param "self" (borrow $account)) (param "entry" $entry)))
  (export "[method]account.balance" (func $balance) (func (param "self" (borrow $account)) (result u32))))
(instance $exports (instantiate $interface (with "account" (type $account)) (with "entry" (type $entry))
  (with "open" (func $open)) (with "post" (func $post)) (with "balance" (func $balance))))
(export "{LEDGER}" (instance $exports))""",
    )


BOOK_IMPORT = f"""
(import "{BOOK}" (instance $book
  (alias outer 1 $account (type $x)) (export "account" (type $r (eq $x)))
  (export "total" (func (param "one" (borrow $r)) (param "other" (borrow $r)) (result u32)))))
"""
TOTAL = Call("total", "book", "total", "i32 i32", "i32")


def book() -> bytes:
    """Exports a function of two accounts, which are another component's."""
    return part(
        LEDGER_IMPORT,
        (BALANCE, Canon("drop", "resource.drop $account", "")),
        """
(func (export "total") (param i32 i32) (result i32)
  (i32.add (call $balance (local.get 0)) (call $balance (local.get 1)))
  (call $drop (local.get 0)) (call $drop (local.get 1)))""",
        f"""
(func $total (param "one" (borrow $account)) (param "other" (borrow $account)) (result u32)
  (canon lift (core func $main "total")))
(component $interface
  (import "account" (type $r (sub resource)))
  (import "total" (func $total (param "one" (borrow $r)) (param "other" (borrow $r)) (result u32)))
  (export $account "account" (type $r))
  (export "total" (func $total) (func (param "one" (borrow $account)) (param "other" (borrow $account)) (result u32))))
(instance $exports (instantiate $interface (with "account" (type $account)) (with "total" (func $total))))
(export "{BOOK}" (instance $exports))""",
    )


PRINTER_IMPORT = f"""
(import "{PRINTER}" (instance $printer
  (alias outer 1 $output-stream (type $x)) (export "output-stream" (type $s (eq $x)))
  (export "shout" (func (param "to" (borrow $s)) (param "text" string)))))
"""
SHOUT = Call("shout", "printer", "shout", "i32 i32 i32")


def printer(release: str = "0.2.3") -> bytes:
    """Exports a function that writes to whatever stream it is handed; it has none of its own."""
    return part(
        STREAMS.replace("RELEASE", release),
        (WRITE, Canon("drop", "resource.drop $output-stream", "")),
        """
(data (i32.const 1024) "!\\0a")
(func (export "shout") (param i32 i32 i32)
  (call $write (local.get 0) (local.get 1) (local.get 2) (i32.const 8))
  (call $write (local.get 0) (i32.const 1024) (i32.const 2) (i32.const 8))
  (call $drop (local.get 0)))""",
        f"""
(func $shout (param "to" (borrow $output-stream)) (param "text" string)
  (canon lift (core func $main "shout") (memory $memory) (realloc $realloc)))
(component $interface
  (import "output-stream" (type $s (sub resource)))
  (import "shout" (func $shout (param "to" (borrow $s)) (param "text" string)))
  (export $output-stream "output-stream" (type $s))
  (export "shout" (func $shout) (func (param "to" (borrow $output-stream)) (param "text" string))))
(instance $exports (instantiate $interface (with "output-stream" (type $output-stream)) (with "shout" (func $shout))))
(export "{PRINTER}" (instance $exports))""",
    )


def link_name(number: int) -> str:
    return f"acme:chain/link{number}@1.0.0"


def link_import(number: int) -> str:
    return f"""
(import "{link_name(number)}" (instance $link (export "add" (func (param "n" u32) (result u32)))))"""


ADD = Call("add", "link", "add", "i32", "i32")


def link(number: int) -> bytes:
    """Exports ``add``, which adds one to what the link before it makes of a number; the first has none before it."""
    first = number == 0
    return part(
        "" if first else link_import(number - 1),
        () if first else (ADD,),
        f"""(func (export "add") (param i32) (result i32)
          (i32.add (i32.const 1) {"(local.get 0)" if first else "(call $add (local.get 0))"}))""",
        f"""
(func $add (param "n" u32) (result u32) (canon lift (core func $main "add")))
(instance $exports (export "add" (func $add)))
(export "{link_name(number)}" (instance $exports))""",
    )
