"""network-python: what Python programs do over a network, by the standard library alone.

    network-python COMMAND [ARGUMENT...] [-- COMMAND [ARGUMENT...]]...

Commands run in order, in one process. Each prints one line, written at once:

    COMMAND ARGUMENT... -> ok DETAIL
    COMMAND ARGUMENT... -> error CLASS [ERRNO or message]

Nothing here knows of a sandbox: libraries are used as their documentation says.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401  (the component holds only what the build sees imported; resolving a name needs it)
import errno
import hashlib
import http.client
import os
import select
import socket
import struct
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable

CHUNK = 65536


# http.client and urllib


def get(url: str) -> str:
    """GET by http.client, which follows nothing: status, length and digest of the body."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return f"{response.status} {told(response.read())}"
    finally:
        connection.close()


def post(url: str, size: str) -> str:
    """POST of ``size`` bytes by http.client over a connection that is kept, twice."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    out = []
    try:
        for _ in range(2):
            connection.request("POST", parts.path, body=pattern(int(size)))
            response = connection.getresponse()
            out.append(f"{response.status} {told(response.read())}")
        return " ".join(out)
    finally:
        connection.close()


def browse(url: str) -> str:
    """GET by urllib, which follows redirects: where it ended, and what was there."""
    with urllib.request.urlopen(url, timeout=10) as response:
        return f"{response.status} {response.url} {told(response.read())}"


# socket


def connect(host: str, port: str) -> str:
    """Connect to an address without looking it up, and close."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as client:
        client.connect((host, int(port)))
        return ""


def resolve(name: str) -> str:
    """The addresses of a name, in the resolver's order."""
    return " ".join(str(found[4][0]) for found in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM))


def many(host: str, port: str, count: str) -> str:
    """Connections that are all kept open, until one cannot be made or there are ``count``; then, without them, one."""
    kept: list[socket.socket] = []
    made, told = 0, ""
    try:
        while made < int(count):
            kept.append(socket.socket())
            kept[-1].connect((host, int(port)))
            made += 1
    except OSError as error:
        told = f", then {described(error)}"
    for client in kept:
        client.close()
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(b"another")
        return f"{made} open{told}; then {client.recv(7).decode()}"


def say(host: str, port: str, text: str) -> str:
    """Say something, half-close, and read to the end."""
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(text.encode())
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(CHUNK), b"")).decode()


def read_all(host: str, port: str) -> str:
    """Read until the stream ends or fails: how much came."""
    count = 0
    with socket.create_connection((host, int(port))) as client:
        try:
            while data := client.recv(CHUNK):
                count += len(data)
        except OSError as error:
            return f"{count} then {described(error)}"
    return f"{count} then end"


def write_all(host: str, port: str) -> str:
    """Write without end until the stream fails: how much was taken; and whether another connection fares better."""
    with socket.create_connection((host, int(port))) as client:
        first = written(client)
    with socket.create_connection((host, int(port))) as client:
        return f"{first}; again {written(client)}"


def written(client: socket.socket) -> str:
    count, data = 0, bytes(CHUNK)
    try:
        while True:
            count += client.send(data)
    except OSError as error:
        return f"{count} then {described(error)}"


def transfer(host: str, port: str) -> str:
    """Read and write without end, in turns of one chunk."""
    data = pattern(CHUNK)
    with socket.create_connection((host, int(port))) as client:
        while True:
            client.sendall(data)
            left = CHUNK
            while left:
                left -= len(client.recv(left)) or CHUNK * CHUNK


LEFT: list[socket.socket] = []


def leave(host: str, port: str, count: str) -> str:
    """Connections that nobody closes."""
    LEFT.extend(socket.create_connection((host, int(port))) for _ in range(int(count)))
    return f"{len(LEFT)} left open"


def wait(host: str, port: str, seconds: str) -> str:
    """Read from a peer for so long at most (0: for ever)."""
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.settimeout(float(seconds) or None)
        return told(client.recv(CHUNK))


