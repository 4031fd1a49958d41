"""Findings as a SARIF log: what is in it, that the published schema takes it, and what findings are known by."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator  # type: ignore[import-untyped, unused-ignore]

from sandbox.lint.finding import SEVERITIES, Finding, Region, Result, Severity
from sandbox.report.findings import reaches
from sandbox.report.sarif import FINGERPRINT, SCHEMA, sarif
from tests.report.lint_results import EVERYTHING, HOSTILE, RESULTS, RULES, a_finding, a_region

PUBLISHED = Path(__file__).resolve().parents[2] / ".guest-tools" / "schemas" / "sarif-2.1.0.json"
"""The schema that OASIS published, byte for byte; `make guest-tools` fetches it in a package that carries it."""

PAGE = """# grants-home

## Summary

A grant of a home directory gives keys,
as [the language](../docs/policy.md) says. See [there](https://example.com/a).

## Avoid

    {host: /home/ann}
"""
PAGES = {"grants-home": PAGE}


def log(result: Result, *, min_severity: Severity = "low", **more: Any) -> Any:
    """The log as data; it is ASCII on one line."""
    told = sarif(result, rules=RULES, pages=PAGES, version="1.2.3", min_severity=min_severity, **more)
    assert told.endswith("\n")
    assert told[:-1].isascii()
    assert told[:-1].isprintable()
    return json.loads(told)


def results(*findings: Finding) -> Any:
    return log(Result(findings=findings, files=()))["runs"][0]["results"]


def fingerprints(*findings: Finding) -> list[str]:
    return [result["partialFingerprints"][FINGERPRINT] for result in results(*findings)]


def region(line: int, column: int, end_line: int, end_column: int) -> dict[str, int]:
    return {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}


def test_everything() -> None:
    """One run: the tool and its rules with their pages, what went wrong, each finding with its fix or excuse."""
    told = log(EVERYTHING, min_severity="medium")
    shown = told["runs"][0]["results"]
    marks = [result.pop("partialFingerprints") for result in shown]
    assert len({mark.pop(FINGERPRINT) for mark in marks}) == 4
    assert marks == [{}] * 4
    report = {"uri": "policies/report.yaml", "uriBaseId": "%SRCROOT%"}
    route = [{"fullyQualifiedName": "components.report.grants.filesystem[0].host"}]
    broken = {"uri": "file:///srv/a%20b/%C3%A9.yaml"}
    of_report = {
        "ruleId": "sandbox/grants-home",
        "ruleIndex": 0,
        "level": "error",
        "message": {"text": "the home directory /home/ann is granted"},
        "properties": {"confidence": "high", "component": "report"},
    }
    page = PAGE.replace("[the language](../docs/policy.md)", "the language")
    assert told == {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "wasi-sandbox",
                        "version": "1.2.3",
                        "semanticVersion": "1.2.3",
                        "rules": [
                            {
                                "id": "sandbox/grants-home",
                                "name": "GrantsHome",
                                "shortDescription": {"text": "A home directory is granted."},
                                "fullDescription": {
                                    "text": "A grant of a home directory gives keys, as the language says. "
                                    "See [there](https://example.com/a)."
                                },
                                "help": {"text": page, "markdown": page},
                                "helpUri": "urn:wasi-sandbox:rule:grants-home",
                                "defaultConfiguration": {"level": "error"},
                                "properties": {
                                    "tags": ["security"],
                                    "precision": "medium",
                                    "security-severity": "8.0",
                                },
                            },
                            {
                                "id": "sandbox/invalid-policy",
                                "name": "InvalidPolicy",
                                "shortDescription": {"text": "The policy cannot be read."},
                                "fullDescription": {"text": "The policy cannot be read."},
                                "help": {
                                    "text": "The policy cannot be read.",
                                    "markdown": "The policy cannot be read.",
                                },
                                "helpUri": "urn:wasi-sandbox:rule:invalid-policy",
                                "defaultConfiguration": {"level": "error"},
                                "properties": {
                                    "tags": ["security"],
                                    "precision": "high",
                                    "security-severity": "8.0",
                                },
                            },
                            {
                                "id": "sandbox/no-deadline",
                                "name": "NoDeadline",
                                "shortDescription": {"text": "No deadline is set."},
                                "fullDescription": {"text": "No deadline is set."},
                                "help": {"text": "No deadline is set.", "markdown": "No deadline is set."},
                                "helpUri": "urn:wasi-sandbox:rule:no-deadline",
                                "defaultConfiguration": {"level": "note"},
                                "properties": {
                                    "tags": ["security"],
                                    "precision": "low",
                                    "security-severity": "3.0",
                                },
                            },
                        ],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": False,
                        "toolExecutionNotifications": [
                            {
                                "level": "error",
                                "message": {"text": "{{ is left open"},
                                "associatedRule": {"id": "sandbox/invalid-policy", "index": 1},
                                "locations": [
                                    {"physicalLocation": {"artifactLocation": broken, "region": region(1, 1, 1, 1)}}
                                ],
                            }
                        ],
                    }
                ],
                "originalUriBaseIds": {
                    "%SRCROOT%": {"description": {"text": "The directory that the command was started in."}}
                },
                "columnKind": "unicodeCodePoints",
                "results": [
                    of_report
                    | {
                        "locations": [
                            {
                                "physicalLocation": {"artifactLocation": report, "region": region(5, 16, 5, 25)},
                                "logicalLocations": route,
                            }
                        ],
                        "relatedLocations": [
                            {
                                "id": 1,
                                "message": {"text": "it is granted here too"},
                                "physicalLocation": {
                                    "artifactLocation": {"uri": "policies/base.yaml", "uriBaseId": "%SRCROOT%"},
                                    "region": region(3, 5, 3, 9),
                                },
                            }
                        ],
                        "fixes": [
                            {
                                "description": {"text": "grant /home/ann/in"},
                                "artifactChanges": [
                                    {
                                        "artifactLocation": report,
                                        "replacements": [
                                            {
                                                "deletedRegion": region(5, 16, 5, 25)
                                                | {"charOffset": 75, "charLength": 9},
                                                "insertedContent": {"text": "/home/ann/in"},
                                            },
                                            {
                                                "deletedRegion": region(5, 34, 5, 35)
                                                | {"charOffset": 93, "charLength": 1},
                                                "insertedContent": {"text": '"/{in}"'},
                                            },
                                        ],
                                    }
                                ],
                                "properties": {"safe": True},
                            }
                        ],
                    },
                    of_report
                    | {
                        "level": "warning",
                        "properties": {"confidence": "low", "component": "report"},
                        "locations": [
                            {
                                "physicalLocation": {"artifactLocation": report, "region": region(5, 34, 5, 35)},
                                "logicalLocations": route,
                            }
                        ],
                        "fixes": [
                            {
                                "description": {"text": "remove the grant (this may change what a run does)"},
                                "artifactChanges": [
                                    {
                                        "artifactLocation": report,
                                        "replacements": [
                                            {"deletedRegion": region(5, 1, 6, 1) | {"charOffset": 60, "charLength": 51}}
                                        ],
                                    }
                                ],
                                "properties": {"safe": False},
                            }
                        ],
                    },
                    of_report
                    | {
                        "locations": [
                            {
                                "physicalLocation": {"artifactLocation": report, "region": region(6, 16, 6, 20)},
                                "logicalLocations": route,
                            }
                        ],
                        "suppressions": [
                            {
                                "kind": "inSource",
                                "status": "accepted",
                                "justification": "the fixtures [live](x) there",
                            }
                        ],
                    },
                    {
                        "ruleId": "sandbox/invalid-policy",
                        "ruleIndex": 1,
                        "level": "error",
                        "message": {"text": "{{ is left open"},
                        "locations": [{"physicalLocation": {"artifactLocation": broken, "region": region(1, 1, 1, 1)}}],
                        "properties": {"confidence": "high"},
                    },
                ],
            }
        ],
    }


def test_nothing() -> None:
    """A run without findings says that it went well and found nothing."""
    run = log(Result(findings=(), files=("a.yaml",)))["runs"][0]
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]
    assert run["results"] == []


def test_addresses() -> None:
    """A rule's page is below the address that is given, under the name of its file; the tool has one where given."""
    driver = log(EVERYTHING, docs="https://example.com/rules/", home="https://example.com")["runs"][0]["tool"]["driver"]
    assert driver["informationUri"] == "https://example.com"
    assert [rule["helpUri"] for rule in driver["rules"]] == [
        "https://example.com/rules/grants_home.md",
        "https://example.com/rules/invalid_policy.md",
        "https://example.com/rules/no_deadline.md",
    ]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("./a//b/./c.yaml", {"uri": "a/b/c.yaml", "uriBaseId": "%SRCROOT%"}),
        ("../a.yaml", {"uri": "../a.yaml", "uriBaseId": "%SRCROOT%"}),
        ("http://a.yaml", {"uri": "http%3A/a.yaml", "uriBaseId": "%SRCROOT%"}),
        ("100% é?#\\.yaml", {"uri": "100%25%20%C3%A9%3F%23%5C.yaml", "uriBaseId": "%SRCROOT%"}),
        ("\udcff\n.yaml", {"uri": "%FF%0A.yaml", "uriBaseId": "%SRCROOT%"}),
        ("\ud800.yaml", {"uri": "%3F.yaml", "uriBaseId": "%SRCROOT%"}),
        ("//srv/a", {"uri": "file:///srv/a"}),
    ],
)
def test_files(file: str, expected: dict[str, str]) -> None:
    """A relative path is one below the root, an absolute one has no root; both are URIs, byte for byte."""
    assert results(a_finding(file=file))[0]["locations"][0]["physicalLocation"]["artifactLocation"] == expected


