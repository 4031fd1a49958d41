"""hostile: a Python guest that tries what a Python program would try; one line of output for each attempt.

    hostile [ATTEMPT...]

Without arguments every attempt is made, in the order of the table at the end. README.md has the format of each line.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  (the component holds only what the build sees imported; resolving a name needs it)
import errno
import os
import random
import secrets
import socket
import sys
import time
from collections.abc import Callable

POOL = "203.0.113.7"
"""An address of a range reserved for documentation."""


def quoted(text: str) -> str:
    """``text`` between quotes; what is not printable ASCII, the backslash and the quote as ``\\xHH`` of its bytes."""
    data = os.fsencode(text)
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in data) + '"'


def names(texts: list[str]) -> str:
    return " ".join([str(len(texts)), *map(quoted, sorted(texts))])


def walk() -> str:
    """Every directory and file below the root, at most 200 of them."""
    found: list[str] = []
    for directory, directories, files in os.walk("/"):
        directories.sort()
        found += [os.path.join(directory, name) for name in [*directories, *files]]
        if len(found) >= 200:
            break
    return names(found[:200])


def read(path: str) -> Callable[[], str]:
    def attempt() -> str:
        with open(path, "rb") as file:
            return str(len(file.read()))

    return attempt


def write(path: str) -> Callable[[], str]:
    def attempt() -> str:
        with open(path, "w", encoding="utf-8") as file:
            return str(file.write("hostile"))

    return attempt


def done(action: Callable[..., object], *arguments: object) -> Callable[[], str]:
    """An attempt that has nothing to say but that it succeeded."""

    def attempt() -> str:
        action(*arguments)
        return ""

    return attempt


def connect() -> str:
    with socket.create_connection((POOL, 3333), timeout=2):
        return ""


def connect_address() -> str:
    """Without a look-up first: `create_connection` asks for the addresses even of an address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect((POOL, 3333))
        return ""


def resolve() -> str:
    return str(len(socket.getaddrinfo("pool.minexmr.example", 3333)))


def listen() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("0.0.0.0", 8080))
        server.listen()
        return ""


def send() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        return str(sender.sendto(b"hostile", (POOL, 53)))


ATTEMPTS: dict[str, Callable[[], str]] = {
    "argv": lambda: names(sys.argv),
    "environ": lambda: names([f"{name}={value}" for name, value in os.environ.items()]),
    "walk": walk,
    "read-absolute": read("/etc/passwd"),
    "read-parent": read("/in/../etc/passwd"),
    "read-climb": read("/in/../../../../etc/passwd"),
    "read-relative": read("../etc/passwd"),
    "read-key": read("/root/.ssh/id_rsa"),
    "read-proc": read("/proc/self/environ"),
    "write-read-only": write("/in/hostile"),
    "write-parent": write("/out/../hostile"),
    "symlink-out": done(os.symlink, "/etc/passwd", "/out/absolute"),
    "symlink-parent": done(os.symlink, "../../etc/passwd", "/out/relative"),
    "read-symlink": read("/out/relative"),
    "hard-link": done(os.link, "/in/a.txt", "/out/hard"),
    "rename-away": done(os.rename, "/in/a.txt", "/out/stolen"),
    "rename-over": done(os.rename, "/out/relative", "/in/a.txt"),
    "remove": done(os.remove, "/in/a.txt"),
    "truncate": done(os.truncate, "/in/a.txt", 0),
    "touch": done(os.utime, "/in/a.txt", (0, 0)),
    "mkdir": done(os.mkdir, "/in/directory"),
    "rmdir": done(os.rmdir, "/in/directory"),
    "time": lambda: str(time.time()),
    "monotonic": lambda: str(time.monotonic()),
    "sleep": done(time.sleep, 0.01),
    "urandom": lambda: os.urandom(8).hex(),
    "secrets": lambda: secrets.token_hex(8),
    "random": lambda: str(random.random()),
    "resolve": resolve,
    "connect": connect,
    "connect-address": connect_address,
    "listen": listen,
    "send": send,
    "stdin": lambda: str(len(sys.stdin.buffer.read())),
}


def outcome(attempt: Callable[[], str]) -> str:
    """``ok`` with what the attempt found, ``errno NAME`` or, for an error without an errno, ``error CLASS``."""
    try:
        return f"ok {attempt()}".rstrip()
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0)
        return f"errno {name}" if name else f"error {type(error).__name__}"
    except Exception as error:
        return f"error {type(error).__name__}"


class Run:
    """The exported interface ``wasi:cli/run``; the name is componentize-py's convention."""

    def run(self) -> None:
        for name in sys.argv[1:] or ATTEMPTS:
            attempt = ATTEMPTS.get(name)
            print(f"{name} -> {outcome(attempt) if attempt else 'error unknown'}", flush=True)
