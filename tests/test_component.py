"""A .wasm file as facts: what is read, what is refused and with which sentence, and that no bytes get further."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import component as wt

from sandbox import component
from sandbox.component import (
    ComponentError,
    Export,
    Facts,
    Import,
    ModuleFacts,
    facts_of,
    read_component,
    sections,
    skeleton,
)

COMMAND = """
(component
  (type $pollable-types (instance (export "pollable" (type (sub resource)))))
  (import "wasi:io/poll@0.2.3" (instance $poll (type $pollable-types)))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.3" (instance $clock
    (alias outer 1 $pollable (type $p))
    (export "pollable" (type $q (eq $p)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $q))))))
  (core module $m (memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (component $c (import "run" (func $f (result (result)))) (export "run" (func $f)))
  (instance $r (instantiate $c (with "run" (func $run))))
  (export "wasi:cli/run@0.2.3" (instance $r)))
"""

CODE_BEFORE_IMPORT = """
(component
  (core module $m
    (memory 1)
    (data (i32.const 0) "payload")
    (func $f (export "f") (local i64) (loop (br 0)))
    (start $f))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (component $n (core module (func (result i32) (i32.const 1234567))) (import "q" (func)))
  (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func (param "status" (result))))))
  (export "f" (func $f)))
"""


def encode(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def leb(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def section(identity: int, body: bytes) -> bytes:
    return bytes([identity]) + leb(len(body)) + body


COMPONENT = b"\0asm\x0d\0\x01\0"
MODULE = b"\0asm\x01\0\0\0"


EXPORT = b"\x00\x01a\x01\x00\x00"
"""A function by the name of ``a``."""


def refusal(data: bytes) -> str:
    with pytest.raises(ComponentError) as caught:
        facts_of("x.wasm", data)
    return str(caught.value)


def test_facts_of_a_command() -> None:
    """Imports and exports are listed in the file's order with their kinds, beside size and digest."""
    data = encode(COMMAND)
    facts = facts_of("app.wasm", data)
    assert facts == Facts(
        path="app.wasm",
        kind="component",
        size=len(data),
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
        imports=(
            Import(name="wasi:io/poll@0.2.3", kind="instance"),
            Import(name="wasi:clocks/monotonic-clock@0.2.3", kind="instance"),
        ),
        exports=(Export(name="wasi:cli/run@0.2.3", kind="instance"),),
    )
    assert facts.run_export == "wasi:cli/run@0.2.3"


def test_facts_of_every_kind_of_import() -> None:
    """Every kind that a component may import is read, whatever an engine makes of it."""
    text = """(component
      (import "f" (func (param "a" string)))
      (import "v" (value string))
      (import "t" (type (sub resource)))
      (import "m" (core module))
      (import "c" (component))
      (import "i" (instance))
      (type $s string) (import "e" (type (eq $s)))
      (import "named" (implements "a:b/c@1.0.0") (instance))
      (import "a:b/d@0.2" (versionsuffix ".3") (instance))
      (export "again" (instance 0) (instance)))"""
    facts = facts_of("x", encode(text))
    assert [(item.name, item.kind) for item in facts.imports] == [
        ("f", "func"),
        ("v", "value"),
        ("t", "type"),
        ("m", "module"),
        ("c", "component"),
        ("i", "instance"),
        ("e", "type"),
        ("named", "instance"),
        ("a:b/d@0.2", "instance"),
    ]
    assert facts.exports == (Export(name="again", kind="instance"),)
    assert facts.run_export is None


