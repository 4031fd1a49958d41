"""The vocabulary of WASI 0.2: which interfaces there are, what each is for, and what a policy calls it.

Names come out of hostile files. ``parse_interface`` takes only what the component model's grammar allows, so that what
is quoted from a parsed name in a reason is plain ASCII.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

Family = Literal["filesystem", "stdio", "environment", "arguments", "clocks", "random", "sockets", "http"]
"""A key of a policy's ``grants``."""

FAMILIES: tuple[Family, ...] = (
    "filesystem",
    "stdio",
    "environment",
    "arguments",
    "clocks",
    "random",
    "sockets",
    "http",
)
"""In the order in which policies and reports list them."""

MAX_NAME = 256
"""Characters of an interface's name; none of WASI's has more than 40."""


class Interface(NamedTuple):
    """``namespace:package/name@version``, taken apart."""

    namespace: str
    package: str
    name: str
    version: str | None


class Known(NamedTuple):
    """An interface of WASI 0.2 that the guard can stand in front of."""

    interface: Interface
    families: tuple[Family, ...]
    """What a policy grants it under; empty where an interface gives no authority of its own."""
    meaning: str
    """What a component does with it, as a phrase: ``reads standard input``."""
    capabilities: tuple[str, ...]
    """What its use may appear as in an audit event: ``filesystem.read``."""


class Refused(NamedTuple):
    """An import that nothing serves."""

    reason: str
    """One sentence without the import's own name."""


Classification: TypeAlias = Known | Refused

# No two alternatives match the same word: a search that fails must not try them in every combination.
_LABEL = r"(?:[a-z][a-z0-9]*|[A-Z][A-Z0-9]*)(?:-(?:[0-9]+|[0-9]*[a-z][a-z0-9]*|[0-9]*[A-Z][A-Z0-9]*))*"
_VERSION = r"[0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
_NAME = re.compile(rf"({_LABEL}):({_LABEL})/({_LABEL})(?:@({_VERSION}))?")
_RELEASE = re.compile(r"0\.2\.(?:0|[1-9][0-9]*)")

_Row: TypeAlias = tuple[tuple[Family, ...], str, tuple[str, ...]]

_INTERFACES: dict[str, dict[str, _Row]] = {
    "cli": {
        "environment": (
            ("environment", "arguments"),
            "reads all environment variables, the arguments and the working directory",
            ("environment", "arguments"),
        ),
        "exit": ((), "ends the program with a status", ()),
        "stdin": (("stdio",), "reads standard input", ("stdio.stdin",)),
        "stdout": (("stdio",), "writes standard output", ("stdio.stdout",)),
        "stderr": (("stdio",), "writes standard error", ("stdio.stderr",)),
        "terminal-input": ((), "is the handle of a terminal that is read", ()),
        "terminal-output": ((), "is the handle of a terminal that is written", ()),
        "terminal-stdin": (("stdio",), "asks whether standard input is a terminal", ("stdio.stdin",)),
        "terminal-stdout": (("stdio",), "asks whether standard output is a terminal", ("stdio.stdout",)),
        "terminal-stderr": (("stdio",), "asks whether standard error is a terminal", ("stdio.stderr",)),
    },
    "io": {
        "error": ((), "describes a failed read or write", ()),
        "poll": ((), "waits for what another interface opened", ()),
        "streams": ((), "reads and writes what another interface opened", ()),
    },
    "clocks": {
        "monotonic-clock": (("clocks",), "measures time and waits", ("clocks.monotonic",)),
        "wall-clock": (("clocks",), "reads the date and time", ("clocks.wall",)),
        "timezone": (("clocks",), "reads the time zone", ("clocks.wall",)),
    },
    "random": {
        "random": (("random",), "takes secure random numbers, for keys among others", ("random.secure",)),
        "insecure": (("random",), "takes random numbers that nothing secret rests on", ("random.insecure",)),
        "insecure-seed": (("random",), "takes a seed for its own hash tables", ("random.insecure-seed",)),
    },
    "filesystem": {
        "types": (
            ("filesystem",),
            "opens, reads, writes, lists, renames and removes files",
            ("filesystem.read", "filesystem.write"),
        ),
        "preopens": (("filesystem",), "asks which directories it was given", ("filesystem.read",)),
    },
    "sockets": {
        "network": ((), "names networks, addresses and their errors", ()),
        "instance-network": (("sockets",), "takes the network that sockets and look-ups need", ("sockets",)),
        "ip-name-lookup": (("sockets",), "looks up the addresses of host names", ("dns.resolve",)),
        "tcp": (
            ("sockets",),
            "connects to hosts and listens, over TCP",
            ("sockets.tcp.connect", "sockets.tcp.bind", "sockets.tcp.listen", "sockets.tcp.accept"),
        ),
        "tcp-create-socket": (("sockets",), "makes TCP sockets", ("sockets.tcp",)),
        "udp": (
            ("sockets",),
            "sends and receives over UDP",
            ("sockets.udp.bind", "sockets.udp.send", "sockets.udp.receive"),
        ),
        "udp-create-socket": (("sockets",), "makes UDP sockets", ("sockets.udp",)),
    },
    "http": {
        "types": (("http",), "builds and reads HTTP requests and responses", ()),
        "outgoing-handler": (("http",), "sends HTTP requests", ("http.request",)),
    },
}

_EXPORTED_ONLY = {("cli", "run"), ("http", "incoming-handler")}
"""Interfaces that a component offers to its host."""


def known_interfaces() -> Iterable[tuple[str, Known]]:
    """Every interface of the table with its name without a version, ``wasi:cli/stdin``."""
    for package, interfaces in _INTERFACES.items():
        for name in interfaces:
            interface = Interface(namespace="wasi", package=package, name=name, version=None)
            yield f"wasi:{package}/{name}", _known(interface)


def parse_interface(name: str) -> Interface | None:
    """``wasi:cli/stdin@0.2.3`` taken apart; ``None`` where ``name`` is no interface's name."""
    match = _NAME.fullmatch(name) if len(name) <= MAX_NAME else None
    if match is None:
        return None
    return Interface(namespace=match[1], package=match[2], name=match[3], version=match[4])


@functools.lru_cache(maxsize=1024)
def classify(import_name: str) -> Classification:
    """What an import of a component is: an interface of a release of WASI 0.2, or why nothing serves it."""
    interface = parse_interface(import_name)
    if interface is None:
        return Refused(reason="it is not the name of an interface, and only interfaces of WASI 0.2 are served")
    if interface.namespace != "wasi":
        return Refused(reason="it is not part of WASI; another component can serve it, by `imports` of the policy")
    package, version = interface.package, interface.version
    if package not in _INTERFACES:
        return Refused(reason=f"wasi:{package} is not part of WASI 0.2")
    if version is None:
        return Refused(reason="it has no version; only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...)")
    if "-" in version or "+" in version:
        return Refused(reason=f"{version} is no release; only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...)")
    if not _RELEASE.fullmatch(version):
        return Refused(reason=f"it is of version {version}; only releases of WASI 0.2 are served (0.2.0, 0.2.1, ...)")
    if (package, interface.name) in _EXPORTED_ONLY:
        return Refused(reason=f"wasi:{package}/{interface.name} is what a component exports; a host serves it to none")
    if interface.name not in _INTERFACES[package]:
        return Refused(reason=f"wasi:{package} has no interface {interface.name} in WASI 0.2")
    return _known(interface)


def _known(interface: Interface) -> Known:
    families, meaning, capabilities = _INTERFACES[interface.package][interface.name]
    return Known(interface=interface, families=families, meaning=meaning, capabilities=capabilities)
