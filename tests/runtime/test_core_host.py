"""What a shim may ask of its worker: words and addresses to what a guard would ask, and answers back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from wasmtime import Engine, Instance, Memory, Module, Store

from sandbox.guard.preview1.layout import FOUND, NOTHING, UNKNOWN
from sandbox.runtime.callbacks import DENY, Callbacks
from sandbox.runtime.core_host import ERRNOS, BaseMemory, CoreHost

PAGE = 65536


class Base:
    """A base's memory of one page, which may grow."""

    def __init__(self, memory: BaseMemory) -> None:
        engine = Engine()
        self.store = Store(engine)
        instance = Instance(self.store, Module(engine, '(module (memory (export "memory") 1 3))'), [])
        found = instance.exports(self.store)["memory"]
        assert isinstance(found, Memory)
        self.memory = found
        memory.point(self.store, found._memory)

    def put(self, address: int, data: bytes) -> tuple[int, int]:
        self.memory.write(self.store, data, address)
        return address, len(data)

    def get(self, address: int, size: int) -> bytes:
        return bytes(self.memory.read(self.store, address, address + size))


def test_memory() -> None:
    """Whatever lies inside can be read and written, to the last byte, also of what was added since."""
    memory = BaseMemory()
    base = Base(memory)
    memory.write(PAGE - 3, b"abc")
    assert (base.get(PAGE - 3, 3), memory.read(PAGE - 3, 3), memory.read(PAGE, 0)) == (b"abc", b"abc", b"")
    base.put(10, b"\xff\0\x80")
    assert memory.text(10, 3) == "\xff\0\x80"
    base.memory.grow(base.store, 1)
    memory.write(2 * PAGE - 1, b"x")
    assert base.get(2 * PAGE - 1, 1) == b"x"


@pytest.mark.parametrize(
    ("address", "size"), [(PAGE, 1), (PAGE - 1, 2), (0, PAGE + 1), (0xFFFF_FFFF, 0xFFFF_FFFF), (-1, 1), (1, -1)]
)
def test_outside_of_the_memory(address: int, size: int) -> None:
    """Nothing else can."""
    memory = BaseMemory()
    Base(memory)
    with pytest.raises(IndexError, match=r"^outside of the base's memory$"):
        memory.read(address, size)


def test_after_the_memory() -> None:
    """Nor can what is not there yet, or not any more."""
    memory = BaseMemory()
    with pytest.raises(ValueError, match=r"^there is no base$"):
        memory.read(0, 0)
    Base(memory).store.close()
    with pytest.raises(ValueError, match=r"^already closed$"):
        memory.read(0, 0)


class Asked:
    """The callbacks of a worker, which keep what is asked and answer what they are told to."""

    directories: list[int]

    def __init__(self, answer: Any = None) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.answer = answer

    def __getattr__(self, name: str) -> Any:
        def ask(*arguments: object) -> Any:
            self.asked.append((name, *arguments))
            return self.answer

        return ask


class Asking:
    """A host over made up callbacks, with ``BASE``, ``PATH``, ``BASE2`` and ``PATH2`` in the memory."""

    def __init__(self, answer: Any = None) -> None:
        self.callbacks = Asked(answer)
        callbacks: Any = self.callbacks
        self.host = CoreHost(callbacks)
        self.base = Base(self.host.memory)
        self.one = (*self.base.put(100, b"d\xc3\xa9"), *self.base.put(200, b"a\xff/b"))
        self.other = (*self.base.put(300, b""), *self.base.put(400, b"new"))


ONE, OTHER = ("d\xc3\xa9", "a\xff/b"), ("", "new")


def test_denials() -> None:
    """Texts go on as one character a byte; a site's first use has none."""
    asking = Asking()
    host, one, other = asking.host, asking.one, asking.other
    host.denied(3, 0x101, 2, *one)
    host.denied_pair(4, 6, 2, *one, 0xFFFF_FFFF, *other)
    host.told(5)
    assert asking.callbacks.asked == [
        ("denied", None, 3, 0x101, 2, *ONE),
        ("denied_pair", None, 4, 6, 2, *ONE, 0xFFFF_FFFF, *OTHER),
        ("refused", None, 5, "", ""),
    ]


def test_routes() -> None:
    """The grant that decides is the answer; each path is written after its length."""
    asking = Asking((7, "x\xff"))
    assert asking.host.route(3, 1, 2, *asking.one, 1000) == 7
    assert asking.base.get(1000, 6) == b"\2\0\0\0x\xff"
    assert asking.callbacks.asked == [("route", None, 3, 1, 2, *ONE)]
    asking = Asking((0, "x", "yz"))
    assert asking.host.route_pair(3, 2, 1, *asking.one, 4, *asking.other, 1000, 2000) == 0
    assert (asking.base.get(1000, 5), asking.base.get(2000, 6)) == (b"\1\0\0\0x", b"\2\0\0\0yz")
    assert asking.callbacks.asked == [("route_pair", None, 3, 2, 1, *ONE, 4, *OTHER)]


def test_errors() -> None:
    """Each error that the router knows is one of preview 1's, below zero."""
    from sandbox.broker.paths import Error

    expected = {
        Error.ACCESS: 2,
        Error.INVALID: 28,
        Error.IO: 29,
        Error.NAME_TOO_LONG: 37,
        Error.NO_ENTRY: 44,
        Error.INSUFFICIENT_MEMORY: 48,
        Error.NOT_DIRECTORY: 54,
        Error.NOT_PERMITTED: 63,
        Error.CROSS_DEVICE: 75,
    }
    assert {Error(code): errno for code, errno in ERRNOS.items()} == expected
    assert set(expected) == set(Error)
    for code, errno in expected.items():
        one, two = Asking((DENY | code, "")), Asking((DENY | code, "", ""))
        assert one.host.route(0, 0, 0, *one.one, 1000) == -errno
        assert two.host.route_pair(0, 0, 0, *two.one, 0, *two.other, 1000, 2000) == -errno
        assert two.host.link(0, 0, *two.one, 400, 3) == errno
        assert two.callbacks.asked[-1] == ("link", 0, 0, *ONE, "new")
    fine = Asking((1, "p", "t"))
    assert fine.host.link(9, 1, *fine.one, 400, 3) == 0


