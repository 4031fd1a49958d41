"""Host functions of a linker, bound without asking for every type in every call.

wasmtime-py's ``LinkerInstance.add_func`` looks up a function's type, and the name and type of each parameter, whenever
it is called, and makes a Python object of every part of a value: 8 microseconds, before the function does anything.
``bind`` gives Wasmtime a callback of its own, through the same C function. It asks for the type once, when the function
is called for the first time, and goes by memory layout from then on.

What it knows of that layout is compared with wasmtime-py's own ctypes structures when it is imported. Where they
differ, ``bind`` is ``add_func``: slower, not wrong. That every call's arguments are of the kinds that were learnt is
checked each time; that the result is of the function's type, Wasmtime checks.

Whose memory is whose: arguments are Wasmtime's and end with the call, so they are copied and not freed. A result is
Wasmtime's from the moment it is written, so strings and tuples are made by the C API's constructors, and the kind,
which says that there is something to free, is written last.

Functions take and return ``u32``, ``u64`` and ``string``; the result may be a tuple of them, or none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Any, TypeAlias

from wasmtime import WasmtimeError
from wasmtime import _ffi as ffi
from wasmtime.component import U32, U64, FuncType, LinkerInstance, String, TupleType

from sandbox.runtime.failures import tell, trap_message

Put: TypeAlias = Callable[[int, Any], None]
"""Writes a Python value where Wasmtime expects a result: the place's address, the value."""

SIZE, PAYLOAD = 32, 8
"""Bytes of a ``wasmtime_component_val_t``, and where in it the value lies; its kind is the first byte."""
KIND_U32, KIND_U64, KIND_STRING, KIND_TUPLE = 6, 8, 12, 15
EXPECTED = (
    (SIZE, (0, 1), PAYLOAD),
    (KIND_U32, KIND_U64, KIND_STRING, KIND_TUPLE),
    ((0, 4), (0, 8), (0, 16), (0, 16)),
    ((0, 8), (8, 8)),
    ((0, 8), (8, 8)),
)
"""What ``layout`` finds in a wasmtime-py that this module is made for."""
ENTRIES = (
    "wasmtime_component_linker_instance_add_func",
    "wasm_byte_vec_new",
    "wasmtime_component_valtuple_new",
    "wasmtime_error_new",
)
"""Functions of the C API that are called here."""

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t,  # an error, or 0
    ctypes.c_void_p,  # what was given to Wasmtime along with the callback
    ctypes.c_void_p,  # the store's context
    ctypes.c_void_p,  # the function's type
    ctypes.c_void_p,  # arguments
    ctypes.c_size_t,  # how many
    ctypes.c_void_p,  # results
    ctypes.c_size_t,  # how many
)
"""``wasmtime_component_func_callback_t``, with addresses as plain numbers."""


def layout(library: Any) -> tuple[object, ...] | None:
    """How ``library``, a ``wasmtime._ffi``, lays out values; ``None``: it has not all that is used here."""

    def field(structure: Any, name: str) -> tuple[int, int]:
        found = getattr(structure, name)
        return found.offset, found.size

    try:
        value, text, several = (
            library.wasmtime_component_val_t,
            library.wasm_byte_vec_t,
            library.wasmtime_component_valtuple_t,
        )
        union = dict(value._fields_)["of"]
        kinds = [getattr(library, f"WASMTIME_COMPONENT_{n}").value for n in ("U32", "U64", "STRING", "TUPLE")]
        callback, type_ = library.wasmtime_component_func_callback_t, library.wasmtime_component_func_type_t
        ours = (_Callback._restype_, *_Callback._argtypes_)
        theirs = (callback._restype_, *callback._argtypes_)
        # A pointer of whatever type is as good as an address.
        if [_plain(t) for t in theirs] != list(ours) or theirs[3] != ctypes.POINTER(type_):
            return None
        for owner, name in [(library.dll, n) for n in ENTRIES] + [(FuncType, "_from_ptr")]:
            getattr(owner, name)
        return (
            (ctypes.sizeof(value), field(value, "kind"), value.of.offset),
            tuple(kinds),
            tuple(field(union, n) for n in ("u32", "u64", "string", "tuple")),
            (field(text, "size"), field(text, "data")),
            (field(several, "size"), field(several, "data")),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _plain(type_: Any) -> Any:
    return ctypes.c_void_p if issubclass(type_, ctypes._Pointer) else type_


FITS = layout(ffi) == EXPECTED
"""Whether the installed wasmtime-py is one that this module is made for."""

if FITS:
    # PYFUNCTYPE: these take less than it takes to let go of the interpreter's lock and to get it back.
    _Vector = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    _new_text: Callable[[int, int, bytes], None] = _Vector(("wasm_byte_vec_new", ffi.dll))
    _Tuple = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    _new_tuple: Callable[[int, int, int], None] = _Tuple(("wasmtime_component_valtuple_new", ffi.dll))
    _Error = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.c_char_p)
    _new_error: Callable[[bytes], int] = _Error(("wasmtime_error_new", ffi.dll))

