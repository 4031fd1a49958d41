"""``sandbox lint``, ``rules`` and ``explain``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from sandbox.cli.failure import CommandError

if TYPE_CHECKING:
    import argparse

    from sandbox.lint.finding import Result


def lint(options: argparse.Namespace) -> int:
    """Lint what ``options`` name, mend it where asked to, report; the exit status."""
    from sandbox.host import read_machine
    from sandbox.lint.finding import SEVERITIES
    from sandbox.lint.linter import lint as find
    from sandbox.lint.mend import MendError, mend
    from sandbox.lint.paths import find_policies
    from sandbox.report.text import plain
    from sandbox.runtime.cache import default_directory

    found = find_policies(options.paths or ["."])
    if not found.files:
        where = plain(", ".join(options.paths)) or "this folder"
        raise CommandError(2, f"no policy was found in {where}: a policy is a YAML file with `components`")
    machine = read_machine(str(default_directory()))
    if options.fix is not None:
        try:
            for line in mend(found, machine, unsafe=options.fix == "unsafe"):
                sys.stderr.write(f"sandbox: {plain(line)}\n")
        except MendError as error:
            raise CommandError(2, plain(str(error))) from None
    result = find(found, machine)
    _write(options, _rendered(options, result))
    shown = [f for f in result.findings if f.ignored is None]
    if options.format == "sarif" and not options.fail:
        return 0
    if any(finding.unjudged for finding in shown):
        return 2
    least = SEVERITIES.index(options.min_severity)
    return int(any(SEVERITIES.index(finding.severity) >= least for finding in shown))


def _rendered(options: argparse.Namespace, result: Result) -> str:
    least = options.min_severity
    if options.format == "json":
        from sandbox.report.findings_json import findings_json

        return findings_json(result, min_severity=least)
    if options.format == "sarif":
        from sandbox import __version__
        from sandbox.lint.rules import all_rules, page
        from sandbox.report.sarif import sarif

        rules = all_rules()
        pages = {rule.id: page(rule.id) or "" for rule in rules}
        return sarif(result, rules=rules, pages=pages, version=__version__, min_severity=least, docs=options.docs)
    if options.format == "github":
        from sandbox.report.github import github

        return github(result, min_severity=least)
    if options.format == "junit":
        from sandbox.report.junit import junit

        return junit(result, min_severity=least)
    from sandbox.report import findings

    terminal = options.output is None and sys.stdout.isatty()
    return findings.text(
        result,
        min_severity=least,
        color=terminal and not os.environ.get("NO_COLOR"),
        width=os.get_terminal_size(1).columns if terminal else 100,
        sources={file: _lines(file) for file in dict.fromkeys(f.file for f in result.findings)},
    )


def _lines(path: str) -> list[str]:
    """The lines of a policy, to show findings in; none where it cannot be read as text."""
    from sandbox.policy.errors import PolicyError
    from sandbox.policy.file import read_policy_file

    try:
        return read_policy_file(path).decode("utf-8").removeprefix("\ufeff").split("\n")
    except (PolicyError, UnicodeDecodeError):
        return []


def _write(options: argparse.Namespace, text: str) -> None:
    from sandbox.report.text import plain

    if options.output is None:
        sys.stdout.write(text)
        return
    try:
        with open(options.output, "w", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "the name holds a zero byte"
        raise CommandError(2, f"{plain(options.output)} cannot be written: {why}") from None


def rules(_: argparse.Namespace) -> int:
    """List every rule."""
    from sandbox.lint.rules import all_rules

    known = all_rules()
    width = max(len(rule.id) for rule in known)
    for rule in known:
        sys.stdout.write(f"{rule.id.ljust(width)}  {rule.severity:6}  {rule.summary}\n")
    return 0


def explain(options: argparse.Namespace) -> int:
    """Print one rule's page."""
    from difflib import get_close_matches

    from sandbox.lint.rules import page, rule_ids

    text = page(options.rule)
    if text is None:
        near = get_close_matches(options.rule, rule_ids(), n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise CommandError(2, f"there is no rule {options.rule!r}{hint}; `sandbox rules` lists them")
    sys.stdout.write(text)
    return 0
