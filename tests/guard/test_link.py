"""Components linked behind one guard: what is served, what is narrowed, and what is refused before Wasmtime sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, event, given, reject, settings
from hypothesis import strategies as st
from wasmtime import Engine, Store, WasiConfig, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.component import skeleton
from sandbox.guard.build import link
from sandbox.guard.compose import compose
from sandbox.guard.fit import exports_of
from sandbox.guard.program import Part, Wire, unify
from sandbox.guard.reflect import Imports, Interface, Resource, Unsupported, reflect
from sandbox.guard.shape import Shape
from sandbox.guard.sites import HOST_INSTANCE, Site
from sandbox.guard.wat import quote
from tests.e2e.components import component as everything
from tests.guard import parts
from tests.guard.parts import Call, part
from tests.guard.test_hostile import DENIED, NETWORKED, OPEN

PROGRAM = replace(OPEN, program=True)


def encode(text: str) -> bytes:
    return bytes(wat2wasm(text))


def wire(name: str, instance: int, export: str | None = None, only: tuple[str, ...] | None = None) -> Wire:
    return Wire(name=name, instance=instance, export=export or name, only=only)


def member(name: str, component: int, *wires: Wire, exports: tuple[str, ...] = (), shape: Shape = PROGRAM) -> Part:
    return Part(name=name, component=component, shape=replace(shape, exports=exports), wires=wires)


class Linked:
    """A program that was linked and instantiated, with what its guard told the host."""

    def __init__(self, components: Sequence[bytes], members: Sequence[Part]) -> None:
        engine = Engine()
        guarded = link(engine, components, members)
        self.sites = guarded.sites
        self.told: list[Site] = []
        linker = wasm.Linker(engine)
        linker.add_wasip2()
        with linker.root() as root, root.add_instance(HOST_INSTANCE) as host:
            for name in guarded.host:
                host.add_func(name, self.barred if name == "barred" else lambda *_: 0)
        self.store = Store(engine)
        self.store.set_wasi(WasiConfig())
        self.instance = linker.instantiate(self.store, wasm.Component(engine, guarded.wasm))

    def barred(self, _: object, site: int) -> None:
        self.told.append(self.sites[site])

    def call(self, *path: str) -> object:
        """The result of a function without parameters, or ``"trap"``."""
        index: wasm.ExportIndex | None = None
        for name in path:
            index = self.instance.get_export_index(self.store, name, index)
        assert index is not None
        function = self.instance.get_func(self.store, index)
        assert function is not None
        try:
            return function(self.store)
        except WasmtimeError as error:
            return "trap" if "wasm `unreachable` instruction executed" in str(error) else str(error)


def fate(components: Sequence[bytes], members: Sequence[Part]) -> str:
    """``runs``, or the sentence with which the program is refused."""
    try:
        Linked(components, members)
    except Unsupported as error:
        return str(error)
    return "runs"


def asking(imports: str, calls: Sequence[Call], core: str, data: str = "") -> bytes:
    """A component that exports ``go``, a function whose core text is ``core`` and leaves a number."""
    return part(
        imports,
        calls,
        f'(data (i32.const 1024) "{data}") (func (export "go") (result i32) (local $a i32) {core})',
        '(func $go (result u32) (canon lift (core func $main "go"))) (export "go" (func $go))',
    )


GO = ("func go",)
LEDGER_CALLS = (parts.OPEN, parts.POST, parts.BALANCE)
OPENED = "(call $open (i32.const 1024) (i32.const 3) (i32.const 8)) (local.set $a (i32.load (i32.const 12)))"
POSTED = "(call $post (local.get $a) (i32.const 1024) (i32.const 3) (i32.const 42))"
PAYS = asking(
    parts.LEDGER_IMPORT + parts.BOOK_IMPORT,
    (*LEDGER_CALLS, parts.TOTAL),
    f"{OPENED} {POSTED} (call $total (local.get $a) (local.get $a))",
    "ada",
)
BANK = [parts.auth(), parts.ledger(), parts.book(), PAYS]
ALL_OF_LEDGER = ("open", "[method]account.post", "[method]account.balance")


def bank(ledger: tuple[str, ...] | None = None, book: tuple[str, ...] | None = None) -> list[Part]:
    """``app`` imports from ``ledger``, and from ``book``, which imports from the same ``ledger``."""
    return [
        member("auth", 0),
        member("ledger", 1, wire(parts.AUTH, 0)),
        member("book", 2, wire(parts.LEDGER, 1)),
        member("app", 3, wire(parts.LEDGER, 1, only=ledger), wire(parts.BOOK, 2, only=book), exports=GO),
    ]


def test_one_instance_for_two_importers() -> None:
    """Resources of one instance pass between those that share it."""
    assert Linked(BANK, bank()).call("go") == 84


def test_one_resource_of_two_instances() -> None:
    """A component that takes the resources of two interfaces for one is not given those of two instances."""
    members = bank()
    members.insert(2, member("another", 1, wire(parts.AUTH, 0)))
    members[3] = member("book", 2, wire(parts.LEDGER, 2))
    members[4] = member("app", 3, wire(parts.LEDGER, 1), wire(parts.BOOK, 3), exports=GO)
    assert fate(BANK, members) == (
        "app imports account from bank:payments/book@1.0.0 and from another interface as one resource;"
        " those who serve it have two"
    )


# `only`


def test_functions_that_may_be_called() -> None:
    """A narrowed interface has its resource, its methods and its types, as they are for others."""
    linked = Linked(BANK, bank(ALL_OF_LEDGER, ("total",)))
    assert (linked.call("go"), linked.told) == (84, [])


@pytest.mark.parametrize("barred", ALL_OF_LEDGER[:2])
def test_a_function_that_may_not_be_called(barred: str) -> None:
    """A call that is not allowed is told to the host, under the importer's name for it, and traps."""
    linked = Linked(BANK, bank(tuple(name for name in ALL_OF_LEDGER if name != barred)))
    site = Site(parts.LEDGER, barred, "imports", instance=3)
    assert (linked.call("go"), linked.told) == ("trap", [site])
    assert [s for s in linked.sites if s.capability == "imports"] == [site]