_Byte = ctypes.c_uint8
_Value = ctypes.c_char * SIZE
_string_at = ctypes.string_at

_KINDS: dict[type, int] = {U32: KIND_U32, U64: KIND_U64, String: KIND_STRING}
_ARGUMENT = {KIND_U32: "8xI20x", KIND_U64: "8xQ16x", KIND_STRING: "8xQQ8x"}
"""An argument's payload, in the language of ``struct``. A string is its size and its address."""
_RESULT = {KIND_U32: "B7xI20x", KIND_U64: "B7xQ16x", KIND_STRING: "B31x"}
"""A result's kind and its payload, likewise; a string's payload is written by the C API."""

_numbers = count(1)
_kept: dict[int, object] = {}
"""The callbacks that some linker or instance may still call, by the number that Wasmtime holds for each."""


def _forget(number: int) -> None:
    _kept.pop(number, None)


_finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_forget)


def bind(
    instance: LinkerInstance, name: str, function: Callable[..., Any], failed: Callable[[str, Exception], None]
) -> None:
    """Define ``function`` as ``name`` in an instance of a linker. It is called with ``None`` before its arguments.

    No exception gets back to Wasmtime, which would take it for an answer: ``failed`` is told the name and the
    exception, and the guest traps, with a message that tells nothing of the host. Raises ``WasmtimeError`` where the
    name is taken.
    """
    if not FITS:
        instance.add_func(name, _careful(name, function, failed))
        return
    number, callback = next(_numbers), _Callback(_Bound(name, function, failed).call)
    _kept[number] = callback
    text = name.encode()
    error: Any = ffi.wasmtime_component_linker_instance_add_func(
        instance.ptr(),
        ctypes.create_string_buffer(text),
        len(text),
        ctypes.cast(callback, ffi.wasmtime_component_func_callback_t),
        number,
        _finalizer,
    )
    if error:
        raise WasmtimeError._from_ptr(error)


def _careful(name: str, function: Callable[..., Any], failed: Callable[[str, Exception], None]) -> Callable[..., Any]:
    """``function`` for ``add_func``. That carries any exception but ``WasmtimeError`` through a global."""

    def call(_: object, *arguments: Any) -> Any:
        try:
            return function(None, *arguments)
        except BaseException as error:  # noqa: BLE001
            tell(failed, name, error)
            raise WasmtimeError(trap_message(name)) from None

    return call


