"""Limits that are missing or too high, and grants that a declaration rules out: what is found, and how it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.lint.finding import Finding
from sandbox.lint.fixes import apply
from sandbox.policy.model import Limits
from sandbox.policy.quantities import milliseconds_of, size_of
from tests.lint.specimens import lint

OWN = ("unstated-memory", "unstated-deadline", "excessive-limit", "writes-without-disk-limit", "nondeterministic-grant")
HEAD = "version: 1\ncomponents:\n  app:\n"
LIMITS = "    limits: {memory: 64MiB, deadline: 10s}\n"


def found(component: str, place: Path) -> list[tuple[str, str, str]]:
    """Place, rule and message of what these rules find in a component, which begins on line 4."""
    return [
        (f"{f.region.line}:{f.region.column}-{f.region.end_column}", f.rule, f.message)
        for f in findings(component, place)
    ]


def findings(component: str, place: Path) -> list[Finding]:
    return [finding for finding in lint(HEAD + component, place) if finding.rule in OWN]


def fixed(component: str, place: Path, rule: str) -> str:
    """The component's text after the fix of a rule's first finding."""
    fix = next(finding for finding in findings(component, place) if finding.rule == rule).fix
    assert fix is not None
    return apply(HEAD + component, fix.edits).removeprefix(HEAD)


NO_MEMORY = "no bound on memory is stated, so the default of 512MiB holds"
NO_DEADLINE = "no deadline is stated, so the default of 60s holds"


@pytest.mark.parametrize(
    ("component", "places"),
    [
        ("    grants: {}\n", [("3:3-6", "unstated-deadline"), ("3:3-6", "unstated-memory")]),
        ("    limits: {}\n", [("4:5-11", "unstated-deadline"), ("4:5-11", "unstated-memory")]),
        ("    limits:\n", [("4:5-11", "unstated-deadline"), ("4:5-11", "unstated-memory")]),
        ("    limits: {memory: 512MiB}\n", [("4:5-11", "unstated-deadline")]),
        ("    limits:\n      deadline: 60s\n", [("4:5-11", "unstated-memory")]),
        ("    limits: {memory: 1MiB, deadline: 1ms}\n", []),
    ],
)
def test_limits_that_are_not_stated(component: str, places: list[tuple[str, str]], tmp_path: Path) -> None:
    """They are missed at ``limits``, or at the component; a default that is written down is stated."""
    messages = {"unstated-memory": NO_MEMORY, "unstated-deadline": NO_DEADLINE}
    assert found(component, tmp_path) == [(place, rule, messages[rule]) for place, rule in places]


@pytest.mark.parametrize(
    ("component", "rule", "after"),
    [
        (
            "    grants: {} # nothing\n    # the end\n",
            "unstated-memory",
            "    grants: {} # nothing\n    limits: {memory: 512MiB}\n    # the end\n",
        ),
        ("    limits:\n", "unstated-memory", "    limits: {memory: 512MiB}\n"),
        ("    limits: {}\n", "unstated-deadline", "    limits: {deadline: 60s}\n"),
        (
            "    limits: {memory: 1MiB} # small\n",
            "unstated-deadline",
            "    limits: {memory: 1MiB, deadline: 60s} # small\n",
        ),
        (
            "    limits:\n      # Most are small.\n      deadline: 5s # short\n",
            "unstated-memory",
            "    limits:\n      # Most are small.\n      deadline: 5s # short\n      memory: 512MiB\n",
        ),
        (
            "    grants: {filesystem: [{host: ./out, guest: /, access: write}]}\n    limits: {output: 0}",
            "writes-without-disk-limit",
            "    grants: {filesystem: [{host: ./out, guest: /, access: write}]}\n    limits: {output: 0, disk: 256MiB}",
        ),
    ],
)
def test_what_is_not_stated_is_mended_by_stating_the_default(
    component: str, rule: str, after: str, tmp_path: Path
) -> None:
    """The default comes last among the limits, in their style; this is safe, since it changes no run."""
    assert fixed(component, tmp_path, rule) == after
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    assert {f.fix is not None and f.fix.safe for f in findings(component, tmp_path / "before")} == {True}
    assert [f.rule for f in findings(after, tmp_path / "after") if f.rule == rule] == []


def test_the_defaults_that_are_written_are_those_that_hold() -> None:
    """What the rules say and write is what the policy language has."""
    limits = Limits()
    assert (size_of("512MiB"), milliseconds_of("60s") / 1000, size_of("256MiB")) == (
        limits.memory,
        limits.deadline,
        limits.disk,
    )


NO_DISK = "files can be written, and `disk` does not say how much: the default of 256MiB holds"


@pytest.mark.parametrize(
    ("grants", "limits", "place"),
    [
        ("filesystem: [{host: ., guest: /a, access: write}]", "", "4:56-61"),
        (
            "filesystem: [{host: ., guest: /a, access: read}, {access: write, host: ./o, guest: /o}]",
            "output: 0",
            "4:72-77",
        ),
        ("filesystem: [{host: ., guest: /a, access: write}]", "disk: 1MiB", None),
        ("filesystem: [{host: ., guest: /a, access: write}]", "disk: 256MiB", None),
        ("filesystem: [{host: ., guest: /a, access: read}]", "", None),
        ("stdio: {stdout: {file: out.txt}}", "", None),
        ("", "", None),
    ],
)
def test_writing_without_a_bound_on_the_disk(grants: str, limits: str, place: str | None, tmp_path: Path) -> None:
    """It is found once a component, at the first grant that can be written, where ``disk`` is not stated."""
    component = f"    grants: {{{grants}}}\n    limits: {{memory: 64MiB, deadline: 10s, {limits}}}\n"
    expected = [] if place is None else [(place, "writes-without-disk-limit", NO_DISK)]
    assert found(component, tmp_path) == expected


AT_BOUND = """\
    limits:
      memory: 4GiB
      deadline: 60m
      fuel: 9223372036854775807
      output: 1GiB
      handles: 4096
      disk: 10GiB
      sockets: 1024
      sent: 10GiB
      received: 10737418240
      connect-time: 60s
      lookups: 100
      lookup-bytes: 64KiB
      events: 100_000
