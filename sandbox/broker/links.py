"""Where a new symbolic link may point. Light: every run that may write has it at hand from the start."""

from __future__ import annotations


def stays_below(target: str) -> bool:
    """Whether a link to ``target`` points below its own directory, wherever that is moved."""
    return not target.startswith("/") and ".." not in target.split("/")