def test_facts_of_a_module() -> None:
    """A core module's imports have two names; limits of every shape are passed over."""
    text = """(module
      (import "env" "f" (func (param i32)))
      (import "env" "t" (table 1 2 funcref))
      (import "env" "r" (table i64 1 (ref null func)))
      (import "env" "m" (memory i64 1 5))
      (import "env" "g" (global (mut i32)))
      (import "env" "x" (tag))
      (memory (export "memory") 1 2 shared)
      (func (export "_start")))"""
    facts = facts_of("m.wasm", encode(text))
    assert facts.kind == "module"
    assert facts.imports == (
        Import(name="f", kind="func", module="env"),
        Import(name="t", kind="table", module="env"),
        Import(name="r", kind="table", module="env"),
        Import(name="m", kind="memory", module="env"),
        Import(name="g", kind="global", module="env"),
        Import(name="x", kind="tag", module="env"),
    )
    assert facts.exports == (Export(name="memory", kind="memory"), Export(name="_start", kind="func"))
    assert facts.module == ModuleFacts(memory="shared", start=False)
    assert facts.run_export == "_start"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ModuleFacts(memory="none", start=False)),
        ("(memory 1) (func $f) (start $f)", ModuleFacts(memory="none", start=True)),
        ('(memory 1) (export "other" (memory 0))', ModuleFacts(memory="none", start=False)),
        ('(func) (export "memory" (func 0))', ModuleFacts(memory="none", start=False)),
        ('(memory 1 2) (export "memory" (memory 0))', ModuleFacts(memory="plain", start=False)),
        ('(memory i64 1) (export "memory" (memory 0))', ModuleFacts(memory="64-bit", start=False)),
        ('(memory 1 2 shared) (export "memory" (memory 0))', ModuleFacts(memory="shared", start=False)),
        ('(memory i64 1 2 shared) (export "memory" (memory 0))', ModuleFacts(memory="shared", start=False)),
        ('(memory 0 (pagesize 1)) (export "memory" (memory 0))', ModuleFacts(memory="custom-page-size", start=False)),
        ('(import "a" "b" (memory 1)) (memory i64 1) (export "memory" (memory 0))', ModuleFacts("plain", False)),
        ('(import "a" "b" (memory 1)) (memory i64 1) (export "memory" (memory 1))', ModuleFacts("64-bit", False)),
        ('(memory i64 1) (memory 1) (export "a" (memory 0)) (export "memory" (memory 1))', ModuleFacts("plain", False)),
    ],
)
def test_what_matters_of_a_module(text: str, expected: ModuleFacts) -> None:
    """The memory exported as ``memory`` is told by its kind, imported ones counted first; a start section is seen."""
    assert facts_of("m.wasm", encode(f"(module {text})")).module == expected


