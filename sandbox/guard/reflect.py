"""What a component imports, as values: its skeleton (types and imports, no code) read through Wasmtime's reflection."""

from __future__ import annotations

from dataclasses import dataclass

from wasmtime import Engine, WasmtimeError
from wasmtime import component as wasm

from sandbox.guard import types as ty

MAX_DEPTH = 64
MAX_ITEMS = 20_000
MAX_RESULT = 1024
"""Bytes of a result in memory, of which the guard has set aside more; none of WASI 0.2 has 200."""


class Unsupported(Exception):  # noqa: N818 - it reads as what it says of the component
    """The component uses something that the guard cannot stand in front of; the message says what."""


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


class _Reader:
    def __init__(self) -> None:
        self.handles: list[wasm.ResourceType] = []
        self.resources: list[Resource] = []
        self.items = 0

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

        match t:
            case wasm.String():
                return ty.STRING
            case wasm.ListType():
                return ty.List(inner(t.element))
            case wasm.TupleType():
                return ty.Tuple(tuple(inner(x) for x in t.elements))
            case wasm.RecordType():
                return ty.Record(tuple((n, inner(x)) for n, x in t.fields))
            case wasm.VariantType():
                return ty.Variant(tuple((n, None if x is None else inner(x)) for n, x in t.cases))
            case wasm.EnumType():
                return ty.Enum(tuple(t.names))
            case wasm.FlagsType():
                return ty.Flags(tuple(t.names))
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
        return ty.Function(tuple((n, self.type(t)) for n, t in f.params), result)


def reflect(engine: Engine, skeleton: bytes) -> Imports:
    """Read the imports of a component from its skeleton.

    Raises ``Unsupported`` where they are none that a guard can stand in front of, and where Wasmtime refuses them.
    """
    try:
        imports = wasm.Component(engine, skeleton).type.imports(engine)
    except WasmtimeError as error:
        raise Unsupported(f"Wasmtime refuses its imports: {str(error).splitlines()[0]}") from None
    reader = _Reader()
    interfaces = []
    for name, extern in imports.items():
        item = extern.ty
        if not isinstance(item, wasm.ComponentInstanceType):
            raise Unsupported(f"it imports {name!r}, which is no interface")
        exports: list[tuple[str, ty.Type | ty.Function | int]] = []
        for export, extern2 in item.exports(engine).items():
            t = extern2.ty
            if isinstance(t, wasm.ResourceType):
                exports.append((export, reader.resource(t, name, export)))
            elif isinstance(t, wasm.FuncType):
                # What another component serves, the guard has no part in.
                exports.append((export, reader.function(t, bounded=name.startswith("wasi:"))))
            elif isinstance(t, wasm.ValType):
                exports.append((export, reader.type(t)))
            else:
                raise Unsupported(f"{name!r} holds {export!r}, which is neither a type nor a function")
        interfaces.append(Interface(name, tuple(exports)))
    return Imports(tuple(interfaces), tuple(reader.resources))