class _Bound:
    """A host function as Wasmtime calls it."""

    __slots__ = ("block", "count", "failed", "function", "kinds", "name", "put", "strings", "trap", "unpack")

    def __init__(self, name: str, function: Callable[..., Any], failed: Callable[[str, Exception], None]) -> None:
        self.name, self.function, self.failed = name, function, failed
        self.trap = trap_message(name).encode()
        # None of these until the first call tells.
        self.count = -1
        self.kinds = b""
        self.block: Any = None
        """The type of a block of memory with all arguments in it."""
        self.unpack: Callable[[bytes], tuple[int, ...]]
        self.strings: tuple[int, ...] = ()
        """Where the size of each string is in what ``unpack`` gives; the last one first."""
        self.put: Put | None = None

    def call(
        self, _data: object, _context: object, type_: int, arguments: int, given: int, results: int, _: object
    ) -> int:
        try:
            if given != self.count:
                self._learn(type_, given)
            data = self.block.from_address(arguments).raw
            if data[::SIZE] != self.kinds:
                raise TypeError("the arguments are not of the function's type")
            if self.strings:
                values: list[Any] = list(self.unpack(data))
                for at in self.strings:
                    size = values[at]
                    values[at : at + 2] = [_string_at(values[at + 1], size).decode() if size else ""]
                answer = self.function(None, *values)
            else:
                answer = self.function(None, *self.unpack(data))
            if self.put is not None:
                self.put(results, answer)
            return 0
        except BaseException as error:  # noqa: BLE001 - ctypes would print it, and answer something
            tell(self.failed, self.name, error)
            return _new_error(self.trap)

    def _learn(self, address: int, given: int) -> None:
        """Read the type of the function that is being called. Raises ``TypeError`` if it is not what was expected."""
        pointer = ctypes.cast(address, ctypes.POINTER(ffi.wasmtime_component_func_type_t))
        type_ = FuncType._from_ptr(pointer, owner=self)  # an owner: it is not freed
        kinds = [_kind(t) for _, t in type_.params]
        result = type_.result
        if len(kinds) != given:
            raise TypeError("the arguments are not of the function's type")
        form, strings, at = "=", [], 0
        for kind in kinds:
            form += _ARGUMENT[kind]
            if kind == KIND_STRING:
                strings.append(at)
            at += 2 if kind == KIND_STRING else 1
        if result is None:
            self.put = None
        elif isinstance(result, TupleType):
            self.put = _put_tuple([_kind(t) for t in result.elements])
        else:
            self.put = _put_string if _kind(result) == KIND_STRING else _put_number(_kind(result))
        self.kinds, self.strings, self.unpack = bytes(kinds), tuple(reversed(strings)), Struct(form).unpack
        self.block = ctypes.c_char * (SIZE * given)
        self.count = given  # last: whoever fails above is not half known


def _kind(type_: object) -> int:
    kind = _KINDS.get(type(type_))
    if kind is None:
        raise TypeError(f"{type(type_).__name__} is not a type that is bound here")
    return kind


def _put_number(kind: int) -> Put:
    pack_into, value_at = Struct("=" + _RESULT[kind]).pack_into, _Value.from_address

    def put(place: int, answer: int) -> None:
        pack_into(value_at(place), 0, kind, answer)

    return put


def _put_string(place: int, answer: str) -> None:
    data = answer.encode()
    _new_text(place + PAYLOAD, len(data), data)
    _Byte.from_address(place).value = KIND_STRING  # last: from here on Wasmtime frees it


def _put_tuple(kinds: list[int]) -> Put:
    length = len(kinds)
    form = Struct("=" + "".join(_RESULT[kind] for kind in kinds))
    block = ctypes.create_string_buffer(form.size)
    start = ctypes.addressof(block)

    def put(place: int, answer: tuple[Any, ...]) -> None:
        fields: list[int] = []
        texts = []
        for at, kind, value in zip(range(0, form.size, SIZE), kinds, answer, strict=True):
            if kind == KIND_STRING:
                texts.append((start + at + PAYLOAD, value.encode()))
                fields.append(kind)
            else:
                fields += (kind, value)
        form.pack_into(block, 0, *fields)
        # What can fail has been done: no string is made that nobody would free.
        for address, data in texts:
            _new_text(address, len(data), data)
        _new_tuple(place + PAYLOAD, length, start)  # it takes the elements over as they are
        _Byte.from_address(place).value = KIND_TUPLE

    return put
