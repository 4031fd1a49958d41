"""Run untrusted WebAssembly under a capability policy, every refusal audited: components, and preview 1 modules.

``Policy.load`` reads a policy, ``run`` runs a component of it once, ``Sandbox`` many times; how a run ended is an
``Outcome`` with its audit ``Event`` values. Names are loaded when they are first used, so that importing costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.audit.events import Event
    from sandbox.component import ComponentError
    from sandbox.plan import PlanError
    from sandbox.policy.errors import PolicyError
    from sandbox.policy.model import Policy
    from sandbox.runtime.cache import CacheError
    from sandbox.runtime.outcome import Outcome, Status, Usage
    from sandbox.runtime.pool import Sandbox, run
    from sandbox.runtime.session import UsageError

__version__ = "0.1.0"

__all__ = [
    "CacheError",
    "ComponentError",
    "Event",
    "Outcome",
    "PlanError",
    "Policy",
    "PolicyError",
    "Sandbox",
    "Status",
    "Usage",
    "UsageError",
    "run",
]

_HOMES = {
    "CacheError": "sandbox.runtime.cache",
    "ComponentError": "sandbox.component",
    "Event": "sandbox.audit.events",
    "Outcome": "sandbox.runtime.outcome",
    "PlanError": "sandbox.plan",
    "Policy": "sandbox.policy.model",
    "PolicyError": "sandbox.policy.errors",
    "Sandbox": "sandbox.runtime.pool",
    "Status": "sandbox.runtime.outcome",
    "Usage": "sandbox.runtime.outcome",
    "UsageError": "sandbox.runtime.session",
    "run": "sandbox.runtime.pool",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