@pytest.mark.parametrize(
    ("exports", "run", "initialize"),
    [
        ('(func (export "_start"))', "_start", False),
        ('(func (export "_initialize"))', None, True),
        ('(memory (export "_start") 1) (global (export "_initialize") i32 (i32.const 0))', None, False),
        ('(func (export "start"))', None, False),
    ],
)
def test_what_a_module_can_do(exports: str, run: str | None, initialize: bool) -> None:
    """A function by the name of ``_start`` makes a command of a module; nothing else by that name does."""
    facts = facts_of("m.wasm", encode(f"(module {exports})"))
    assert (facts.run_export, facts.exports_function("_initialize")) == (run, initialize)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not WebAssembly: the file is empty"),
        (b"\x7fELF\x02\x01\x01\0", "not WebAssembly: it does not begin with \\0asm"),
        (b"  (component)", "not WebAssembly: looks like its text format; encode it first"),
        (b"\0asm", "the file ends inside its first eight bytes"),
        (b"\0asm\x0a\0\x01\0", "a component of the draft format 0x0a; rebuild it with current tools"),
        (b"\0asm\x02\0\0\0", "an unknown version of WebAssembly: 02 00 00 00"),
        (COMPONENT + b"\x0d\0", "an unknown section 13 at byte 8"),
        (COMPONENT + b"\x00", "the file ends too early, or a section does, at byte 9"),
        (COMPONENT + b"\x00\x05ab", "5 bytes are announced at byte 10, 2 are left"),
        (COMPONENT + b"\x00\x80\x80\x80\x80\x80\x01", "a number of more than five bytes at byte 9"),
        (COMPONENT + b"\x00\xff\xff\xff\xff\x7f", "a number over 32 bits at byte 9"),
        (
            COMPONENT + section(10, b"\xff\xff\xff\xff\x0f"),
            "4294967295 imports or exports are announced at byte 10; that cannot be",
        ),
        (COMPONENT + section(10, b"\x01\x03\x01a\x05\0"), "a name in an unknown form 0x03 at byte 11"),
        (COMPONENT + section(10, b"\x01\x00\x01a\x09\0"), "an unknown kind of import or export at byte 14"),
        (COMPONENT + section(10, b"\x01\x00\x01a\x00\x10"), "an unknown kind of import or export at byte 15"),
        (COMPONENT + section(10, b"\x01\x00\x01a\x03\x02"), "a type with an unknown bound 0x02 at byte 15"),
        (COMPONENT + section(10, b"\x01\x00\x02\xff\xfe\x05\0"), "a name that is not UTF-8 at byte 13"),
        (COMPONENT + section(10, b"\x01\x00\x01a\x05\0\0"), "1 bytes too many in the section that ends at 17"),
        (COMPONENT + section(10, b"\x01\x00\xff\x7f\x05\0"), "a name of 16383 bytes at byte 12, more than 10000"),
        (COMPONENT + section(11, b"\x01\x00\x01a\x05\0\x02"), "an export with an unknown form 0x02 at byte 16"),
        (MODULE + section(2, b"\x01\x01a\x01b\x05\0"), "an unknown kind of import or export 0x05 at byte 15"),
        (
            MODULE + section(2, b"\x01\x01a\x01b\x02\x10\0"),
            "a memory or table with unknown limits 0x10 at byte 16",
        ),
        (
            MODULE + section(2, b"\x01\x01a\x01b\x02\x00" + b"\x80" * 10),
            "a number of more than ten bytes at byte 17",
        ),
        (COMPONENT + b"\0\0" * 100_001, "more than 100000 sections"),
        (COMPONENT + section(11, leb(10_001) + EXPORT * 10_001), "more than 10000 imports and exports"),
        (COMPONENT + section(11, b"\x01" + EXPORT) * 10_001, "more than 10000 imports and exports"),
        (
            COMPONENT + section(10, b"\x01\x00\x01a\x05\0") + section(11, leb(10_000) + EXPORT * 10_000),
            "more than 10000 imports and exports",
        ),
        (MODULE + section(7, leb(10_001) + b"\x01a\x00\x00" * 10_001), "more than 10000 imports and exports"),
        (
            COMPONENT + section(11, leb(105) + (b"\x00" + leb(9_990) + b"a" * 9_990 + b"\x01\0\0") * 105),
            "names of imports and exports of more than 1048576 bytes in all",
        ),
        (
            MODULE + section(2, leb(53) + ((leb(9_990) + b"a" * 9_990) * 2 + b"\0\0") * 53),
            "names of imports and exports of more than 1048576 bytes in all",
        ),
        (COMPONENT + section(10, b"\x01\x02\x01a\x11"), "a name with 17 options at byte 14, more than 16"),
        (MODULE + section(5, leb(101) + b"\0\1" * 101), "more than 100 memories"),
        (MODULE + section(5, leb(60) + b"\0\1" * 60) * 2, "more than 100 memories"),
        (MODULE + section(5, b"\xff\xff\xff\xff\x0f"), "more than 100 memories"),
        (MODULE + section(5, b"\x01\x10\x01"), "a memory or table with unknown limits 0x10 at byte 11"),
        (MODULE + section(5, b"\x01\0\1\0"), "1 bytes too many in the section that ends at 14"),
        (MODULE + section(5, b"\x02\0\1"), "the file ends too early, or a section does, at byte 13"),
        (
            MODULE + section(5, b"\x01\0\1") + section(7, b"\x01\x06memory\x02\x01"),
            "memory 1 is exported, and there are only 1",
        ),
        (
            MODULE + section(7, b"\x01\x06memory\x02\xff\xff\xff\xff\x0f"),
            "memory 4294967295 is exported, and there are only 0",
        ),
    ],
)
def test_what_is_refused(data: bytes, message: str) -> None:
    """Each malformed file is refused with one sentence that names the file and what is wrong with it."""
    assert refusal(data) == f"x.wasm: {message}"


def test_as_many_exports_as_may_be() -> None:
    """The bound itself is allowed; custom sections with names of their own do not count."""
    data = COMPONENT + section(0, b"\x04name" + b"x" * 2_000_000) + section(11, leb(10_000) + EXPORT * 10_000)
    assert facts_of("x", data).exports == (Export(name="a", kind="func"),) * 10_000


def test_a_hostile_path_is_escaped() -> None:
    """A file name cannot break the line that reports it."""
    with pytest.raises(ComponentError) as caught:
        facts_of("a\n\x1b[2Jb.wasm", b"")
    assert str(caught.value) == "'a\\n\\x1b[2Jb.wasm': not WebAssembly: the file is empty"


