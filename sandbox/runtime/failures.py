"""What becomes of an exception in a host function, which must not get back to Wasmtime."""

from __future__ import annotations

from collections.abc import Callable


def trap_message(name: str) -> str:
    """What the guest's trap says; it tells nothing of the host."""
    return f"the host's function {name} failed"


def tell(failed: Callable[[str, Exception], None], name: str, error: BaseException) -> None:
    """Tell ``failed`` the function's name and the error, whatever that is."""
    try:
        failed(name, error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
    except BaseException:  # noqa: BLE001, S110 - there is nobody left to tell; the guest traps all the same
        pass
