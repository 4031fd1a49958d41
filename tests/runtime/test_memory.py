"""Where the guard's memory is: found by a secret, or not at all; and what sockets do in either case."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.runtime.memory import SECRET_BYTES, GuardMemory
from tests.e2e.harness import GUESTS, policy_data, write_policy
from tests.e2e.network import Server, echo

OFFSET = 9240


@pytest.fixture
def memory() -> Iterator[GuardMemory]:
    found = GuardMemory()
    yield found
    found.forget()
    for descriptor in (found.maps, found.all):
        if descriptor >= 0:
            os.close(descriptor)


def apart() -> mmap.mmap:
    """A mapping with nobody beside it, as a linear memory lies among pages that nobody may touch."""
    around = mmap.mmap(-1, 5 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.addressof(ctypes.c_char.from_buffer(around))
    libc = ctypes.CDLL(None, use_errno=True)
    for at in (start, start + (4 << 20)):
        assert libc.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(1 << 20), 0) == 0
    return around


def keep(mapping: mmap.mmap, secret: str, offset: int = OFFSET) -> None:
    at = (1 << 20) + offset
    mapping[at : at + SECRET_BYTES] = secret.encode("latin-1")


def test_the_memory_that_holds_the_secret(memory: GuardMemory) -> None:
    """It is found by where the secret is in it, and is then read and written in place, until it is forgotten."""
    mapping = apart()
    keep(mapping, memory.new_secret())
    assert memory.locate(OFFSET)
    view = memory.view
    assert view is not None
    mapping[(1 << 20) + 70 : (1 << 20) + 75] = b"hello"
    assert bytes(view[70:75]) == b"hello"
    view[70:72] = b"J-"
    assert mapping[(1 << 20) + 70 : (1 << 20) + 75] == b"J-llo"
    memory.forget()
    assert memory.view is None


def test_a_memory_that_is_not_found(memory: GuardMemory) -> None:
    """A secret at another offset, of another run, or nowhere; or one that was found already: nothing is pointed at."""
    mapping = apart()
    assert not memory.locate(OFFSET)
    keep(mapping, memory.new_secret(), OFFSET + 8)
    assert not memory.locate(OFFSET)
    assert not memory.locate((1 << 32) - 1)
    keep(mapping, memory.new_secret())
    memory.new_secret()
    assert not memory.locate(OFFSET)
    keep(mapping, memory.new_secret())
    assert memory.locate(OFFSET)
    assert not memory.locate(OFFSET)


def test_two_memories_with_the_secret(memory: GuardMemory) -> None:
    """Which one is meant cannot be told: neither is taken."""
    one, other = apart(), apart()
    secret = memory.new_secret()
    keep(one, secret)
    keep(other, secret)
    assert not memory.locate(OFFSET)
    assert memory.view is None


def test_secrets_differ(memory: GuardMemory) -> None:
    """Nobody can know one from another."""
    secrets = {memory.new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert {len(secret) for secret in secrets} == {SECRET_BYTES}


def test_a_kernel_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a process may not read its own memory by file, nothing is found, and nothing fails."""

    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    memory = GuardMemory()
    memory.new_secret()
    assert not memory.locate(OFFSET)


PROGRAM = """
import sys
from sandbox.cli.main import main
from sandbox.runtime import callbacks, memory

def unused(*_):
    raise AssertionError("the other way was to be used")

if sys.argv[2] == "in place":
    callbacks.Callbacks.send_text = callbacks.Callbacks.receive_text = unused
else:
    memory.GuardMemory.locate = lambda *_: False
    callbacks.Callbacks.send = callbacks.Callbacks.receive = unused
main(["run", "--quiet", sys.argv[1]])
"""


def test_bytes_in_place_and_as_text(tmp_path: Path) -> None:
    """A guest sees the same of its streams, whether its bytes go through the guard's memory or as text."""
    outputs = []
    with Server(echo) as server:
        place = ["127.0.0.1", str(server.port)]
        arguments = [
            "streams",
            *place,
            "--",
            "connect",
            *place,
            "caf\u00e9 \u2603",
            "--",
            "big-write",
            *place,
            "300000",
            "65536",
        ]
        sockets = {"tcp": {"connect": [server.host]}}
        path = write_policy(tmp_path, policy_data(source=GUESTS / "sockets.wasm", arguments=arguments, sockets=sockets))
        environment = {**os.environ, "SANDBOX_CACHE": str(tmp_path / "cache")}
        for way in ("in place", "as text"):
            line = [sys.executable, "-c", PROGRAM, str(path), way]
            done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False, timeout=120)
            assert (done.returncode, done.stderr) == (0, "")
            outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert r"caf\xc3\xa9 \xe2\x98\x83" in outputs[0]
