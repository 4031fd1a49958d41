"""Components composed into one ordinary component, which runs under plain wasmtime-py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from wasmtime import Engine, Store, WasiConfig, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.component import Export, Import, facts_of
from sandbox.guard import types as ty
from sandbox.guard.compose import compose
from sandbox.guard.fit import exports_of
from sandbox.guard.program import Instance, Wire
from sandbox.guard.reflect import Imports, Interface, Unsupported
from sandbox.guard.wat import quote
from tests.e2e.components import component as program
from tests.guard import parts


def wire(name: str, instance: int, export: str | None = None) -> Wire:
    return Wire(name=name, instance=instance, export=export or name)


def printed(program: bytes, directory: Path, release: str = "0.2.0") -> str:
    """What a composed command writes to its standard output, under Wasmtime's own WASI and nothing else."""
    engine = Engine()
    linker = wasm.Linker(engine)
    linker.add_wasip2()
    store = Store(engine)
    config = WasiConfig()
    config.stdout_file = str(directory / "stdout")
    store.set_wasi(config)
    instance = linker.instantiate(store, wasm.Component(engine, program))
    interface = instance.get_export_index(store, f"wasi:cli/run@{release}")
    assert interface is not None
    index = instance.get_export_index(store, "run", interface)
    assert index is not None
    run = instance.get_func(store, index)
    assert run is not None
    run(store)
    run.post_return(store)
    return (directory / "stdout").read_text(encoding="ascii")


ASKS = parts.command(
    parts.auth_import(),
    (parts.VALIDATE,),
    """(call $say (call $validate (i32.const 1024) (i32.const 3)))
       (call $say (call $validate (i32.const 1027) (i32.const 3)))""",
    data="adabob",
)
LEDGER_CALLS = (parts.OPEN, parts.POST, parts.BALANCE)
PAYS = parts.command(
    parts.LEDGER_IMPORT + parts.BOOK_IMPORT,
    (*LEDGER_CALLS, parts.TOTAL),
    """
(call $open (i32.const 1027) (i32.const 3) (i32.const 8))
(call $say (i32.load8_u (i32.const 8)))
(call $open (i32.const 1024) (i32.const 3) (i32.const 8))
(call $say (i32.load8_u (i32.const 8)))
(local.set $a (i32.load (i32.const 12)))
(call $post (local.get $a) (i32.const 1024) (i32.const 3) (i32.const 40))
(call $post (local.get $a) (i32.const 1024) (i32.const 3) (i32.const 2))
(call $say (call $balance (local.get $a)))
(call $say (call $total (local.get $a) (local.get $a)))""",
    data="adabob",
)
BANK = [parts.auth(), parts.ledger(), parts.book(), PAYS]


def bank() -> list[Instance]:
    """``app`` imports from ``ledger``, and from ``book``, which imports from the same ``ledger``."""
    return [
        Instance(name="auth", component=0),
        Instance(name="ledger", component=1, wires=(wire(parts.AUTH, 0),)),
        Instance(name="book", component=2, wires=(wire(parts.LEDGER, 1),)),
        Instance(name="app", component=3, wires=(wire(parts.LEDGER, 1), wire(parts.BOOK, 2))),
    ]


def encode(text: str) -> bytes:
    return bytes(wat2wasm(text))


def test_a_command_and_a_library(tmp_path: Path) -> None:
    """A call across the composition takes a string and gives its answer; the program runs where any other runs."""
    composed = compose(
        Engine(),
        [parts.auth(), ASKS],
        [Instance(name="auth", component=0), Instance(name="app", component=1, wires=(wire(parts.AUTH, 0),))],
    )
    assert printed(composed, tmp_path) == "1\n0\n"


def test_one_instance_for_two_importers(tmp_path: Path) -> None:
    """Two components that import one instance of a third pass its resources to each other."""
    composed = compose(Engine(), BANK, bank())
    assert printed(composed, tmp_path) == "0\n1\n42\n84\n"


