"""What a worker says of the end of a run, in plain data, and what it reads out of Wasmtime's messages."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from sandbox.runtime.callbacks import MAX_TEXT

Ended: TypeAlias = dict[str, Any]
"""``how`` a run ended, and what belongs to that: ``status``, ``bound``, ``reason``."""


def usage(reason: str) -> Ended:
    """A call that does not fit the function."""
    return {"how": "usage", "reason": reason[:MAX_TEXT]}


def write_answer(descriptor: int, text: str) -> None:
    """Write the result of a call, whatever its size."""
    data = memoryview(text.encode("utf-8", "backslashreplace"))
    while data:
        data = data[os.write(descriptor, data) :]


def memory_ran_out(text: str) -> bool:
    return any(
        sign in text
        for sign in (
            "exceeds memory limits",
            "exceeds table limits",
            "Cannot allocate memory",
            "memory allocation of",
            "os error 12",
            "out of memory",
        )
    )


def cause(text: str) -> str:
    """The innermost cause that Wasmtime gives, without its backtrace."""
    _, _, causes = text.rpartition("Caused by:")
    lines = [line.strip() for line in (causes or text).strip().splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("note:", "error while executing"))]
    found = " ".join(
        line.split(": ", 1)[-1] if line[:1].isdigit() and ": " in line[:4] else line for line in lines[-2:]
    )
    return found[:MAX_TEXT]


def fault(text: str) -> str:
    """What Wasmtime finds wrong with code, on one line. It quotes names of the guest's, which may look like causes."""
    _, _, causes = text.partition("Caused by:")
    lines = [line.strip() for line in (causes or text).strip().splitlines() if line.strip()]
    first = lines[0] if lines else ""
    return (first.split(": ", 1)[-1] if first[:1].isdigit() and ": " in first[:4] else first)[:MAX_TEXT]
