"""Peers on loopback for the end-to-end tests of sockets, policies that grant them, and trails as whole values.

A peer is a ``Server``: it listens in a thread, and each connection has a thread of its own. Its ports come of
``free_port``: below those that the system hands out, so that no socket bound to port 0 gets one that a test has chosen.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import pytest

from sandbox.audit.events import Event
from tests.e2e.harness import GUESTS, ROOT

Serve = Callable[[socket.socket], None]
"""What is done with a connection; it is closed afterwards."""

EVENT_LOOP = "127.0.0.1:0"
"""Where an event loop of CPython listens to connect to itself, where there is no ``socketpair``, as in WASI."""


def free_port() -> int:
    """A port that nobody uses on any address of either family, for TCP or UDP, and that is given once.

    Each process of a parallel run has ports of its own to give.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    while True:
        port = _random.randrange(20_000, 32_000, 16) + worker
        if port in _given:
            continue
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET6, kind) as any_address:
                    any_address.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                    any_address.bind(("::", port))
        except OSError:
            continue
        if len(_given) > 500:
            _given.clear()
        _given.add(port)
        return port


_random = random.SystemRandom()  # not one that Hypothesis seeds alike in every process
_given: set[int] = set()


class Server(AbstractContextManager["Server"]):
    """Serves TCP connections until it is left; then all of them are closed, and its threads have ended."""

    def __init__(self, serve: Serve, address: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._serve = serve
        self._listener = socket.create_server((address, port or free_port()), family=family, backlog=128)
        self.address: str = address
        self.port: int = self._listener.getsockname()[1]
        self.host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        """``127.0.0.1:8080``, ``[::1]:8080``."""
        self.accepted = 0
        """Connections so far."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()

    def all_closed(self, within: float = 5.0, *, of: int = 0) -> bool:
        """Whether every connection is done with, as it is when its peer has closed it, before so many seconds pass.

        ``of`` is how many there are to be: one that is over may still wait to be accepted.
        """
        with self._lock:
            return self._changed.wait_for(lambda: self.accepted >= of and not self._open, within)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._open.add(connection)
            thread = threading.Thread(target=self._run, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        except OSError:
            pass  # the guest went away, or the test
        finally:
            with self._lock:
                connection.close()
                self._open.discard(connection)
                self._changed.notify_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for thread in self._threads:
            thread.join()


def echo(connection: socket.socket) -> None:
    """Sends back what comes, to its end."""
    while data := connection.recv(65536):
        connection.sendall(data)


def silent(connection: socket.socket) -> None:
    """Reads, and never says anything."""
    while connection.recv(65536):
        pass


def flood(connection: socket.socket) -> None:
    """Sends zeroes as long as somebody takes them."""
    zeroes = bytes(65536)
    while True:
        connection.sendall(zeroes)


def http(pages: Mapping[str, tuple[str, bytes]], seen: list[str] | None = None) -> Serve:
    """Serves HTTP/1.1: a path has its status line's end with further header lines, and its body.

    What comes in a request's body is sent back for ``POST``. Paths asked for are added to ``seen``.
    """

    def serve(connection: socket.socket) -> None:
        stream = connection.makefile("rwb")
        with stream:
            while line := stream.readline():
                method, path, _ = line.decode("ascii").split(" ")
                headers: dict[str, str] = {}
                while header := stream.readline().strip().decode("ascii"):
                    name, _, value = header.partition(":")
                    headers[name.lower()] = value.strip()
                received = stream.read(int(headers.get("content-length", "0")))
                if seen is not None:
                    seen.append(path)
                head, body = pages.get(path, ("404 Not Found", b""))
                body = received if method == "POST" else body
                stream.write(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body)
                stream.flush()

    return serve


Answer = Callable[[bytes, tuple[str, int]], bytes | None]
"""A datagram and its sender's address and port to what is answered; ``None`` is no answer."""


class Responder(AbstractContextManager["Responder"]):
    """Answers datagrams by a function until it is left."""

    def __init__(self, answer: Answer, address: str = "127.0.0.1", port: int = 0) -> None:
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port or free_port()))
        self.address = address
        self.port: int = self._socket.getsockname()[1]
        self.host = f"[{address}]:{self.port}" if ":" in address else f"{address}:{self.port}"
        self.received: list[bytes] = []
        self._left = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self._socket.settimeout(0.05)
        while not self._left:
            try:
                data, sender = self._socket.recvfrom(65536)
            except OSError:
                continue
            self.received.append(data)
            answer = self._answer(data, sender[:2])
            if answer is not None:
                self._socket.sendto(answer, sender)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        self._thread.join()
        self._socket.close()


def dns(records: Mapping[str, list[str]]) -> Answer:
    """Answers questions for the IPv4 addresses of names; NXDOMAIN for what is not among ``records``."""

    def answer(query: bytes, _sender: tuple[str, int]) -> bytes | None:
        labels, at = [], 12
        if len(query) < 17:
            return None
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
            at += 1 + query[at]
        question = query[12 : at + 5]
        addresses = records.get(".".join(labels))
        flags = 0x8180 if addresses else 0x8183
        out = query[:2] + struct.pack("!HHHHH", flags, 1, len(addresses or ()), 0, 0) + question
        for address in addresses or ():
            out += b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
        return out

    return answer


# Policies and trails


def policy_text(source: Path, sockets: str, limits: str = "{}") -> str:
    """A policy as text, for one component called ``guest`` that may do everything but use files or the network.

    ``sockets`` is a YAML mapping, of lines that start at its own margin.
    """
    inner = "\n".join(f"        {line}" for line in sockets.strip("\n").splitlines())
    return f"""version: 1
components:
  guest:
    source: {source}
    grants:
      stdio: {{stdin: inherit, stdout: capture, stderr: capture}}
      environment: {{}}
      arguments: inherit
      clocks: real
      random: secure
      sockets:
{inner}
    limits: {limits}
"""


SOCKETS_LINE = 11
"""The line of ``sockets`` in ``policy_text``; what is below it begins on the next."""


class Told(NamedTuple):
    """What an event says, apart from when, where and in which run."""

    name: str
    capability: str
    resource: str | None = None
    resolved: str | None = None
    line: int | None = None
    reason: str = ""
    grant: str | None = None


def told(event: Event) -> Told:
    return Told(
        event.name, event.capability, event.resource, event.resolved, event.policy_line, event.reason, event.grant
    )


# The guest in Python


def network_python() -> Path:
    """The guest of ``tests/guests/network-python``, built if it is missing or older than its sources.

    Skips the test where componentize-py is not installed, which is never so in continuous integration.
    """
    directory = GUESTS / "network-python"
    target = directory / "network-python.wasm"
    sources = (directory / "app.py", directory / "Makefile", ROOT / "samples" / "report-python" / "command.wit")
    with open(directory / "Makefile", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of a parallel run may be at it
        if target.exists() and target.stat().st_mtime >= max(source.stat().st_mtime for source in sources):
            return target
        tool = shutil.which("componentize-py", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if tool is None:
            assert not os.environ.get("CI"), "componentize-py belongs to the development dependencies"
            pytest.skip("componentize-py is not installed")
        make = ["make", "-C", str(directory), f"COMPONENTIZE_PY={tool}"]
        subprocess.run(make, check=True, capture_output=True, timeout=300)
    return target