def test_an_instance_of_its_own(tmp_path: Path) -> None:
    """A component that is instantiated twice has two states, though its bytes are there once."""
    counts = parts.command(
        parts.LEDGER_IMPORT + parts.LEDGER_IMPORT.replace(parts.LEDGER, "bank:payments/other").replace("$", "$other-"),
        (*LEDGER_CALLS, *(c._replace(label=f"other-{c.label}", instance="other-ledger") for c in LEDGER_CALLS)),
        """
(call $open (i32.const 1024) (i32.const 3) (i32.const 8)) (local.set $a (i32.load (i32.const 12)))
(call $other-open (i32.const 1024) (i32.const 3) (i32.const 8)) (local.set $b (i32.load (i32.const 12)))
(call $post (local.get $a) (i32.const 1024) (i32.const 3) (i32.const 5))
(call $say (call $balance (local.get $a))) (call $say (call $other-balance (local.get $b)))""",
        data="ada",
    )
    composed = compose(
        Engine(),
        [parts.auth(), parts.ledger(), counts],
        [
            Instance(name="auth", component=0),
            Instance(name="one", component=1, wires=(wire(parts.AUTH, 0),)),
            Instance(name="other", component=1, wires=(wire(parts.AUTH, 0),)),
            Instance(
                name="app",
                component=2,
                wires=(wire(parts.LEDGER, 1), wire("bank:payments/other", 2, parts.LEDGER)),
            ),
        ],
    )
    assert printed(composed, tmp_path) == "5\n0\n"
    assert len(composed) < len(parts.auth()) + len(parts.ledger()) + len(counts) + 3000


SHOUTS = parts.command(
    parts.PRINTER_IMPORT,
    (parts.SHOUT,),
    "(call $shout (call $get-stdout) (i32.const 1024) (i32.const 5))",
    data="hello",
)


def shouting(release: str) -> bytes:
    return compose(
        Engine(),
        [parts.printer(release), SHOUTS],
        [Instance(name="printer", component=0), Instance(name="app", component=1, wires=(wire(parts.PRINTER, 0),))],
    )


@pytest.mark.parametrize("release", ["0.2.0", "0.2.3"])
def test_a_stream_is_handed_over(tmp_path: Path, release: str) -> None:
    """A stream of WASI's is one type for all parts, whatever releases of WASI 0.2 they were built for."""
    assert printed(shouting(release), tmp_path) == "hello!\n"


def test_imports_are_merged() -> None:
    """What is imported from outside is every interface once, in its newest version, with all that a part uses of it."""
    imports = exports_of(Engine(), shouting("0.2.3")).imports
    alone = exports_of(Engine(), SHOUTS).imports
    names = {"wasi:io/error@0.2.0": "wasi:io/error@0.2.3", "wasi:io/streams@0.2.0": "wasi:io/streams@0.2.3"}
    served = [i for i in alone.interfaces if i.name != parts.PRINTER]
    assert sorted(i.name for i in imports.interfaces) == sorted(names.get(i.name, i.name) for i in served)
    assert {i.name: {n for n, _ in i.exports} for i in imports.interfaces} == {
        names.get(i.name, i.name): {n for n, _ in i.exports} for i in served
    }


def test_parts_of_one_interface() -> None:
    """Functions that different parts use of one interface are imported side by side."""

    def wants(*functions: str) -> bytes:
        text = "".join(f'(export "{f}" (func))' for f in functions)
        return encode(f'(component (import "acme:a/b@1.{len(functions)}.0" (instance {text})))')

    composed = compose(
        Engine(),
        [wants("one"), wants("two", "one"), wants("three")],
        [Instance(name=str(n), component=n) for n in range(3)],
    )
    nothing = ty.Function((), None)
    assert exports_of(Engine(), composed).imports == Imports(
        (Interface("acme:a/b@1.2.0", (("one", nothing), ("two", nothing), ("three", nothing))),), ()
    )


