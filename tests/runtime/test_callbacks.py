"""What becomes of an error in the worker's part of the network that no one expected."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from sandbox.runtime.callbacks import Callbacks

UNKNOWN_STATUS = 16 << 32


class Told:
    """Keeps what a worker tells its supervisor."""

    def __init__(self) -> None:
        self.messages: list[tuple[object, ...]] = []

    def send(self, *message: object) -> None:
        self.messages.append(message)


class Broken:
    """A network of which everything fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        def fail(*_: object) -> None:
            raise self.error

        return fail


@pytest.mark.parametrize(
    ("call", "arguments", "answer"),
    [
        ("room", (1,), UNKNOWN_STATUS),
        ("datagram", (1, "", ""), 1),
        ("wait", ("\0" * 12, 0), "\x01\x01\x01\x00"),
    ],
)
def test_a_fault(call: str, arguments: tuple[object, ...], answer: object) -> None:
    """The guest gets an error, or goes on; the supervisor is told what failed, in bounded length."""
    told: Any = Told()
    callbacks = Callbacks(told)
    broken: Any = Broken(KeyError("x" * 10_000))
    callbacks.network = broken
    assert getattr(callbacks, call)(None, *arguments) == answer
    assert told.messages == [("fault", f"{call}: KeyError: '{'x' * 10_000}'"[:4096])]


def test_memory_that_ran_out() -> None:
    """A worker without memory ends at once, and says why: the supervisor names the bound."""
    program = """
from sandbox.runtime.callbacks import Callbacks
class Broken:
    def room(self, number):
        raise MemoryError
callbacks = Callbacks(None)
callbacks.network = Broken()
callbacks.room(None, 1)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (70, b"", b"MemoryError\n")
