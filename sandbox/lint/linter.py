"""Linting: from policy files to findings. Components that policies name are read, never run."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from sandbox.component import ComponentError, read_component
from sandbox.host import Machine, Thing, ThingKind, absolute, contents, look_at
from sandbox.lint.case import Case, Component, HostUse, LockState, region_of
from sandbox.lint.finding import Finding, Region, Result
from sandbox.lint.ignores import Ignore, ignores
from sandbox.lint.lock import Lock, LockError, key_of, locked_facts, read_lock
from sandbox.lint.paths import Found
from sandbox.lint.rule import Problem, Rule
from sandbox.lint.rules import all_rules
from sandbox.lint.secrets import form_of
from sandbox.lint.wires import Wiring
from sandbox.policy.errors import Fault, PolicyError
from sandbox.policy.file import policy_directory, read_policy_file
from sandbox.policy.globs import Pattern
from sandbox.policy.load import digest_of, policy_of
from sandbox.policy.model import ComponentPolicy, Policy
from sandbox.source import Document, Mark, parse, render_route

DEPTH = 2
"""Levels of a granted directory that are looked at for what should not be in it."""
ENTRIES = 2000
"""Entries of a granted directory that are looked at."""
MATCHES = 200_000
"""Comparisons of such entries with what a component's grants except; with many exceptions fewer are looked at."""
MAX_FINDINGS = 1000
"""Findings of one policy; there is one more that says that others were left out."""

Look = Callable[[str], Thing]


class Listing(Protocol):
    """What lies below a directory; see ``host.contents``."""

    def __call__(self, directory: str, *, depth: int, most: int) -> tuple[tuple[str, ThingKind], ...]: ...


_WORD = re.compile(r"[^\s,\[\]{}]+")


def lint(found: Found, machine: Machine) -> Result:
    """Everything that the rules find in these policies. Never raises for what is in a file."""
    linter = Linter(machine)
    return Result(
        files=found.files,
        skipped=found.skipped,
        findings=tuple(finding for file in found.files for finding in linter.file(file)),
    )


