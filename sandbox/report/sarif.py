"""What linting found, as a SARIF 2.1.0 log, the form that code scanning services take."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias
from urllib.parse import quote

from sandbox.lint.finding import Edit, Finding, Fix, Region, Result, Severity
from sandbox.lint.rule import Rule
from sandbox.report.findings import reaches
from sandbox.report.findings_json import document
from sandbox.report.text import escape

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
"""The name, by custom, of the directory that relative paths start from."""
FINGERPRINT = "sandboxFinding/v1"

_LEVELS: dict[Severity, str] = {"high": "error", "medium": "warning", "low": "note"}
_SCORES: dict[Severity, str] = {"high": "8.0", "medium": "5.0", "low": "3.0"}
"""On the scale of CVSS, by which code scanning sorts and gates."""

_SUMMARY = re.compile(r"^#+ Summary\n+(.+?)(?:\n\n|\n#|\Z)", re.MULTILINE | re.DOTALL)
# A page's links are relative to where it stands, and lead nowhere from a log.
_LINK = re.compile(r"\[([^][]*)\]\((?!https?:)[^()]*\)")
_INDEX = re.compile(r"\[[0-9]+\]")

_Object: TypeAlias = dict[str, object]


def sarif(
    result: Result,
    *,
    rules: Sequence[Rule],
    pages: Mapping[str, str],
    version: str,
    min_severity: Severity,
    docs: str | None = None,
    home: str | None = None,
) -> str:
    """One line of ASCII JSON with one run: the findings at or above the threshold, ignored ones as suppressed.

    ``rules`` are all that were on, ``pages`` has their pages in Markdown by their ids. ``docs`` is the URL that the
    pages are below, ``home`` the tool's own; without ``docs`` a rule's ``helpUri`` is a name and leads nowhere.
    """
    indexes = {rule.id: index for index, rule in enumerate(rules)}
    fingerprints = _fingerprints(result.findings)
    unjudged = [finding for finding in result.findings if finding.unjudged and finding.ignored is None]
    driver: _Object = {
        "name": "wasi-sandbox",
        "version": version,
        "semanticVersion": version,
        **({"informationUri": home} if home is not None else {}),
        "rules": [_rule(rule, pages.get(rule.id), docs) for rule in rules],
    }
    run: _Object = {
        "tool": {"driver": driver},
        "invocations": [
            {
                "executionSuccessful": not unjudged,
                "toolExecutionNotifications": [_notification(finding, indexes) for finding in unjudged],
            }
        ],
        "originalUriBaseIds": {ROOT: {"description": {"text": "The directory that the command was started in."}}},
        "columnKind": "unicodeCodePoints",
        "results": [
            _result(finding, indexes, fingerprint)
            for finding, fingerprint in zip(result.findings, fingerprints, strict=True)
            if reaches(finding, min_severity)
        ],
    }
    return document({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(rule: Rule, page: str | None, docs: str | None) -> _Object:
    short = f"{rule.summary[:1].upper()}{rule.summary[1:]}."
    page = _LINK.sub(r"\1", page or short)
    summary = _SUMMARY.search(page)
    return {
        "id": _id(rule.id),
        "name": "".join(word.capitalize() for word in rule.id.split("-")),
        "shortDescription": {"text": short},
        "fullDescription": {"text": " ".join(summary[1].split()) if summary is not None else short},
        # No consumer fills in a page as it does a message: what braces its examples have are its own.
        "help": {"text": page, "markdown": page},
        "helpUri": _help_uri(rule.id, docs),
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {
            "tags": ["security"],
            "precision": rule.confidence,
            "security-severity": _SCORES[rule.severity],
        },
    }


def _id(rule: str) -> str:
    return f"sandbox/{rule}"


def _help_uri(rule: str, docs: str | None) -> str:
    if docs is None:
        return f"urn:wasi-sandbox:rule:{quote(rule, safe='', errors='replace')}"
    return f"{docs.rstrip('/')}/{quote(rule.replace('-', '_'), safe='', errors='replace')}.md"


def _result(finding: Finding, indexes: Mapping[str, int], fingerprint: str) -> _Object:
    logical: _Object = {"logicalLocations": [{"fullyQualifiedName": finding.route}]} if finding.route else {}
    result: _Object = {
        "ruleId": _id(finding.rule),
        **({"ruleIndex": indexes[finding.rule]} if finding.rule in indexes else {}),
        "level": _LEVELS[finding.severity],
        "message": _message(finding.message),
        "locations": [_location(finding.file, finding.region) | logical],
        "partialFingerprints": {FINGERPRINT: fingerprint},
        "properties": {
            "confidence": finding.confidence,
            **({"component": finding.component} if finding.component is not None else {}),
        },
    }
    if finding.related:
        result["relatedLocations"] = [
            {"id": number, "message": _message(place.message), **_location(place.file, place.region)}
            for number, place in enumerate(finding.related, 1)
        ]
    if finding.fix is not None:
        result["fixes"] = [_fix(finding.file, finding.fix)]
    if finding.ignored is not None:
        result["suppressions"] = [{"kind": "inSource", "status": "accepted", "justification": escape(finding.ignored)}]
    return result


def _notification(finding: Finding, indexes: Mapping[str, int]) -> _Object:
    """That something could not be judged: what was found is then not all there is."""
    rule: _Object = {"id": _id(finding.rule)}
    if finding.rule in indexes:
        rule["index"] = indexes[finding.rule]
    return {
        "level": "error",
        "message": _message(finding.message),
        "associatedRule": rule,
        "locations": [_location(finding.file, finding.region)],
    }


def _fix(file: str, fix: Fix) -> _Object:
    doubt = "" if fix.safe else " (this may change what a run does)"
    return {
        "description": _message(fix.message + doubt),
        "artifactChanges": [
            {"artifactLocation": _artifact(file), "replacements": [_replacement(edit) for edit in fix.edits]}
        ],
        "properties": {"safe": fix.safe},
    }


def _replacement(edit: Edit) -> _Object:
    return {
        "deletedRegion": _region(edit.region) | {"charOffset": edit.start, "charLength": edit.end - edit.start},
        **({"insertedContent": {"text": edit.text}} if edit.text else {}),
    }


def _location(file: str, region: Region) -> _Object:
    return {"physicalLocation": {"artifactLocation": _artifact(file), "region": _region(region)}}


def _region(region: Region) -> _Object:
    return {
        "startLine": region.line,
        "startColumn": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    }


def _artifact(file: str) -> _Object:
    path = _path(file)
    return {"uri": f"file://{path}"} if path.startswith("/") else {"uri": path, "uriBaseId": ROOT}


def _path(file: str) -> str:
    """The path as part of a URI, without what stands for nothing: ``./a//b`` is ``a/b``."""
    parts = "/".join(part for part in file.split("/") if part not in ("", "."))
    # The bytes of a name that is not UTF-8 stay what they are.
    try:
        raw = parts.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = parts.encode("utf-8", "replace")
    return ("/" if file.startswith("/") else "") + quote(raw, safe="/")


def _message(text: str) -> _Object:
    """A message that shows its text and nothing else: braces and links have a meaning in those of SARIF."""
    text = escape(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")
    return {"text": text}


def _fingerprints(findings: Iterable[Finding]) -> Iterator[str]:
    """For each finding what it is known by from run to run, wherever its lines and the items of its lists move to.

    Findings that would have the same one are told apart by their order.
    """
    seen: Counter[str] = Counter()
    for finding in findings:
        route = _INDEX.sub("[]", finding.route)
        same = json.dumps([finding.rule, _path(finding.file), finding.component, route, finding.snippet])
        seen[same] += 1
        yield hashlib.sha256(f"{seen[same]} {same}".encode("ascii")).hexdigest()