def test_a_function_over_the_resource_of_another_interface() -> None:
    """An interface that is narrowed may use resources of another one of the same importer's."""
    unnamed = f"""
(import "{parts.BOOK}" (instance $book (alias outer 1 $account (type $r))
  (export "total" (func (param "one" (borrow $r)) (param "other" (borrow $r)) (result u32)))))"""
    calls = (*LEDGER_CALLS, parts.TOTAL)
    app = asking(parts.LEDGER_IMPORT + unnamed, calls, f"{OPENED} (call $total (local.get $a) (local.get $a))", "ada")
    linked = Linked([*BANK[:3], app], bank(book=()))
    site = Site(parts.BOOK, "total", "imports", instance=3)
    assert (linked.call("go"), linked.told) == ("trap", [site])
    assert Linked([*BANK[:3], app], bank(book=("total",))).call("go") == 0


def test_a_stream_in_a_narrowed_interface() -> None:
    """A resource of WASI's in a narrowed interface is still the guard's."""
    app = parts.command(parts.PRINTER_IMPORT, (parts.SHOUT,), "", release="0.2.3")
    run = ("instance wasi:cli/run@0.2.3",)
    for only in ((), ("shout",)):
        members = [member("printer", 0), member("app", 1, wire(parts.PRINTER, 0, only=only), exports=run)]
        assert Linked([parts.printer(), app], members).call("wasi:cli/run@0.2.3", "run") is not None


FACTORY = "acme:things/factory@1.0.0"
FACTORY_IMPORT = f"""
(import "{FACTORY}" (instance $factory
  (export "item" (type $x (sub resource)))
  (export "thing" (type $r (eq $x)))
  (export "[constructor]thing" (func (result (own $r))))
  (export "[method]item.size" (func (param "self" (borrow $x)) (result u32)))
  (export "[static]thing.count" (func (result u32)))))"""
