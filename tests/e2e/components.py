"""Components in text that import all of WASI 0.2, and call of it what a test asks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from wasmtime import wat2wasm

IMPORTS = (Path(__file__).parent / "wasi.wat").read_text(encoding="utf-8")


class Call(NamedTuple):
    """A function of WASI that a program calls as ``$label``. ``params`` and ``result`` are its core types."""

    label: str
    interface: str
    function: str
    params: str
    result: str = ""


class Drop(NamedTuple):
    """A resource type whose handles a program drops with ``$label``."""

    label: str
    interface: str
    resource: str


MEMORY = """
(core module $memory-module
  (memory (export "memory") 40)
  (global $next (mut i32) (i32.const 65536))
  (func (export "realloc") (param i32 i32 i32) (param $size i32) (result i32) (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
    (global.set $next (i32.add (local.get $at) (local.get $size)))
    (local.get $at)))
(core instance $memory-instance (instantiate $memory-module))
(alias core export $memory-instance "memory" (core memory $memory))
(alias core export $memory-instance "realloc" (core func $realloc))
"""
"""Forty pages; what WASI returns starts at 65536 and is never freed. Below it a program has everything to itself."""


def component(
    body: str = "(i32.const 0)",
    calls: Iterable[Call | Drop] = (),
    *,
    data: str = "",
    version: str = "0.2.12",
    imports: str = IMPORTS,
) -> bytes:
    """A command whose ``run`` is ``body``: core text that leaves 0 (or 1, which is an error) on the stack.

    ``data`` stands beside it in its module: data segments, functions. ``(call $same A B)`` traps where numbers differ.
    """
    lowered, core_imports, given = [], [], []
    for call in calls:
        if isinstance(call, Call):
            lowered.append(f'(alias export $wasi:{call.interface}@VERSION "{call.function}" (func ${call.label}))')
            lowered.append(
                f"(core func ${call.label} (canon lower (func ${call.label}) (memory $memory) (realloc $realloc)))"
            )
            params, result = f"(param {call.params})", f"(result {call.result})" if call.result else ""
        else:
            lowered.append(f'(alias export $wasi:{call.interface}@VERSION "{call.resource}" (type $t-{call.label}))')
            lowered.append(f"(core func ${call.label} (canon resource.drop $t-{call.label}))")
            params, result = "(param i32)", ""
        core_imports.append(f'(import "wasi" "{call.label}" (func ${call.label} {params} {result}))')
        given.append(f'(export "{call.label}" (func ${call.label}))')
    text = f"""(component
{imports}
{MEMORY}
{chr(10).join(lowered)}
(core module $main
  (import "wasi" "memory" (memory 40))
  {chr(10).join(core_imports)}
  (func $same (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))
  {data}
  (func (export "run") (result i32) (local $a i32) (local $b i32) (local $c i32) (local $i i32)
    {body}))
(core instance $main-instance (instantiate $main
  (with "wasi" (instance (export "memory" (memory $memory)) {" ".join(given)}))))
(alias core export $main-instance "run" (core func $run))
(func $run (result (result)) (canon lift (core func $run)))
(instance $exports (export "run" (func $run)))
(export "wasi:cli/run@VERSION" (instance $exports)))"""
    return bytes(wat2wasm(text.replace("VERSION", version)))