def test_everything_of_wasi() -> None:
    """All of WASI 0.2 goes through as it is, types that one interface has from another included."""
    whole = program()
    composed = compose(Engine(), [whole], [Instance(name="app", component=0)])
    imports, asked = exports_of(Engine(), composed).imports, exports_of(Engine(), whole).imports
    assert {i.name: dict(i.exports) for i in imports.interfaces} == {i.name: dict(i.exports) for i in asked.interfaces}
    assert imports.resources == asked.resources


INNER, OUTER = '(record (field "x" u32))', '(record (field "inner" $inner))'


def test_types_come_before_their_users() -> None:
    """An interface whose types are named in another is imported after it, whatever part asked for it first."""
    alone = encode('(component (import "acme:a/user" (instance (export "one" (func)))))')
    typed = encode(f"""(component
      (import "acme:a/types" (instance $types
        (type $i {INNER}) (export "inner" (type $inner (eq $i)))
        (type $o {OUTER}) (export "outer" (type (eq $o)))))
      (alias export $types "outer" (type $outer))
      (import "acme:a/user" (instance
        (alias outer 1 $outer (type $o)) (export "outer" (type $x (eq $o)))
        (export "two" (func (param "value" $x))))))""")
    composed = compose(Engine(), [alone, typed], [Instance(name="one", component=0), Instance(name="two", component=1)])
    inner = ty.Record((("x", ty.U32),))
    outer = ty.Record((("inner", inner),))
    assert exports_of(Engine(), composed).imports.interfaces == (
        Interface("acme:a/types", (("inner", inner), ("outer", outer))),
        Interface(
            "acme:a/user",
            (
                ("one", ty.Function((), None)),
                ("outer", outer),
                ("two", ty.Function((("value", outer),), None)),
            ),
        ),
    )


def test_a_method_of_a_resource_with_two_names() -> None:
    """A resource may have names that its methods do not bear, before and after the one that they do."""
    names = ["headers", "fields", "trailers"]
    whole = encode("""(component (import "acme:a/http" (instance
      (export "headers" (type $h (sub resource))) (export "fields" (type $f (eq $h)))
      (export "trailers" (type $t (eq $f)))
      (export "[constructor]fields" (func (result (own $f))))
      (export "[method]headers.f" (func (param "self" (borrow $h))))
      (export "[static]trailers.f" (func (param "x" (own $t)))))))""")
    composed = compose(Engine(), [whole], [Instance(name="app", component=0)])
    imports = exports_of(Engine(), composed).imports
    assert imports == exports_of(Engine(), whole).imports
    assert imports.interfaces[0].exports[:3] == tuple((name, 0) for name in names)


def test_versions_that_are_not_compatible() -> None:
    """Versions of another major, or of another minor below one, are interfaces of their own; so are pre-releases."""
    names = ["a:b/c@1.2.3", "a:b/c@2.0.0", "a:b/c@0.2.9", "a:b/c@0.2.11", "a:b/c@0.3.0", "a:b/c@0.0.1", "a:b/c@0.0.2"]
    names += ["a:b/c@1.3.0", "a:b/c@1.3.0-rc.1", "a:b/c"]
    composed = compose(
        Engine(),
        [encode(f'(component (import "{name}" (instance (export "f" (func)))))') for name in names],
        [Instance(name=name, component=n) for n, name in enumerate(names)],
    )
    assert [i.name for i in exports_of(Engine(), composed).imports.interfaces] == [
        "a:b/c@1.3.0",
        "a:b/c@2.0.0",
        "a:b/c@0.2.11",
        "a:b/c@0.3.0",
        "a:b/c@0.0.1",
        "a:b/c@0.0.2",
        "a:b/c@1.3.0-rc.1",
        "a:b/c",
    ]


