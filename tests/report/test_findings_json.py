"""Findings for other programs."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.lint.finding import SEVERITIES, Result, Severity
from sandbox.report.findings_json import document, findings_json
from tests.report.lint_results import EVERYTHING, RESULTS


def test_everything() -> None:
    """One object has every finding with all that is known of it, the counts of the summary, and the files."""
    at = {"line": 5, "column": 16, "end_line": 5, "end_column": 25}
    of_report: dict[str, object] = {
        "rule": "grants-home",
        "severity": "high",
        "confidence": "high",
        "message": "the home directory /home/ann is granted",
        "file": "policies/report.yaml",
        **at,
        "route": "components.report.grants.filesystem[0].host",
        "component": "report",
        "related": [],
        "fix": None,
        "ignored": None,
        "unjudged": False,
        "shown": True,
    }
    told = findings_json(EVERYTHING, min_severity="medium")
    assert json.loads(told) == {
        "version": 1,
        "findings": [
            of_report
            | {
                "related": [
                    {
                        "file": "policies/base.yaml",
                        "message": "it is granted here too",
                        "line": 3,
                        "column": 5,
                        "end_line": 3,
                        "end_column": 9,
                    }
                ],
                "fix": {
                    "message": "grant /home/ann/in",
                    "safe": True,
                    "edits": [
                        {"start": 75, "end": 84, "text": "/home/ann/in", "region": at},
                        {
                            "start": 93,
                            "end": 94,
                            "text": '"/{in}"',
                            "region": {"line": 5, "column": 34, "end_line": 5, "end_column": 35},
                        },
                    ],
                },
            },
            of_report
            | {
                "severity": "medium",
                "confidence": "low",
                "column": 34,
                "end_column": 35,
                "fix": {
                    "message": "remove the grant",
                    "safe": False,
                    "edits": [
                        {
                            "start": 60,
                            "end": 111,
                            "text": "",
                            "region": {"line": 5, "column": 1, "end_line": 6, "end_column": 1},
                        }
                    ],
                },
            },
            of_report
            | {
                "rule": "no-deadline",
                "severity": "low",
                "line": 3,
                "column": 3,
                "end_line": 3,
                "end_column": 9,
                "route": "components.report",
                "shown": False,
            },
            of_report
            | {
                "line": 6,
                "end_line": 6,
                "end_column": 20,
                "ignored": "the fixtures [live](x) there",
                "shown": False,
            },
            of_report
            | {
                "rule": "invalid-policy",
                "message": "{ is left open",
                "file": "/srv/a b/é.yaml",
                "line": 1,
                "column": 1,
                "end_line": 1,
                "end_column": 1,
                "route": "",
                "component": None,
                "unjudged": True,
            },
        ],
        "counts": {
            "shown": 3,
            "policies": 3,
            "high": 2,
            "medium": 1,
            "low": 0,
            "below": 1,
            "ignored": 1,
            "fixable": 1,
            "fixable_unsafe": 1,
            "unjudged": 1,
            "skipped": 1,
        },
        "files": ["policies/clean.yaml", "policies/report.yaml", "/srv/a b/é.yaml"],
        "skipped": ["policies/notes.yaml"],
    }
    assert told.endswith("\n")
    assert told[:-1].isascii()
    assert told[:-1].isprintable()


def test_document() -> None:
    """What is beyond ASCII becomes an escape; half a surrogate pair, which many readers refuse, a replacement."""
    assert document({"é": ["\x7f\n", "\U0001f600", "\udcff", "\\udcff", None, 1.5]}) == (
        '{"\\u00e9":["\\u007f\\n","\\ud83d\\ude00","\\ufffd","\\\\udcff",null,1.5]}\n'
    )
    assert document(["\x7f"]) == '["\\u007f"]\n'


def whole(value: Any) -> Any:
    """The same data with no half of a surrogate pair in any text."""
    if isinstance(value, str):
        return "".join("\ufffd" if 0xD800 <= ord(character) <= 0xDFFF else character for character in value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    return {whole(key): whole(item) for key, item in value.items()} if isinstance(value, dict) else value


@given(st.recursive(st.text(st.characters(codec=None)), lambda inner: st.lists(inner, max_size=4)))
def test_a_document_says_what_it_was_given(value: Any) -> None:
    """Any text comes back as it was but for halves of surrogate pairs, from one printable line."""
    told = document(value)
    assert json.loads(told) == whole(value)
    assert told.endswith("\n")
    assert told[:-1].isascii()
    assert told[:-1].isprintable()


@given(RESULTS, st.sampled_from(SEVERITIES))
def test_hostile_texts_stay_values(result: Result, min_severity: Severity) -> None:
    """Whatever the texts hold, it is one document on one line, with every message whole."""
    told = findings_json(result, min_severity=min_severity)
    assert told[:-1].isascii()
    assert told[:-1].isprintable()
    data = json.loads(told)
    assert [finding["message"] for finding in data["findings"]] == [whole(f.message) for f in result.findings]
    assert sum(finding["shown"] for finding in data["findings"]) == data["counts"]["shown"]
