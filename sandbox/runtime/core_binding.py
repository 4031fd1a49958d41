"""Host functions of a linker of core modules, bound without a Python object for every value of every call.

wasmtime-py's ``Linker.define_func`` makes a ``Caller``, a ``Val`` and a type of each call's parts. ``bind_core`` gives
Wasmtime a callback of its own through the C API's unchecked variant: there, arguments and result are plain memory, laid
out by the function's type, which Wasmtime has compared with the importing module's when it was instantiated.

What it knows of that layout is compared with wasmtime-py's own ctypes structures when it is imported. Where they
differ, ``bind_core`` is ``define_func``: slower, not wrong.

Functions take numbers of 32 bits without a sign and return one (or ``None``, where they have no result).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Any

from wasmtime import FuncType, Linker, ValType, WasmtimeError
from wasmtime import _ffi as ffi

from sandbox.runtime.failures import tell, trap_message

SIZE = 16
"""Bytes of a ``wasmtime_val_raw_t``; a number of 32 bits lies at its beginning."""
EXPECTED = (SIZE, (0, 4))
"""What ``layout`` finds in a wasmtime-py that this module is made for."""
ENTRIES = ("wasmtime_linker_define_func_unchecked", "wasmtime_trap_new")
"""Functions of the C API that are called here."""
WORD = 0xFFFF_FFFF

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t,  # a trap, or 0
    ctypes.c_void_p,  # what was given to Wasmtime along with the callback
    ctypes.c_void_p,  # the caller
    ctypes.c_void_p,  # arguments, and then results
    ctypes.c_size_t,  # how many there is room for
)
"""``wasmtime_func_unchecked_callback_t``, with addresses as plain numbers."""


def layout(library: Any) -> tuple[object, ...] | None:
    """How ``library``, a ``wasmtime._ffi``, lays out values; ``None``: it has not all that is used here."""
    try:
        value, callback = library.wasmtime_val_raw_t, library.wasmtime_func_unchecked_callback_t
        theirs = [
            ctypes.c_void_p if issubclass(t, ctypes._Pointer) else t for t in (callback._restype_, *callback._argtypes_)
        ]
        if theirs != [_Callback._restype_, *_Callback._argtypes_]:
            return None
        for name in ENTRIES:
            getattr(library.dll, name)
        return ctypes.sizeof(value), (value.i32.offset, value.i32.size)
    except (AttributeError, TypeError):
        return None


FITS = layout(ffi) == EXPECTED
"""Whether the installed wasmtime-py is one that this module is made for."""

if FITS:
    # PYFUNCTYPE: it takes less than it takes to let go of the interpreter's lock and to get it back.
    _Trap = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    _new_trap: Callable[[bytes, int], int] = _Trap(("wasmtime_trap_new", ffi.dll))

_Word = ctypes.c_uint32

_numbers = count(1)
_kept: dict[int, object] = {}
"""The callbacks that some linker or instance may still call, by the number that Wasmtime holds for each."""


def _forget(number: int) -> None:
    _kept.pop(number, None)


_finalizer = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_forget)


def bind_core(
    linker: Linker,
    module: str,
    name: str,
    parameters: int,
    returns: bool,
    function: Callable[..., Any],
    failed: Callable[[str, Exception], None],
) -> None:
    """Define ``function`` under two names in a linker: it takes ``parameters`` words, and gives one if it ``returns``.

    No exception gets back to Wasmtime: ``failed`` is told the name and the exception, and the guest traps, with a
    message that tells nothing of the host. Raises ``WasmtimeError`` where the name is taken.
    """
    word = ValType.i32()
    type_ = FuncType([word] * parameters, [ValType.i32()] if returns else [])
    if not FITS:
        linker.define_func(module, name, type_, _careful(name, function, failed))
        return
    callback = _Callback(_unchecked(name, parameters, returns, function, failed))
    number = next(_numbers)
    _kept[number] = callback
    first, second = module.encode(), name.encode()
    error: Any = ffi.wasmtime_linker_define_func_unchecked(
        linker.ptr(),
        ctypes.create_string_buffer(first),
        len(first),
        ctypes.create_string_buffer(second),
        len(second),
        type_.ptr(),
        ctypes.cast(callback, ffi.wasmtime_func_unchecked_callback_t),
        number,
        _finalizer,
    )
    if error:
        raise WasmtimeError._from_ptr(error)


def _unchecked(
    name: str, parameters: int, returns: bool, function: Callable[..., Any], failed: Callable[[str, Exception], None]
) -> Callable[[object, object, int, int], int]:
    """``function`` as Wasmtime calls it."""
    block = ctypes.c_char * (SIZE * parameters)
    unpack = Struct("=" + "I12x" * parameters).unpack
    room = max(parameters, int(returns))
    trap = trap_message(name).encode()

    def call(_data: object, _caller: object, values: int, given: int) -> int:
        try:
            if given < room:
                raise TypeError("the arguments are not of the function's type")
            answer = function(*unpack(block.from_address(values).raw)) if parameters else function()
            if returns:
                _Word.from_address(values).value = answer & WORD
            return 0
        except BaseException as error:  # noqa: BLE001 - ctypes would print it, and answer something
            tell(failed, name, error)
            return _new_trap(trap, len(trap))

    return call


def _careful(name: str, function: Callable[..., Any], failed: Callable[[str, Exception], None]) -> Callable[..., Any]:
    """``function`` for ``define_func``, which knows numbers with a sign."""

    def call(*arguments: int) -> int | None:
        try:
            answer = function(*(a & WORD for a in arguments))
            return None if answer is None else ((answer & WORD) ^ 0x8000_0000) - 0x8000_0000
        except BaseException as error:  # noqa: BLE001
            tell(failed, name, error)
            raise WasmtimeError(trap_message(name)) from None

    return call
