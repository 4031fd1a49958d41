"""What a diff found, as text, as JSON and as Markdown, whatever the policies' authors wrote."""

from __future__ import annotations

import json

from sandbox.compare.change import Change, Kind
from sandbox.report.changes import ITEMS, changes_json, changes_markdown, changes_text


def change(kind: Kind = "gained", text: str = "can now read /in", file: str = "p.yaml", component: str = "c") -> Change:
    return Change(kind=kind, component=component, capability="filesystem.read", text=text, file=file, line=3, column=5)


LOST = change("lost", "can no longer write /out", "main:p.yaml")
OTHER = change("changed", "is pinned to another binary")


def test_text() -> None:
    """One line a change, as given, and the count."""
    assert changes_text([change(), LOST, OTHER], policies=2) == (
        "c: can now read /in (p.yaml:3)\n"
        "c: can no longer write /out (main:p.yaml:3)\n"
        "c: is pinned to another binary (p.yaml:3)\n"
        "1 gained, 1 lost, 1 changed in 2 policies\n"
    )


def test_nothing() -> None:
    """Where nothing changed that is said."""
    assert changes_text([], policies=1) == "0 gained, 0 lost, 0 changed in 1 policy\n"
    assert changes_json([], policies=1) == ('{"version":1,"changes":[],"gained":0,"lost":0,"changed":0,"policies":1}\n')
    assert changes_markdown([], policies=1) == (
        "### Capabilities\n\nNo capability was gained. 0 gained, 0 lost, 0 changed in 1 policy.\n"
    )


def test_json() -> None:
    """Every field of every change, and the counts."""
    assert json.loads(changes_json([change(), LOST], policies=2)) == {
        "version": 1,
        "changes": [
            {
                "kind": "gained",
                "component": "c",
                "capability": "filesystem.read",
                "text": "can now read /in",
                "file": "p.yaml",
                "line": 3,
                "column": 5,
            },
            {
                "kind": "lost",
                "component": "c",
                "capability": "filesystem.read",
                "text": "can no longer write /out",
                "file": "main:p.yaml",
                "line": 3,
                "column": 5,
            },
        ],
        "gained": 1,
        "lost": 1,
        "changed": 0,
        "policies": 2,
    }


def test_markdown() -> None:
    """What was gained comes first, whichever policy it is in, and in bold."""
    assert changes_markdown([LOST, OTHER, change()], policies=1) == (
        "### Capabilities\n"
        "\n"
        "1 gained, 1 lost, 1 changed in 1 policy.\n"
        "\n"
        "- **gained**: `c: can now read /in` (`p.yaml:3`)\n"
        "- lost: `c: can no longer write /out` (`main:p.yaml:3`)\n"
        "- changed: `c: is pinned to another binary` (`p.yaml:3`)\n"
    )


def test_hostile_text() -> None:
    """Nothing acts on a terminal, breaks a line, leaves its code span, mentions anybody or is markup."""
    hostile = change(text="can now read \x1b[2J\n- **@you** <img src=x> ``` `x` \u202e", file="`\n@all.yaml`")
    assert changes_text([hostile], policies=1).splitlines()[0] == (
        "c: can now read \\x1b[2J\\n- **@you** <img src=x> ``` `x` \\u202e (`\\n@all.yaml`:3)"
    )
    sentence = "c: can now read \\x1b[2J\\n- **@you** <img src=x> ``` `x` \\u202e"
    assert changes_markdown([hostile], policies=1).splitlines()[4:] == [
        f"- **gained**: ````{sentence}```` (`` `\\n@all.yaml`:3 ``)"
    ]
    printed = changes_json([hostile], policies=1)
    assert printed.isascii()
    assert printed.count("\n") == 1
    assert json.loads(printed)["changes"][0]["text"] == hostile.text


def test_no_text_is_a_command_to_a_runner() -> None:
    """What a policy names is no command in the log of the job that compares it, nor in a comment's source."""
    hostile = change(text="can now read /##[x]", file="##vso[y].yaml")
    for shown in (changes_text([hostile], policies=1), changes_markdown([hostile], policies=1)):
        assert "can now read /#\\x23[x]" in shown
        assert "#\\x23vso[y].yaml" in shown
        assert "##[" not in shown
        assert "##vso[" not in shown


def test_long_text_and_long_lists() -> None:
    """A long sentence is shortened for people, and whole for programs; a comment lists so many at most."""
    long = change(text="x" * 1000)
    shortened = "x" * 198 + "..." + "x" * 198
    assert changes_text([long], policies=1).splitlines()[0] == f"c: {shortened} (p.yaml:3)"
    assert json.loads(changes_json([long], policies=1))["changes"][0]["text"] == "x" * 1000
    lines = changes_markdown([OTHER] * ITEMS + [change()] * 2, policies=1).splitlines()
    assert lines[4] == lines[5] == "- **gained**: `c: can now read /in` (`p.yaml:3`)"
    assert lines[-1] == "- ... and 2 more, which `sandbox diff` lists"
    assert len(lines) == 4 + ITEMS + 1