FACTORY_CALLS = (
    Call("make", "factory", "[constructor]thing", "", "i32"),
    Call("size", "factory", "[method]item.size", "i32", "i32"),
    Call("count", "factory", "[static]thing.count", "", "i32"),
)


def factory() -> bytes:
    """Exports a resource by two names: one has a constructor and a static function, the other a method."""
    return part(
        "(type $thing (resource (rep i32)))",
        (parts.Canon("new", "resource.new $thing"),),
        """(func (export "make") (result i32) (call $new (i32.const 7)))
           (func (export "size") (param i32) (result i32) (local.get 0))
           (func (export "count") (result i32) (i32.const 1))""",
        f"""
(func $make (result (own $thing)) (canon lift (core func $main "make")))
(func $size (param "self" (borrow $thing)) (result u32) (canon lift (core func $main "size")))
(func $count (result u32) (canon lift (core func $main "count")))
(component $interface
  (import "thing" (type $r (sub resource)))
  (import "make" (func $make (result (own $r))))
  (import "size" (func $size (param "self" (borrow $r)) (result u32)))
  (import "count" (func $count (result u32)))
  (export $item "item" (type $r))
  (export $thing "thing" (type $r))
  (export "[constructor]thing" (func $make) (func (result (own $thing))))
  (export "[method]item.size" (func $size) (func (param "self" (borrow $item)) (result u32)))
  (export "[static]thing.count" (func $count)))
(instance $exports (instantiate $interface (with "thing" (type $thing)) (with "make" (func $make))
  (with "size" (func $size)) (with "count" (func $count))))
(export "{FACTORY}" (instance $exports))""",
    )


@pytest.mark.parametrize(
    ("only", "result", "told"),
    [
        (("[constructor]thing", "[method]item.size", "[static]thing.count"), 8, []),
        (("[constructor]thing", "[method]item.size"), "trap", ["[static]thing.count"]),
        (("[constructor]thing", "[static]thing.count"), "trap", ["[method]item.size"]),
        (("[method]item.size", "[static]thing.count"), "trap", ["[constructor]thing"]),
        ((), "trap", ["[constructor]thing"]),
    ],
)
def test_constructors_methods_and_static_functions(only: tuple[str, ...], result: object, told: list[str]) -> None:
    """Each of them is a function that may be called or not, by whatever name of its resource it goes."""
    app = asking(FACTORY_IMPORT, FACTORY_CALLS, "(i32.add (call $size (call $make)) (call $count))")
    members = [member("factory", 0), member("app", 1, wire(FACTORY, 0, only=only), exports=GO)]
    linked = Linked([factory(), app], members)
    assert (linked.call("go"), [site.function for site in linked.told]) == (result, told)


def test_a_function_that_takes_much() -> None:
    """What a barred function is given is taken in first, however long: the call is told of in any case."""
    app = asking(parts.auth_import(), (parts.VALIDATE,), "(call $validate (i32.const 0) (i32.const 2000000))")
    members = [member("auth", 0), member("app", 1, wire(parts.AUTH, 0, only=()), exports=GO)]
    linked = Linked([parts.auth(), app], members)
    assert (linked.call("go"), [site.function for site in linked.told]) == ("trap", ["validate-user"])


# Types


SHARED = "bank:payments/types@1.0.0"
RECEIPT = '(record (field "number" u32) (field "payee" string))'
SHARED_IMPORT = f"""
(import "{SHARED}" (instance $types (type $t {RECEIPT}) (export "receipt" (type (eq $t)))))
(alias export $types "receipt" (type $receipt))"""
DESK = "bank:payments/desk@1.0.0"
DESK_IMPORT = f"""
(import "{DESK}" (instance $desk
  (alias outer 1 $receipt (type $t)) {{receipt}}
  (export "post" (func (result {{name}})))
  (export "tell" (func (param "receipt" {{name}}) (result u32)))))"""