def test_a_path_that_is_too_long() -> None:
    """There is room for 4,096 bytes; a longer path is an error, and nothing is written."""
    asking = Asking((1, "x" * 4096))
    assert asking.host.route(0, 0, 0, *asking.one, 1000) == 1
    assert asking.base.get(1000, 4100) == (4096).to_bytes(4, "little") + b"x" * 4096
    asking = Asking((1, "short", "x" * 4097))
    assert asking.host.route_pair(0, 0, 0, *asking.one, 0, *asking.other, 1000, 10_000) == -37
    assert asking.base.get(1000, 8) == bytes(8)


@pytest.mark.parametrize(
    ("status", "kept"), [(0, 0), (1, 1), (255, 255), (256, 1), (257, 1), (0x200, 1), (0xFFFF_FFFF, 255)]
)
def test_exit(status: int, kept: int) -> None:
    """A status is its low byte, but no failure becomes success."""
    channel: Any = None
    callbacks = Callbacks(channel)
    CoreHost(callbacks).exit(status)
    assert callbacks.status == kept


def test_the_shim_imports_what_there_is() -> None:
    """Names and types are those that the shim imports."""
    from sandbox.guard.preview1.shim import shim_text
    from sandbox.guard.sites import HOST_INSTANCE

    imported = {}
    for item in Module(Engine(), shim_text()).imports:
        if item.module == HOST_INSTANCE:
            type_: Any = item.type
            assert {str(t) for t in (*type_.params, *type_.results)} <= {"i32"}
            imported[item.name] = (len(type_.params), bool(type_.results))
    callbacks: Any = Asked()
    offered = {name: (count, returns) for name, (count, returns, _) in CoreHost(callbacks).functions().items()}
    assert imported == offered


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[CoreHost, Base, Path]]:
    """A host whose second directory is a folder with one of everything."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "file").write_bytes(b"")
    (tmp_path / "d" / "twice").write_bytes(b"")
    os.link(tmp_path / "d" / "twice", tmp_path / "d" / "once more")
    (tmp_path / "d" / "link").symlink_to("file")
    os.link(tmp_path / "d" / "twice", os.fsencode(tmp_path / "d") + b"/\xff\xfe")
    (tmp_path / "d" / "out").symlink_to("../secret")
    (tmp_path / "d" / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "d" / "fifo")
    (tmp_path / "secret").write_bytes(b"")
    callbacks = Asked()
    descriptor = os.open(tmp_path / "d", os.O_PATH | os.O_DIRECTORY)
    callbacks.directories = [-1, descriptor]
    host = CoreHost(cast(Callbacks, callbacks))
    yield host, Base(host.memory), tmp_path / "d"
    os.close(descriptor)


@pytest.mark.parametrize(
    ("path", "follows", "found"),
    [
        (b"file", 1, (FOUND, 4, 1)),
        (b"./file", 0, (FOUND, 4, 1)),
        (b"twice", 1, (FOUND, 4, 3)),
        (b".", 1, (FOUND, 3, None)),
        (b"fifo", 1, (FOUND, 0, 1)),
        (b"link", 1, (FOUND, 4, 1)),
        (b"link", 0, (FOUND, 7, 1)),
        (b"out", 0, (FOUND, 7, 1)),
        (b"out", 1, (NOTHING, 0xFF, None)),
        (b"../secret", 1, (NOTHING, 0xFF, None)),
        (b"/etc/passwd", 1, (NOTHING, 0xFF, None)),
        (b"loop", 1, (NOTHING, 0xFF, None)),
        (b"none", 1, (NOTHING, 0xFF, None)),
        (b"file/x", 1, (NOTHING, 0xFF, None)),
        (b"file\0", 1, (NOTHING, 0xFF, None)),
        (b"", 1, (NOTHING, 0xFF, None)),
        (b"\xff\xfe", 1, (NOTHING, 0xFF, None)),
        (b"x" * 300, 1, (NOTHING, 0xFF, None)),
    ],
)
def test_a_look(
    folder: tuple[CoreHost, Base, Path], path: bytes, follows: int, found: tuple[int, int, int | None]
) -> None:
    """What lies below the directory is told by type and number of names; what lies outside is as good as not there."""
    host, base, _ = folder
    base.put(200, b"\xff" * 64)
    answer = host.look(1, *base.put(1000, path), follows, 200)
    told = base.get(200, 64)
    links = int.from_bytes(told[24:32], "little") if found[2] is not None else None
    assert (answer, told[16], links) == found
    assert (told[:16], told[32:]) == (b"\xff" * 16, b"\xff" * 32)


def test_a_look_that_does_not_tell(folder: tuple[CoreHost, Base, Path]) -> None:
    """Where the kernel does not answer, Wasmtime is asked; no descriptor is left behind either way."""
    host, base, _ = folder
    before = len(os.listdir("/proc/self/fd"))
    assert host.look(0, *base.put(1000, b"file"), 1, 200) == UNKNOWN
    assert host.look(1, *base.put(1000, b"file"), 1, 200) == FOUND
    assert len(os.listdir("/proc/self/fd")) == before
