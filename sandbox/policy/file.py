"""The bytes of a policy file. Light: a run whose policy is cached needs these and no parser."""

from __future__ import annotations

import os
import stat

from sandbox.policy.errors import Fault, PolicyError

READ_LIMIT = 1024 * 1024 + 1
"""Bytes read at most: one more than a policy may have, so that the parser sees a file that is too large."""


def read_policy_file(path: str | os.PathLike[str]) -> bytes:
    """The first ``READ_LIMIT`` bytes of a regular file. Raises ``PolicyError`` when it cannot be read."""
    try:
        # A FIFO would block in open() until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PolicyError((_fault(path, "cannot be read: it is not a regular file"),))
            data = file.read(READ_LIMIT)
            if data.startswith(b"\0asm"):
                raise PolicyError(
                    (_fault(path, "this is WebAssembly; name a policy first (`sandbox init` drafts one)"),)
                )
            return data
    except OSError as error:
        raise PolicyError((_fault(path, f"cannot be read: {error.strerror or error}"),)) from error
    except ValueError as error:
        raise PolicyError((_fault(path, "cannot be read: the path holds a NUL character"),)) from error


def policy_directory(path: str | os.PathLike[str]) -> str:
    """The absolute directory, free of symbolic links, that the relative paths of the policy at ``path`` start from."""
    return os.path.realpath(os.path.dirname(os.fspath(path)) or os.curdir)


def _fault(path: str | os.PathLike[str], message: str) -> Fault:
    return Fault(file=os.fspath(path), line=1, column=1, route="", message=message)
