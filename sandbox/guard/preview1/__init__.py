"""The guard of a preview 1 module: two core modules, the same for every guest, between it and Wasmtime's preview 1.

Wasmtime's functions act on the memory of whoever calls them, and the guest's memory exists only once the guest does. So
the *base* is instantiated first: its functions, which the guest imports, lead through a table. Then the guest. Then
the *shim*, which takes the guest's memory and fills the table; it knows what each descriptor stands for, refuses,
counts and tells, and passes on what is granted. What is asked on the shim's own account goes through the base's memory.
"""

from __future__ import annotations

from sandbox.guard.preview1.layout import CONFIG, SITES, configuration

__all__ = ["CONFIG", "SITES", "base_text", "configuration", "shim_text", "without_start"]


def base_text() -> str:
    """The base, as text."""
    from sandbox.guard.preview1 import base

    return base.base_text()


def shim_text() -> str:
    """The shim, as text."""
    from sandbox.guard.preview1 import shim

    return shim.shim_text()


def without_start(data: bytes) -> tuple[bytes, str | None]:
    """A module without its start section, and the name that its function is exported under instead: see ``start``."""
    from sandbox.guard.preview1 import start

    return start.without_start(data)
