"""Whether an export serves an import: the same verdict as Wasmtime's, and a sentence in WIT's words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Engine, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.component import ComponentError, codeless, skeleton
from sandbox.guard import types as ty
from sandbox.guard.fit import MAX_SIDE, Exports, exports_of, misfit
from sandbox.guard.instances import instance_type
from sandbox.guard.reflect import Imports, Interface, Resource, Unsupported, reflect
from sandbox.guard.wat import quote
from tests.guard import parts
from tests.guard.test_types import TYPES

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
U32, BOOL, STRING = ty.U32, ty.BOOL, ty.STRING
NAME = "bank:payments/auth@1.0.0"

Item = ty.Type | ty.Function | int


def encode(text: str) -> bytes:
    return bytes(wat2wasm(text))


def test_an_interface_with_a_resource() -> None:
    """Types, functions and the exporter's own resource are read with their names, after what it imports."""
    account, entry = 0, ty.Record((("memo", STRING), ("amount", U32)))
    interface = Interface(
        parts.LEDGER,
        (
            ("account", account),
            ("entry", entry),
            ("open", ty.Function((("owner", STRING),), ty.Option(ty.Own(account)))),
            ("[method]account.post", ty.Function((("self", ty.Borrow(account)), ("entry", entry)), None)),
            ("[method]account.balance", ty.Function((("self", ty.Borrow(account)),), U32)),
        ),
    )
    imported = Interface(parts.AUTH, (("validate-user", ty.Function((("name", STRING),), BOOL)),))
    exports = exports_of(Engine(), parts.ledger())
    assert exports == Exports(
        imports=Imports((imported,), ()),
        interfaces={parts.LEDGER: interface},
        resources=(Resource(parts.LEDGER, "account"),),
        unread={},
    )
    assert exports.owns(account)


def test_an_interface_with_a_resource_of_another() -> None:
    """A resource that is imported and exported again has one number, and is not the exporter's own."""
    exports = exports_of(Engine(), parts.book())
    assert exports.resources == (Resource(parts.LEDGER, "account"),)
    assert exports.interfaces[parts.BOOK].exports[0] == ("account", 0)
    assert not exports.owns(0)


@pytest.mark.parametrize("component", [parts.ledger(), parts.book(), parts.printer(), parts.auth()])
def test_imports_are_those_of_the_skeleton(component: bytes) -> None:
    """What is read beside the exports is what the guard reads of the imports alone, number for number."""
    assert exports_of(Engine(), component).imports == reflect(Engine(), skeleton(component))


def test_what_is_exported_and_no_interface() -> None:
    """Functions and types on their own are no interface; an instance in an instance is told of."""
    exports = exports_of(
        Engine(),
        encode("""(component
          (type $t string) (export "t" (type $t))
          (component $c) (instance $i (instantiate $c)) (instance $o (export "inner" (instance $i)))
          (export "acme:a/outer" (instance $o)) (export "acme:a/empty" (instance $i)))"""),
    )
    assert exports.interfaces == {"acme:a/empty": Interface("acme:a/empty", ())}
    assert exports.unread == {"acme:a/outer": "'acme:a/outer' holds 'inner', which is neither a type nor a function"}


@pytest.mark.parametrize(
    ("component", "message"),
    [
        (encode('(component (import "f" (func)))'), "it imports 'f', which is no interface"),
        (
            encode("(component)") + b"\x07\x02\x01\x00",
            "Wasmtime refuses its types: invalid leading byte (0x0) for component defined type",
        ),
    ],
    ids=["a function alone", "a malformed type"],
)
def test_what_cannot_be_read(component: bytes, message: str) -> None:
    """What no guard can stand in front of, or no engine take, is refused with a sentence."""
    with pytest.raises(Unsupported) as refusal:
        exports_of(Engine(), component)
    assert str(refusal.value) == message


def test_a_module_has_no_types_of_its_own() -> None:
    """A core module is refused before an engine sees it."""
    with pytest.raises(ComponentError) as refusal:
        exports_of(Engine(), encode("(module)"))
    assert str(refusal.value) == "a core module; only a component has types of its own"


@pytest.mark.parametrize("sample", ["feed.wasm", "miner.wasm", "report.wasm"])
def test_samples(sample: str) -> None:
    """Programs as compilers make them are read, start sections, tables and adapters included."""
    exports = exports_of(Engine(), (SAMPLES / sample).read_bytes())
    run = ty.Function((), ty.Result(None, None))
    assert exports.interfaces == {"wasi:cli/run@0.2.3": Interface("wasi:cli/run@0.2.3", (("run", run),))}


def between(wanted: Interface, offered: Interface) -> str | None:
    """The verdict on interfaces without resources."""
    nothing = Imports((), ())
    return misfit(wanted, nothing, offered, Exports(nothing, {}, (), {}), "auth")


