"""A comment that ignores a finding and gives no reason. The linter finds it, since it reads the comments."""

from __future__ import annotations

from sandbox.lint.rule import Rule

RULE = Rule(
    id="ignore-without-reason",
    summary="a comment asks for a finding to be ignored and does not say why",
    severity="medium",
    confidence="high",
    check=None,
)
