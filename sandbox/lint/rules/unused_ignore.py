"""A comment that ignores nothing. The linter finds it, since it knows what the other rules found."""

from __future__ import annotations

from sandbox.lint.rule import Rule

RULE = Rule(
    id="unused-ignore",
    summary="a comment asks for a finding to be ignored that is not there",
    severity="medium",
    confidence="high",
    check=None,
)