"""
BEYOND = """\
    limits:
      memory: 4097MiB
      deadline: 61m # a long one
      output: 2GiB
      handles: 4097
      disk: 11GiB
      sockets: 1025
      sent: 11GB
      received: 10737418241
      connect-time: 61s
      lookups: 101
      lookup-bytes: "65KiB"
      events: 100_001
"""


def test_limits_within_reason(tmp_path: Path) -> None:
    """A limit at the bound is not beyond it; what is not stated holds its default, which is within; fuel has none."""
    assert found(AT_BOUND, tmp_path) == []


def test_limits_beyond_reason(tmp_path: Path) -> None:
    """Each is found at its value, with the value as it is written and what comes of it."""
    assert [(place, message.partition(":")[0]) for place, _, message in found(BEYOND, tmp_path)] == [
        ("5:15-22", "`memory` of 4097MiB is more than 4GiB"),
        ("6:17-20", "`deadline` of 61m is more than 1h"),
        ("7:15-19", "`output` of 2GiB is more than 1GiB"),
        ("8:16-20", "`handles` of 4097 is more than 4096"),
        ("9:13-18", "`disk` of 11GiB is more than 10GiB"),
        ("10:16-20", "`sockets` of 1025 is more than 1024"),
        ("11:13-17", "`sent` of 11GB is more than 10GiB"),
        ("12:17-28", "`received` of 10737418241 is more than 10GiB"),
        ("13:21-24", "`connect-time` of 61s is more than 1m"),
        ("14:16-19", "`lookups` of 101 is more than 100"),
        ("15:21-28", "`lookup-bytes` of 65KiB is more than 64KiB"),
        ("16:15-22", "`events` of 100001 is more than 100000"),
    ]


REFUSED = "to what is declared deterministic, so every run is refused"
CLOCK, RANDOM, NETWORK = (
    f"{what} {REFUSED}"
    for what in ("a clock of the host's is granted", "secure random numbers are granted", "the network is granted")
)


@pytest.mark.parametrize(
    ("grants", "problems"),
    [
        ("clocks: real", [("5:22-26", CLOCK)]),
        ("clocks: coarse", [("5:22-28", CLOCK)]),
        ("clocks: {wall: coarse, monotonic: real}", [("5:29-35", CLOCK), ("5:48-52", CLOCK)]),
        ("clocks: {wall: frozen, monotonic: real}", [("5:48-52", CLOCK)]),
        ("random: secure", [("5:22-28", RANDOM)]),
        ("sockets: {tcp: {connect: ['a.example:443']}}", [("5:14-21", NETWORK)]),
        ("sockets: {dns: [a.example]}", [("5:14-21", NETWORK)]),
        ("clocks: frozen", []),
        ("clocks: {}", []),
        ("clocks: {wall: frozen}", []),
        ("random: seeded", []),
        ("random: {seed: 1}", []),
        ("sockets: {deny: [a.example]}", []),
        ("sockets: {}", []),
        ("stdio: {stdin: inherit}, arguments: inherit, environment: {inherit: [LANG]}", []),
    ],
)
def test_what_is_declared_deterministic_is_granted_nothing_else(
    grants: str, problems: list[tuple[str, str]], tmp_path: Path
) -> None:
    """Clocks that go on, secure random numbers and the network are found where they are granted; inputs are not."""
    component = f"    deterministic: true\n    grants: {{{grants}}}\n{LIMITS}"
    assert found(component, tmp_path) == [(place, "nondeterministic-grant", message) for place, message in problems]
    (tmp_path / "undeclared").mkdir()
    assert found(component.replace("true", "false"), tmp_path / "undeclared") == []


def test_a_contradiction_names_both_of_its_sides(tmp_path: Path) -> None:
    """The declaration is a related place."""
    (finding,) = findings(f"    grants: {{random: secure}}\n    deterministic: true\n{LIMITS}", tmp_path)
    (related,) = finding.related
    region = related.region
    assert (related.message, region.line, region.column, region.end_column) == ("declared here", 5, 20, 24)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("clocks: real # slow", "clocks: frozen # slow"),
        ('clocks: {monotonic: "coarse", wall: frozen}', "clocks: {monotonic: frozen, wall: frozen}"),
        ("random: secure", "random: seeded"),
    ],
)
def test_a_contradiction_is_mended_by_what_does_not_differ(before: str, after: str, tmp_path: Path) -> None:
    """The word that says so stands instead of the other; this is for the author to accept."""
    component = f"    deterministic: true\n    grants:\n      {before}\n{LIMITS}"
    assert fixed(component, tmp_path, "nondeterministic-grant") == component.replace(before, after)
    (tmp_path / "again").mkdir()
    fixes = [finding.fix for finding in findings(component, tmp_path / "again")]
    assert [fix.safe for fix in fixes if fix is not None] == [False]


def test_the_network_is_not_mended(tmp_path: Path) -> None:
    """There is nothing to write instead."""
    (finding,) = findings(f"    grants: {{sockets: {{dns: [a.example]}}}}\n    deterministic: true\n{LIMITS}", tmp_path)
    assert finding.fix is None
