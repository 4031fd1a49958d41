"""Findings in the form of JUnit's reports."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from sandbox.lint.finding import SEVERITIES, Result, Severity
from sandbox.report.findings import reaches
from sandbox.report.junit import junit
from tests.report.lint_results import EVERYTHING, RESULTS, a_finding


def test_everything() -> None:
    """A suite a policy, a case a finding: failed, skipped for a reason, or an error; a clean policy passes."""
    case = (
        '<testcase classname="policies/report.yaml" name="grants-home at components.report.grants.filesystem[0].host">'
    )
    assert junit(EVERYTHING, min_severity="medium") == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<testsuites name="sandbox lint" tests="5" failures="2" errors="1" skipped="1">\n'
        '  <testsuite name="policies/clean.yaml" tests="1" failures="0" errors="0" skipped="0">\n'
        '    <testcase classname="policies/clean.yaml" name="no findings"/>\n'
        "  </testsuite>\n"
        '  <testsuite name="policies/report.yaml" tests="3" failures="2" errors="0" skipped="1">\n'
        f"    {case}\n"
        '      <failure type="high" message="the home directory /home/ann is granted">'
        "policies/report.yaml:5:16: high[grants-home]: the home directory /home/ann is granted</failure>\n"
        "    </testcase>\n"
        f"    {case}\n"
        '      <failure type="medium" message="the home directory /home/ann is granted">'
        "policies/report.yaml:5:34: medium[grants-home]: the home directory /home/ann is granted</failure>\n"
        "    </testcase>\n"
        f"    {case}\n"
        '      <skipped message="the fixtures [live](x) there"/>\n'
        "    </testcase>\n"
        "  </testsuite>\n"
        '  <testsuite name="/srv/a b/é.yaml" tests="1" failures="0" errors="1" skipped="0">\n'
        '    <testcase classname="/srv/a b/é.yaml" name="invalid-policy">\n'
        '      <error type="high" message="{ is left open">'
        "/srv/a b/é.yaml:1:1: high[invalid-policy]: { is left open</error>\n"
        "    </testcase>\n"
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_below_the_threshold() -> None:
    """A policy passes when all that was found in it is below the threshold."""
    result = Result(findings=(a_finding(severity="low"),), files=("policies/report.yaml",))
    assert junit(result, min_severity="medium") == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<testsuites name="sandbox lint" tests="1" failures="0" errors="0" skipped="0">\n'
        '  <testsuite name="policies/report.yaml" tests="1" failures="0" errors="0" skipped="0">\n'
        '    <testcase classname="policies/report.yaml" name="no findings"/>\n'
        "  </testsuite>\n"
        "</testsuites>\n"
    )


def test_markup_is_text() -> None:
    """What XML would take for markup, or has no place for, arrives as text."""
    result = Result(findings=(a_finding(file="a", message="]]><x a=\"'&amp;\x00\ufffe\udcff", route=""),), files=())
    root = ElementTree.fromstring(junit(result, min_severity="low"))
    message = "]]><x a=\"'&amp;\\x00\\ufffe\\xff"
    assert [(element.tag, element.get("message"), element.text) for element in root.iter("failure")] == [
        ("failure", message, f"a:5:16: high[grants-home]: {message}")
    ]


@given(RESULTS, st.sampled_from(SEVERITIES))
def test_hostile_texts_stay_text(result: Result, min_severity: Severity) -> None:
    """Whatever policies hold and are called, the report has the cases that it counts and nothing else."""
    told = junit(result, min_severity=min_severity)
    assert all(line.isprintable() for line in told[:-1].split("\n"))
    root = ElementTree.fromstring(told)
    chosen = [finding for finding in result.findings if reaches(finding, min_severity)]
    files = dict.fromkeys([*result.files, *(finding.file for finding in result.findings)])
    clean = len(files.keys() - {finding.file for finding in chosen})
    ends = Counter("skipped" if f.ignored is not None else "error" if f.unjudged else "failure" for f in chosen)
    tags = Counter(element.tag for element in root.iter())
    assert tags == Counter({"testsuites": 1, "testsuite": len(files), "testcase": len(chosen) + clean}) + ends
    assert {name: int(root.get(name, "")) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": tags["testcase"],
        "failures": tags["failure"],
        "errors": tags["error"],
        "skipped": tags["skipped"],
    }
    assert [sum(int(suite.get(name, "")) for suite in root) for name in ("tests", "failures", "errors", "skipped")] == [
        int(root.get(name, "")) for name in ("tests", "failures", "errors", "skipped")
    ]
