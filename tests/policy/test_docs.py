"""The reference page of the language says what the loader does."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import source
from sandbox.policy import http, model
from sandbox.policy.component import PolicySection
from sandbox.policy.errors import PolicyError
from sandbox.policy.load import _fields
from sandbox.policy.quantities import MILLISECONDS, UNITS, milliseconds_of, size_of
from tests.policy.policies import load_text
from tests.policy.test_fields import sections

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml(.*)\n((?:.*\n)*?)```$", PAGE, re.MULTILINE)


def as_policy(kind: str, text: str) -> str:
    """An example as a whole policy: most show only what stands under ``grants``."""
    if not kind:
        return text
    return "version: 1\ncomponents:\n  example:\n    grants:\n" + textwrap.indent(text, " " * 6)


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_the_examples_are_what_they_say(kind: str, text: str) -> None:
    """Each example loads, or is refused for the one reason that it is not enforced yet: ``http``."""
    policy = as_policy(kind.strip(), text)
    if kind.strip() != "refused":
        assert load_text(policy).components
        return
    with pytest.raises(PolicyError) as caught:
        load_text(policy)
    assert [fault.message.partition(",")[0] for fault in caught.value.faults] == ["http is not enforced yet"]


def test_there_is_an_example_of_each_family() -> None:
    """Who looks for a family finds something to copy."""
    shown = {line.partition(":")[0] for kind, text in EXAMPLES if kind for line in text.split("\n") if line[:1].strip()}
    assert shown == set(_fields(sections(PolicySection, {})["GrantsSection"]))


def test_every_key_is_on_the_page() -> None:
    """A key that is added to the language must be explained."""
    keys = {key for section in sections(PolicySection, {}).values() for key in _fields(section)}
    assert sorted(key for key in keys if not re.search(rf"`\{{?{re.escape(key)}[:`]", PAGE)) == []


def test_the_fault_on_the_page_is_the_fault_that_is_told() -> None:
    """The shown line is the real one."""
    shown = re.search(r"^    (report\.yaml:.*)$", PAGE, re.MULTILINE)
    assert shown is not None
    with pytest.raises(PolicyError) as caught:
        load_text(
            "version: 1\ncomponents:\n  report:\n    grants:\n      filesystem:\n\n"
            "        - {host: a, guest: /a, access: wirte}\n"
        )
    assert str(caught.value) == shown[1].replace("report.yaml", "policy.yaml")


def seconds_of(text: str) -> float:
    return milliseconds_of(text) / 1000


def test_the_limits_on_the_page_are_the_limits() -> None:
    """Defaults, units and bounds, read from the tables."""
    table = dict(re.findall(r"^\| `([\w-]+)` \| .* \| (?:size|duration|number) \| (.*) \| .* \|$", PAGE, re.MULTILINE))
    limits = model.Limits()
    assert table == {
        "memory": "512MiB",
        "deadline": "60s",
        "fuel": "not counted",
        "output": "64MiB",
        "handles": "256",
        "disk": "256MiB",
        "sockets": "64",
        "sent": "256MiB",
        "received": "256MiB",
        "connect-time": "10s",
        "lookups": "10",
        "lookup-bytes": "4KiB",
        "events": "1000",
    }
    assert limits.fuel is None
    read: dict[str, Callable[[str], float]] = dict.fromkeys(("deadline", "connect-time"), seconds_of)
    read |= dict.fromkeys(("memory", "output", "disk", "sent", "received", "lookup-bytes"), size_of)
    for key in table.keys() - {"fuel"}:
        assert read.get(key, int)(table[key]) == getattr(limits, key.replace("-", "_"))
    assert all(f"`{word}`" in PAGE for word in (*UNITS, *MILLISECONDS, *http.METHODS))
    assert (
        f"at most 1 MiB, {source.MAX_VALUES:,} keys and values, {source.MAX_DEPTH} levels, and {source.MAX_KEY}" in PAGE
    )
