"""Limits that a policy does not state, and how it would state their defaults."""

from __future__ import annotations

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import insert_key


def states(case: Case, limit: str) -> bool:
    """Whether the policy says what a limit is."""
    return case.says("limits", limit)


def stating(case: Case, limit: str, default: str) -> Fix | None:
    """Write the default of a limit down. Those that import from a component that has limits do not run."""
    safe = not case.wiring.importers(case.component.name)
    edits = insert_key(case.document, case.route("limits"), limit, default, default)
    return Fix(message=f"state the default, `{limit}: {default}`", edits=edits, safe=safe) if edits else None
