"""The base: what the guest imports, as functions that lead through a table, and Wasmtime's functions over a memory that
is not the guest's."""

from __future__ import annotations

from sandbox.preview1 import MODULE, SIGNATURES

CORE = {"i": "i32", "I": "i64"}
OWN = (
    "clock_time_get",
    "fd_close",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
)
"""What the shim asks through the base's memory."""
PAGES = 1
"""Of 64 KiB, that the base's memory has at first."""


def params(name: str) -> str:
    return "".join(f"(param {CORE[p]})" for p in SIGNATURES[name])


def result(name: str) -> str:
    return "" if name == "proc_exit" else "(result i32)"


def arguments(name: str, first: int = 0) -> str:
    return " ".join(f"(local.get {n})" for n in range(first, len(SIGNATURES[name])))


def base_text() -> str:
    lines = [f'(import "{MODULE}" "{n}" (func $native.{n} {params(n)} {result(n)}))' for n in OWN]
    lines.append(f'(memory (export "memory") {PAGES})')
    lines.append(f'(table (export "table") {len(SIGNATURES)} funcref)')
    for number, n in enumerate(SIGNATURES):
        lines.append(f"(type ${n} (func {params(n)} {result(n)}))")
        lines.append(
            f'(func (export "{n}") (type ${n}) {arguments(n)} (call_indirect (type ${n}) (i32.const {number})))'
        )
    # A function of Wasmtime's takes the memory of the instance that calls it: so the call has to stand here.
    lines += [f'(func (export "own.{n}") (type ${n}) {arguments(n)} (call $native.{n}))' for n in OWN]
    return "(module\n  " + "\n  ".join(lines) + ")"
