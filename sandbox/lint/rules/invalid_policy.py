"""What is wrong with a policy as the language has it. The linter takes the loader's own faults."""

from __future__ import annotations

from sandbox.lint.rule import Rule

RULE = Rule(
    id="invalid-policy",
    summary="the policy cannot be used: it has a fault",
    severity="high",
    confidence="high",
    check=None,
    unjudged=True,
)