def test_messages_are_text_alone() -> None:
    """Braces fill in nothing, brackets are no link, and what a terminal would act on is spelled out."""
    assert [
        result["message"]["text"] for result in results(a_finding(message="{0} }[a](http://b) [c] \x1b\n\u202e"))
    ] == ["{{0}} }}[a] (http://b) [c] \\x1b\\n\\u202e"]


def test_a_rule_that_is_not_listed() -> None:
    """A finding of a rule that is not among the rules has no index of one."""
    result = Result(findings=(a_finding(rule="other", unjudged=True),), files=())
    run = log(result)["runs"][0]
    assert "ruleIndex" not in run["results"][0]
    assert run["invocations"][0]["toolExecutionNotifications"][0]["associatedRule"] == {"id": "sandbox/other"}


def test_an_ignored_finding_says_nothing_of_the_run() -> None:
    """What could not be judged and is ignored for a reason does not fail the run."""
    result = Result(findings=(a_finding(unjudged=True, ignored="it is built later"),), files=())
    assert log(result)["runs"][0]["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]


def test_fingerprints_of_equal_findings() -> None:
    """Findings that have all in common are told apart by their order, whatever the threshold leaves out."""
    first, second = a_finding(), a_finding(region=a_region(9, 1, 2))
    assert fingerprints(first, second) == [fingerprints(first)[0], fingerprints(second, first)[1]]
    assert len(set(fingerprints(first, second))) == 2
    low = Result(findings=(replace(first, severity="low"), second), files=())
    above = log(low, min_severity="high")["runs"][0]["results"]
    assert [result["partialFingerprints"][FINGERPRINT] for result in above] == fingerprints(first, second)[1:]


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": "other"},
        {"file": "policies/other.yaml"},
        {"component": "other"},
        {"component": None},
        {"route": "components.report.grants.filesystem[0].guest"},
        {"route": ""},
        {"snippet": "/home/bob"},
    ],
)
def test_fingerprints_differ(changed: dict[str, Any]) -> None:
    """Another rule, policy, component, key or value is another finding."""
    assert len(set(fingerprints(a_finding(), a_finding(**changed)))) == 2
    assert fingerprints(a_finding()) != fingerprints(a_finding(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {"region": a_region(90, 1, 10)},
        {"route": "components.report.grants.filesystem[12].host"},
        {"file": "./policies/report.yaml"},
        {"message": "something else"},
        {"severity": "low", "confidence": "low", "ignored": "reason", "unjudged": True},
    ],
)
def test_fingerprints_stay(changed: dict[str, Any]) -> None:
    """A finding is the same wherever its line and its item move to, and however it is put or judged."""
    assert fingerprints(a_finding()) == fingerprints(a_finding(**changed))