def test_twenty_parts(tmp_path: Path) -> None:
    """A chain of twenty components is one program."""
    last = parts.command(parts.link_import(18), (parts.ADD,), "(call $say (call $add (i32.const 23)))", release="0.2.3")
    chain = [parts.link(n) for n in range(19)]
    composed = compose(
        Engine(),
        [*chain, last],
        [
            Instance(name=f"link{n}", component=n, wires=(wire(parts.link_name(n - 1), n - 1),) if n else ())
            for n in range(20)
        ],
    )
    assert printed(composed, tmp_path, "0.2.3") == "42\n"


def test_the_last_part_is_what_is_exported() -> None:
    """Everything that the last part exports is exported, with its types, and nothing of the others."""
    composed = compose(Engine(), BANK[:3], bank()[:3])
    exports = exports_of(Engine(), composed)
    assert exports.interfaces == {
        parts.BOOK: Interface(
            parts.BOOK,
            (
                ("account", 0),
                ("total", ty.Function((("one", ty.Borrow(0)), ("other", ty.Borrow(0))), ty.U32)),
            ),
        )
    }
    assert exports.imports == Imports((), ())
    alone = compose(
        Engine(),
        [encode('(component (type $t string) (export "t" (type $t)) (core module $m) (export "m" (core module $m)))')],
        [Instance(name="app", component=0)],
    )
    assert facts_of("", alone).exports == (Export("t", "type"), Export("m", "module"))


def test_a_composed_component_is_a_part(tmp_path: Path) -> None:
    """What was composed can be composed again."""
    inner = compose(Engine(), BANK[:2], bank()[:2])
    composed = compose(
        Engine(),
        [inner, BANK[2], BANK[3]],
        [
            Instance(name="ledger", component=0),
            Instance(name="book", component=1, wires=(wire(parts.LEDGER, 0),)),
            Instance(name="app", component=2, wires=(wire(parts.LEDGER, 0), wire(parts.BOOK, 1))),
        ],
    )
    assert printed(composed, tmp_path) == "0\n1\n42\n84\n"


def test_an_interface_under_another_name(tmp_path: Path) -> None:
    """An interface may be served by one of another name; what it is called decides nothing but the wire."""
    renamed = "bank:payments/gate@2.0.0"
    composed = compose(
        Engine(),
        [parts.auth(renamed), ASKS],
        [Instance(name="auth", component=0), Instance(name="app", component=1, wires=(wire(parts.AUTH, 0, renamed),))],
    )
    assert printed(composed, tmp_path) == "1\n0\n"


def imports_of(name: str, body: str) -> bytes:
    return encode(f"(component (import {quote(name)} (instance {body})))")


OVER_ANOTHER = encode(f"""(component
  (import "{parts.LEDGER}" (instance $a (export "account" (type (sub resource))))) (alias export $a "account" (type $r))
  (import "acme:a/b" (instance (alias outer 1 $r (type $x)) (export "f" (func (param "x" (own $x)))))))""")
"""Imports a function over a resource of another interface, which its own does not name."""


def test_a_resource_of_another_interface() -> None:
    """An interface need not name the resources that it uses, where one before it does."""
    composed = compose(Engine(), [OVER_ANOTHER], [Instance(name="app", component=0)])
    assert exports_of(Engine(), composed).imports == exports_of(Engine(), OVER_ANOTHER).imports


@pytest.mark.parametrize("only", [("validate-user",), ()])
def test_functions_that_may_not_be_called(tmp_path: Path, only: tuple[str, ...]) -> None:
    """A call that a wire does not allow traps; all others are made."""
    app = Instance(name="app", component=1, wires=(replace(wire(parts.AUTH, 0), only=only),))
    composed = compose(Engine(), [parts.auth(), ASKS], [AUTH_PART, app])
    if only:
        assert printed(composed, tmp_path) == "1\n0\n"
        return
    with pytest.raises(WasmtimeError) as trap:
        printed(composed, tmp_path)
    assert "wasm `unreachable` instruction executed" in str(trap.value)


