"""What a component imports, as values: its skeleton (types and imports, no code) read through Wasmtime's reflection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from wasmtime import Engine, WasmtimeError
from wasmtime import component as wasm

from sandbox.guard import types as ty

MAX_DEPTH = 64
MAX_ITEMS = 20_000
MAX_NAMES = 1024 * 1024
"""Characters of the names in the types of one component, each as often as it is used; all of WASI 0.2 has 50,000."""
MAX_RESULT = 1024
"""Bytes of a result in memory, of which the guard has set aside more; none of WASI 0.2 has 200."""


class Unsupported(Exception):  # noqa: N818 - it reads as what it says of the component
    """The component uses something that the guard cannot stand in front of; the message says what.

    ``instance``: the number of the one that it is about, of several; ``name``: its import that is not what is to serve
    it, where that is why.
    """

    def __init__(self, message: str, instance: int | None = None, name: str | None = None) -> None:
        super().__init__(message)
        self.instance, self.name = instance, name


@contextmanager
def about(part: str, instance: int) -> Iterator[None]:
    """Say which of several instances is unsupported."""
    try:
        yield
    except Unsupported as error:
        raise Unsupported(f"{part}: {error}", instance) from None


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource type and the first import that names it: the interface that defines it."""

    interface: str
    name: str


@dataclass(frozen=True, slots=True)
class Interface:
    """One imported instance. ``exports`` keeps the declared order: a type stands before its users."""

    name: str
    exports: tuple[tuple[str, ty.Type | ty.Function | int], ...]
    """Name -> value type, function, or the number of a resource."""

    @property
    def functions(self) -> tuple[tuple[str, ty.Function], ...]:
        return tuple((n, e) for n, e in self.exports if isinstance(e, ty.Function))


@dataclass(frozen=True, slots=True)
class Imports:
    interfaces: tuple[Interface, ...]
    resources: tuple[Resource, ...]


_SCALARS: dict[type, str] = {
    wasm.Bool: "bool",
    wasm.S8: "s8",
    wasm.U8: "u8",
    wasm.S16: "s16",
    wasm.U16: "u16",
    wasm.S32: "s32",
    wasm.U32: "u32",
    wasm.S64: "s64",
    wasm.U64: "u64",
    wasm.F32: "f32",
    wasm.F64: "f64",
    wasm.Char: "char",
}


Item = ty.Type | ty.Function | int
"""An export of an interface: value type, function, or the number of a resource."""


class Reader:
    """Reads what Wasmtime's reflection tells of one component, with one numbering of its resources."""

    def __init__(self) -> None:
        self.handles: list[wasm.ResourceType] = []
        self.resources: list[Resource] = []
        self.items = 0
        self.names = 0

    def interface(
        self, engine: Engine, name: str, instance: wasm.ComponentInstanceType, *, bounded: bool = False
    ) -> Interface:
        """An imported or exported instance. ``bounded``: its functions have no larger results than WASI's."""
        exports: list[tuple[str, Item]] = []
        for export, extern in instance.exports(engine).items():
            self.count(export)
            t = extern.ty
            if isinstance(t, wasm.ResourceType):
                exports.append((export, self.resource(t, name, export)))
            elif isinstance(t, wasm.FuncType):
                exports.append((export, self.function(t, bounded=bounded)))
            elif isinstance(t, wasm.ValType):
                exports.append((export, self.type(t)))
            else:
                raise Unsupported(f"{name!r} holds {export!r}, which is neither a type nor a function")
        return Interface(name, tuple(exports))

    def imports(self, engine: Engine, component: wasm.ComponentType) -> Imports:
        """All imports, which are interfaces. To be read first: a resource is called by the first that names it."""
        interfaces = []
        for name, extern in component.imports(engine).items():
            if not isinstance(extern.ty, wasm.ComponentInstanceType):
                raise Unsupported(f"it imports {name!r}, which is no interface")
            # What another component serves, the guard has no part in.
            interfaces.append(self.interface(engine, name, extern.ty, bounded=name.startswith("wasi:")))
        return Imports(tuple(interfaces), tuple(self.resources))

    def count(self, name: str) -> str:
        """A name in a type, unless it is one too many."""
        self.names += len(name)
        if self.names > MAX_NAMES:
            raise Unsupported("the names in its types are long or repeated beyond any use")
        return name

    def resource(self, handle: wasm.ResourceType, interface: str, name: str) -> int:
        for number, known in enumerate(self.handles):
            if known == handle:
                return number
        self.handles.append(handle)
        self.resources.append(Resource(interface, name))
        return len(self.handles) - 1

    def known(self, handle: wasm.ResourceType) -> int:
        for number, known in enumerate(self.handles):
            if known == handle:
                return number
        raise Unsupported("a function uses a resource type that no import names")

    def type(self, t: object, depth: int = 0) -> ty.Type:
        self.items += 1
        if depth > MAX_DEPTH or self.items > MAX_ITEMS:
            raise Unsupported("its imported types are nested or repeated beyond any use")
        if type(t) in _SCALARS:
            return ty.Scalar(_SCALARS[type(t)])

        def inner(x: object) -> ty.Type:
            return self.type(x, depth + 1)

        name = self.count

        match t:
            case wasm.String():
                return ty.STRING
            case wasm.ListType():
                return ty.List(inner(t.element))
            case wasm.TupleType():
                return ty.Tuple(tuple(inner(x) for x in t.elements))
            case wasm.RecordType():
                return ty.Record(tuple((name(n), inner(x)) for n, x in t.fields))
            case wasm.VariantType():
                return ty.Variant(tuple((name(n), None if x is None else inner(x)) for n, x in t.cases))
            case wasm.EnumType():
                return ty.Enum(tuple(map(name, t.names)))
            case wasm.FlagsType():
                return ty.Flags(tuple(map(name, t.names)))
            case wasm.OptionType():
                return ty.Option(inner(t.payload))
            case wasm.ResultType():
                return ty.Result(
                    None if t.ok is None else inner(t.ok),
                    None if t.err is None else inner(t.err),
                )
            case wasm.OwnType():
                return ty.Own(self.known(t.ty))
            case wasm.BorrowType():
                return ty.Borrow(self.known(t.ty))
            case _:
                raise Unsupported(
                    f"it uses a type of kind {type(t).__name__}, which belongs to asynchronous WASI (0.3)"
                )

    def function(self, f: wasm.FuncType, *, bounded: bool) -> ty.Function:
        result = None if f.result is None else self.type(f.result)
        if bounded and result is not None and ty.layout(result)[0] > MAX_RESULT:
            raise Unsupported("it imports a function with a larger result than any of WASI 0.2 has")
        return ty.Function(tuple((self.count(n), self.type(t)) for n, t in f.params), result)


def reflect(engine: Engine, skeleton: bytes) -> Imports:
    """Read the imports of a component from its skeleton.

    Raises ``Unsupported`` where they are none that a guard can stand in front of, and where Wasmtime refuses them.
    """
    try:
        component = wasm.Component(engine, skeleton).type
    except WasmtimeError as error:
        raise Unsupported(f"Wasmtime refuses its imports: {str(error).splitlines()[0]}") from None
    return Reader().imports(engine, component)
