"""A limit so high that it hardly bounds anything."""

from __future__ import annotations

from collections.abc import Iterator

from sandbox.lint.case import Case
from sandbox.lint.rule import Problem, Rule

_MiB, _GiB = 1024**2, 1024**3

_BOUNDS: tuple[tuple[str, float, str, str], ...] = (
    ("memory", 4 * _GiB, "4GiB", "the memory of most components cannot grow so large, so this bounds nothing"),
    ("deadline", 3600, "1h", "a run that hangs, or computes for somebody else, does so until then"),
    ("output", 1 * _GiB, "1GiB", "whatever shows, captures or stores the output has to hold it"),
    ("handles", 4096, "4096", "the files of the whole host process are mostly bounded below that"),
    ("disk", 10 * _GiB, "10GiB", "one run can fill a disk"),
    ("sockets", 1024, "1024", "that is enough to exhaust a server, or to scan a network"),
    ("sent", 10 * _GiB, "10GiB", "whatever is granted to be read can be carried away"),
    ("received", 10 * _GiB, "10GiB", "one run can use up a connection to the network"),
    ("connect-time", 60, "1m", "each host that does not answer holds the run up for so long"),
    ("lookups", 100, "100", "names carry data out, and so many in a second carry a file"),
    ("lookup-bytes", 64 * 1024, "64KiB", "names carry data out, and so many bytes carry keys and more"),
    ("events", 100_000, "100000", "refusals can fill the record of events, and hide what matters among them"),
)
"""A limit, what it hardly ever needs to be above, the same as it is written, and what a higher one comes to."""


def _check(case: Case) -> Iterator[Problem]:
    limits = case.component.limits
    for name, bound, written, reason in _BOUNDS:
        value: float = getattr(limits, name.replace("-", "_"))
        if value > bound:
            message = f"`{name}` of {case.data('limits', name)} is more than {written}: {reason}"
            yield Problem(route=case.route("limits", name), message=message)


RULE = Rule(
    id="excessive-limit",
    summary="a limit is so high that it hardly bounds anything",
    severity="medium",
    confidence="medium",
    check=_check,
)
