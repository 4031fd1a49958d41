"""What crosses between a guard and its worker where sockets are granted. Constants alone: both sides import it."""

from __future__ import annotations

ERROR_CODES = (
    "unknown",
    "access-denied",
    "not-supported",
    "invalid-argument",
    "out-of-memory",
    "timeout",
    "concurrency-conflict",
    "not-in-progress",
    "would-block",
    "invalid-state",
    "new-socket-limit",
    "address-not-bindable",
    "address-in-use",
    "remote-unreachable",
    "connection-refused",
    "connection-reset",
    "connection-aborted",
    "datagram-too-large",
    "name-unresolvable",
    "temporary-resolver-failure",
    "permanent-resolver-failure",
)
"""``error-code`` of ``wasi:sockets/network``, in its order."""

DONE, CLOSED, PENDING, ASK, FAILED = 0, 1, 2, 3, 16
"""What became of a call on a stream. ``PENDING``: taken, though not all of it is on its way yet. ``ASK``: done, but how
much may be written has to be asked before each write. ``FAILED`` and the number of an error code more: an error."""
PERMIT = 65536
"""Bytes that one write to a socket may hold; what ``check-write`` permits is never more."""
LEAST_PERMIT = 4096
"""What it is at least: a ``blocking-write-and-flush`` may hold as many, by its specification."""
MAX_OBJECT = (1 << 26) - 1
"""The highest number of a socket or lookup: four bits of a handle's representation say what is meant of it."""
MAX_OWNERS = 32
"""Components of a program."""
MAX_INSTANCES = 256
"""Instances of them."""
MAX_DATAGRAMS = 16
"""Datagrams that one call hands out or takes; WASI leaves it to the host."""