def moved(place: Region, lines: int) -> Region:
    return replace(place, line=place.line + lines, end_line=place.end_line + lines)


@given(RESULTS, st.integers(1, 1000))
def test_fingerprints_survive_moved_lines(result: Result, lines: int) -> None:
    """Lines put before everything change no fingerprint."""
    findings = [replace(finding, region=moved(finding.region, lines)) for finding in result.findings]
    assert fingerprints(*findings) == fingerprints(*result.findings)


@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
def test_no_text_passes_for_another(route: str, snippet: str, other_route: str, other_snippet: str) -> None:
    """Fingerprints are equal only where route, but for indexes of lists, and snippet are."""
    one, other = ([re.sub(r"\[[0-9]+\]", "[]", r), s] for r, s in ((route, snippet), (other_route, other_snippet)))
    findings = (a_finding(route=route, snippet=snippet), a_finding(route=other_route, snippet=other_snippet))
    assert (fingerprints(findings[0]) == fingerprints(findings[1])) == (one == other)
    assert len(set(fingerprints(*findings))) == 2


@pytest.fixture(scope="session")
def published() -> Draft4Validator:
    """The published schema; where it was not fetched the test is skipped, an error in continuous integration."""
    if not PUBLISHED.exists():
        missing = "no SARIF schema: `make guest-tools` fetches it"
        assert not os.environ.get("CI"), missing
        pytest.skip(missing)
    schema = json.loads(PUBLISHED.read_bytes())
    assert schema["id"] == SCHEMA
    Draft4Validator.check_schema(schema)
    return Draft4Validator(schema)


