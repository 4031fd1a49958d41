"""Host functions as Wasmtime calls them: values both ways, failures, memory, and a wasmtime-py of another layout."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wasmtime import Engine, Store, WasmtimeError, wat2wasm
from wasmtime import _ffi as ffi
from wasmtime import component as wasm

from sandbox.guard import types as ty
from sandbox.guard.builder import HOST
from sandbox.guard.instances import instance_type
from sandbox.guard.wat import Types, params_text, quote, result_text
from sandbox.runtime import binding
from sandbox.runtime.binding import EXPECTED, bind, layout
from sandbox.runtime.callbacks import Callbacks

ENGINE = Engine()
TEXT = 1000
"""Bytes of the string that ``repeat`` gives."""


def no_type(_: int) -> str:
    raise AssertionError("no host function knows a resource")


def caller(functions: Mapping[str, ty.Function]) -> wasm.Component:
    """A component that imports ``functions`` from ``host`` and exports each, as well as ``repeat-`` each: that calls
    it as often as it is told, with the same arguments (7 and ``TEXT`` times ``x``)."""
    types = Types(resource=no_type)
    text = instance_type(functions.items())
    lines = [f'(import "host" {text.replace("(instance", "(instance $host", 1)})']
    imports, bodies, given, exports = [], [], [], []
    for n, (name, f) in enumerate(functions.items()):
        signature = ty.signature(f)
        pointer = ["(i32.const 16)"] if signature.returns_pointer else []
        told = [f"(local.get {i})" for i in range(len(signature.params))]
        same = []
        for _, t in f.params:
            flat = ty.flat(t)
            same += ["(i32.const 65536)", f"(i32.const {TEXT})"] if len(flat) == 2 else [f"({flat[0]}.const 7)"]
        low = [*signature.params, *(["i32"] if pointer else [])]
        returned = None if pointer else signature.result
        imports.append(f'(import "h" "{n}" (func $h{n} {params_text(low)} {result_text(returned)}))')
        bodies.append(
            f"""(func (export "{n}") {params_text(signature.params)} {result_text(signature.result)}
              (call $h{n} {" ".join(told + pointer)}) {"(i32.const 16)" if pointer else ""})
            (func (export "post{n}") {params_text([signature.result] if signature.result else [])} (call $reset))
            (func (export "repeat{n}") (param i32)
              (loop $again
                (call $reset) (call $h{n} {" ".join(same + pointer)}) {"(drop)" if returned else ""}
                (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                (br_if $again (local.get 0))))"""
        )
        given.append(f'(export "{n}" (func $l{n}))')
        exports.append(
            f"""(type $t{n} {types.function(f)})
            (func $x{n} (type $t{n}) (canon lift (core func $m "{n}") (memory (core memory $m "m"))
              (realloc (core func $m "realloc")) (post-return (core func $m "post{n}"))))
            (export {quote(name)} (func $x{n}))
            (func $r{n} (param "count" u32) (canon lift (core func $m "repeat{n}")))
            (export "repeat-{name}" (func $r{n}))"""
        )
        lines.append(f"(alias export $host {quote(name)} (func $i{n}))")
    store = f"""(core module $Store (memory (export "m") 64)
      (data (i32.const 65536) "{"x" * TEXT}")
      (global $free (mut i32) (i32.const 131072))
      (func (export "reset") (global.set $free (i32.const 131072)))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local i32)
        (local.set 4 (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
        (global.set $free (i32.add (local.get 4) (local.get 3)))
        (memory.copy (local.get 4) (local.get 0) (local.get 1))
        (local.get 4)))
    (core instance $s (instantiate $Store))"""
    lowered = [
        f'(core func $l{n} (canon lower (func $i{n}) (memory (core memory $s "m")) (realloc (core func $s "realloc"))))'
        for n in range(len(functions))
    ]
    module = f"""(core module $Main {" ".join(imports)}
      (import "s" "m" (memory 1)) (import "s" "reset" (func $reset))
      (import "s" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
      (export "m" (memory 0)) (export "realloc" (func $realloc))
      {" ".join(bodies)})
    (core instance $m (instantiate $Main (with "h" (instance {" ".join(given)})) (with "s" (instance $s))))"""
    whole = "\n".join(["(component", *lines, store, *lowered, module, *exports, ")"])
    return wasm.Component(ENGINE, wat2wasm(whole))


CALLER = caller(HOST)
Told = list[tuple[str, str]]


class Guest:
    """An instance of a caller over host functions; what failed is in ``told``."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], component: wasm.Component = CALLER) -> None:
        self.told: Told = []
        self.linker = wasm.Linker(ENGINE)
        with self.linker.root() as root, root.add_instance("host") as host:
            for name, function in functions.items():
                bind(host, name, function, self.failed)
        self.component = component
        self.again()

    def failed(self, name: str, error: Exception) -> None:
        self.told.append((name, f"{type(error).__name__}: {error}"))

    def again(self) -> None:
        """Another instance, in another store: after a trap, nothing of a store can be entered any more."""
        self.store = Store(ENGINE)
        self.instance = self.linker.instantiate(self.store, self.component)

    def call(self, name: str, *arguments: Any) -> Any:
        function = self.instance.get_func(self.store, name)
        assert function is not None
        return function(self.store, *arguments)


def cause(error: WasmtimeError) -> str:
    """What Wasmtime says below its backtrace."""
    return str(error).rpartition("Caused by:")[2].strip() or str(error)


@pytest.fixture(params=["ours", "add_func"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which ``bind`` works."""
    monkeypatch.setattr(binding, "FITS", request.param == "ours")
    return str(request.param)


def values(t: ty.Type) -> st.SearchStrategy[Any]:
    match t:
        case ty.Scalar("u32"):
            return st.integers(0, 2**32 - 1) | st.sampled_from([0, 2**32 - 1])
        case ty.Scalar("u64"):
            return st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**64 - 1])
        case ty.String():
            return st.text() | st.sampled_from(["\0", "a" * 5000, "\xff" * 300, "\U0001f600"])
        case ty.Tuple(elements):
            return st.tuples(*map(values, elements))
    raise AssertionError(t)


def everything(said: list[Any], answers: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    def make(name: str) -> Callable[..., Any]:
        def function(*arguments: Any) -> Any:
            said.append(arguments)
            return answers.get(name)

        return function

    return {name: make(name) for name in HOST}


def test_values_both_ways(way: str) -> None:
    """Every host function of the guard's gets what the guest gave, after a ``None``, and the guest gets the answer."""
    said: list[Any] = []
    answers: dict[str, Any] = {}
    guest = Guest(everything(said, answers))

    @settings(max_examples=150, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(HOST)))
        f = HOST[name]
        arguments = data.draw(st.tuples(*(values(t) for _, t in f.params)))
        answers[name] = None if f.result is None else data.draw(values(f.result))
        said.clear()
        assert guest.call(name, *arguments) == answers[name]
        assert (said, guest.told) == ([(None, *arguments)], [])

    check()


def test_the_functions_are_those_of_the_guard() -> None:
    """The worker binds what a guard may ask for, no more and no less."""
    nobody: Any = None
    assert set(Callbacks(nobody).functions()) == set(HOST)


def test_a_truth_value_is_a_number(way: str) -> None:
    """``True`` is 1, as it is for wasmtime-py."""
    assert Guest({**everything([], {}), "locate": lambda *_: True}).call("locate", 0) == 1


WRONG: list[tuple[str, Any, str]] = [
    ("locate", -1, "error"),
    ("locate", 2**32, "error"),
    ("room", 2**64, "error"),
    ("room", "1", "error"),
    ("secret", None, "AttributeError"),
    ("secret", "\ud800", "UnicodeEncodeError"),
    ("config", (1, 2), "ValueError"),
    ("config", (1, 2, "", 4), "ValueError"),
    ("config", (1, "2", ""), "error"),
    ("route-pair", (1, "a" * 500, "\udcff"), "UnicodeEncodeError"),
    ("route-pair", (2**40, "a" * 500, "b" * 500), "error"),
    ("route", None, "TypeError"),
]


@pytest.mark.parametrize(("name", "answer", "error"), WRONG)
def test_an_answer_of_another_type(name: str, answer: Any, error: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The guest traps, whoever is to know is told, and the next guest is served."""
    answers = {name: answer}
    guest = Guest(everything([], answers))
    arguments = ["" if t == ty.STRING else 0 for _, t in HOST[name].params]
    with pytest.raises(WasmtimeError) as raised:
        guest.call(name, *arguments)
    assert cause(raised.value) == f"the host's function {name} failed"
    assert [(n, said.partition(":")[0]) for n, said in guest.told] == [(name, error)]
    guest.again()
    proper = {ty.U32: 1, ty.U64: 2, ty.STRING: "three"}
    result = HOST[name].result
    assert result is not None
    answers[name] = tuple(proper[t] for t in result.elements) if isinstance(result, ty.Tuple) else proper[result]
    assert guest.call(name, *arguments) == answers[name]
    assert capfd.readouterr() == ("", "")


ERRORS: list[tuple[BaseException, str]] = [
    (KeyError("x"), "KeyError: 'x'"),
    (MemoryError(), "MemoryError: "),
    (WasmtimeError("odd"), "WasmtimeError: odd"),
    (KeyboardInterrupt(), "RuntimeError: KeyboardInterrupt"),
    (SystemExit(3), "RuntimeError: SystemExit"),
]


@pytest.mark.parametrize(("error", "said"), ERRORS)
@pytest.mark.parametrize("name", ["drop", "receive", "secret", "config"])
def test_an_exception(way: str, name: str, error: BaseException, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is raised, the guest traps with a message that tells nothing of it, and nothing is printed."""

    def fail(*_: object) -> None:
        raise error

    guest = Guest({**everything([], {}), name: fail})
    for _ in range(2):
        with pytest.raises(WasmtimeError) as raised:
            guest.call(name, *[0 for _ in HOST[name].params])
        assert cause(raised.value) == f"the host's function {name} failed"
        guest.again()
    assert guest.told == [(name, said)] * 2
    assert guest.call("exit", 0) is None
    assert capfd.readouterr() == ("", "")


def test_nobody_to_tell(way: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The guest traps even if telling fails too."""

    class Deaf(Guest):
        def failed(self, name: str, error: Exception) -> None:
            raise BrokenPipeError

    def fail(*_: object) -> None:
        raise ValueError

    with pytest.raises(WasmtimeError) as raised:
        Deaf({**everything([], {}), "seed": fail}).call("seed", 0)
    assert cause(raised.value) == "the host's function seed failed"
    assert capfd.readouterr() == ("", "")


def test_another_type_than_before() -> None:
    """Arguments are never read as what they are not: a second component that means another function traps."""
    said: list[Any] = []
    first = {"f": ty.Function((("a", ty.U64), ("b", ty.U64)), None)}
    others = [
        {"f": ty.Function((("a", ty.STRING), ("b", ty.U64)), None)},
        {"f": ty.Function((("a", ty.List(ty.U8)), ("b", ty.U64)), None)},
        {"f": ty.Function((("a", ty.U32), ("b", ty.U64)), None)},
    ]
    guest = Guest({"f": lambda *arguments: said.append(arguments)}, caller(first))
    guest.call("f", 1, 2)
    for other, value in zip(others, ["text", b"bytes", 5], strict=True):
        guest.component = caller(other)
        guest.again()
        with pytest.raises(WasmtimeError) as raised:
            guest.call("f", value, 2)
        assert cause(raised.value) == "the host's function f failed"
    assert said == [(None, 1, 2)]
    assert guest.told == [("f", "TypeError: the arguments are not of the function's type")] * 3


@pytest.mark.parametrize(
    ("function", "arguments", "kind"),
    [
        (ty.Function((("a", ty.List(ty.U8)),), None), (b"x",), "ListType"),
        (ty.Function((("a", ty.BOOL),), ty.U32), (True,), "Bool"),
        (ty.Function((), ty.U8), (), "U8"),
        (ty.Function((), ty.Tuple((ty.U32, ty.Tuple((ty.U32,))))), (), "TupleType"),
    ],
)
def test_a_type_that_is_not_bound(function: ty.Function, arguments: tuple[Any, ...], kind: str) -> None:
    """A function of other types traps before anything is read, and is not called."""
    said: list[Any] = []
    guest = Guest({"f": lambda *given: said.append(given)}, caller({"f": function}))
    with pytest.raises(WasmtimeError) as raised:
        guest.call("f", *arguments)
    assert cause(raised.value) == "the host's function f failed"
    assert (said, guest.told) == ([], [("f", f"TypeError: {kind} is not a type that is bound here")])


def test_a_name_that_is_taken(way: str) -> None:
    """Two functions of one name are refused, and the second is not kept."""
    linker = wasm.Linker(ENGINE)
    kept = set(binding._kept)
    with linker.root() as root, root.add_instance("host") as host:
        bind(host, "f", lambda _: None, lambda *_: None)
        with pytest.raises(WasmtimeError) as raised:
            bind(host, "f", lambda _: None, lambda *_: None)
    assert "map entry `f` defined twice" in str(raised.value)
    assert len(set(binding._kept) - kept) == (way == "ours")


def test_callbacks_live_as_long_as_their_linker() -> None:
    """They are kept while a linker or an instance may call them, by nothing else, and not longer."""
    gc.collect()
    before = set(binding._kept)
    guest = Guest(everything([], {"secret": "shh"}))
    assert len(set(binding._kept) - before) == len(HOST)
    gc.collect()
    assert guest.call("secret") == "shh"
    guest.linker.close()
    assert guest.call("secret") == "shh"  # the instance has them still
    guest.store.close()
    del guest
    gc.collect()
    assert set(binding._kept) == before


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_nothing_leaks() -> None:
    """100,000 calls of functions with strings in, out and in tuples leave no memory behind, and spoil none."""
    text, given = "y" * TEXT, "x" * TEXT
    wrong: list[Any] = []

    def socket(_: None, call: int, words: str, more: str) -> str:
        if (call, words, more) != (7, given, given):
            wrong.append((call, words, more))
        return text

    def pair(_: None, *arguments: Any) -> tuple[int, str, str]:
        if arguments != (7, 7, 7, given, given, 7, given, given):
            wrong.append(arguments)
        return 7, text, text

    guest = Guest({**everything([], {}), "socket": socket, "route-pair": pair})
    for name in ("socket", "route-pair"):
        guest.call(f"repeat-{name}", 2000)
        before = resident()
        guest.call(f"repeat-{name}", 50_000)
        # One string lost in each call would be 50 MB.
        assert resident() - before < 4_000_000
    assert guest.call("socket", 7, given, given) == text
    assert guest.call("route-pair", 7, 7, 7, given, given, 7, given, given) == (7, text, text)
    assert (wrong, guest.told) == ([], [])


def test_the_installed_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wasmtime-py that is installed is one that is bound without ``add_func``."""
    assert layout(ffi) == EXPECTED

    def general(*_: object) -> None:
        raise AssertionError("the general binding was used")

    monkeypatch.setattr(wasm.LinkerInstance, "add_func", general)
    assert Guest(everything([], {"seed": 2**64 - 1})).call("seed", 0) == 2**64 - 1


class Wide(ctypes.Structure):
    """A value with something before its kind."""

    _fields_ = (("flags", ctypes.c_uint64), ("kind", ctypes.c_uint8), ("of", ffi.wasmtime_component_valunion_t))


class Turned(ctypes.Structure):
    """A string that says first where it is."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t))


OTHERS: dict[str, dict[str, Any]] = {
    "a larger value": {"wasmtime_component_val_t": Wide},
    "a string turned round": {"wasm_byte_vec_t": Turned},
    "a tuple turned round": {"wasmtime_component_valtuple_t": Turned},
    "another kind": {"WASMTIME_COMPONENT_U64": ctypes.c_uint8(9)},
    "kinds that are plain numbers": {"WASMTIME_COMPONENT_U64": 8},
    "no such kind": {"WASMTIME_COMPONENT_TUPLE": None},
    "another callback": {"wasmtime_component_func_callback_t": ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)},
    "no function types": {"wasmtime_component_func_type_t": None},
    "another C library": {"dll": SimpleNamespace()},
    "values that are hidden": {"wasmtime_component_val_t": None},
}


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS.keys())
def test_another_layout(changed: dict[str, Any]) -> None:
    """Whatever a wasmtime-py has otherwise is noticed; what ``bind`` does then, the tests above show."""
    assert layout(SimpleNamespace(**{**vars(ffi), **changed})) != EXPECTED


def test_a_wasmtime_of_another_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another wasmtime-py the module can be imported all the same, and binds by ``add_func``."""
    spec = importlib.util.spec_from_file_location("another_binding", binding.__file__)
    assert spec is not None
    assert spec.loader is not None
    another = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as changed:
        changed.setattr(ffi, "dll", SimpleNamespace())
        changed.setattr(ffi, "wasmtime_component_val_t", Wide)
        spec.loader.exec_module(another)
    names: list[str] = []
    add_func = wasm.LinkerInstance.add_func

    def general(instance: wasm.LinkerInstance, name: str, function: Callable[..., Any]) -> None:
        names.append(name)
        add_func(instance, name, function)

    monkeypatch.setattr(wasm.LinkerInstance, "add_func", general)
    monkeypatch.setitem(globals(), "bind", another.bind)
    assert Guest(everything([], {"config": (1, 2, "three")})).call("config") == (1, 2, "three")
    assert (another.FITS, names) == (False, list(HOST))