def test_reading_only_regular_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIFO is refused without waiting for its writer, as is whatever else is no file of a fair size."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    large = tmp_path / "large"
    large.write_bytes(MODULE)
    monkeypatch.setattr(component, "MAX_SIZE", 7)
    messages = []
    for path in (fifo, tmp_path, tmp_path / "missing", large, "a\0b"):
        with pytest.raises(ComponentError) as caught:
            read_component(path)
        messages.append(caught.value.message)
    assert messages == [
        "not a regular file",
        "cannot be read: Is a directory",
        "cannot be read: No such file or directory",
        "8 bytes, more than the 7 that are read",
        "cannot be read: the name holds a zero byte",
    ]


def test_reading_a_file(tmp_path: Path) -> None:
    """A file gives the facts of its bytes under the path that the caller named."""
    path = tmp_path / "app.wasm"
    path.write_bytes(encode(COMMAND))
    assert read_component(path) == facts_of(str(path), encode(COMMAND))


def test_sections_are_given_with_their_offsets() -> None:
    """Sections come in order with where they start, where their body starts and where they end."""
    data = COMPONENT + section(0, b"\x01x") + section(7, b"\x00" * 200)
    assert list(sections(data)) == [(0, 8, 10, 12), (7, 12, 15, 215)]


def imports_of(data: bytes) -> list[str]:
    engine = wasmtime.Engine()
    return list(wt.Component(engine, data).type.imports(engine))


def test_the_skeleton_has_the_imports_and_no_code() -> None:
    """An engine reads the same imports from the skeleton, which ends with the last of them."""
    data = encode(COMMAND)
    bones = skeleton(data)
    assert [identity for identity, _, _, _ in sections(bones)] == [7, 10, 6, 7, 10]
    assert imports_of(bones) == imports_of(data) == [item.name for item in facts_of("x", data).imports]


def test_the_skeleton_of_code_before_an_import() -> None:
    """Code that stands before an import is replaced by `unreachable`; the component and its types stay valid."""
    data = encode(CODE_BEFORE_IMPORT)
    bones = skeleton(data)
    assert imports_of(bones) == ["wasi:cli/exit@0.2.0"]
    assert b"\x03\x00\x00\x0b" in bones  # the stub
    assert b"\x03\x40\x0c\x00" in data  # (loop (br 0))
    assert b"\x03\x40\x0c\x00" not in bones
    assert b"\x41\x87\xad\xcb\x00" in data  # (i32.const 1234567), one component further in
    assert b"\x41\x87\xad\xcb\x00" not in bones


def test_the_skeleton_of_a_component_without_imports() -> None:
    """What imports nothing has an empty skeleton."""
    assert skeleton(encode('(component (core module) (type string) (export "t" (type 0)))')) == COMPONENT


def nested(depth: int) -> bytes:
    data = COMPONENT
    for _ in range(depth):
        data = COMPONENT + section(4, data) + section(10, b"\x00")
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (MODULE, "a core module; only a component has a skeleton"),
        (nested(102), "components nested more than 100 deep"),
        (
            COMPONENT + section(1, COMPONENT) + section(10, b"\0"),
            "a nested component or module of the wrong kind at byte 10",
        ),
        (
            COMPONENT + section(1, MODULE + section(10, b"\xff\xff\xff\xff\x0f")) + section(10, b"\0"),
            "a code section at byte 8 with more functions than fit into it",
        ),
    ],
)
def test_what_has_no_skeleton(data: bytes, message: str) -> None:
    """A file whose skeleton would be without bound, or none, is refused with one sentence."""
    with pytest.raises(ComponentError) as caught:
        skeleton(data)
    assert str(caught.value) == message