DESK_IMPORTS = {
    "named again": DESK_IMPORT.format(receipt='(export "receipt" (type $r (eq $t)))', name="$r"),
    "named elsewhere": DESK_IMPORT.format(receipt="", name="$t"),
}
DESK_CALLS = (Call("post", "desk", "post", "i32"), Call("tell", "desk", "tell", "i32 i32 i32", "i32"))


def desk() -> bytes:
    """Exports functions over a type that it imports from where no function is."""
    return part(
        SHARED_IMPORT,
        (),
        """(data (i32.const 64) "\\07\\00\\00\\00\\00\\04\\00\\00\\03\\00\\00\\00") (data (i32.const 1024) "bob")
           (func (export "post") (result i32) (i32.const 64))
           (func (export "tell") (param i32 i32 i32) (result i32) (i32.add (local.get 0) (local.get 2)))""",
        f"""
(func $post (result $receipt) (canon lift (core func $main "post") (memory $memory)))
(func $tell (param "receipt" $receipt) (result u32)
  (canon lift (core func $main "tell") (memory $memory) (realloc $realloc)))
(component $interface
  (type $t {RECEIPT}) (import "receipt" (type $r (eq $t)))
  (import "post" (func $post (result $r)))
  (import "tell" (func $tell (param "receipt" $r) (result u32)))
  (export $receipt "receipt" (type $r))
  (export "post" (func $post) (func (result $receipt)))
  (export "tell" (func $tell) (func (param "receipt" $receipt) (result u32))))
(instance $exports (instantiate $interface (with "receipt" (type $receipt))
  (with "post" (func $post)) (with "tell" (func $tell))))
(export "{DESK}" (instance $exports))""",
    )


@pytest.mark.parametrize("imports", DESK_IMPORTS.values(), ids=DESK_IMPORTS)
@pytest.mark.parametrize(
    ("only", "result"), [(None, 10), (("post", "tell"), 10), (("post",), "trap"), (("tell",), "trap")]
)
def test_types_that_two_components_share(imports: str, only: tuple[str, ...] | None, result: object) -> None:
    """Nobody serves an interface of types alone; it is what it is for whoever imports it, in narrowed ones too."""
    app = asking(
        SHARED_IMPORT + imports,
        DESK_CALLS,
        """(call $post (i32.const 8))
           (call $tell (i32.load (i32.const 8)) (i32.load (i32.const 12)) (i32.load (i32.const 16)))""",
    )
    members = [member("desk", 0), member("app", 1, wire(DESK, 0, only=only), exports=GO)]
    assert Linked([desk(), app], members).call("go") == result


# Releases of WASI


POLL = """
(import "wasi:io/poll@0.2.9" (instance $poll (export "pollable" (type (sub resource)))))
(alias export $poll "pollable" (type $pollable))
(import "wasi:io/streams@0.2.9" (instance $streams
  (alias outer 1 $pollable (type $p)) (export "pollable" (type $q (eq $p)))
  (export "output-stream" (type $s (sub resource)))
  (export "[method]output-stream.subscribe" (func (param "self" (borrow $s)) (result (own $q))))))"""


def test_two_releases() -> None:
    """Components of different releases of WASI 0.2 hand streams to each other, whichever imports less of it first."""
    shouts = parts.command(parts.PRINTER_IMPORT, (parts.SHOUT,), "")
    polling = encode(f"(component {POLL})")
    members = [
        member("printer", 0),
        member("polling", 1),
        member("app", 2, wire(parts.PRINTER, 0), exports=("instance wasi:cli/run@0.2.0",)),
    ]
    assert fate([parts.printer("0.2.3"), polling, shouts], members) == "runs"


def test_everything_of_wasi_twice() -> None:
    """Two components that import all of WASI, of other releases and under other grants, are one program."""
    components = [everything(version=version) for version in ("0.2.0", "0.2.12")]
    for shapes in ((PROGRAM, PROGRAM), (replace(DENIED, sockets=True), NETWORKED)):
        members = [member(str(n), n, shape=replace(shape, program=True)) for n, shape in enumerate(shapes)]
        assert fate(components, members) == "runs"


