"""What the guest ``sockets`` sees under a policy, beside what it sees where Wasmtime's own sockets are all granted.

The latter is written down in ``native_sockets.txt``. What is sent and what peers do is the same for both.
"""

from __future__ import annotations

import json
import re
import select
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from socket import AF_INET, AF_INET6, SO_LINGER, SOCK_DGRAM, SOL_SOCKET, socket
from typing import NamedTuple

from sandbox.audit.events import Event
from tests.e2e.harness import Ran
from tests.e2e.namespaces import answering
from tests.e2e.network import Server, Told, echo, free_port, http, told


def everything(ports: Mapping[str, int]) -> str:
    """The grants that equal loopback's whole network, as far as the commands use it."""
    tcp = ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "127.0.0.2:0"]
    tcp += ["127.0.0.1:9", "[::1]:9", f"127.0.0.1:{ports['echo']}"]
    udp = ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0", "127.0.0.1:9", "[::1]:9", f"127.0.0.1:{ports['udp']}"]
    peers = ["127.0.0.0/8:1-65535", "[::1]:1-65535"]
    return json.dumps({"tcp": {"connect": peers, "listen": tcp}, "udp": {"send": peers, "bind": udp}})


_PERIOD = bytes((i * 31 + (i >> 8)) & 255 for i in range(65536))
"""The pattern that the guest sends; it repeats."""


class Answer(NamedTuple):
    """What a command printed and came to."""

    printed: tuple[str, ...]
    trap: str | None = None
    told: tuple[Told, ...] = ()


@cache
def native() -> Mapping[str, Answer]:
    """Command -> what it comes to under Wasmtime alone."""
    text = (Path(__file__).parent / "native_sockets.txt").read_text(encoding="utf-8")
    found = {}
    for section in text.split("\n$ ")[1:]:
        command, *lines = section.strip("\n").split("\n")
        trap = lines.pop().removeprefix("trap: ") if lines and lines[-1].startswith("trap: ") else None
        found[command] = Answer(tuple(line for line in lines if line), trap)
    return found


def _sink(connection: socket) -> None:
    at, right = 0, True
    while data := connection.recv(65536):
        right &= (_PERIOD + _PERIOD)[at % 65536 :][: len(data)] == data
        at += len(data)
    connection.sendall(b"ok" if right else b"bad")


def _line(connection: socket) -> bytes:
    line = b""
    while not line.endswith(b"\n") and (byte := connection.recv(1)):
        line += byte
    return line


def _source(connection: socket) -> None:
    left = int(_line(connection))
    while left:
        connection.sendall(_PERIOD[:left])
        left -= min(left, 65536)


def _reset(connection: socket) -> None:
    _line(connection)
    connection.sendall(b"bye")
    time.sleep(0.1)
    connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))


def _unread(connection: socket) -> None:
    """Reads nothing, until the guest goes away or the test ends."""
    poll = select.poll()
    poll.register(connection, select.POLLRDHUP)
    poll.poll()


@contextmanager
def peers() -> Iterator[Mapping[str, int]]:
    """The ports of all peers on loopback, by the names that commands have for them."""
    with ExitStack() as stack:
        page = {"/page": ("200 OK", b"hello\n")}
        servers = {
            "echo": echo,
            "sink": _sink,
            "source": _source,
            "reset": _reset,
            "silent": _unread,
            "http": http(page),
        }
        ports = {name: stack.enter_context(Server(serve)).port for name, serve in servers.items()}
        ports["echo6"] = stack.enter_context(Server(echo, "::1")).port
        for name, family, address in (("udp", AF_INET, "127.0.0.1"), ("udp6", AF_INET6, "::1")):
            bound = socket(family, SOCK_DGRAM)
            bound.bind((address, free_port()))
            stack.enter_context(answering(bound))
            ports[name] = bound.getsockname()[1]
        yield ports


def answered(ran: Ran, ports: Mapping[str, int]) -> Answer:
    """What a run came to, with the names of ports for the ports."""
    *others, last = ran.outcome.events
    assert last.name == "ended"
    trap = None
    if ran.outcome.how == "trapped":
        trap = ran.outcome.reason
    else:
        assert (ran.outcome.how, ran.outcome.exit_status) == ("exited", 0), ran.outcome
    return Answer(
        tuple(_named(line, ports) for line in ran.lines),
        trap,
        tuple(_told(event, ports) for event in others),
    )


def _told(event: Event, ports: Mapping[str, int]) -> Told:
    said = told(event)
    resource, resolved, grant = (text and _named(text, ports) for text in (said.resource, said.resolved, said.grant))
    return said._replace(resource=resource, resolved=resolved, reason=_named(said.reason, ports), grant=grant)


def _named(text: str, ports: Mapping[str, int]) -> str:
    for name, port in ports.items():
        text = re.sub(rf"\b{port}\b", f"{{{name}}}", text)
    return text


class Difference(NamedTuple):
    """How a policy's answer is unlike the native one."""

    why: str
    lines: Mapping[str, str | None] = {}
    """Native line -> what is printed instead; ``None``: nothing."""
    after: tuple[str, ...] = ()
    """What is printed beyond that."""
    trap: str | None = None
    told: tuple[Told, ...] = ()


def expected(command: str, differences: Mapping[str, Difference]) -> Answer:
    """What ``command`` comes to under a policy that grants what it uses."""
    same = native()[command]
    if command not in differences:
        return same
    difference = differences[command]
    assert set(difference.lines) <= set(same.printed), "what differs is there natively"
    printed = [difference.lines.get(line, line) for line in same.printed]
    return Answer(
        (*(line for line in printed if line is not None), *difference.after), difference.trap, difference.told
    )
