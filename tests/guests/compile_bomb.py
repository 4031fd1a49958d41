"""compile_bomb: components that are small to store and costly to compile; nothing in them ever runs.

    python tests/guests/compile_bomb.py SIZE FUNCTIONS OUTPUT

A function of SIZE locals and SIZE branches, each of which may change one of the locals, makes the compiler join every
local at every branch: its time and memory grow with the square of SIZE. SIZE 3000 takes 2 s and 340 MiB a function,
SIZE 5000 8 s and 820 MiB. FUNCTIONS copies of it multiply the time, and the memory by the cores that compile at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wasmtime import wat2wasm

I32, EMPTY = b"\x7f", b"\x40"
LOOP, IF, END, BRANCH_IF = b"\x03", b"\x04", b"\x0b", b"\x0d"
GET, SET, ADD = b"\x20", b"\x21", b"\x6a"


def unsigned(value: int) -> bytes:
    """``value`` as an unsigned LEB128."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def vector(items: Sequence[bytes]) -> bytes:
    return unsigned(len(items)) + b"".join(items)


def section(number: int, content: bytes) -> bytes:
    return bytes([number]) + unsigned(len(content)) + content


def function(size: int) -> bytes:
    """A body of ``size`` locals and ``size`` branches in a loop; the strides spread which locals a branch touches."""
    branches = []
    for index in range(size):
        condition, left, right, target = (unsigned(index * step % size) for step in (7, 13, 29, 31))
        branches.append(GET + condition + IF + EMPTY + GET + left + GET + right + ADD + SET + target + END)
    first = unsigned(0)
    loop = LOOP + EMPTY + b"".join(branches) + GET + first + BRANCH_IF + unsigned(0) + END
    body = vector([unsigned(size) + I32]) + loop + GET + first + END
    return unsigned(len(body)) + body


def module(size: int, functions: int) -> bytes:
    """A core module of ``functions`` such functions; it exports the first as ``run``."""
    return b"\x00asm\x01\x00\x00\x00" + b"".join(
        [
            section(1, vector([b"\x60" + vector([]) + vector([I32])])),
            section(3, vector([unsigned(0)] * functions)),
            section(7, vector([vector([bytes([char]) for char in b"run"]) + b"\x00" + unsigned(0)])),
            section(10, vector([function(size)] * functions)),
        ]
    )


def component(size: int, functions: int) -> bytes:
    """A command component around ``module(size, functions)``."""
    around = bytes(
        wat2wasm("""(component
          (core module $module (func (export "run") (result i32) (i32.const 0)))
          (core instance $main (instantiate $module))
          (func $run (result (result)) (canon lift (core func $main "run")))
          (instance $exports (export "run" (func $run)))
          (export "wasi:cli/run@0.2.0" (instance $exports)))""")
    )
    # The first section, after eight bytes of preamble, is the small module that stands for the large one.
    length = around[9]
    return around[:8] + section(1, module(size, functions)) + around[10 + length :]


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes a component that is costly to compile.")
    parser.add_argument("size", type=int)
    parser.add_argument("functions", type=int)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    options.output.write_bytes(component(options.size, options.functions))


if __name__ == "__main__":
    main()
