"""A comment that names no rule. The linter finds it, since it reads the comments."""

from __future__ import annotations

from sandbox.lint.rule import Rule

RULE = Rule(
    id="unknown-ignore",
    summary="a comment asks for findings of a rule to be ignored that does not exist",
    severity="medium",
    confidence="high",
    check=None,
)