class Linter:
    """Lints policies one by one; what several of them name is read once."""

    def __init__(self, machine: Machine, *, look: Look = look_at, listing: Listing = contents) -> None:
        self._machine, self._look_at, self._list = machine, look, listing
        self._rules = {rule.id: rule for rule in all_rules()}
        self._components: dict[str, Component] = {}
        self._locks: dict[str, Lock | LockError | None] = {}
        self._things: dict[str, Thing] = {}
        self._contents: dict[str, tuple[tuple[str, ThingKind], ...]] = {}

    def file(self, path: str) -> tuple[Finding, ...]:
        """The findings in the policy at ``path``, in the order of the file."""
        try:
            text = read_policy_file(path)
        except PolicyError as error:
            return tuple(self._fault(fault, [""]) for fault in error.faults)
        return self.text(text, file=path, directory=policy_directory(path))

    def text(self, text: bytes, *, file: str, directory: str) -> tuple[Finding, ...]:
        """The same for a policy that was read already, or that is not in a file yet."""
        document = parse(text)
        digest = digest_of(text)
        try:
            policy = policy_of(document, digest=digest, file=file, directory=directory)
        except PolicyError as error:
            lines = text.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
            return tuple(self._fault(fault, lines) for fault in error.faults)
        files = {component.name: self._read(policy, component) for component in policy.components}
        known = {c.name: files[c.name] for c in policy.components if not files[c.name].mismatches(c)}
        wiring = Wiring(policy, {name: file.facts for name, file in known.items() if file.facts is not None})
        cases = [self._case(policy, c, document, files[c.name], wiring) for c in policy.components]
        found = [finding for case in cases for finding in self._look_for(case)]
        all_read = all(case.file.status == "read" for case in cases)
        found = sorted(self._ignored(found, document, file, known=all_read), key=_order)
        left_out = len(found) - MAX_FINDINGS
        if left_out > 0:
            last = found[MAX_FINDINGS]
            message = f"{left_out:,} more findings from here on are left out"
            fault = Fault(file=file, line=last.region.line, column=last.region.column, route="", message=message)
            found = [*found[:MAX_FINDINGS], self._fault(fault, document.text.split("\n"))]
        return tuple(found)

    def _case(
        self, policy: Policy, component: ComponentPolicy, document: Document, file: Component, wiring: Wiring
    ) -> Case:
        return Case(
            policy=policy,
            component=component,
            document=document,
            file=file,
            lock=self._lock_state(policy, component),
            machine=self._machine,
            uses=tuple(self._uses(policy, component)),
            wiring=wiring,
        )

    def _look_for(self, case: Case) -> Iterator[Finding]:
        for rule in self._rules.values():
            for problem in rule.check(case) if rule.check is not None else ():
                yield _finding(rule, problem, case)

    def _read(self, policy: Policy, component: ComponentPolicy) -> Component:
        if component.source is None:
            return Component(status="unnamed")
        path = absolute(component.source, policy.directory)
        found = self._components.get(path)
        if found is None:
            found = self._components[path] = _read_file(path)
        state = self._lock_state(policy, component)
        if found.status == "missing" and state is not None and state.locked is not None:
            locked = state.locked
            if component.digest in (None, locked.digest):
                return Component(status="locked", path=path, facts=locked_facts(locked, path), error=found.error)
        return found

    def _lock_state(self, policy: Policy, component: ComponentPolicy) -> LockState | None:
        directory = policy.directory
        if directory not in self._locks:
            try:
                self._locks[directory] = read_lock(directory)
            except LockError as error:
                self._locks[directory] = error
        lock = self._locks[directory]
        if lock is None:
            return None
        path = os.path.join(directory, "sandbox.lock")
        if isinstance(lock, LockError):
            return LockState(path=path, error=str(lock))
        return LockState(path=path, locked=lock.entries.get(key_of(component.source)) if component.source else None)

    def _uses(self, policy: Policy, component: ComponentPolicy) -> Iterator[HostUse]:
        root = ("components", component.name, "grants")
        listed = set()
        most = MATCHES // max(1, sum(len(grant.excepted) for grant in component.grants.filesystem))
        for number, grant in enumerate(component.grants.filesystem):
            thing = self._look(self._absolute(grant.host, policy.directory))
            excepted = tuple(map(Pattern.parse, grant.excepted))
            inside = self._listing(thing.real) if thing.kind == "directory" and thing.real not in listed else ()
            listed.add(thing.real)
            yield HostUse(
                route=(*root, "filesystem", number, "host"),
                written=grant.host,
                thing=thing,
                writable=grant.access == "write",
                grant=number,
                excepted=excepted,
                contents=tuple(
                    (path, kind)
                    for path, kind in inside[:most]
                    if not any(pattern.after(path.split("/"))[0] for pattern in excepted)
                ),
            )
        stdio = component.grants.stdio
        for name, stream in (("stdin", stdio.stdin), ("stdout", stdio.stdout), ("stderr", stdio.stderr)):
            if stream is not None and stream.path is not None:
                path = self._absolute(stream.path, policy.directory)
                yield HostUse(
                    route=(*root, "stdio", name, "file"),
                    written=stream.path,
                    thing=self._look(path),
                    writable=name != "stdin",
                    grant=None,
                    held=self._look(os.path.dirname(path)).kind in ("directory", "unknown"),
                )

    def _absolute(self, path: str, directory: str) -> str:
        """``path`` as a policy in ``directory`` means it, on the machine that it is judged for."""
        at_home = path == "~" or path.startswith("~/")
        whole = absolute(self._machine.home + path[1:] if at_home else path, directory)
        # normpath keeps two leading slashes.
        return f"/{whole.lstrip('/')}"

    def _look(self, path: str) -> Thing:
        if path not in self._things:
            self._things[path] = self._look_at(path)
        return self._things[path]

    def _listing(self, directory: str) -> tuple[tuple[str, ThingKind], ...]:
        if directory not in self._contents:
            self._contents[directory] = self._list(directory, depth=DEPTH, most=ENTRIES)
        return self._contents[directory]

    def _fault(self, fault: Fault, lines: Sequence[str]) -> Finding:
        rule = self._rules[rule_of_fault(fault)]
        number, column = fault.line, fault.column
        if number > len(lines):  # where the text ends without a line's end, the parser counts one more
            number, column = len(lines), len(lines[-1].rstrip("\r")) + 1
        line = lines[number - 1].rstrip("\r")
        word = _WORD.match(line, column - 1)
        end = word.end() + 1 if word is not None else column
        hint = f" (did you mean '{fault.hint}'?)" if fault.hint is not None else ""
        return Finding(
            rule=rule.id,
            severity=rule.severity,
            confidence=rule.confidence,
            message=fault.message + hint,
            file=fault.file,
            region=Region(line=number, column=column, end_line=number, end_column=end),
            route=fault.route,
            snippet=line[column - 1 : end - 1],
            # No rule looks for secrets in a policy that does not load.
            conceals=form_of(line) is not None,
            unjudged=True,
        )

    def _ignored(self, found: list[Finding], document: Document, file: str, *, known: bool) -> Iterator[Finding]:
        """The findings, those marked that a comment asks to be ignored, and what is wrong with such comments.

        ``known``: whether all the components were read, so that what is not found is not there.
        """
        settled = {"policy", "component"} if known else {"policy"}
        asked: dict[tuple[str, int], Ignore] = {}
        for ignore in ignores(document):
            wrong = self._objection(ignore)
            if wrong is not None:
                yield self._comment(ignore, *wrong, document, file)
            else:
                asked.setdefault((ignore.rule, ignore.line), ignore)
        used = set()
        for finding in found:
            at = (finding.rule, finding.region.line)
            if at in asked and not finding.unjudged:
                used.add(at)
                finding = replace(finding, ignored=asked[at].reason)
            yield finding
        for at, ignore in asked.items():
            if at not in used and self._rules[ignore.rule].rests_on in settled:
                message = f"{ignore.rule} finds nothing on line {ignore.line}, so there is nothing to ignore"
                yield self._comment(ignore, "unused-ignore", message, document, file)

    def _objection(self, ignore: Ignore) -> tuple[str, str] | None:
        if not ignore.rule:
            return "unknown-ignore", "the comment names no rule: write `# sandbox: ignore[rule] reason`"
        if ignore.rule not in self._rules:
            return "unknown-ignore", f"there is no rule {ignore.rule!a}; `sandbox rules` lists them"
        if not ignore.reason:
            return "ignore-without-reason", "no reason stands behind the bracket, so nothing is ignored"
        return None

    def _comment(self, ignore: Ignore, rule: str, message: str, document: Document, file: str) -> Finding:
        known = self._rules[rule]
        region = ignore.comment if rule == "ignore-without-reason" else ignore.region
        return Finding(
            rule=rule,
            severity=known.severity,
            confidence=known.confidence,
            message=message,
            file=file,
            region=region,
            route="",
            snippet=_snippet(document, region),
        )