def interface(*exports: tuple[str, Item]) -> Interface:
    return Interface(NAME, exports)


def function(*params: tuple[str, ty.Type], result: ty.Type | None = None) -> ty.Function:
    return ty.Function(params, result)


USER = ty.Record((("name", STRING), ("id", U32)))
OLDER = ty.Record((("name", STRING),))
LONG = ty.Record(tuple((f"field{n}", U32) for n in range(60)))
LONGER = ty.Record((*LONG.fields[:59], ("other", STRING)))

SENTENCES: dict[str, tuple[Interface, Interface, str | None]] = {
    "the same": (
        interface(("user", USER), ("find", function(("id", U32), result=USER))),
        interface(("user", USER), ("find", function(("id", U32), result=USER))),
        None,
    ),
    "more is exported": (interface(), interface(("find", function())), None),
    "nothing of it is exported": (
        interface(("transfer", function())),
        interface(("post", function())),
        "it imports transfer, which auth does not export",
    ),
    "another result": (
        interface(("validate-user", function(("name", STRING), result=BOOL))),
        interface(("validate-user", function(("name", STRING), result=ty.Result(None, STRING)))),
        (
            "validate-user: it imports func(name: string) -> bool,"
            " and auth exports func(name: string) -> result<_, string>"
        ),
    ),
    "another name of a parameter": (
        interface(("f", function(("name", STRING)))),
        interface(("f", function(("user", STRING)))),
        "f: it imports func(name: string), and auth exports func(user: string)",
    ),
    "the first function that differs": (
        interface(("a", function()), ("b", function(("x", U32))), ("c", function(("x", U32)))),
        interface(("c", function()), ("b", function()), ("a", function())),
        "b: it imports func(x: u32), and auth exports func()",
    ),
    "a named type that differs": (
        interface(("user", OLDER), ("find", function(("id", U32), result=OLDER))),
        interface(("user", USER), ("find", function(("id", U32), result=USER))),
        (
            "find: it imports func(id: u32) -> record { name: string },"
            " and auth exports func(id: u32) -> record { name: string, id: u32 }"
        ),
    ),
    "a named type beside what differs": (
        interface(("user", USER), ("find", function(("id", U32), result=USER))),
        interface(("user", USER), ("find", function(("id", STRING), result=USER))),
        "find: it imports func(id: u32) -> user, and auth exports func(id: string) -> user",
    ),
    "a type that no function uses": (
        interface(("colour", ty.Enum(("red", "green")))),
        interface(("colour", ty.Enum(("green", "red")))),
        "colour: it imports enum { red, green }, and auth exports enum { green, red }",
    ),
    "a type where a function was": (
        interface(("f", function())),
        interface(("f", STRING)),
        "f: it imports func(), and auth exports string",
    ),
    "everything that WIT has": (
        interface(
            (
                "f",
                function(
                    ("a", ty.List(ty.Tuple((U32, STRING)))),
                    ("b", ty.Variant((("none", None), ("some", ty.U8)))),
                    ("c", ty.Flags(("read", "write"))),
                    ("d", ty.Result(U32, None)),
                    result=ty.Option(ty.Result(None, None)),
                ),
            )
        ),
        interface(("f", function(("a", ty.Result(ty.Scalar("f64"), ty.Scalar("char")))))),
        (
            "f: it imports func(a: list<tuple<u32, string>>, b: variant { none, some(u8) }, c: flags { read, write },"
            " d: result<u32>) -> option<result>, and auth exports func(a: result<f64, char>)"
        ),
    ),
    "long types that differ late": (
        interface(("f", function(("x", LONG)))),
        interface(("f", function(("x", LONGER)))),
        (
            "f: it imports ...32, field55: u32, field56: u32, field57: u32, field58: u32, field59: u32 }),"
            " and auth exports ...32, field55: u32, field56: u32, field57: u32, field58: u32, other: string })"
        ),
    ),
}


