"""Layout and flattening of component types, against the numbers of the Canonical ABI and against Wasmtime."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Engine, Store, WasmtimeError, wat2wasm
from wasmtime import component as wasm

from sandbox.guard import types as ty
from sandbox.guard.wat import Types

U8, U16, U32, U64 = (ty.Scalar(n) for n in ("u8", "u16", "u32", "u64"))
F32, F64, S8, CHAR, BOOL = (ty.Scalar(n) for n in ("f32", "f64", "s8", "char", "bool"))


def enum(count: int) -> ty.Enum:
    return ty.Enum(tuple(f"n{i}" for i in range(count)))


KNOWN: list[tuple[ty.Type, tuple[int, int], tuple[str, ...]]] = [
    (BOOL, (1, 1), ("i32",)),
    (S8, (1, 1), ("i32",)),
    (U16, (2, 2), ("i32",)),
    (CHAR, (4, 4), ("i32",)),
    (U64, (8, 8), ("i64",)),
    (F32, (4, 4), ("f32",)),
    (F64, (8, 8), ("f64",)),
    (ty.STRING, (8, 4), ("i32", "i32")),
    (ty.List(U64), (8, 4), ("i32", "i32")),
    (ty.Own(0), (4, 4), ("i32",)),
    (ty.Borrow(0), (4, 4), ("i32",)),
    (ty.Tuple((U8, U64, U8)), (24, 8), ("i32", "i64", "i32")),
    (ty.Record((("a", U8), ("b", U16), ("c", U8))), (6, 2), ("i32", "i32", "i32")),
    (ty.Flags(tuple("abcdefgh")), (1, 1), ("i32",)),
    (ty.Flags(tuple("abcdefghi")), (2, 2), ("i32",)),
    (ty.Flags(tuple(f"f{i}" for i in range(17))), (4, 4), ("i32",)),
    (enum(256), (1, 1), ("i32",)),
    (enum(257), (2, 2), ("i32",)),
    (ty.Option(U8), (2, 1), ("i32", "i32")),
    (ty.Option(U64), (16, 8), ("i32", "i64")),
    (ty.Option(ty.Option(BOOL)), (3, 1), ("i32", "i32", "i32")),
    (ty.Result(None, None), (1, 1), ("i32",)),
    (ty.Result(None, U32), (8, 4), ("i32", "i32")),
    (ty.Result(F32, U32), (8, 4), ("i32", "i32")),
    (ty.Result(F32, U64), (16, 8), ("i32", "i64")),
    (ty.Result(F64, U32), (16, 8), ("i32", "i64")),
    (ty.Result(F64, F64), (16, 8), ("i32", "f64")),
    (ty.Variant((("a", None), ("b", ty.STRING), ("c", U64))), (16, 8), ("i32", "i64", "i32")),
    (ty.Variant((("a", ty.Tuple((F32, F64))), ("b", ty.Tuple((U32, U32))))), (24, 8), ("i32", "i32", "i64")),
]


@pytest.mark.parametrize(("t", "layout", "flat"), KNOWN)
def test_known_values(t: ty.Type, layout: tuple[int, int], flat: tuple[str, ...]) -> None:
    """Size, alignment and core types of a type are those that the Canonical ABI gives it."""
    assert (ty.layout(t), ty.flat(t)) == (layout, flat)


def test_offsets() -> None:
    """Fields lie at the next offset of their alignment; a payload behind its discriminant, at the widest alignment."""
    assert ty.field_offsets(ty.Record((("a", U8), ("b", U32), ("c", U8), ("d", U16)))) == (0, 4, 8, 10)
    assert ty.field_offsets(ty.Tuple((U8, ty.Option(U64), U8))) == (0, 8, 24)
    assert ty.payload_offset(ty.Result(U8, None)) == 1
    assert ty.payload_offset(ty.Result(U8, U64)) == 8
    assert ty.payload_offset(ty.Variant(tuple((f"c{i}", U8) for i in range(257)))) == 2


def test_signatures() -> None:
    """Sixteen core parameters are passed as they are, a seventeenth makes them one pointer; so does a second result."""
    sixteen = tuple((f"p{i}", U32) for i in range(16))
    assert ty.signature(ty.Function(sixteen, U64)) == ty.Signature(("i32",) * 16, False, "i64", False)
    spilled = ty.Function((*sixteen, ("last", F32)), ty.STRING)
    assert ty.signature(spilled) == ty.Signature(("i32",), True, "i32", True)
    assert ty.signature(ty.Function((), None)) == ty.Signature((), False, None, False)
    assert ty.parameter_positions(ty.Function((("a", ty.STRING), ("b", U8), ("c", ty.Option(F64))), None)) == (0, 2, 3)


NAMES = st.lists(st.integers(0, 99), min_size=1, max_size=12, unique=True).map(lambda n: tuple(f"x{i}" for i in n))
LEAVES: st.SearchStrategy[ty.Type] = st.one_of(
    st.sampled_from([ty.Scalar(n) for n in ("bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64")]),
    st.sampled_from([F32, F64, CHAR, ty.STRING]),
    NAMES.map(ty.Enum),
    NAMES.map(ty.Flags),
)


def _deeper(inner: st.SearchStrategy[ty.Type]) -> st.SearchStrategy[ty.Type]:
    optional = st.none() | inner
    return st.one_of(
        inner.map(ty.List),
        st.lists(inner, min_size=1, max_size=4).map(lambda x: ty.Tuple(tuple(x))),
        st.lists(inner, min_size=1, max_size=4).map(lambda x: ty.Record(tuple((f"f{i}", t) for i, t in enumerate(x)))),
        st.lists(optional, min_size=1, max_size=4).map(
            lambda x: ty.Variant(tuple((f"c{i}", t) for i, t in enumerate(x)))
        ),
        inner.map(ty.Option),
        st.builds(ty.Result, optional, optional),
    )


TYPES: st.SearchStrategy[ty.Type] = st.recursive(LEAVES, _deeper, max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(st.lists(TYPES, min_size=1, max_size=4), TYPES)
def test_signatures_agree_with_wasmtime(params: list[ty.Type], result: ty.Type) -> None:
    """Wasmtime lifts a core function of exactly the signature that is worked out here, and no other."""
    function = ty.Function(tuple((f"p{i}", t) for i, t in enumerate(params)), result)
    signature = ty.signature(function)

    def lifts(core_params: tuple[str, ...], core_result: str | None) -> bool:
        given_params = "".join(f"(param {x})" for x in core_params)
        given_result = f"(result {core_result})" if core_result else ""
        text = f"""(component
          (core module $m (memory (export "m") 1)
            (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable)
            (func (export "f") {given_params} {given_result} unreachable))
          (core instance $i (instantiate $m))
          (func {signature_text(function)} (canon lift (core func $i "f")
            (memory (core memory $i "m")) (realloc (core func $i "r")))))"""
        try:
            wasm.Component(Engine(), bytes(wat2wasm(text)))
        except WasmtimeError:
            return False
        return True

    assert lifts(signature.params, signature.result)
    assert not lifts((*signature.params, "i32"), signature.result)
    other = {"i32": "i64", "i64": "f32", "f32": "f64", "f64": "i32", None: "i32"}[signature.result]
    assert not lifts(signature.params, other)


def signature_text(function: ty.Function) -> str:
    """Parameters and result as component text, each type written out in place."""
    types = Types(resource=lambda _: "$none")
    params = " ".join(f'(param "{n}" {types.ref(t)})' for n, t in function.params)
    return f"{params} (result {types.ref(function.result)})" if function.result is not None else params


# What a component exports must name its records, variants, enums and flags; these kinds need no names.
ANONYMOUS = st.recursive(
    st.sampled_from([*(ty.Scalar(n) for n in ("bool", "s8", "u16", "s32", "u64")), F32, F64, CHAR, ty.STRING]),
    lambda inner: st.one_of(
        inner.map(ty.List),
        st.lists(inner, min_size=1, max_size=4).map(lambda x: ty.Tuple(tuple(x))),
        inner.map(ty.Option),
        st.builds(ty.Result, st.none() | inner, st.none() | inner),
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(ANONYMOUS)
def test_layout_agrees_with_wasmtime(t: ty.Type) -> None:
    """A list of two elements is read at the last aligned place where twice the size still fits, and no further on."""
    size, alignment = ty.layout(t)
    last = (65536 - 2 * size) // alignment * alignment
    assert reads_two(t, last)
    assert not reads_two(t, last + alignment)


def reads_two(t: ty.Type, address: int) -> bool:
    """Whether Wasmtime takes a list of two elements, all zero, out of one page of memory at ``address``."""
    where = "".join(f"\\{byte:02x}" for byte in address.to_bytes(4, "little"))
    text = f"""(component
      (core module $m (memory (export "m") 1)
        (data (i32.const 0) "{where}\\02")
        (func (export "f") (result i32) (i32.const 0)))
      (core instance $i (instantiate $m))
      (func (export "f") (result (list {Types(resource=lambda _: "$none").ref(t)}))
        (canon lift (core func $i "f") (memory (core memory $i "m")))))"""
    engine = Engine()
    store = Store(engine)
    instance = wasm.Linker(engine).instantiate(store, wasm.Component(engine, bytes(wat2wasm(text))))
    function = instance.get_func(store, "f")
    assert function is not None
    try:
        return len(function(store)) == 2
    except WasmtimeError:
        return False
