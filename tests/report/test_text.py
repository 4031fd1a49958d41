"""What people read after a run."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.audit.events import Event, EventName
from sandbox.report.text import denials, escape, inert, outcome

GRANT = "filesystem:\n  - {{host: {0}, guest: {0}, access: read}}\n"


def an_event(
    resource: str | None = None,
    *,
    name: EventName = "denied",
    component: str = "miner",
    path: str | None = None,
    capability: str = "filesystem.read",
    reason: str = "no grant holds this path",
    line: int | None = 6,
    function: str | None = "[method]descriptor.open-at",
    resolved: str | None = None,
    grant: str | None = None,
    count: int = 1,
    sent: int | None = None,
    received: int | None = None,
) -> Event:
    return Event(
        name=name,
        time="2026-01-31T12:00:00.000000Z",
        run="r",
        sequence=1,
        component=component,
        path=path,
        component_digest=None,
        policy="policies/miner.yaml",
        policy_digest="",
        policy_line=line,
        capability=capability,
        interface=None,
        function=function,
        resource=resource,
        resolved=resolved,
        reason=reason,
        grant=grant,
        count=count,
        sent=sent,
        received=received,
    )


ENDED = an_event(name="ended", capability="run", reason="it returned", line=None)


def shown(*events: Event, color: bool = False, width: int = 80) -> str:
    return denials([*events, ENDED], color=color, width=width)


def test_nothing_refused_is_nothing_said() -> None:
    """A run without refusals prints nothing."""
    assert shown() == ""
    assert denials([], color=True, width=80) == ""


def test_one_refusal() -> None:
    """A single refusal: what, where in the policy, why, and the YAML that would grant it."""
    assert shown(an_event("/etc/passwd", grant=GRANT.format("/etc"))) == (
        "sandbox: 1 call of miner was refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      /etc/passwd\n"
        "\n"
        "To allow this much, policies/miner.yaml would have to say this. Grant only what\n"
        "you mean to:\n"
        "\n"
        "    components:\n"
        "      miner:\n"
        "        grants:\n"
        "          filesystem:\n"
        "            - {host: /etc, guest: /etc, access: read}\n"
    )


def test_refusals_are_grouped_and_counted() -> None:
    """Equal refusals are one line with a count; groups stand in the order of their first refusal; folds count too."""
    ssh = an_event("/root/.ssh/id_rsa", grant=GRANT.format("/root/.ssh"))
    assert shown(
        ssh,
        an_event("/etc/passwd", grant=GRANT.format("/etc")),
        an_event(
            capability="environment", reason="nothing is granted", function="get-environment", grant="environment: {}"
        ),
        ssh,
        an_event(capability="random", reason="nothing is granted", function=None, line=None),
        an_event("a", resolved="/srv/a", capability="filesystem.write", reason="the grant is read-only", line=9),
        *[ssh] * 10,
        an_event(name="folded", reason="1,300 further calls were refused", count=1300),
    ) == (
        "sandbox: 1,316 calls of miner were refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      12x  /root/.ssh/id_rsa\n"
        "           /etc/passwd\n"
        "\n"
        "  environment  policies/miner.yaml:6\n"
        "    nothing is granted\n"
        "      get-environment\n"
        "\n"
        "  random  policies/miner.yaml\n"
        "    nothing is granted\n"
        "\n"
        "  filesystem.write  policies/miner.yaml:9\n"
        "    the grant is read-only\n"
        "      a -> /srv/a\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    1,300 further calls were refused\n"
        "\n"
        "To allow this much, policies/miner.yaml would have to say this. Grant only what\n"
        "you mean to:\n"
        "\n"
        "    components:\n"
        "      miner:\n"
        "        grants:\n"
        "          filesystem:\n"
        "            - {host: /root/.ssh, guest: /root/.ssh, access: read}\n"
        "            - {host: /etc, guest: /etc, access: read}\n"
        "          environment: {}\n"
    )


def test_every_kind_and_component_has_its_heading() -> None:
    """Reasons not to run come first, then refused calls by component, then bounds."""
    assert shown(
        an_event(name="limit", capability="limits.memory", reason="over 64 MiB", function=None, line=12),
        an_event("pool.example", component="helper", capability="dns.resolve", reason="no policy can grant this"),
        an_event("/a", component="miner"),
        an_event(name="folded", component="*", capability="*", reason="more were refused", line=None, count=5),
        an_event(name="refused", capability="http", reason="it is not enforced yet", function=None, line=3),
    ) == (
        "sandbox: miner was not run\n"
        "\n"
        "  http  policies/miner.yaml:3\n"
        "    it is not enforced yet\n"
        "\n"
        "sandbox: 1 call of helper was refused\n"
        "\n"
        "  dns.resolve  policies/miner.yaml:6\n"
        "    no policy can grant this\n"
        "      pool.example\n"
        "\n"
        "sandbox: 1 call of miner was refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      /a\n"
        "\n"
        "sandbox: 5 calls of several components were refused\n"
        "\n"
        "  *  policies/miner.yaml\n"
        "    more were refused\n"
        "\n"
        "sandbox: miner reached a bound\n"
        "\n"
        "  limits.memory  policies/miner.yaml:12\n"
        "    over 64 MiB\n"
    )


def test_what_was_allowed_comes_last_with_its_bytes() -> None:
    """Allowed uses are grouped and counted as refusals are; each group has the sums of its bytes."""

    def a_use(resource: str | None, capability: str = "sockets.tcp.connect", **more: Any) -> Event:
        reason = more.pop("reason", "granted by db.internal:5432")
        return an_event(resource, name="allowed", capability=capability, reason=reason, line=9, **more)

    address = {"resolved": "10.0.0.1:5432 (db.internal)"}
    assert shown(
        a_use("10.0.0.1:5432", sent=100, received=2**20, **address),
        a_use("db.internal", "dns.resolve", reason="granted by db.internal", resolved="10.0.0.1"),
        a_use("10.0.0.1:5432", sent=1000, received=2**20, **address),
        a_use("10.0.0.1:5432", sent=None, received=None, **address),
        a_use(None, count=1300, sent=5, reason="1,300 further uses were allowed"),
        an_event("/a"),
    ) == (
        "sandbox: 1 call of miner was refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      /a\n"
        "\n"
        "sandbox: 1,304 uses by miner were allowed\n"
        "\n"
        "  sockets.tcp.connect  policies/miner.yaml:9\n"
        "    granted by db.internal:5432\n"
        "    1.1 KiB sent, 2.0 MiB received\n"
        "      3x  10.0.0.1:5432 -> 10.0.0.1:5432 (db.internal)\n"
        "\n"
        "  dns.resolve  policies/miner.yaml:9\n"
        "    granted by db.internal\n"
        "      db.internal -> 10.0.0.1\n"
        "\n"
        "  sockets.tcp.connect  policies/miner.yaml:9\n"
        "    1,300 further uses were allowed\n"
        "    5 bytes sent\n"
    )


def test_one_allowed_use() -> None:
    """A single one is told as one, and suggests no grant."""
    assert shown(an_event("a.b", name="allowed", capability="dns.resolve", reason="granted by a.b")) == (
        "sandbox: 1 use by miner was allowed\n\n  dns.resolve  policies/miner.yaml:6\n    granted by a.b\n      a.b\n"
    )


def test_each_component_has_its_own_grants() -> None:
    """The suggestion names each component once, and quotes a name that YAML would take for something else."""
    text = shown(
        an_event("/a", component="b", grant="clocks: real"),
        an_event("/a", component="on", grant="clocks: real"),
        an_event("/b", component="b", grant="random: secure"),
    )
    assert text.partition("mean to:\n\n")[2] == (
        "    components:\n"
        "      b:\n"
        "        grants:\n"
        "          clocks: real\n"
        "          random: secure\n"
        '      "on":\n'
        "        grants:\n"
        "          clocks: real\n"
    )


def test_each_place_of_a_composition_has_its_heading() -> None:
    """Headings name the path to a component; the one that is run by its name; grants are a component's, not a place's.

    An event of the component that is run, told without its path, is under the same heading.
    """
    assert shown(
        an_event("/a", component="auth", path="app>ledger>auth", grant=GRANT.format("/a")),
        an_event("/b", component="auth", path="app>auth", grant=GRANT.format("/b")),
        an_event("/c", component="auth", path="app>ledger>auth"),
        an_event("/d", component="app", path="app"),
        an_event("/e", component="app"),
        an_event(name="limit", component="auth", path="app>auth", capability="limits.memory", reason="over 64 MiB"),
        an_event("a.b", name="allowed", component="auth", path="app>auth", capability="dns.resolve", reason="granted"),
        an_event(name="refused", component="auth", path="app>auth", capability="http", reason="it is not enforced yet"),
    ) == (
        "sandbox: app>auth was not run\n"
        "\n"
        "  http  policies/miner.yaml:6\n"
        "    it is not enforced yet\n"
        "      [method]descriptor.open-at\n"
        "\n"
        "sandbox: 2 calls of app>ledger>auth were refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      /a\n"
        "      /c\n"
        "\n"
        "sandbox: 1 call of app>auth was refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      /b\n"
        "\n"
        "sandbox: 2 calls of app were refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      /d\n"
        "      /e\n"
        "\n"
        "sandbox: app>auth reached a bound\n"
        "\n"
        "  limits.memory  policies/miner.yaml:6\n"
        "    over 64 MiB\n"
        "      [method]descriptor.open-at\n"
        "\n"
        "sandbox: 1 use by app>auth was allowed\n"
        "\n"
        "  dns.resolve  policies/miner.yaml:6\n"
        "    granted\n"
        "      a.b\n"
        "\n"
        "To allow this much, policies/miner.yaml would have to say this. Grant only what\n"
        "you mean to:\n"
        "\n"
        "    components:\n"
        "      auth:\n"
        "        grants:\n"
        "          filesystem:\n"
        "            - {host: /a, guest: /a, access: read}\n"
        "            - {host: /b, guest: /b, access: read}\n"
    )


def test_colour_changes_no_text() -> None:
    """Colour marks the heading, the capability, the place and the YAML, and nothing else changes."""
    event = an_event("/etc/passwd", grant="clocks: real")
    colored = shown(event, color=True)
    assert re.sub(r"\x1b\[[0-9]+m", "", colored) == shown(event)
    assert colored == (
        "\x1b[1msandbox: 1 call of miner was refused\x1b[0m\n"
        "\n"
        "  \x1b[33mfilesystem.read\x1b[0m  \x1b[2mpolicies/miner.yaml:6\x1b[0m\n"
        "    no grant holds this path\n"
        "      /etc/passwd\n"
        "\n"
        "To allow this much, policies/miner.yaml would have to say this. Grant only what\n"
        "you mean to:\n"
        "\n"
        "    \x1b[32mcomponents:\x1b[0m\n"
        "    \x1b[32m  miner:\x1b[0m\n"
        "    \x1b[32m    grants:\x1b[0m\n"
        "    \x1b[32m      clocks: real\x1b[0m\n"
    )


def test_a_narrow_terminal() -> None:
    """Sentences are wrapped; a path keeps its end, which says the most; a wide character counts as two columns."""
    assert shown(
        an_event("/home/user/" + "a" * 50 + "/.ssh/id_ed25519"),
        an_event("/家族の写真/とても長い名前のフォルダー/秘密.txt"),
        replace(
            an_event("/x", reason="the policy grants no directory that holds this path at all"),
            policy="a/very/long/way/to/the/policies/miner.yaml",
        ),
        width=10,
    ) == (
        "sandbox: 3 calls of miner were refused\n"
        "\n"
        "  filesystem.read  policies/miner.yaml:6\n"
        "    no grant holds this path\n"
        "      /home/user...aaaaa/.ssh/id_ed25519\n"
        "      /家族の写...のフォルダー/秘密.txt\n"
        "\n"
        "  filesystem.read\n"
        "    a/very/long.../policies/miner.yaml:6\n"
        "    the policy grants no directory that\n"
        "    holds this path at all\n"
        "      /x\n"
    )


def test_a_flood_is_cut_short() -> None:
    """However much was refused, the text stays readable and says what it leaves out."""
    many_paths = [an_event(f"/{n}") for n in range(11)]
    many_groups = [an_event("/x", reason=f"reason {n}") for n in range(30)]
    lines = shown(*many_paths, *many_groups).splitlines()
    assert lines[:14] == [
        "sandbox: 41 calls of miner were refused",
        "",
        "  filesystem.read  policies/miner.yaml:6",
        "    no grant holds this path",
        *(f"      /{n}" for n in range(8)),
        "      ... and 3 more",
        "",
    ]
    assert lines[-6:] == [
        "",
        "  filesystem.read  policies/miner.yaml:6",
        "    reason 22",
        "      /x",
        "",
        "  ... and 7 more; the audit trail has them all",
    ]
    many_grants = [an_event("/x", grant=GRANT.format(f"/{n}")) for n in range(60)]
    assert shown(*many_grants).splitlines()[-2:] == [
        "            - {host: /43, guest: /43, access: read}",
        "          # ... and 16 more lines; the audit trail has them all",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("naïve 日本語 עברית ∑😀", "naïve 日本語 עברית ∑😀"),
        ("e\u0301", "e\u0301"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("\x7f\x80\x9b\xad", r"\x7f\x80\x9b\xad"),
        ("a\u202egpj.exe\u2066\u200f", r"a\u202egpj.exe\u2066\u200f"),
        ("\u200b\u200d\ufeff\u2028\u2029\u3000\xa0", r"\u200b\u200d\ufeff\u2028\u2029\u3000\xa0"),
        ("\ufe0f\u3164\u115f\u2800\U000e0101", r"\ufe0f\u3164\u115f\u2800\U000e0101"),
        ("\U000e0041\ue000\u0378", r"\U000e0041\ue000\u0378"),
        ("\udcff\ud800", r"\xff\ud800"),
        ("a\\b", "a\\b"),
        ("", ""),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    """Letters of every script stay; what a terminal acts on, hides or reorders with is spelled out."""
    assert escape(text) == escaped


@pytest.mark.parametrize(
    ("resource", "shown"),
    [
        ("::error title=a b::c", "\\x3a:error title=a b::c"),
        ("::stop-commands::word", "\\x3a:stop-commands::word"),
        ("a ##vso[task.prependpath]/tmp", "a #\\x23vso[task.prependpath]/tmp"),
        ("##[group]", "#\\x23[group]"),
        ("::1", "::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("a ::b::", "a ::b::"),
        ("# ## [", "# ## ["),
    ],
)
def test_no_name_is_a_command_to_a_runner(resource: str, shown: str) -> None:
    """What a component asked for is shown in the log of a job, where some words would be carried out."""
    text = denials([an_event(resource, reason=f"it is {resource}")], color=False, width=100)
    assert f"      {shown}\n" in text
    assert inert(text) == text
    assert inert(f"first\n \t{resource}\nlast") == f"first\n \t{shown}\nlast"


def test_a_suggestion_without_commands_means_the_same() -> None:
    """The grant that can be pasted still names the directory that was asked for."""
    wanted = "/##vso[x]/::error::y"
    grant = f'filesystem:\n  - {{host: "{wanted}", guest: "{wanted}", access: read}}\n'
    text = denials([an_event(wanted, grant=grant)], color=False, width=100)
    assert "##vso" not in text
    suggested = yaml.safe_load(text[text.index("    components:") :])["components"]["miner"]["grants"]
    assert suggested == {"filesystem": [{"host": wanted, "guest": wanted, "access": "read"}]}


def test_no_wrapped_line_is_a_command_to_a_runner() -> None:
    """A line that begins in the middle of a sentence is like the others."""
    event = an_event("x", reason="a reason that ends just before the ::error::words that follow")
    text = denials([event], color=False, width=40)
    assert "\n    \\x3a:error::words" in text


@given(st.text(st.characters(codec=None)))
def test_escaped_text_is_printable_and_stays_so(text: str) -> None:
    """Any text becomes printable, on one line, and escaping it again changes nothing."""
    assert escape(text).isprintable()
    assert escape(escape(text)) == escape(text)


HOSTILE = st.text(st.one_of(st.characters(codec=None), st.sampled_from("\n\x1b\u202e ")), max_size=20)


@given(
    st.lists(
        st.builds(
            an_event,
            HOSTILE,
            capability=HOSTILE,
            reason=HOSTILE,
            grant=HOSTILE,
            component=HOSTILE,
            path=st.none() | HOSTILE,
        ),
        min_size=1,
    )
)
def test_no_name_reaches_the_terminal_raw(events: list[Event]) -> None:
    """Whatever guests and policies name, every line that is printed is printable."""
    text = shown(*events)
    assert text.endswith("\n")
    assert all(line.isprintable() for line in text[:-1].split("\n"))


@given(st.text(st.characters(exclude_categories=["Cs", "Mn"]), max_size=200), st.integers(40, 100))
def test_lines_fit_the_terminal(name: str, width: int) -> None:
    """No line but the YAML, which must stay whole, is longer than the terminal is wide."""
    text = shown(an_event(name, reason=name, capability=name, path=name), width=width)
    assert all(len(line) <= width for line in text.splitlines())


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            outcome(component="report", exit_status=0, bound=None, seconds=0.0124, memory=512, refused=0),
            "sandbox: report ended: exit status 0, 12 ms, 512 bytes of memory\n",
        ),
        (
            outcome(component="miner", exit_status=1, bound=None, seconds=1.2345, memory=13_000_000, refused=1),
            "sandbox: miner ended: exit status 1, 1.23 s, 12.4 MiB of memory, 1 call refused\n",
        ),
        (
            outcome(component="m", exit_status=124, bound="limits.fuel", seconds=3600, memory=2**31, refused=12345),
            "sandbox: m was stopped by limits.fuel: exit status 124, 3600 s, 2.0 GiB of memory, 12,345 calls refused\n",
        ),
        (
            outcome(component="\x1b", exit_status=0, bound=None, seconds=0, memory=None, refused=0),
            "sandbox: \\x1b ended: exit status 0, 0 ms\n",
        ),
    ],
)
def test_outcome(line: str, expected: str) -> None:
    """One line says how a run ended, with its time and memory in units that people read."""
    assert line == expected