def imports_of(text: str) -> Imports:
    return reflect(Engine(), skeleton(encode(f"(component {text})")))


def test_a_resource_is_defined_where_nobody_only_uses_it() -> None:
    """A component may name a resource of WASI's where it is only used; another one tells where it is from."""
    uses = imports_of("""(import "wasi:io/streams@0.2.0" (instance (export "pollable" (type (sub resource)))))""")
    program, facets = unify([uses, imports_of(POLL)], [(), ()])
    assert program.resources == (
        Resource("wasi:io/poll@0.2.9", "pollable"),
        Resource("wasi:io/streams@0.2.9", "output-stream"),
    )
    assert [facet.order for facet in facets] == [(0,), (1, 0)]
    assert facets[0].imports.interfaces == (
        Interface("wasi:io/streams@0.2.0", (("pollable", 0),)),
        Interface("wasi:io/poll@0.2.9", ()),
    )


def test_a_resource_of_wasi_that_another_interface_names_first() -> None:
    """It is WASI's, and so the guard's, whatever was imported before."""
    imports = imports_of("""
      (import "acme:a/b" (instance $i (export "stream" (type (sub resource))))) (alias export $i "stream" (type $r))
      (import "wasi:io/streams@0.2.0" (instance
        (alias outer 1 $r (type $x)) (export "output-stream" (type (eq $x)))))""")
    program, facets = unify([imports], [{"acme:a/b"}])
    assert program == Imports(
        (Interface("wasi:io/streams@0.2.0", (("output-stream", 0),)),),
        (Resource("wasi:io/streams@0.2.0", "output-stream"),),
    )
    assert facets[0].served == {"acme:a/b": Interface("acme:a/b", (("stream", 0),))}


def test_resources_of_two_components_are_two() -> None:
    """What is not WASI's is one resource for nobody but its importer, whatever it is called."""
    named = imports_of('(import "acme:a/b" (instance (export "stream" (type (sub resource)))))')
    program, _ = unify([named, named], [{"acme:a/b"}] * 2)
    assert program == Imports((), (Resource("acme:a/b", "stream"),) * 2)


# Refused


def importing(name: str, body: str) -> bytes:
    return encode(f"(component (import {quote(name)} (instance {body})))")


