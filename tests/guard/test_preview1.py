"""The guard of preview 1 modules: what is cut out of a guest, and the shim's own tables, over Wasmtime's functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from wasmtime import Engine, FuncType, Instance, Linker, Module, Store, ValType, WasiConfig
from wasmtime import wat2wasm as encode

from sandbox.component import ComponentError
from sandbox.guard.preview1 import CONFIG, SITES, base_text, configuration, layout, shim_text, without_start
from sandbox.guard.preview1.base import PAGES
from sandbox.guard.preview1.layout import FIRST_ENTRIES, MAX_GRANTS, SITE, UNKNOWN
from sandbox.guard.preview1.shim import HOST
from sandbox.guard.sites import HOST_INSTANCE
from sandbox.plan import MAX_PREOPENS
from sandbox.preview1 import MODULE, SIGNATURES

JOB: dict[str, Any] = {
    "flags": "\0",
    "handles": 100,
    "disk": 1 << 20,
    "seed": 0,
    "wall": "real",
    "monotonic": "real",
    "random": "secure",
    "environment": [],
    "arguments": [],
    "counts_writes": True,
}
PREVIEW1 = f"""
  (import "{MODULE}" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "{MODULE}" "fd_close" (func $close (param i32) (result i32)))
  (import "{MODULE}" "path_filestat_set_times" (func $times (param i32 i32 i32 i32 i64 i64 i32) (result i32)))
  (func (export "times") (result i32)
    (call $times (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i64.const 0) (i64.const 0) (i32.const 5)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (func (export "open") (result i32) (local $errno i32)
    (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0)
      (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 64)))
    (if (result i32) (local.get $errno)
      (then (i32.sub (i32.const 0) (local.get $errno))) (else (i32.load (i32.const 64)))))
  (func (export "close") (param i32) (result i32) (call $close (local.get 0)))"""
NOMEM, BADF, DQUOT, OVERFLOW = 48, 8, 19, 61


def wat2wasm(text: str) -> bytes:
    return bytes(encode(text))


class Guest(NamedTuple):
    store: Store
    instance: Instance
    told: list[tuple[Any, ...]]

    def call(self, name: str, *arguments: int) -> int:
        function: Any = self.instance.exports(self.store)[name]
        return int(function(self.store, *arguments))


def guest(
    directory: Path,
    text: str = f"(module {PREVIEW1})",
    memory: int = -1,
    natives: Mapping[str, Callable[..., int]] | None = None,
    **job: Any,
) -> Guest:
    """A guest behind base and shim, as the worker sets them up; the host's functions only note what they are told."""
    engine = Engine()
    linker, store, config = Linker(engine), Store(engine), WasiConfig()
    store.set_limits(memory_size=memory)
    config.preopen_dir(str(directory), "/", True)
    store.set_wasi(config)
    linker.define_wasi()
    linker.allow_shadowing = True
    for name, native in (natives or {}).items():
        words = [{"i": ValType.i32(), "I": ValType.i64()}[p] for p in SIGNATURES[name]]
        linker.define_func(MODULE, name, FuncType(words, [ValType.i32()]), native)
    base = linker.instantiate(store, Module(engine, wat2wasm(base_text())))
    own: Any = base.exports(store)["memory"]
    own.write(store, configuration({**JOB, **job}), CONFIG)
    imports = Linker(engine)
    imports.define_instance(store, MODULE, base)
    instance = imports.instantiate(store, Module(engine, wat2wasm(text)))
    told: list[tuple[Any, ...]] = []
    linker.define_instance(store, "base", base)
    linker.define_instance(store, "guest", instance)
    for name, (count, answers) in HOST.items():
        type_ = FuncType([ValType.i32()] * count, [ValType.i32()] * answers)
        noted = partial(_note, told, name)
        linker.define_func(HOST_INSTANCE, name, type_, noted if not answers else lambda *_: UNKNOWN)
    linker.instantiate(store, Module(engine, wat2wasm(shim_text())))
    return Guest(store, instance, told)


def _note(told: list[tuple[Any, ...]], name: str, *given: int) -> None:
    told.append((name, *given))


def test_sites_are_functions_of_preview_1() -> None:
    """Each site has a number of its own, and a name that a guest can have called."""
    assert len(SITE) == len(SITES)
    assert {s.function for s in SITES} <= set(SIGNATURES)
    assert {s.interface for s in SITES} == {MODULE}


def test_areas_of_the_memory_do_not_overlap() -> None:
    """Each area of the base's memory ends before the next begins, and the last within what there is at first."""
    areas = sorted(
        [
            (layout.CONFIG, 48 + layout.MAX_GRANTS),
            (layout.ONCE, 4),
            (layout.OUT, 64),
            (layout.PATH, layout.PATH_MAX),
            (layout.OTHER_PATH, layout.PATH_MAX),
            (layout.ROUTED, 4 + layout.PATH_MAX),
            (layout.OTHER_ROUTED, 4 + layout.PATH_MAX),
            (layout.LINK, layout.PATH_MAX),
            (layout.ENTRIES, 8 * layout.FIRST_ENTRIES),
            (65536 * PAGES, 0),
        ]
    )
    assert all(at + size <= after for (at, size), (after, _) in pairwise(areas))
    assert layout.SLOT_SIZE >= layout.SLOT_PATH + layout.PATH_MAX


def test_every_plan_fits() -> None:
    """The most directories that a plan may have, and the decoy, fit into what the shim is told; one more does not."""
    assert MAX_GRANTS == MAX_PREOPENS + 1
    assert len(configuration({**JOB, "flags": "\1" * MAX_GRANTS})) == 48 + MAX_GRANTS
    with pytest.raises(ValueError, match="more than 129 directories"):
        configuration({**JOB, "flags": "\1" * (MAX_GRANTS + 1)})


