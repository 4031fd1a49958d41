"""What becomes of an error in the worker's part of the network that no one expected."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sandbox.runtime.callbacks import Callbacks
from tests.e2e.harness import GUESTS, policy_data, write_policy


class Told:
    """Keeps what a worker tells its supervisor."""

    def __init__(self) -> None:
        self.messages: list[tuple[object, ...]] = []

    def send(self, *message: object) -> None:
        self.messages.append(message)


def test_a_fault() -> None:
    """The supervisor is told what failed, in bounded length."""
    told: Any = Told()
    Callbacks(told).fault("room", KeyError("x" * 10_000))
    assert told.messages == [("fault", f"room: KeyError: '{'x' * 10_000}'"[:4096])]


def test_memory_that_ran_out() -> None:
    """A worker without memory ends at once, and says why: the supervisor names the bound."""
    program = """
from sandbox.runtime.callbacks import Callbacks
Callbacks(None).fault("room", MemoryError())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (70, b"", b"MemoryError\n")


def test_a_fault_ends_the_run(tmp_path: Path) -> None:
    """The guest that met it does not go on, and the run fails with a sentence that names it."""
    policy = policy_data(
        source=GUESTS / "sockets.wasm", arguments=["many-sockets", "1"], sockets={"udp": {"bind": ["127.0.0.1:0"]}}
    )
    program = """
import sys
from sandbox.broker.sockets import Sockets
from sandbox.cli.main import main
def fail(*_):
    raise KeyError("odd")
Sockets.control = fail
main(["run", sys.argv[1]])
"""
    line = [sys.executable, "-c", program, str(write_policy(tmp_path, policy))]
    environment = {**os.environ, "SANDBOX_CACHE": str(tmp_path / "cache")}
    ended = subprocess.run(line, capture_output=True, check=False, text=True, env=environment)
    assert (ended.returncode, ended.stdout) == (125, "")
    assert "the worker failed in what the guard asked of it (socket: KeyError: 'odd')" in ended.stderr
