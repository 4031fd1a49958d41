"""The places in a guard that speak to the host: each function that may be refused, by number, and why it was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

HOST_INSTANCE = "sandbox:guard/host"
"""Where the worker's callbacks are found; no guest can import it, since it is no interface of WASI."""


class Reason(IntEnum):
    """Why the guard refused, or passed on a refusal. ``WRITES`` is added where the call would have written."""

    NATIVE = 0
    """Wasmtime or the host refused: read-only directory, path that leads out, or the host's own permissions."""
    UNGRANTED = 1
    """No grant covers the path: it is below the decoy root."""
    SPECIAL_FILE = 2
    HARD_LINK = 3
    HANDLES = 4
    DISK = 5
    ACROSS_GRANTS = 6
    LEADS_OUT = 7
    EXCEPTED = 8
    MASKED = 9
    """Another grant stands at this path of the guest's."""
    SYMBOLIC_LINK = 10
    """The path goes through a link, in a grant where none is followed or made."""
    LINK_TARGET = 11
    """A new link would not point below its own directory."""
    ABOVE_GRANT = 12
    ABOVE_EXCEPTION = 13
    KERNEL = 14
    """An interface of the kernel is mounted at this path, or below one that would be renamed."""
    OUT_OF_FILES = 15
    """Wasmtime failed for a reason that the want of file descriptors may be; the host knows whether it is."""
    WRITES = 0x100


@dataclass(frozen=True, slots=True)
class Site:
    """One guarded function: its interface as the guest imports it, its name, and the capability that it needs."""

    interface: str
    function: str
    capability: str
    address: bool = False
    """Whether the raw values that it sends are those of an ``ip-socket-address`` (or an option of one)."""
    instance: int = 0
    """The number, in its program, of the instance that calls it."""

    def to_data(self) -> list[object]:
        return [self.interface, self.function, self.capability, self.address, self.instance]


def site_from_data(data: list[object]) -> Site:
    """Raises ``ValueError`` for what ``to_data`` never gives."""
    interface, function, capability, address, instance = data
    if type(instance) is not int:
        raise ValueError("a site names its instance by a number")
    return Site(str(interface), str(function), str(capability), bool(address), instance)
