"""The rules, one a module, each with its page beside it; whatever module is here is a rule."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from sandbox.lint.rule import Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, by id."""
    return tuple(_rule(module.name) for module in sorted(iter_modules(__path__), key=lambda module: module.name))


def rule_ids() -> tuple[str, ...]:
    """The ids of all rules, in order, without loading any."""
    return tuple(sorted(module.name.replace("_", "-") for module in iter_modules(__path__)))


def page(rule: str) -> str | None:
    """The page of a rule in Markdown; ``None`` where there is no such rule."""
    if rule not in rule_ids():
        return None
    return (Path(__file__).parent / f"{rule.replace('-', '_')}.md").read_text(encoding="utf-8")


def _rule(module: str) -> Rule:
    rule: Rule = import_module(f"{__name__}.{module}").RULE
    return rule
