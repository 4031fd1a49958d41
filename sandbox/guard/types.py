"""Component-model value types as plain values, with their Canonical ABI layout.

The rules are those of the component model's Canonical ABI ("Alignment", "Element Size", "Flattening"). Types compare by
structure, as value types do in the component model; resources compare by the number that reflection gave them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

MAX_FLAT_PARAMS = 16
MAX_FLAT_RESULTS = 1

_SCALARS = {
    "bool": (1, "i32"),
    "s8": (1, "i32"),
    "u8": (1, "i32"),
    "s16": (2, "i32"),
    "u16": (2, "i32"),
    "s32": (4, "i32"),
    "u32": (4, "i32"),
    "s64": (8, "i64"),
    "u64": (8, "i64"),
    "f32": (4, "f32"),
    "f64": (8, "f64"),
    "char": (4, "i32"),
}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A number, ``bool`` or ``char``, by its WAT name."""

    name: str


@dataclass(frozen=True, slots=True)
class String:
    pass


@dataclass(frozen=True, slots=True)
class List:
    element: Type


@dataclass(frozen=True, slots=True)
class Tuple:
    elements: tuple[Type, ...]


@dataclass(frozen=True, slots=True)
class Record:
    fields: tuple[tuple[str, Type], ...]


@dataclass(frozen=True, slots=True)
class Variant:
    cases: tuple[tuple[str, Type | None], ...]


@dataclass(frozen=True, slots=True)
class Enum:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Option:
    payload: Type


@dataclass(frozen=True, slots=True)
class Result:
    ok: Type | None
    error: Type | None


@dataclass(frozen=True, slots=True)
class Own:
    resource: int


@dataclass(frozen=True, slots=True)
class Borrow:
    resource: int


Type: TypeAlias = Scalar | String | List | Tuple | Record | Variant | Enum | Flags | Option | Result | Own | Borrow

U8, U32, U64, BOOL = Scalar("u8"), Scalar("u32"), Scalar("u64"), Scalar("bool")
STRING = String()


@dataclass(frozen=True, slots=True)
class Function:
    params: tuple[tuple[str, Type], ...]
    result: Type | None


def children(t: Type) -> tuple[Type, ...]:
    """The types directly inside ``t``."""
    match t:
        case List(element):
            return (element,)
        case Tuple(elements):
            return elements
        case Record(fields):
            return tuple(f for _, f in fields)
        case Variant(cases):
            return tuple(p for _, p in cases if p is not None)
        case Option(payload):
            return (payload,)
        case Result(ok, error):
            return tuple(p for p in (ok, error) if p is not None)
        case _:
            return ()


def walk(t: Type) -> Iterator[Type]:
    """``t`` and everything inside it, innermost first."""
    for child in children(t):
        yield from walk(child)
    yield t


def cases(t: Type) -> tuple[tuple[str, Type | None], ...] | None:
    """The cases of anything that is laid out as a variant, else ``None``."""
    match t:
        case Variant(cs):
            return cs
        case Enum(names):
            return tuple((n, None) for n in names)
        case Option(payload):
            return (("none", None), ("some", payload))
        case Result(ok, error):
            return (("ok", ok), ("error", error))
        case _:
            return None