def bank_with(*only: str) -> bytes:
    """The bank, whose app may call those functions of ``ledger``; ``book`` may call all."""
    instances = bank()
    instances[3] = replace(instances[3], wires=(replace(wire(parts.LEDGER, 1), only=only), wire(parts.BOOK, 2)))
    return compose(Engine(), BANK, instances)


def test_methods_that_may_be_called(tmp_path: Path) -> None:
    """A resource of a narrowed interface is the one that others are given without bounds."""
    assert printed(bank_with("open", "[method]account.post", "[method]account.balance"), tmp_path) == "0\n1\n42\n84\n"


@pytest.mark.parametrize(
    ("only", "told"), [(("open", "[method]account.balance"), "0\n1\n"), (("[method]account.post",), "")]
)
def test_methods_that_may_not_be_called(tmp_path: Path, only: tuple[str, ...], told: str) -> None:
    """Methods and whatever makes a resource trap like functions, once they are called."""
    with pytest.raises(WasmtimeError) as trap:
        printed(bank_with(*only), tmp_path)
    assert "wasm `unreachable` instruction executed" in str(trap.value)
    assert (tmp_path / "stdout").read_text(encoding="ascii") == told


AUTH_PART = Instance(name="auth", component=0)
ASKING = Instance(name="app", component=1, wires=(wire(parts.AUTH, 0),))

REFUSED: dict[str, tuple[list[bytes], list[Instance], str]] = {
    "nothing": ([], [], "there is nothing to compose"),
    "a function that differs": (
        [parts.auth(function='(param "name" string) (result u8)'), ASKS],
        [AUTH_PART, ASKING],
        (
            "app, bank:payments/auth@1.0.0: validate-user: it imports func(name: string) -> bool,"
            " and auth exports func(name: string) -> u8"
        ),
    ),
    "a function that is missing": (
        [parts.auth(), imports_of(parts.AUTH, '(export "forget-user" (func))')],
        [AUTH_PART, ASKING],
        "app, bank:payments/auth@1.0.0: it imports forget-user, which auth does not export",
    ),
    "an interface that is not exported": (
        [parts.auth("bank:payments/auth@2.0.0"), ASKS],
        [AUTH_PART, ASKING],
        "app imports bank:payments/auth@1.0.0, and auth does not export bank:payments/auth@1.0.0",
    ),
    "an interface that is not imported": (
        [parts.auth(), parts.printer()],
        [AUTH_PART, ASKING],
        "app does not import bank:payments/auth@1.0.0",
    ),
    "a function that may be called, and that nobody exports": (
        [parts.auth(), ASKS],
        [
            AUTH_PART,
            Instance(name="app", component=1, wires=(replace(wire(parts.AUTH, 0), only=("validate-users",)),)),
        ],
        (
            "app may call validate-users of bank:payments/auth@1.0.0, but auth exports no such function;"
            " it exports validate-user"
        ),
    ),
    "a wire to itself": (
        [parts.auth(), ASKS],
        [AUTH_PART, Instance(name="app", component=1, wires=(wire(parts.AUTH, 1),))],
        "app is wired to an instance that does not come before it",
    ),
    "two wires for one import": (
        [parts.auth(), ASKS],
        [AUTH_PART, Instance(name="app", component=1, wires=(wire(parts.AUTH, 0), wire(parts.AUTH, 0)))],
        "app has two wires for one import",
    ),
    "an export that holds another": (
        [
            encode("""(component (component $c) (instance $i (instantiate $c))
              (instance $o (export "inner" (instance $i))) (export "bank:payments/auth@1.0.0" (instance $o)))"""),
            ASKS,
        ],
        [AUTH_PART, ASKING],
        (
            "auth exports bank:payments/auth@1.0.0, but 'bank:payments/auth@1.0.0' holds 'inner',"
            " which is neither a type nor a function"
        ),
    ),
    "types that differ between versions": (
        [
            imports_of("acme:a/b@1.0.0", '(export "f" (func (param "x" u32)))'),
            imports_of("acme:a/b@1.2.0", '(export "f" (func (param "x" u64)))'),
        ],
        [Instance(name="one", component=0), Instance(name="two", component=1)],
        "one imports acme:a/b@1.0.0 and two imports acme:a/b@1.2.0, with different types for f",
    ),
    "a resource that nothing from outside names": (
        [parts.auth(), parts.ledger(), OVER_ANOTHER],
        [
            Instance(name="auth", component=0),
            Instance(name="ledger", component=1, wires=(wire(parts.AUTH, 0),)),
            Instance(name="app", component=2, wires=(wire(parts.LEDGER, 1),)),
        ],
        "it imports types that nothing has named before they are used: acme:a/b",
    ),
    "imports without end": (
        [encode("(component " + "".join(f'(import "a:b/c{n}" (instance))' for n in range(1001)) + ")")],
        [Instance(name="app", component=0)],
        "more than 1000 interfaces are imported from outside",
    ),
    "a function that is asynchronous": (
        [
            encode("""(component
              (core module $m (func (export "f"))) (core instance $i (instantiate $m))
              (type $t (func async)) (func $f (type $t) (canon lift (core func $i "f")))
              (instance $x (export "f" (func $f))) (export "acme:a/b" (instance $x)))"""),
            imports_of("acme:a/b", '(export "f" (func))'),
        ],
        [Instance(name="one", component=0), Instance(name="two", component=1, wires=(wire("acme:a/b", 0),))],
        (
            "Wasmtime refuses the composed component: type mismatch for import `acme:a/b`;"
            " type mismatch in instance export `f`; expected async function, found sync function"
        ),
    ),
}


