"""Pairs of policies from plain data, and what is said of them."""

from __future__ import annotations

import json
from typing import Any

from sandbox.compare.change import Change
from sandbox.compare.places import find_places
from sandbox.compare.policies import compare
from sandbox.policy.load import parse_policy
from sandbox.policy.model import Policy


def policy(component: dict[str, Any] | None = None, file: str = "new.yaml", **components: Any) -> Policy:
    """A policy in ``/p`` for the component ``c``, or for those that are named; one key a line."""
    named = components if component is None else {"c": component}
    text = json.dumps({"version": 1, "components": named}, indent=1)
    return parse_policy(text.encode(), file=file, directory="/p")


def changes(old: Policy | None, new: Policy | None) -> tuple[Change, ...]:
    """On a machine on which nothing that is named exists."""
    there = [side for side in (old, new) if side is not None]
    return compare(old, new, find_places(there, "/p", identity=lambda _: None))


def said(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """``kind capability: text`` of each change of one component."""
    found = changes(policy(old, "old.yaml"), policy(new))
    return [f"{change.kind} {change.capability}: {change.text}" for change in found]


def granted(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """``said`` of two mappings of grants."""
    return said({"grants": old}, {"grants": new})
