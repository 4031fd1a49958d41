"""Each rule: its page, and the specimens on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandbox.lint.mend import mended
from sandbox.lint.rules import all_rules, page, rule_ids
from tests.lint.specimens import PAGES, SECTIONS, lint, linter, prepare, printed, specimens

FIRES = [(rule, number) for rule in rule_ids() for number, s in enumerate(specimens(page(rule) or "")) if s.shown]
"""Each specimen under Avoid: the rule and the number of the block on its page."""


def test_a_rule_is_called_as_its_module_and_its_page() -> None:
    """The id is the module's name with hyphens; each module has a page, and no page is without a module."""
    modules = sorted(path.stem for path in PAGES.glob("*.py") if path.stem != "__init__")
    assert [rule.id.replace("-", "_") for rule in all_rules()] == modules
    assert sorted(path.stem for path in PAGES.glob("*.md")) == modules


@pytest.mark.parametrize("rule", rule_ids())
def test_a_page_says_what_to_avoid_and_what_to_prefer_and_why(rule: str) -> None:
    """The sections stand on each page in their order, under the rule's id, and none is empty."""
    text = page(rule) or ""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^#+ (.*)$", prose, re.MULTILINE) == [rule, *SECTIONS]
    bodies = re.split(r"^#+ .*$", prose, flags=re.MULTILINE)[2:]
    assert [section for section, body in zip(SECTIONS, bodies, strict=True) if not body] == []


@pytest.mark.parametrize("rule", rule_ids())
def test_each_rule_has_specimens_of_both_kinds(rule: str) -> None:
    """There is a policy that it fires on, and one that it does not."""
    kinds = {specimen.shown is not None for specimen in specimens(page(rule) or "")}
    assert kinds == {True, False}


@pytest.mark.parametrize("rule", rule_ids())
def test_specimens_print_what_their_page_shows(rule: str, tmp_path: Path) -> None:
    """What is to be avoided fires this rule alone, at the places on the page; what is to be preferred fires none."""
    for number, specimen in enumerate(specimens(page(rule) or "")):
        place = tmp_path / str(number)
        place.mkdir()
        findings = lint(specimen.text, place)
        assert printed(findings, place) == (specimen.shown or "")
        assert {f.rule for f in findings if f.ignored is None} == ({rule} if specimen.shown else set())


@pytest.mark.parametrize(("rule", "number"), FIRES)
@pytest.mark.parametrize("unsafe", [False, True])
def test_what_a_fix_claims_to_mend_is_mended(rule: str, number: int, unsafe: bool, tmp_path: Path) -> None:
    """After ``--fix`` nothing is left that has such a fix, its comments are still there, and again changes nothing."""
    specimen = [*specimens(page(rule) or "")][number]
    policy = prepare(specimen.text, tmp_path)
    looks = linter(tmp_path)
    before = policy.read_bytes()
    after, applied = mended(looks, before, file=str(policy), unsafe=unsafe)
    assert mended(looks, after, file=str(policy), unsafe=unsafe) == (after, ())
    left = looks.text(after, file=str(policy), directory=str(tmp_path))
    assert [f for f in left if f.ignored is None and f.fix is not None and (f.fix.safe or unsafe)] == []
    if applied:
        assert after != before
        alone = re.compile(rb"^\s*#.*$", re.MULTILINE)
        assert alone.findall(after) == alone.findall(before)
    else:
        assert after == before
