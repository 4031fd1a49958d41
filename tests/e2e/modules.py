"""Modules in text, for the end-to-end tests."""

from __future__ import annotations

from pathlib import Path

from wasmtime import wat2wasm

from sandbox.preview1 import MODULE, SIGNATURES

CORE = {"i": "i32", "I": "i64"}

SAY = """
  (func $say (param $at i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
"""
"""``$say ADDRESS LENGTH`` writes to standard output; it wants ``fd_write``, and bytes 0 to 11 of memory."""


def imports(*functions: str) -> str:
    """The imports of these functions of preview 1, each as ``$name``."""
    lines = []
    for name in functions:
        params = " ".join(CORE[p] for p in SIGNATURES[name])
        result = "" if name == "proc_exit" else "(result i32)"
        lines.append(f'(import "{MODULE}" "{name}" (func ${name} (param {params}) {result}))')
    return "\n".join(lines)


def module(folder: Path, text: str, name: str = "guest.wasm") -> Path:
    """Write the module whose fields are ``text`` into ``folder``."""
    path = folder / name
    path.write_bytes(wat2wasm(f"(module {text})"))
    return path
