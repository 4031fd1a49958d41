"""A policy that asks for the whole environment, which is never granted. The linter takes the loader's own faults."""

from __future__ import annotations

from sandbox.lint.rule import Rule

RULE = Rule(
    id="whole-environment",
    summary="the policy asks for the host's whole environment, which is never granted",
    severity="high",
    confidence="high",
    check=None,
    unjudged=True,
)