def test_the_table_of_descriptors_grows(tmp_path: Path) -> None:
    """More descriptors than the table has at first: each number is given once, and all can be closed."""
    (tmp_path / "file").write_bytes(b"")
    count = FIRST_ENTRIES + 100
    it = guest(tmp_path, handles=count + 1)
    assert [it.call("open") for _ in range(count)] == list(range(4, 4 + count))
    assert it.call("open") == -DQUOT
    assert [it.call("close", fd) for fd in range(4, 4 + count)] == [0] * count
    assert it.call("close", 4) == BADF
    assert [name for name, *_ in it.told] == ["denied"]


def test_no_memory_for_another_descriptor(tmp_path: Path) -> None:
    """A shim that gets no more memory says so to the guest, keeps no file open, and goes on once some are closed."""
    (tmp_path / "file").write_bytes(b"")
    it = guest(tmp_path, memory=128 * 1024, handles=1000)
    opened = []
    while (fd := it.call("open")) >= 0:
        opened.append(fd)
    assert fd == -NOMEM
    assert opened == list(range(4, 4 + len(opened)))
    assert 10 < len(opened) < 20
    assert it.call("close", opened[0]) == 0
    assert it.call("open") == opened[0]
    assert it.call("open") == -NOMEM
    assert it.told == []


def test_numbers_are_those_that_wasmtime_gives(tmp_path: Path) -> None:
    """The highest number that was given back comes first; one that is not open is no descriptor, whatever its size."""
    (tmp_path / "file").write_bytes(b"")
    it = guest(tmp_path)
    assert [it.call("open") for _ in range(4)] == [4, 5, 6, 7]
    assert [it.call("close", fd) for fd in (4, 6, 3, 99, 0x7FFFFFFF, -1)] == [0, 0, 0, BADF, BADF, BADF]
    assert it.call("open") == -BADF  # the directory itself was closed
    assert it.call("close", 6) == BADF


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    """A file that Wasmtime cannot describe, as one with a time beyond preview 1's, is neither opened nor changed."""
    (tmp_path / "file").write_bytes(b"")
    closed: list[int] = []

    def close(fd: int) -> int:
        closed.append(fd)
        return 0

    natives: dict[str, Callable[..., int]] = {
        "path_filestat_get": lambda *_: OVERFLOW,
        "fd_filestat_get": lambda *_: OVERFLOW,
        "fd_close": close,
    }
    it = guest(tmp_path, natives=natives)
    assert (it.call("times"), it.call("open"), closed) == (OVERFLOW, -OVERFLOW, [4])
    assert (tmp_path / "file").stat().st_mtime > 1
    assert it.told == []


def test_a_start_function_is_cut_out_and_exported() -> None:
    """A module with a start section: the function is still there under a name, and nothing calls it by itself."""
    data = wat2wasm(
        '(module (global $g (export "g") (mut i32) (i32.const 1)) (func (export "other"))'
        " (func $s (global.set $g (i32.const 2))) (start $s))"
    )
    cut, name = without_start(data)
    store = Store()
    instance = Instance(store, Module(store.engine, cut), [])
    exports: Any = instance.exports(store)
    assert name == "sandbox:start"
    assert list(dict(exports)) == ["g", "other", "sandbox:start"]
    assert exports["g"].value(store) == 1
    exports[name](store)
    assert exports["g"].value(store) == 2


def test_a_start_function_of_a_module_without_exports() -> None:
    """An export section is made where there is none."""
    cut, name = without_start(wat2wasm("(module (func $s) (start $s))"))
    assert name == "sandbox:start"
    assert [e.name for e in Module(Engine(), cut).exports] == ["sandbox:start"]


def test_a_name_that_the_guest_has_taken() -> None:
    """A guest that exports the name itself keeps it; the start function gets another."""
    cut, name = without_start(wat2wasm('(module (func $s) (func (export "sandbox:start")) (start $s))'))
    assert name == "sandbox:start'"
    assert [e.name for e in Module(Engine(), cut).exports] == ["sandbox:start", "sandbox:start'"]


def test_a_module_without_a_start_function_is_left_alone() -> None:
    """The same bytes."""
    data = wat2wasm('(module (func (export "f")))')
    assert without_start(data) == (data, None)


HEAD = b"\0asm\1\0\0\0"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x08\x01\x00" * 2, "several start or export sections; a module has one"),
        (b"\x07\x01\x00\x07\x01\x00\x08\x01\x00", "several start or export sections; a module has one"),
        (b"\x08\x00", "a number that is cut short, or too large, in an export or start section"),
        (b"\x08\x02\x00\x00", "a start section at byte 8 that is no function's number"),
        (b"\x08\x05\xff\xff\xff\xff\x7f", "a number that is cut short, or too large, in an export or start section"),
        (b"\x07\x00\x08\x01\x00", "a number that is cut short, or too large, in an export or start section"),
        (b"\x08\x01\x00\x07\x01\x00", "an export section after the start section"),
        (b"\x0a\x01\x00\x08\x01\x00", "a start section out of order"),
        (b"\x08\x09\x00", "9 bytes are announced at byte 10, 1 are left"),
    ],
)
def test_malformed_start_sections(body: bytes, message: str) -> None:
    """What is wrong with a start or export section is said; nothing is guessed."""
    with pytest.raises(ComponentError) as caught:
        without_start(HEAD + body)
    assert str(caught.value) == message
