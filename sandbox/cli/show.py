"""``sandbox inspect``, ``init`` and ``schema``: they show something and run nothing."""

from __future__ import annotations

import argparse
import json
import sys

from sandbox.cli.failure import CommandError
from sandbox.component import ComponentError, Facts, Inside, facts_of, inside, read_bytes, read_component
from sandbox.runtime.outcome import Status


def inspect(options: argparse.Namespace) -> int:
    from sandbox.report.inspect import inspect_data, inspect_text

    facts, inner = _with_inside(options.path)
    shown = json.dumps(inspect_data(facts, inner), indent=2) + "\n" if options.json else inspect_text(facts, inner)
    sys.stdout.write(shown)
    return 0


def init(options: argparse.Namespace) -> int:
    from sandbox.report.draft import draft_policy, suggest_name

    facts = _facts(options.path)
    try:
        sys.stdout.write(draft_policy(facts, options.path, options.name or suggest_name(options.path)))
    except ValueError as error:
        raise CommandError(Status.COMPONENT, str(error)) from None
    return 0


def schema(_: argparse.Namespace) -> int:
    from sandbox.policy.schema import policy_schema

    sys.stdout.write(json.dumps(policy_schema(), indent=2) + "\n")
    return 0


def _with_inside(path: str) -> tuple[Facts, Inside]:
    try:
        data = read_bytes(path)
        return facts_of(path, data), inside(data)
    except ComponentError as error:
        raise CommandError(Status.COMPONENT, str(error)) from None


def _facts(path: str) -> Facts:
    try:
        return read_component(path)
    except ComponentError as error:
        raise CommandError(Status.COMPONENT, str(error)) from None