WITH_MEMORY = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "env" "memory" (memory 1))
  (memory (export "memory") i64 1)
  (func $f (export "_start"))
  (start $f))"""

REAL = tuple(map(encode, (COMMAND, CODE_BEFORE_IMPORT, WITH_MEMORY)))


@pytest.mark.parametrize("data", REAL)
def test_every_truncation_is_read_or_refused(data: bytes) -> None:
    """A file cut anywhere gives the facts of what is left of it, or a ComponentError; nothing else gets out."""
    whole = facts_of("x", data)
    for cut in range(len(data)):
        try:
            facts = facts_of("x", data[:cut])
            if facts.kind == "component":
                skeleton(data[:cut])
        except ComponentError:
            continue
        assert facts.imports == whole.imports[: len(facts.imports)]


@given(st.sampled_from(REAL), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), min_size=1, max_size=8))
def test_mutations_are_read_or_refused(data: bytes, edits: list[tuple[int, int]]) -> None:
    """Whatever bytes are changed, reading ends in facts or a ComponentError of one line."""
    mutated = bytearray(data)
    for place, byte in edits:
        mutated[place % len(data)] = byte
    said = []
    for read in (lambda: facts_of("x", mutated), lambda: skeleton(mutated)):
        try:
            read()
        except ComponentError as error:
            said.append(str(error))
    assert "".join(said).isprintable()


@given(
    st.sampled_from([b"", COMPONENT, MODULE]),
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 4, 5, 7, 8, 10, 11]), st.binary(max_size=40)), max_size=6),
    st.binary(max_size=20),
)
def test_arbitrary_bytes_are_read_or_refused(head: bytes, parts: list[tuple[int, bytes]], tail: bytes) -> None:
    """Well-framed nonsense and plain nonsense end in facts or a ComponentError."""
    data = head + b"".join(section(identity, body) for identity, body in parts) + tail
    try:
        facts = facts_of("x", data)
    except ComponentError:
        return
    assert facts.size == len(data)
    assert (facts.module is None) == (facts.kind == "component")
    assert Facts.from_data(facts.to_data()) == facts
    try:
        bones = skeleton(data)
    except ComponentError:
        return
    assert bones[:8] == data[:8]


def test_facts_go_through_json() -> None:
    """The data of facts gives equal facts back."""
    for text in (COMMAND, '(module (import "a" "b" (func)) (func (export "c")))', WITH_MEMORY):
        facts = facts_of("päth\udc80", encode(text))
        assert Facts.from_data(facts.to_data()) == facts


NOT_OF_A_MODULE = "component facts: module is null, or for a module its memory and whether it has a start section"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "component facts have the keys path, kind, size, digest, imports, exports, module"),
        ({"module": ["plain", False]}, NOT_OF_A_MODULE),
        ({"kind": "module"}, NOT_OF_A_MODULE),
        ({"kind": "module", "module": ["wide", False]}, NOT_OF_A_MODULE),
        ({"kind": "module", "module": ["plain", 1]}, NOT_OF_A_MODULE),
        ({"kind": "module", "module": ["plain"]}, NOT_OF_A_MODULE),
        ({"kind": "module", "module": [["plain"], True]}, NOT_OF_A_MODULE),
        ({"size": "1"}, "component facts: path and digest are strings, size a number of bytes"),
        ({"size": True}, "component facts: path and digest are strings, size a number of bytes"),
        ({"path": None}, "component facts: path and digest are strings, size a number of bytes"),
        ({"kind": "other"}, "component facts: kind is component or module"),
        ({"digest": "sha256:00"}, "component facts: the digest is sha256: and 64 hexadecimal digits"),
        ({"imports": [["a", "func"]]}, "component facts: imports and exports are lists of rows of 3"),
        ({"imports": [["a", "what", None]]}, "component facts: an unknown kind of import or export"),
        ({"exports": [[1, "func"]]}, "component facts: a name is a string"),
        ({"exports": None}, "component facts: imports and exports are lists of rows of 2"),
    ],
)
def test_spoilt_data_gives_no_facts(change: dict[str, object], message: str) -> None:
    """A cache that was cut or edited raises ValueError instead of giving other facts."""
    data = facts_of("x", encode(COMMAND)).to_data() | change
    with pytest.raises(ValueError) as caught:
        Facts.from_data(data)
    assert str(caught.value) == message


def test_data_of_an_older_form_gives_no_facts() -> None:
    """Facts that were kept before modules were told apart are read again from the file."""
    data = facts_of("x", encode(COMMAND)).to_data()
    del data["module"]
    with pytest.raises(ValueError) as caught:
        Facts.from_data(data)
    assert str(caught.value) == "component facts have the keys path, kind, size, digest, imports, exports, module"
