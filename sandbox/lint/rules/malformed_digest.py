"""A digest that no file has. What the language refuses, the loader finds; what is left are placeholders."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from sandbox.lint.case import Case
from sandbox.lint.finding import Fix
from sandbox.lint.fixes import replace_value
from sandbox.lint.rule import Problem, Rule

_OF_NOTHING = sha256(b"").hexdigest()


def placeholder(digest: str) -> str | None:
    """What a digest is that was never taken of a component, as the end of a sentence; ``None``: it may have been."""
    digits = digest.removeprefix("sha256:")
    if digits == _OF_NOTHING:
        return "the digest of an empty file"
    for length in (1, 2, 4, 8, 16):
        if digits == digits[:length] * (len(digits) // length):
            return f"the same {f'{length} digits' if length > 1 else 'digit'} over and over, a placeholder"
    return None


def pin(case: Case) -> Fix | None:
    """Pin what is at ``source`` in place of what is pinned. That it is the right one nobody has said."""
    if case.facts is None:
        return None
    edits = replace_value(case.document, case.route("digest"), case.facts.digest, case.facts.digest)
    return Fix(message="pin the file as it is now; review it first", edits=edits, safe=False) if edits else None


def _check(case: Case) -> Iterator[Problem]:
    what = placeholder(case.component.digest) if case.component.digest is not None else None
    if what is not None:
        message = f"this is {what}: no component has this digest, so each run is refused"
        yield Problem(route=case.route("digest"), message=message, fix=pin(case))


RULE = Rule(
    id="malformed-digest",
    summary="the digest is one that no component has",
    severity="high",
    confidence="high",
    check=_check,
)
