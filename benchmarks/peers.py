"""The servers that a guest or client under measurement talks to, on loopback: python peers.py

Prints ``NAME=PORT ...`` and serves until standard input ends, one connection of a server after the other. A line
``PORT COUNT`` of standard input has it connect to that port of loopback, COUNT times, as a client of an echo.

accept: closes. sink: reads to the end, answers a byte. source: reads "N\\n", sends N random bytes. echo. http: a page.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

MOST = 1 << 20
RANDOM = memoryview(os.urandom(MOST))
PAGE = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1024\r\n\r\n" + b"x" * 1024
LOOPBACK = "127.0.0.1"
MESSAGE = b"x" * 1024


def accept(_: socket.socket) -> None:
    pass


def sink(connection: socket.socket) -> None:
    into = bytearray(MOST)
    while connection.recv_into(into):
        pass
    connection.sendall(b"!")


def source(connection: socket.socket) -> None:
    line = b""
    while not line.endswith(b"\n"):
        line += connection.recv(64)
    left = int(line)
    while left:
        size = min(left, MOST)
        connection.sendall(RANDOM[:size])
        left -= size


def echo(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(1 << 18):
        connection.sendall(data)


def http(connection: socket.socket) -> None:
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65536)
        if not more:
            return
        got += more
    connection.sendall(PAGE)


def serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                answer(connection)
            except OSError:
                pass  # its end broke it off


def visit(port: int, count: int) -> None:
    """Send a message to an echo, end, and read to the end, ``count`` times. The echo may begin to listen later."""
    for _ in range(count):
        while True:
            connection = socket.socket()
            if connection.connect_ex((LOOPBACK, port)) == 0:
                break
            connection.close()
            time.sleep(0.001)
        with connection:
            connection.sendall(MESSAGE)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass


def main() -> None:
    ports = []
    for answer in (accept, sink, source, echo, http):
        listener = socket.create_server((LOOPBACK, 0), backlog=1024)
        threading.Thread(target=serve, args=(listener, answer), daemon=True).start()
        ports.append(f"{answer.__name__}={listener.getsockname()[1]}")
    print(*ports, flush=True)
    for line in sys.stdin:
        port, count = line.split()
        threading.Thread(target=visit, args=(int(port), int(count)), daemon=True).start()


main()
