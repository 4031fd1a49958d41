"""Host functions of core modules: words both ways, failures, and a wasmtime-py of another layout."""

from __future__ import annotations

import gc
import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from wasmtime import Engine, Linker, Module, Store, Trap, WasmtimeError
from wasmtime import _ffi as ffi

from sandbox.runtime import core_binding
from sandbox.runtime.core_binding import EXPECTED, bind_core, layout
from sandbox.runtime.endings import cause

ENGINE = Engine()
CALLER = Module(
    ENGINE,
    """(module
  (import "h" "none" (func $none))
  (import "h" "three" (func $three (param i32 i32 i32) (result i32)))
  (import "h" "give" (func $give (result i32)))
  (import "h" "take" (func $take (param i32)))
  (func (export "none") (call $none))
  (func (export "three") (param i32 i32 i32) (result i32)
    (call $three (local.get 0) (local.get 1) (local.get 2)))
  (func (export "give") (result i32) (call $give))
  (func (export "take") (param i32) (call $take (local.get 0))))""",
)
SHAPES = {"none": (0, False), "three": (3, True), "give": (0, True), "take": (1, False)}


@pytest.fixture(params=["ours", "theirs"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to bind: the callback of our own, and wasmtime-py's."""
    assert core_binding.FITS
    monkeypatch.setattr(core_binding, "FITS", request.param == "ours")
    return str(request.param)


class Guest:
    """An instance over host functions; those that are not given return 0 or nothing. ``told`` holds what failed."""

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self.told: list[tuple[str, str]] = []
        self.linker = Linker(ENGINE)
        for name, (parameters, returns) in SHAPES.items():
            function = functions.get(name, (lambda *_: 0) if returns else (lambda *_: None))
            bind_core(self.linker, "h", name, parameters, returns, function, self.failed)

    def failed(self, name: str, error: Exception) -> None:
        self.told.append((name, f"{type(error).__name__}: {error}"))

    def call(self, name: str, *arguments: int) -> Any:
        store = Store(ENGINE)
        return self.linker.instantiate(store, CALLER).exports(store)[name](store, *arguments)  # type: ignore[operator]


def test_words(way: str) -> None:
    """Arguments come without a sign, whatever they are; a result may have one or not."""
    said: list[tuple[int, ...]] = []
    answers = iter([5, -5, 0xFFFF_FFFF, 0x8000_0000])

    def three(*arguments: int) -> int:
        said.append(arguments)
        return next(answers)

    guest = Guest(three=three, none=lambda *a: said.append(a), take=lambda *a: said.append(a), give=lambda: 7)
    found = [guest.call("three", 1, -1, -(1 << 31)) for _ in range(4)]
    assert found == [5, -5, -1, -(1 << 31)]
    assert (guest.call("none"), guest.call("take", -2), guest.call("give")) == (None, None, 7)
    assert said == [(1, 0xFFFF_FFFF, 0x8000_0000)] * 4 + [(), (0xFFFF_FFFE,)]
    assert guest.told == []


ERRORS: list[tuple[BaseException, str]] = [
    (KeyError("x"), "KeyError: 'x'"),
    (MemoryError(), "MemoryError: "),
    (WasmtimeError("odd"), "WasmtimeError: odd"),
    (KeyboardInterrupt(), "RuntimeError: KeyboardInterrupt"),
    (SystemExit(3), "RuntimeError: SystemExit"),
]


@pytest.mark.parametrize(("error", "said"), ERRORS)
@pytest.mark.parametrize("name", ["none", "three"])
def test_an_exception(way: str, name: str, error: BaseException, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is raised, the guest traps with a message that tells nothing of it, and nothing is printed or kept."""

    def fail(*_: object) -> None:
        raise error

    guest = Guest(**{name: fail})
    for _ in range(2):
        with pytest.raises((WasmtimeError, Trap)) as raised:
            guest.call(name, *[0] * SHAPES[name][0])
        assert cause(str(raised.value)) == f"the host's function {name} failed"
    assert guest.told == [(name, said)] * 2
    assert guest.call("give") == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("answer", [None, "5", (1,)])
def test_an_answer_that_is_no_word(answer: object, capfd: pytest.CaptureFixture[str]) -> None:
    """It is the host's failure, and no answer."""
    guest = Guest(give=lambda: answer)
    with pytest.raises((WasmtimeError, Trap)) as raised:
        guest.call("give")
    assert cause(str(raised.value)) == "the host's function give failed"
    assert [name for name, _ in guest.told] == ["give"]
    assert capfd.readouterr() == ("", "")


def test_nobody_to_tell(way: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The guest traps even if telling fails too."""

    class Deaf(Guest):
        def failed(self, name: str, error: Exception) -> None:
            raise BrokenPipeError

    def fail() -> int:
        raise ValueError

    with pytest.raises((WasmtimeError, Trap)) as raised:
        Deaf(give=fail).call("give")
    assert cause(str(raised.value)) == "the host's function give failed"
    assert capfd.readouterr() == ("", "")


def test_another_type_is_refused(way: str) -> None:
    """A module that imports a function as another type than it was defined with is not instantiated."""
    guest = Guest()
    text = '(module (import "h" "three" (func (param i64 i32 i32) (result i32))))'
    with pytest.raises(WasmtimeError) as raised:
        guest.linker.instantiate(Store(ENGINE), Module(ENGINE, text))
    assert "incompatible import type for `h::three`" in str(raised.value)


def test_a_name_that_is_taken(way: str) -> None:
    """Two functions of one name are refused, and the second is not kept."""
    linker = Linker(ENGINE)
    before = set(core_binding._kept)
    bind_core(linker, "h", "f", 0, False, lambda: None, lambda *_: None)
    with pytest.raises(WasmtimeError) as raised:
        bind_core(linker, "h", "f", 0, False, lambda: None, lambda *_: None)
    assert "`h::f` defined twice" in str(raised.value)
    assert len(set(core_binding._kept) - before) == (way == "ours")


def test_callbacks_live_as_long_as_their_linker() -> None:
    """They are kept while a linker or a store may call them, by nothing else, and not longer."""
    gc.collect()
    before = set(core_binding._kept)
    guest = Guest(give=lambda: 9)
    assert len(set(core_binding._kept) - before) == len(SHAPES)
    gc.collect()
    store = Store(ENGINE)
    give = guest.linker.instantiate(store, CALLER).exports(store)["give"]
    guest.linker.close()
    assert give(store) == 9  # type: ignore[operator]  # the instance has them still
    store.close()
    assert set(core_binding._kept) == before


def changed(**names: object) -> Any:
    """``wasmtime._ffi`` with some names replaced; ``None``: missing."""
    found = {n: getattr(ffi, n) for n in ("dll", "wasmtime_val_raw_t", "wasmtime_func_unchecked_callback_t")} | names
    return SimpleNamespace(**{name: value for name, value in found.items() if value is not None})


def test_another_layout() -> None:
    """A wasmtime-py whose values lie otherwise, or that lacks something, is found out."""
    assert layout(changed()) == EXPECTED
    assert layout(changed(wasmtime_val_raw_t=ffi.wasmtime_val_t)) is None
    assert layout(changed(wasmtime_val_raw_t=ffi.wasmtime_valunion_t)) != EXPECTED
    assert layout(changed(wasmtime_func_unchecked_callback_t=ffi.wasmtime_func_callback_t)) is None
    assert layout(changed(dll=SimpleNamespace())) is None
    assert layout(changed(wasmtime_val_raw_t=None)) is None


def test_another_wasmtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one, the module is imported all the same, and binds as wasmtime-py does."""
    monkeypatch.setattr(ffi, "wasmtime_val_raw_t", ffi.wasmtime_valunion_t)
    spec = importlib.util.find_spec("sandbox.runtime.core_binding")
    assert spec is not None
    assert spec.loader is not None
    other = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(other)
    assert not other.FITS
    linker, store = Linker(ENGINE), Store(ENGINE)
    for name, (parameters, returns) in SHAPES.items():
        other.bind_core(linker, "h", name, parameters, returns, lambda *_: 3, lambda *_: None)
    instance = linker.instantiate(store, CALLER)
    assert instance.exports(store)["give"](store) == 3  # type: ignore[operator]
