"""Host names: the one form in which they are judged and looked up, and the looking up itself."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sandbox.policy.addresses import LABEL, Address, canonical, numeric, parse, zone

MAX_NAME = 253
"""Characters of the longest host name."""
MAX_ADDRESSES = 64
"""Addresses of one answer that are looked at; what a resolver says beyond that is dropped."""

_RES_DNSRCH = 0x200
"""The option of glibc's resolver, in ``_res.options`` of each thread, to try a name with dots below other domains."""

_NUMERIC_END = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.DOTALL)

_FAILURES = {
    socket.EAI_NONAME: "name-unresolvable",
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): "name-unresolvable",
    getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME): "name-unresolvable",
    socket.EAI_FAIL: "permanent-resolver-failure",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a resolver answered: addresses in canonical form, each once, in its order; and the name's final alias."""

    addresses: tuple[Address, ...]
    alias: str | None = None


class ResolverError(Exception):
    """No answer. ``error`` is the name of the error-code of ``wasi:sockets/network``."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


def normalise(written: str) -> str | Address:
    """A host name in lower-case ASCII without its final dot, or the address that ``written`` is a spelling of.

    Whatever looks like a number to some resolver is an address or nothing. Raises ``ValueError`` for what is neither.
    """
    if len(written) > MAX_NAME + 1:
        raise ValueError("longer than a host name")
    name = written
    if not name.isascii():
        # Maps full-width digits, dots of other scripts and the like; what comes out is judged like any other text.
        name = name.encode("idna").decode("ascii")
    name = name.lower()
    if ":" in name:
        return parse(name[1:-1] if name[:1] == "[" and name[-1:] == "]" else name)
    name = name.removesuffix(".")
    if _NUMERIC_END.fullmatch(name):
        address = numeric(name)
        if address is None:
            raise ValueError("numbers, but no address")
        return address
    if len(name) > MAX_NAME or not all(map(LABEL.fullmatch, name.split("."))):
        raise ValueError("not a host name")
    return name


def look_up(name: str) -> Found:
    """Ask the host's resolver for the addresses of a normalised name; takes as long as it takes.

    Raises ``ResolverError``.
    """
    try:
        with _no_completion():
            # Bytes: as text, the name would go through a second normalisation, after it was judged.
            answers = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)
        return found([str(a[4][0]) for a in answers], next((a[3] for a in answers if a[3]), None))
    except socket.gaierror as error:
        raise ResolverError(_FAILURES.get(error.errno or 0, "temporary-resolver-failure")) from None
    except OSError:
        raise ResolverError("temporary-resolver-failure") from None
    except ValueError:  # text of an answer that is none
        raise ResolverError("permanent-resolver-failure") from None


@contextmanager
def _no_completion() -> Iterator[None]:
    """Have this thread's lookups take a name with a dot for the whole name, whatever ``search`` and ``ndots`` the host
    is configured with: what there is under another name is not what was judged. Short names are completed as ever.

    A final dot would say the same to a nameserver, but no line of ``/etc/hosts`` has one, and those come first.
    """
    import ctypes

    libc = ctypes.CDLL(None)
    try:
        initialise, state = libc.__res_init, libc.__res_state
    except AttributeError:  # not glibc
        yield
        return
    state.restype = ctypes.c_void_p
    initialise()
    options = ctypes.c_ulong.from_address(state() + 2 * ctypes.sizeof(ctypes.c_int))
    before = options.value
    options.value &= ~_RES_DNSRCH
    try:
        yield
    finally:
        options.value = before


def found(texts: list[str], alias: str | None = None) -> Found:
    """An answer put into canonical form. Addresses with a zone are left out: nobody could connect to them.

    Raises ``ValueError``.
    """
    addresses: dict[Address, None] = {}
    for text in texts:
        address = parse(text)
        if zone(address) is None:
            addresses[canonical(address)] = None
        if len(addresses) == MAX_ADDRESSES:
            break
    try:
        name = normalise(alias) if alias else None
    except ValueError:
        name = None  # no rule could name it
    return Found(tuple(addresses), name if isinstance(name, str) else None)