def polled(host: str, port: str) -> str:
    """One ``select.poll`` over standard input and a socket, until both have ended; what each said, in order."""
    said = {"stdin": b"", "socket": b""}
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.setblocking(False)
        client.sendall(b"first")
        poll = select.poll()
        poll.register(0, select.POLLIN)
        poll.register(client, select.POLLIN)
        names = {0: "stdin", client.fileno(): "socket"}
        while names:
            for descriptor, _ in poll.poll(10_000) or [(-1, 0)]:
                if descriptor == -1:
                    return f"nothing came: {said}"
                name = names[descriptor]
                data = client.recv(CHUNK) if name == "socket" else os.read(0, CHUNK)
                said[name] += data
                if data:
                    client.sendall(data) if name == "stdin" else None
                else:
                    poll.unregister(descriptor)
                    del names[descriptor]
                    client.shutdown(socket.SHUT_WR) if name == "stdin" else None
    return " ".join(f"{name} {text!r}" for name, text in said.items())


# UDP


def ask(resolver: str, port: str, name: str, how: str = "sendto") -> str:
    """Ask a resolver for the IPv4 addresses of a name by ``sendto``, by ``connect``, or after ``bind`` to 0.0.0.0:0."""
    question = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0)
    question += b"".join(bytes([len(label)]) + label.encode("ascii") for label in name.split("."))
    question += b"\0" + struct.pack("!HH", 1, 1)
    to = (resolver, int(port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        if how == "bind":
            client.bind(("0.0.0.0", 0))
        if how == "connect":
            client.connect(to)
            client.send(question)
        else:
            client.sendto(question, to)
        answer, sender = client.recvfrom(512)
        bound = client.getsockname()[1] != 0
    assert sender == to, sender
    assert answer[:2] == question[:2], answer
    count = struct.unpack("!H", answer[6:8])[0]
    records = answer[len(question) :]
    addresses = [socket.inet_ntoa(records[n * 16 + 12 : n * 16 + 16]) for n in range(count)]
    return " ".join(["bound" if bound else "unbound", *addresses])


def exchange(first: str, second: str, port: str) -> str:
    """From one socket, send to two peers in turn, then hear from whom answers come; each attempt told."""
    out = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        for peer in (first, second, first):
            try:
                client.sendto(b"question", (peer, int(port)))
                answer, sender = client.recvfrom(512)
                out.append(f"{sender[0]} {answer.decode()}")
            except OSError as error:
                out.append(described(error))
    return "; ".join(out)


# asyncio


def looped(action: Callable[..., Awaitable[str]]) -> Callable[..., str]:
    """A command that is a coroutine: each runs in an event loop of its own."""

    def command(*arguments: str) -> str:
        async def main() -> str:
            return await action(*arguments)

        return asyncio.run(main())

    return command


async def serve(host: str, port: str, count: str) -> str:
    """Echo ``count`` connections to their ends, then stop: how many, how many bytes, how many at once at most."""
    done = asyncio.Event()
    served = carried = now = most = 0

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal served, carried, now, most
        now += 1
        most = max(most, now)
        try:
            while data := await reader.read(CHUNK):
                carried += len(data)
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
            now -= 1
            served += 1
            if served == int(count):
                done.set()

    server = await asyncio.start_server(echo, host, int(port), backlog=128)
    async with server:
        await done.wait()
    return f"{served} connections, {carried} bytes, {'some' if most > 1 else 'none'} at once"


async def talk(host: str, port: str, text: str) -> str:
    """Say something over a stream, half-close it, and read to the end."""
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(text.encode())
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer.decode()


async def patience(host: str, port: str, seconds: str) -> str:
    """``wait_for`` on a peer that says nothing; the connection is closed afterwards."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        await asyncio.wait_for(reader.read(1), float(seconds))
    except TimeoutError:
        passed = time.monotonic() - started
        return f"timed out, {'in time' if float(seconds) <= passed < float(seconds) + 5 else f'after {passed:.3f} s'}"
    finally:
        writer.close()
        await writer.wait_closed()
    return "heard something"


async def gather(host: str, port: str, count: str, size: str) -> str:
    """Connections at once, each of which sends bytes of its own and compares what comes back."""

    async def one(number: int) -> bool:
        reader, writer = await asyncio.open_connection(host, int(port))
        data = bytes([number & 255]) * int(size)
        writer.write(data)
        got, _ = await asyncio.gather(reader.readexactly(len(data)), writer.drain())
        writer.close()
        await writer.wait_closed()
        return got == data

    return f"{sum(await asyncio.gather(*(one(n) for n in range(int(count)))))} equal"


async def both(host: str, port: str, count: str) -> str:
    """A server and its clients in one event loop."""

    async def upper(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())
        writer.close()

    async with await asyncio.start_server(upper, host, int(port)):
        answers = await asyncio.gather(*(talk(host, port, f"client {n}") for n in range(int(count))))
    return " ".join(sorted(set(answers)))


async def beside_stdin(host: str, port: str) -> str:
    """Lines of standard input carried to an echoing peer, and its answers, in one event loop with a timer."""
    loop = asyncio.get_running_loop()
    reader, writer = await asyncio.open_connection(host, int(port))
    ended = asyncio.Event()
    ticks = 0

    def typed() -> None:
        data = os.read(0, CHUNK)
        if data:
            writer.write(data)
        else:
            loop.remove_reader(0)
            writer.write_eof()
            ended.set()

    async def tick() -> None:
        nonlocal ticks
        while not ended.is_set():
            await asyncio.sleep(0.01)
            ticks += 1

    loop.add_reader(0, typed)
    answer, _ = await asyncio.gather(reader.read(), tick())
    writer.close()
    await writer.wait_closed()
    return f"{answer.decode()!r}, {'with' if ticks > 1 else 'without'} a timer beside it"


async def datagrams(host: str, port: str, text: str) -> str:
    """A datagram endpoint: a question and its answer."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[str] = loop.create_future()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
            answered.set_result(f"{data.decode()} from {addr[0]}")

        def error_received(self, exc: Exception) -> None:
            answered.set_exception(exc)

    transport, _ = await loop.create_datagram_endpoint(Client, remote_addr=(host, int(port)))
    try:
        transport.sendto(text.encode())
        return await asyncio.wait_for(answered, 5)
    finally:
        transport.close()


# What commands share


def pattern(size: int) -> bytes:
    """Bytes of every value, of which no two neighbouring blocks of 256 are equal."""
    block = b"".join(bytes((i + j) & 255 for i in range(256)) for j in range(256))
    return (block * (size // len(block) + 1))[:size]


def told(data: bytes) -> str:
    return f"{len(data)} {hashlib.sha256(data).hexdigest()[:16]}"


def described(error: Exception) -> str:
    """The class of an error, with its errno where it has one; of a lookup, by the library's own number and words."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, OSError) and not isinstance(inner, socket.gaierror) and inner.errno:
        return f"{type(error).__name__} {errno.errorcode.get(inner.errno, inner.errno)}"
    return f"{type(error).__name__} {inner}".rstrip()


COMMANDS: dict[str, Callable[..., str]] = {
    "get": get,
    "post": post,
    "browse": browse,
    "connect": connect,
    "resolve": resolve,
    "many": many,
    "read-all": read_all,
    "write-all": write_all,
    "transfer": transfer,
    "leave": leave,
    "say": say,
    "wait": wait,
    "poll": polled,
    "ask": ask,
    "exchange": exchange,
    "serve": looped(serve),
    "talk": looped(talk),
    "patience": looped(patience),
    "gather": looped(gather),
    "both": looped(both),
    "stdin": looped(beside_stdin),
    "datagrams": looped(datagrams),
}


def outcome(command: str, arguments: list[str]) -> str:
    try:
        return f"ok {COMMANDS[command](*arguments)}".rstrip()
    except Exception as error:
        return f"error {described(error)}"


class Run:
    """The exported interface ``wasi:cli/run``; the name is componentize-py's convention."""

    def run(self) -> None:
        words = sys.argv[1:]
        while words:
            end = words.index("--") if "--" in words else len(words)
            (command, *arguments), words = words[:end], words[end + 1 :]
            print(f"{' '.join([command, *arguments])} -> {outcome(command, arguments)}", flush=True)
