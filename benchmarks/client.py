"""What ``guests/net.c`` does, in plain Python, with the same arguments and printing the same: python client.py ..."""

from __future__ import annotations

import os
import select
import socket
import sys
import time


def report(count: int, size: int, start: int) -> None:
    print(f"count={count} bytes={size} nanoseconds={time.monotonic_ns() - start}")


def connects(to: tuple[str, int], count: int) -> None:
    start = time.monotonic_ns()
    for _ in range(count):
        socket.create_connection(to).close()
    report(count, 0, start)


def upload(to: tuple[str, int], size: int, chunk: int) -> None:
    data = memoryview(os.urandom(chunk))
    with socket.create_connection(to) as connection:
        start = time.monotonic_ns()
        for done in range(0, size, chunk):
            connection.sendall(data[: size - done])
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1):
            pass
        report(size // chunk, size, start)


def download(to: tuple[str, int], size: int, chunk: int) -> None:
    total = 0
    with socket.create_connection(to) as connection:
        start = time.monotonic_ns()
        connection.sendall(b"%d\n" % size)
        while data := connection.recv(chunk):
            total += len(data)
        if total != size:
            sys.exit("download error=short")
        report(size // chunk, size, start)


def pingpong(to: tuple[str, int], count: int, size: int) -> None:
    data = os.urandom(size)
    with socket.create_connection(to) as connection:
        start = time.monotonic_ns()
        for _ in range(count):
            connection.sendall(data)
            got = 0
            while got < size:
                got += len(connection.recv(size - got))
        report(count, count * size, start)


def http(to: tuple[str, int], count: int) -> None:
    start, total = time.monotonic_ns(), 0
    for _ in range(count):
        with socket.create_connection(to) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            while data := connection.recv(65536):
                total += len(data)
    report(count, total, start)


def poll(to: tuple[str, int], count: int, idle: int) -> None:
    connections = [socket.create_connection(to)]
    connections[0].sendall(b"x")
    connections[0].recv(1, socket.MSG_PEEK)
    connections += [socket.create_connection(to) for _ in range(idle)]
    polled = select.poll()
    for connection in connections:
        polled.register(connection, select.POLLIN)
    expected = [(connections[0].fileno(), select.POLLIN)]
    start = time.monotonic_ns()
    for _ in range(count):
        if polled.poll() != expected:
            sys.exit("poll error=ready")
    report(count, 0, start)


def accept(to: tuple[str, int], count: int) -> None:
    start = 0
    with socket.create_server(to) as listener:
        for number in range(count + 1):
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(65536):
                    connection.sendall(data)
            start = start if number else time.monotonic_ns()
        report(count, 0, start)


def lookup(name: str, count: int) -> None:
    start = time.monotonic_ns()
    for _ in range(count):
        socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    report(count, 0, start)


COMMANDS = {f.__name__: f for f in (connects, upload, download, pingpong, http, poll, accept)}


def main() -> None:
    command, address, *numbers = sys.argv[1:]
    if command == "lookup":
        lookup(address, int(numbers[0]))
    else:
        port, *rest = (int(n) for n in numbers if n.isdigit())
        COMMANDS[command]((address, port), *rest)


main()