@pytest.mark.parametrize(("wanted", "offered", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_sentences(wanted: Interface, offered: Interface, sentence: str | None) -> None:
    """The first function that differs is named, with both types; named types are spelt out where they are at fault."""
    assert between(wanted, offered) == sentence


def test_sentences_are_bounded() -> None:
    """However long the names in a component are, the sentence about it is short."""
    name = "a" * 5000
    sentence = between(
        interface((name, function((name, ty.Record(tuple((f"{name}{n}", U32) for n in range(100))))))),
        interface((name, function())),
    )
    assert sentence is not None
    assert len(sentence) < 2 * MAX_SIDE + 200
    missing = between(interface((name, function())), interface())
    assert missing == f"it imports {'a' * 97}..., which auth does not export"


LEDGER, BOOK, PRINTER = (exports_of(Engine(), c) for c in (parts.ledger(), parts.book(), parts.printer()))


def importer(imports: str) -> Exports:
    return exports_of(Engine(), encode(f"(component {imports})"))


def verdict(imports: str, name: str, offered: Exports, server: str) -> str | None:
    reader = importer(imports)
    wanted = next(i for i in reader.imports.interfaces if i.name == name)
    return misfit(wanted, reader.imports, offered.interfaces[name], offered, server)


STREAMS = parts.STREAMS.replace("RELEASE", "0.2.0")
OWN_STREAM = encode(f"""(component
  (type $s (resource (rep i32)))
  (component $c (import "s" (type $s (sub resource))) (export "output-stream" (type $s)))
  (instance $i (instantiate $c (with "s" (type $s))))
  (export "{parts.PRINTER}" (instance $i)))""")

RESOURCES: dict[str, tuple[str, str, Exports, str | None]] = {
    "the exporter's own": (parts.LEDGER_IMPORT, parts.LEDGER, LEDGER, None),
    "a third component's": (parts.LEDGER_IMPORT + parts.BOOK_IMPORT, parts.BOOK, BOOK, None),
    "one of WASI's, of another release": (STREAMS + parts.PRINTER_IMPORT, parts.PRINTER, PRINTER, None),
    "one that WASI does not have": (
        f"""(import "{parts.PRINTER}" (instance
          (export "output-stream" (type $s (sub resource)))
          (export "shout" (func (param "to" (borrow $s)) (param "text" string)))))""",
        parts.PRINTER,
        PRINTER,
        None,
    ),
    "two where there is one": (
        f"""(import "{parts.BOOK}" (instance
          (export "account" (type $s (sub resource)))
          (export "total" (func (param "one" (borrow $s)) (param "other" (own $s)) (result u32)))))""",
        parts.BOOK,
        BOOK,
        (
            "total: it imports func(one: borrow<account>, other: account) -> u32,"
            " and book exports func(one: borrow<account>, other: borrow<account>) -> u32"
        ),
    ),
    "a resource where a type is": (
        f'(import "{parts.LEDGER}" (instance (export "entry" (type (sub resource)))))',
        parts.LEDGER,
        LEDGER,
        "entry: it imports a resource, and ledger exports record { memo: string, amount: u32 }",
    ),
    "one of WASI's where the exporter has its own": (
        f"""{STREAMS}
        (import "{parts.PRINTER}" (instance
          (alias outer 1 $output-stream (type $x)) (export "output-stream" (type (eq $x)))))""",
        parts.PRINTER,
        exports_of(Engine(), OWN_STREAM),
        (
            "output-stream: it imports the resource wasi:io/streams@0.2.0.output-stream,"
            " and printer exports the resource acme:text/printer@0.3.1.output-stream"
        ),
    ),
}


@pytest.mark.parametrize(("imports", "name", "offered", "sentence"), RESOURCES.values(), ids=RESOURCES)
def test_resources(imports: str, name: str, offered: Exports, sentence: str | None) -> None:
    """A resource is one by the name that both interfaces give it, and one of WASI's is WASI's on both sides."""
    assert verdict(imports, name, offered, name.partition("/")[2].partition("@")[0]) == sentence


MEMBERS = st.lists(
    st.tuples(st.lists(st.tuples(st.sampled_from("ab"), TYPES), max_size=2, unique_by=lambda p: p[0]), TYPES),
    min_size=1,
    max_size=3,
)


def declared(functions: list[ty.Function]) -> Interface:
    """An interface of functions, with a name for each type that needs one."""
    named: dict[ty.Type, str] = {}
    for f in functions:
        for top in (*(t for _, t in f.params), *(() if f.result is None else (f.result,))):
            for t in ty.walk(top):
                if isinstance(t, (ty.Record, ty.Variant, ty.Enum, ty.Flags)):
                    named.setdefault(t, f"t{len(named)}")
    return Interface(
        NAME, (*((name, t) for t, name in named.items()), *((f"f{n}", f) for n, f in enumerate(functions)))
    )


def links(wanted: Interface, offered: Interface) -> bool:
    """Whether Wasmtime takes one instance for the other."""
    want, have = (instance_type(i.exports) for i in (wanted, offered))
    name = quote(NAME)
    try:
        wasm.Component(
            Engine(),
            encode(f"""(component
              (import {name} (instance $i {have.removeprefix("(instance").removesuffix(")")}))
              (component $c (import {name} {want}))
              (instance (instantiate $c (with {name} (instance $i)))))"""),
        )
    except WasmtimeError as error:
        if "type mismatch for import" in str(error):
            return False
        raise
    return True


@settings(max_examples=150, deadline=None)
@given(MEMBERS, st.data())
def test_the_verdict_is_wasmtimes(
    members: list[tuple[list[tuple[str, ty.Type]], ty.Type]], data: st.DataObject
) -> None:
    """Of interfaces that differ in one place or none, those fit that Wasmtime links."""
    functions = [ty.Function(tuple(params), result) for params, result in members]
    changed = list(functions)
    at = data.draw(st.integers(0, len(functions) - 1))
    match data.draw(st.sampled_from(["same", "fewer", "result", "no result", "parameter", "renamed"])):
        case "fewer":
            changed.pop()
        case "result":
            changed[at] = replace(changed[at], result=data.draw(TYPES))
        case "no result":
            changed[at] = replace(changed[at], result=None)
        case "parameter":
            changed[at] = replace(changed[at], params=(*changed[at].params, ("z", data.draw(TYPES))))
        case "renamed":
            changed[at] = replace(changed[at], params=tuple((f"{n}x", t) for n, t in changed[at].params))
    for wanted, offered in ((functions, changed), (changed, functions)):
        sentence = between(declared(wanted), declared(offered))
        assert (sentence is None) == links(declared(wanted), declared(offered)), sentence


def lifting(module: str) -> bytes:
    """A component that exports what a core module exports as ``f``."""
    return encode(f"""(component
      (core module $m {module}) (core instance $i (instantiate $m)) (func $f (canon lift (core func $i "f")))
      (instance $x (export "f" (func $f))) (export "acme:a/b" (instance $x)))""")


def test_code_that_nobody_calls_is_left_out() -> None:
    """However much a module holds, the part of it that types depend on is the same small one."""
    body = "(func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))"
    data = "x" * 10_000
    large = lifting(f"""(memory 1) (data (i32.const 0) "{data}") (global i32 (i32.const 0x12d2)) (table 1 funcref)
      {body * 5000} (func $f (export "f")) (func (export "g")) (start $f) (elem (i32.const 0) $f)""")
    small = lifting("""(memory 1) (global i32 (i32.const 0x12d2)) (table 1 funcref)
      (type (func (param i32) (result i32))) (func $f (export "f") unreachable) (export "g" (func $f))""")
    assert codeless(large) == codeless(small)
    assert exports_of(Engine(), large).interfaces == {"acme:a/b": Interface("acme:a/b", (("f", function()),))}


MODULES = {
    "a global that is a function": '(global funcref (ref.func 1)) (func) (func (export "f"))',
    "a table of a function": '(table 1 (ref null func) (ref.func 1)) (func) (func (export "f"))',
    "globals of every kind": """
      (global i32 (i32.const 210)) (global i64 (i64.const -210)) (global f32 (f32.const 1)) (global f64 (f64.const 1))
      (global $x (export "x") (mut externref) (ref.null extern)) (global i32 (i32.add (i32.const 1) (i32.const 210)))
      (global v128 (v128.const i64x2 210 210)) (func (param i64)) (func (export "f"))""",
    "functions of many types": """
      (func (export "a") (param i32)) (func (export "b") (param i64)) (func (export "c") (param i32)) (func)
      (func (export "f")) (memory (export "m") 1) (table (export "t") 1 funcref)""",
    "passive data": """
      (memory 1) (data $d "x") (func (export "f") (memory.init $d (i32.const 0) (i32.const 0) (i32.const 1)))""",
}


@pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)
def test_modules_that_engines_take(module: str) -> None:
    """What is left of a module without its code is valid where the module was, and exports the same."""
    component = lifting(module)
    wasm.Component(Engine(), component)
    assert list(exports_of(Engine(), component).interfaces) == ["acme:a/b"]


def test_an_exported_function_that_is_not_there() -> None:
    """An index beyond a module's functions is refused here, since the engine gets other indices to see."""
    whole = lifting('(func (export "f"))')
    broken = whole.replace(b"\x01f\x00\x00", b"\x01f\x00\x09")
    assert broken != whole
    with pytest.raises(ComponentError) as refusal:
        codeless(broken)
    assert str(refusal.value) == "function 9 is exported, and there are only 1"


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(MODULES)), st.data())
def test_mutated_components(name: str, data: st.DataObject) -> None:
    """Whatever bytes are changed, the component is read or refused with one short line."""
    whole = bytearray(lifting(MODULES[name]))
    for at in data.draw(st.lists(st.integers(8, len(whole) - 1), min_size=1, max_size=4)):
        whole[at] = data.draw(st.integers(0, 255))
    try:
        exports_of(Engine(), bytes(whole))
        said = "nothing"
    except (ComponentError, Unsupported) as error:
        said = str(error)
    assert len(said.splitlines()) == 1
    assert len(said) < 400
