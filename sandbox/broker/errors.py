"""What the kernel says is wrong, in the words of ``wasi:sockets/network``."""

from __future__ import annotations

import errno

_ERRORS = {
    errno.EACCES: "access-denied",
    errno.EPERM: "access-denied",
    errno.EOPNOTSUPP: "not-supported",
    errno.ENOPROTOOPT: "not-supported",
    errno.EAFNOSUPPORT: "not-supported",
    errno.EINVAL: "invalid-argument",
    errno.ENOMEM: "out-of-memory",
    errno.ENOBUFS: "out-of-memory",
    errno.ETIMEDOUT: "timeout",
    errno.EALREADY: "concurrency-conflict",
    errno.EAGAIN: "would-block",
    errno.ENOTCONN: "invalid-state",
    errno.EISCONN: "invalid-state",
    errno.EMFILE: "new-socket-limit",
    errno.ENFILE: "new-socket-limit",
    errno.EADDRNOTAVAIL: "address-not-bindable",
    errno.EADDRINUSE: "address-in-use",
    errno.EHOSTUNREACH: "remote-unreachable",
    errno.EHOSTDOWN: "remote-unreachable",
    errno.ENETUNREACH: "remote-unreachable",
    errno.ENETDOWN: "remote-unreachable",
    errno.ENETRESET: "remote-unreachable",
    errno.ECONNREFUSED: "connection-refused",
    errno.ECONNRESET: "connection-reset",
    errno.ECONNABORTED: "connection-aborted",
    errno.EMSGSIZE: "datagram-too-large",
}

DESCRIBED = {name: number for number, name in reversed(_ERRORS.items())}
"""For a name, the first of the kernel's errors that it stands for, whose words describe it."""


def error_code(error: OSError) -> str:
    """The name of the error-code that says what the kernel said."""
    return _ERRORS.get(error.errno or 0, "unknown")