def rule_of_fault(fault: Fault) -> str:
    """The rule that a fault of the policy language belongs to."""
    if re.fullmatch(r"components(?:\.[^.\[\]]+|\[\"[^\"]*\"\])\.digest", fault.route):
        return "malformed-digest"
    if "whole environment" in fault.message:
        return "whole-environment"
    return "invalid-policy"


def _finding(rule: Rule, problem: Problem, case: Case) -> Finding:
    region = region_of(case.document, problem.route, problem.on)
    return Finding(
        rule=rule.id,
        severity=problem.severity or rule.severity,
        confidence=problem.confidence or rule.confidence,
        message=problem.message,
        file=case.policy.file,
        region=region,
        route=render_route(problem.route),
        snippet=_snippet(case.document, region),
        component=case.component.name,
        related=problem.related,
        fix=problem.fix,
        conceals=rule.conceals,
        unjudged=rule.unjudged,
    )


def _snippet(document: Document, region: Region) -> str:
    start = document.offset(Mark(region.line, region.column))
    if region.end_line == region.line:
        return document.text[start : document.offset(Mark(region.end_line, region.end_column))].rstrip("\r")
    return document.text[start : document.text.find("\n", start)].rstrip("\r")


def _order(finding: Finding) -> tuple[int, int, str]:
    return finding.region.line, finding.region.column, finding.rule


def _read_file(path: str) -> Component:
    if not os.path.lexists(path):
        return Component(status="missing", path=path, error=f"there is no file at {path}")
    try:
        return Component(status="read", path=path, facts=read_component(path))
    except ComponentError as error:
        return Component(status="unreadable", path=path, error=error.message)