def align(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment


def discriminant_size(count: int) -> int:
    return 1 if count <= 256 else 2 if count <= 65536 else 4


@cache
def layout(t: Type) -> tuple[int, int]:
    """Size and alignment in linear memory, in bytes."""
    match t:
        case Scalar(name):
            return _SCALARS[name][0], _SCALARS[name][0]
        case String() | List():
            return 8, 4
        case Own() | Borrow():
            return 4, 4
        case Flags(names):
            size = 1 if len(names) <= 8 else 2 if len(names) <= 16 else 4
            return size, size
        case Record() | Tuple():
            offset, alignment = 0, 1
            for child in children(t):
                s, a = layout(child)
                offset, alignment = align(offset, a) + s, max(alignment, a)
            return align(offset, alignment), alignment
    size, alignment = 0, discriminant_size(len(cases(t) or ()))
    for child in children(t):
        s, a = layout(child)
        size, alignment = max(size, s), max(alignment, a)
    return align(payload_offset(t) + size, alignment), alignment


@cache
def payload_offset(t: Type) -> int:
    """Where the payload of a variant-like type starts, in bytes."""
    cs = cases(t) or ()
    return align(discriminant_size(len(cs)), max([layout(p)[1] for _, p in cs if p is not None] + [1]))


def field_offsets(t: Record | Tuple) -> tuple[int, ...]:
    """The offset of each field in linear memory, in bytes."""
    out, offset = [], 0
    for child in children(t):
        s, a = layout(child)
        offset = align(offset, a)
        out.append(offset)
        offset += s
    return tuple(out)


@cache
def flat(t: Type) -> tuple[str, ...]:
    """The core types that ``t`` becomes when it is passed without memory."""
    match t:
        case Scalar(name):
            return (_SCALARS[name][1],)
        case String() | List():
            return ("i32", "i32")
        case Own() | Borrow() | Flags():
            return ("i32",)
        case Record() | Tuple():
            return tuple(x for child in children(t) for x in flat(child))
    joined: list[str] = []
    for _, payload in cases(t) or ():
        for i, x in enumerate(flat(payload) if payload is not None else ()):
            if i == len(joined):
                joined.append(x)
            elif joined[i] != x:
                joined[i] = "i32" if {joined[i], x} == {"i32", "f32"} else "i64"
    return ("i32", *joined)


@dataclass(frozen=True, slots=True)
class Signature:
    """A function's core signature, the same whether it is lifted or lowered, but for where a long result goes.

    ``spilled``: the parameters are passed as one pointer. ``returns_pointer``: lifted, the result is a pointer;
    lowered, a last parameter says where to put it.
    """

    params: tuple[str, ...]
    spilled: bool
    result: str | None
    returns_pointer: bool


def signature(f: Function) -> Signature:
    params = tuple(x for _, t in f.params for x in flat(t))
    results = flat(f.result) if f.result is not None else ()
    spilled = len(params) > MAX_FLAT_PARAMS
    pointer = len(results) > MAX_FLAT_RESULTS
    return Signature(
        params=("i32",) if spilled else params,
        spilled=spilled,
        result="i32" if pointer else results[0] if results else None,
        returns_pointer=pointer,
    )


def parameter_positions(f: Function) -> tuple[int, ...]:
    """The index of the first core parameter of each parameter, where they are not spilled."""
    out, at = [], 0
    for _, t in f.params:
        out.append(at)
        at += len(flat(t))
    return tuple(out)


def resources(t: Type) -> frozenset[int]:
    """Every resource that ``t`` mentions."""
    return frozenset(x.resource for x in walk(t) if isinstance(x, (Own, Borrow)))


def renumbered(t: Type, numbers: Mapping[int, int]) -> Type:
    """``t`` with other numbers for its resources."""

    def inner(x: Type | None) -> Type | None:
        return None if x is None else renumbered(x, numbers)

    match t:
        case Own(resource):
            return Own(numbers[resource])
        case Borrow(resource):
            return Borrow(numbers[resource])
        case List(element):
            return List(renumbered(element, numbers))
        case Tuple(elements):
            return Tuple(tuple(renumbered(x, numbers) for x in elements))
        case Record(fields):
            return Record(tuple((n, renumbered(x, numbers)) for n, x in fields))
        case Variant(cs):
            return Variant(tuple((n, inner(x)) for n, x in cs))
        case Option(payload):
            return Option(renumbered(payload, numbers))
        case Result(ok, error):
            return Result(inner(ok), inner(error))
        case _:
            return t


def owned(t: Type) -> frozenset[int]:
    """Every resource of which ``t`` may carry an owned handle."""
    return frozenset(x.resource for x in walk(t) if isinstance(x, Own))
