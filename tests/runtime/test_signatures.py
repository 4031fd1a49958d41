"""Types of exported functions, read off a module's bytes."""

from __future__ import annotations

import pytest
from wasmtime import wat2wasm

from sandbox.component import ComponentError
from sandbox.runtime.signatures import signatures

NUMBERS = """(module
  (func (export "none"))
  (func (export "mixed") (param i32 i64 f32 f64) (result f64 f32 i64 i32) unreachable)
  (func $twice (export "twice") (export "again") (param i32)))"""

IMPORTS = """(module
  (import "a" "memory" (memory 1 2))
  (import "a" "wide" (memory i64 1))
  (import "a" "table" (table 1 2 funcref))
  (import "a" "global" (global (mut i64)))
  (import "a" "tag" (tag (param i32)))
  (import "a" "f" (func $f (param i64)))
  (import "a" "g" (func (param i32) (result i32)))
  (export "f" (func $f))
  (memory (export "memory") 1)
  (func (export "own") (result f32) unreachable))"""

REFERENCES = """(module
  (type $list (sub (struct (field (mut i8)) (field (ref null 0)))))
  (type $longer (sub final $list (struct (field (mut i8)) (field (ref null 0)) (field i64))))
  (rec (type $one (array (mut (ref null $two)))) (type $two (func (param (ref null $one)))))
  (func (export "v") (param v128) (result v128) unreachable)
  (func (export "funcref") (param funcref i32))
  (func (export "extern") (result externref) unreachable)
  (func (export "typed") (param i32 (ref $list) f32))
  (func (export "two") (type $two))
  (func (export "exn") (param exnref))
  (func (export "plain") (param i64) (result i64) unreachable))"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(module)", {}),
        (NUMBERS, {"none": ">", "mixed": "iIfF>FfIi", "twice": "i>", "again": "i>"}),
        (IMPORTS, {"f": "I>", "own": ">f"}),
        (
            REFERENCES,
            {
                "v": "v>v",
                "funcref": "ri>",
                "extern": ">r",
                "typed": "irf>",
                "two": "r>",
                "exn": "r>",
                "plain": "I>I",
            },
        ),
    ],
    ids=["nothing", "numbers", "imports", "references"],
)
def test_signatures(text: str, expected: dict[str, str]) -> None:
    """A letter for each value, past types and imports of every other kind."""
    assert signatures(bytes(wat2wasm(text))) == expected


def test_hostile_names() -> None:
    """A name is what the module says, whatever is in it."""
    assert signatures(bytes(wat2wasm('(module (func (export "a\\00\\e2\\80\\ae#>")))'))) == {"a\0\u202e#>": ">"}


def test_what_cannot_be_read() -> None:
    """Bytes that Wasmtime would not have compiled end in an error, at whatever place they are cut."""
    data = bytes(wat2wasm(REFERENCES))
    for cut in range(len(data)):
        try:
            found = signatures(data[:cut])
        except (ValueError, ComponentError):
            continue
        assert found.items() <= signatures(data).items()
    with pytest.raises(ValueError, match=r"^a type of kind 0x5d is not known$"):
        signatures(b"\0asm\1\0\0\0" + b"\1\3\1\x5d\0")
    with pytest.raises(ValueError, match=r"^the types of the module's functions cannot be read$"):
        signatures(b"\0asm\1\0\0\0" + b"\7\5\1\1a\0\0")