HOSTILE = 'url=<https://example.com/")) (import "wasi:cli/exit@0.2.0" (instance)) \\22>'
AUTH_PART = member("auth", 0)
REFUSED: dict[str, tuple[list[bytes], list[Part], str]] = {
    "an import that nobody serves": (
        [parts.auth(), importing("acme:a/b@1.0.0", '(export "f" (func))')],
        [AUTH_PART, member("app", 1)],
        "app: it imports acme:a/b@1.0.0, which no component serves",
    ),
    "a resource that nobody serves": (
        [parts.auth(), importing("acme:a/b@1.0.0", '(export "r" (type (sub resource)))')],
        [AUTH_PART, member("app", 1)],
        "app: it imports acme:a/b@1.0.0, which no component serves",
    ),
    "a function of WASI's over another component's resource": (
        [
            parts.auth(),
            parts.ledger(),
            encode(f"""(component {parts.LEDGER_IMPORT} (import "wasi:io/poll@0.2.0" (instance
              (alias outer 1 $account (type $r)) (export "poll" (func (param "x" (borrow $r)))))))"""),
        ],
        [AUTH_PART, member("ledger", 1, wire(parts.AUTH, 0)), member("app", 2, wire(parts.LEDGER, 1))],
        "app: it imports poll of wasi:io/poll@0.2.0, which is not WASI 0.2's",
    ),
    "an interface that is not exported": (
        [parts.auth(), importing(parts.LEDGER, "")],
        [AUTH_PART, member("app", 1, wire(parts.LEDGER, 0))],
        "app imports bank:payments/ledger@1.0.0, and auth does not export bank:payments/ledger@1.0.0",
    ),
    "a function of another type": (
        [
            parts.auth(function='(param "name" string) (result u8)'),
            importing(parts.AUTH, '(export "validate-user" (func))'),
        ],
        [AUTH_PART, member("app", 1, wire(parts.AUTH, 0))],
        ("app, bank:payments/auth@1.0.0: validate-user: it imports func(), and auth exports func(name: string) -> u8"),
    ),
    "a function that may be called, and is none": (
        [parts.auth(), importing(parts.AUTH, "")],
        [AUTH_PART, member("app", 1, wire(parts.AUTH, 0, only=("no-such",)))],
        "app may call no-such of bank:payments/auth@1.0.0, but auth exports no such function; it exports validate-user",
    ),
    "a wire to what comes later": (
        [importing(parts.AUTH, ""), parts.auth()],
        [member("app", 0, wire(parts.AUTH, 1)), member("auth", 1)],
        "app is wired to an instance that does not come before it",
    ),
    "two releases in one component": (
        [
            parts.auth(),
            encode("".join(["(component ", *(f'(import "wasi:io/poll@0.2.{n}" (instance))' for n in "03"), ")"])),
        ],
        [AUTH_PART, member("app", 1)],
        "it imports two releases of wasi:io/poll; a component of a program may import one",
    ),
    "types of WASI that differ": (
        [
            importing("wasi:cli/exit@0.2.0", f'(export "exit" (func (param "status" {status})))')
            for status in ("(result)", "u8")
        ],
        [member("one", 0), member("two", 1)],
        "wasi:cli/exit@0.2.0 and wasi:cli/exit@0.2.0 are imported with different types for exit",
    ),
    "a hostile name": (
        [parts.auth(), importing(HOSTILE, '(export "f" (func))')],
        [AUTH_PART, member("app", 1)],
        f"app: it imports {HOSTILE}, which no component serves",
    ),
    "an import that is no interface": (
        [parts.auth(), encode('(component (import "f" (func)))')],
        [AUTH_PART, member("app", 1)],
        "app: it imports 'f', which is no interface",
    ),
    "33 components": (
        [parts.link(0)] * 33,
        [member(str(n), n) for n in range(33)],
        "a program has at most 32 components",
    ),
}