@pytest.mark.parametrize(("components", "instances", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(components: list[bytes], instances: list[Instance], message: str) -> None:
    """What does not fit is refused with a sentence, before Wasmtime says anything of it."""
    with pytest.raises(Unsupported) as refusal:
        compose(Engine(), components, instances)
    assert str(refusal.value) == message


def test_a_resource_of_two_instances() -> None:
    """A component that takes the resources of two interfaces for one is not given those of two instances."""
    instances = bank()
    instances.insert(2, Instance(name="another", component=1, wires=(wire(parts.AUTH, 0),)))
    instances[3] = Instance(name="book", component=2, wires=(wire(parts.LEDGER, 2),))
    instances[4] = Instance(name="app", component=3, wires=(wire(parts.LEDGER, 1), wire(parts.BOOK, 3)))
    with pytest.raises(Unsupported) as refusal:
        compose(Engine(), BANK, instances)
    assert str(refusal.value) == (
        "app imports account from bank:payments/book@1.0.0 and from another interface as one resource;"
        " those who serve it have two"
    )


def test_a_resource_from_outside_and_from_a_part() -> None:
    """The same where one of the two is not served by any part."""
    instances = bank()
    instances[3] = Instance(name="app", component=3, wires=(wire(parts.BOOK, 2),))
    with pytest.raises(Unsupported) as refusal:
        compose(Engine(), BANK, instances)
    assert str(refusal.value) == (
        "app imports account from bank:payments/book@1.0.0 and from another interface as one resource;"
        " those who serve it have two"
    )


def test_hostile_names() -> None:
    """Names are data for the text that is composed: quotes and escapes in them change nothing in it."""
    name = 'url=<https://example.com/")) (import "wasi:cli/exit@0.2.0" (instance)) \\22>'
    composed = compose(Engine(), [imports_of(name, '(export "f" (func))')], [Instance(name="app", component=0)])
    assert facts_of("", composed).imports == (Import(name, "instance"),)