def test_the_published_schema_takes_it(published: Draft4Validator) -> None:
    """A log with everything in it is valid."""
    told = log(EVERYTHING, docs="https://example.com", home="https://example.com")
    assert [error.message for error in published.iter_errors(told)] == []


def test_the_published_schema_refuses(published: Draft4Validator) -> None:
    """It is the schema that objects: to an unknown property, a missing one, a column 0, a level of another tool."""
    told = log(EVERYTHING)
    run = told["runs"][0]
    run["color"] = "red"
    del run["tool"]["driver"]["name"]
    run["results"][0]["locations"][0]["physicalLocation"]["region"]["startColumn"] = 0
    run["results"][1]["level"] = "notice"
    assert sorted(error.message for error in published.iter_errors(told)) == [
        "'name' is a required property",
        "'notice' is not one of ['none', 'note', 'warning', 'error']",
        "0 is less than the minimum of 1",
        "Additional properties are not allowed ('color' was unexpected)",
    ]


# RFC 3986: a URI, and a relative reference of path segments alone, the first without a colon.
_CHARACTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-F]{2})"
URI = re.compile(rf"(?:file://|https://|urn:)(?:{_CHARACTER}|[:/])*")
REFERENCE = re.compile(rf"{_CHARACTER}*(?:/(?:{_CHARACTER}|:)*)*")


@given(RESULTS, st.sampled_from(SEVERITIES))
def test_the_published_schema_takes_whatever_there_is(
    published: Draft4Validator, result: Result, min_severity: Severity
) -> None:
    """Whatever policies hold and are called, the log is valid."""
    assert [error.message for error in published.iter_errors(log(result, min_severity=min_severity))] == []


@given(RESULTS, st.sampled_from(SEVERITIES))
def test_hostile_texts_stay_values(result: Result, min_severity: Severity) -> None:
    """Whatever policies hold and are called, the log's addresses are URIs, and no finding is lost or told of twice."""
    run = log(result, min_severity=min_severity)["runs"][0]
    chosen = [finding for finding in result.findings if reaches(finding, min_severity)]
    assert ["suppressions" in result for result in run["results"]] == [f.ignored is not None for f in chosen]
    assert [result["ruleId"] for result in run["results"]] == [f"sandbox/{escaped(f.rule)}" for f in chosen]
    for location in locations(run["results"]):
        assert set(location) in ({"uri"}, {"uri", "uriBaseId"})
        assert (REFERENCE if "uriBaseId" in location else URI).fullmatch(location["uri"])


def escaped(text: str) -> str:
    return "".join("\ufffd" if 0xD800 <= ord(character) <= 0xDFFF else character for character in text)


def locations(value: Any) -> list[dict[str, Any]]:
    """Every location of an artifact in the data."""
    if isinstance(value, list):
        return [found for item in value for found in locations(item)]
    if not isinstance(value, dict):
        return []
    here = [value["artifactLocation"]] if "artifactLocation" in value else []
    return here + [found for item in value.values() for found in locations(item)]