@pytest.mark.parametrize(("components", "members", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(components: list[bytes], members: list[Part], sentence: str) -> None:
    """What cannot be linked is refused with a sentence that names the component."""
    assert fate(components, members) == sentence


def test_a_hostile_name_that_is_served() -> None:
    """Names are data for the text of the program, whatever quotes and escapes stand in them."""
    app = asking(
        parts.auth_import(HOSTILE.replace("\\", "\\\\").replace('"', '\\"')), (parts.VALIDATE,), "(i32.const 5)"
    )
    for only in (None, (), ("validate-user",)):
        members = [AUTH_PART, member("app", 1, wire(HOSTILE, 0, parts.AUTH, only), exports=GO)]
        assert Linked([parts.auth(), app], members).call("go") == 5


# Size


def test_a_chain_of_31_components() -> None:
    """As many components as a program may have, each of which imports from the next."""
    chain = [parts.link(n) for n in range(30)]
    app = asking(parts.link_import(29), (parts.ADD,), "(call $add (i32.const 12))")
    members = [member(str(n), n, *((wire(parts.link_name(n - 1), n - 1),) if n else ())) for n in range(30)]
    members.append(member("app", 30, wire(parts.link_name(29), 29), exports=GO))
    assert Linked([*chain, app], members).call("go") == 42


def test_200_instances() -> None:
    """As many instances as a program may have, of a component that imports streams; each has a facet of its own."""
    shouts = parts.command(parts.auth_import() + parts.PRINTER_IMPORT, (parts.VALIDATE, parts.SHOUT), "")
    members = [member("auth", 0), member("printer", 1)]
    members += [
        member(
            str(n), 2, wire(parts.AUTH, 0, only=()), wire(parts.PRINTER, 1), exports=("instance wasi:cli/run@0.2.0",)
        )
        for n in range(198)
    ]
    linked = Linked([parts.auth(), parts.printer(), shouts], members)
    barred = [site.instance for site in linked.sites if site.capability == "imports"]
    assert barred == list(range(2, 200))


def test_names_without_end() -> None:
    """Long names that are repeated are refused before they have taken memory for each time."""
    name = "a" * 90_000
    functions = "".join(f'(export "f{n}" (func (type $g)))' for n in range(1000))
    body = f'(type $t (record (field "{name}" u8))) (export "t" (type $n (eq $t))) (type $g (func (param "p" $n)))'
    assert fate([parts.auth(), importing("acme:a/b", body + functions)], [AUTH_PART, member("app", 1)]) == (
        "app: the names in its types are long or repeated beyond any use"
    )


# Anything


SERVERS = [
    (member("auth", 0), parts.auth(), parts.AUTH),
    (member("ledger", 1, wire(parts.AUTH, 0)), parts.ledger(), parts.LEDGER),
    (member("book", 2, wire(parts.LEDGER, 1)), parts.book(), parts.BOOK),
    (member("printer", 3), parts.printer("0.2.3"), parts.PRINTER),
    (member("desk", 4), desk(), DESK),
    (member("factory", 5), factory(), FACTORY),
]
IMPORTS = "".join(
    [
        (parts.STREAMS + parts.STDOUT).replace("RELEASE", "0.2.0"),
        parts.auth_import(),
        parts.LEDGER_IMPORT,
        parts.BOOK_IMPORT,
        parts.PRINTER_IMPORT,
        SHARED_IMPORT,
        DESK_IMPORTS["named again"],
        FACTORY_IMPORT,
    ]
)
TOKENS = [
    r"string|u32|u8|bool|\(list u8\)",
    r"\((?:own|borrow) \$\w+\)",
    r"sub resource|eq \$[a-z-]+",
    r'(?<=export )"[][a-z.-]+"',
    r'(?<=import )"[^"]+"',
]
"""Pieces of the imports that may stand for each other."""


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A component that imports what all servers export, but for some pieces."""
    text = IMPORTS
    for _ in range(draw(st.integers(0, 3))):
        token = draw(st.sampled_from(TOKENS))
        found = list(re.finditer(token, text))
        at, other = draw(st.sampled_from(found)), draw(st.sampled_from(found))
        text = text[: at.start()] + other[0] + text[at.end() :]
    try:
        return encode(f"(component {text})")
    except WasmtimeError:
        reject()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(
    mutated(),
    st.sampled_from([PROGRAM, replace(DENIED, program=True), replace(NETWORKED, program=True)]),
    st.dictionaries(
        st.sampled_from([name for _, _, name in SERVERS]),
        st.sets(st.sampled_from(["open", "validate-user", "total", "shout", "post", "[constructor]thing"])),
    ),
)
def test_mutated_imports(component: bytes, shape: Shape, only: Mapping[str, set[str]]) -> None:
    """Whatever a component imports of others and of WASI, it is refused with one line, or Wasmtime compiles it all.

    That holds with a guard and without one.
    """
    members = [replace(server, shape=shape) for server, _, _ in SERVERS]
    wires = []
    for number, (_, data, name) in enumerate(SERVERS):
        offered = {n for n, _ in exports_of(Engine(), data).interfaces[name].functions}
        wires.append(wire(name, number, only=tuple(sorted(only[name] & offered)) if name in only else None))
    members.append(member("app", len(members), *wires, shape=shape))
    components = [*(data for _, data, _ in SERVERS), component]
    both: list[Callable[[], bytes]] = [
        lambda: link(Engine(), components, members).wasm,
        lambda: compose(Engine(), components, members),
    ]
    for made in both:
        sentence = "compiles"
        try:
            whole = made()
        except Unsupported as error:
            sentence = str(error)
        else:
            wasm.Component(Engine(), whole)
        event(re.sub(r"[^ a-zA-Z']+", "", sentence)[-60:])
        assert len(sentence.splitlines()) == 1
