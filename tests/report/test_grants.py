"""Suggested grants, merged into one piece of YAML."""

from __future__ import annotations

import textwrap

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.policy.load import parse_policy
from sandbox.policy.model import Local, Peer, Sockets
from sandbox.report.grants import merge


def merged(*grants: str) -> str:
    return "".join(f"{line}\n" for line in merge(grants))


def test_nothing_suggests_nothing() -> None:
    """No grants, and empty ones, are no lines."""
    assert merged() == ""
    assert merged("", "\n \n") == ""


def test_what_is_said_twice_is_said_once() -> None:
    """Equal suggestions are one; items of one family stand in one list, in the order of their first mention."""
    one = "filesystem:\n  - {host: /a, guest: /a, access: read}\n"
    two = "filesystem:\n  - {host: /b, guest: /b, access: read}\n"
    assert merged(one, two, one) == (
        "filesystem:\n  - {host: /a, guest: /a, access: read}\n  - {host: /b, guest: /b, access: read}\n"
    )


@pytest.mark.parametrize("order", [1, -1])
def test_write_includes_read(order: int) -> None:
    """A directory that was asked for reading and for writing is one grant: guest paths may not repeat."""
    read = "filesystem:\n  - {host: /a, guest: /a, access: read}"
    write = "filesystem:\n  - {host: /a, guest: /a, access: write}"
    other = "filesystem:\n  - {host: /b, guest: /b, access: read}"
    assert merged(*[read, write][::order], other, read) == (
        "filesystem:\n  - {host: /a, guest: /a, access: write}\n  - {host: /b, guest: /b, access: read}\n"
    )


def test_grants_of_the_network_meet() -> None:
    """Peers, addresses and names of several refusals are one list each, which a policy takes as it is."""
    text = merged(
        'sockets:\n  tcp:\n    connect:\n      - "db.internal:5432"\n',
        'sockets:\n  tcp:\n    connect:\n      - "[2001:db8::1]:443"\n',
        'sockets: {tcp: {connect: ["203.0.113.7:443"], listen: ["127.0.0.1:0"]}}',
        'sockets:\n  dns: ["pool.example"]\n',
        'sockets:\n  tcp:\n    connect:\n      - "db.internal:5432"\n',
        'sockets:\n  udp:\n    send:\n      - "10.2.0.53:53"\n',
        'sockets:\n  dns:\n    - "*.example.com"\n',
    )
    assert text == (
        "sockets:\n"
        "  tcp:\n"
        "    connect:\n"
        '      - "db.internal:5432"\n'
        '      - "[2001:db8::1]:443"\n'
        '      - "203.0.113.7:443"\n'
        "    listen:\n"
        '      - "127.0.0.1:0"\n'
        "  dns:\n"
        '    - "pool.example"\n'
        '    - "*.example.com"\n'
        "  udp:\n"
        "    send:\n"
        '      - "10.2.0.53:53"\n'
    )
    policy = "version: 1\ncomponents:\n  c:\n    grants:\n" + textwrap.indent(text, " " * 6)
    (component,) = parse_policy(policy.encode(), file="p.yaml", directory="/").components
    assert component.grants.sockets == Sockets(
        connect=(
            Peer(host="db.internal", ports=(5432, 5432)),
            Peer(host="2001:db8::1", ports=(443, 443)),
            Peer(host="203.0.113.7", ports=(443, 443)),
        ),
        listen=(Local(address="127.0.0.1", port=0),),
        send=(Peer(host="10.2.0.53", ports=(53, 53)),),
        dns=("pool.example", "*.example.com"),
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_private_peer_includes_the_same_one(order: int) -> None:
    """A peer that was asked for with and without its private addresses is one grant: peers may not repeat."""
    public = 'sockets:\n  tcp:\n    connect:\n      - "db.internal:5432"'
    private = 'sockets:\n  tcp:\n    connect:\n      - {to: "db.internal:5432", private: true}'
    other = 'sockets:\n  tcp:\n    connect:\n      - "db.internal:5433"'
    assert merged(*[public, private][::order], other, public) == (
        'sockets:\n  tcp:\n    connect:\n      - {to: "db.internal:5432", private: true}\n      - "db.internal:5433"\n'
    )


def test_spellings_of_one_thing_meet() -> None:
    """Block and flow style, a grants key on top, a list at the level of its key: all are the same suggestion."""
    assert merged(
        "grants:\n  environment: {inherit: [HOME]}",
        "environment:\n  inherit:\n  - TZ",
        "environment: {inherit: [HOME, \"A,B\"], set: {C: '}'}}",
        "  stdio:\n    stdout: inherit",
        "stdio: {stderr: inherit}",
    ) == (
        "environment:\n"
        "  inherit:\n"
        "    - HOME\n"
        "    - TZ\n"
        '    - "A,B"\n'
        "  set:\n"
        "    C: '}'\n"
        "stdio:\n"
        "  stdout: inherit\n"
        "  stderr: inherit\n"
    )


def test_items_of_several_lines_stay_whole() -> None:
    """A grant in block style is one item, and is not mixed with another that begins alike."""
    assert merged(
        "filesystem:\n  - host: /a\n    guest: /in\n    access: read\n",
        "filesystem:\n- host: /a\n  guest: /out\n  access: read\n",
        "filesystem:\n- host: /a\n  guest: /in\n  access: write\n",
    ) == (
        "filesystem:\n"
        "  - host: /a\n    guest: /in\n    access: write\n"
        "  - host: /a\n    guest: /out\n    access: read\n"
    )


def test_rivals_become_comments() -> None:
    """A key cannot have two values in YAML: the first stands, the others are shown as alternatives."""
    assert merged("clocks: real", "clocks: {wall: coarse}", "arguments: [a]", "arguments: inherit") == (
        "clocks: real\n# or: clocks:\n# wall: coarse\narguments:\n  - a\n# or: arguments: inherit\n"
    )


@pytest.mark.parametrize(
    "odd", ["random: {", "random: {a: [b}", "random: }{", "nonsense", "a: " + "{a: " * 900 + "}" * 900]
)
def test_what_is_not_understood_is_kept(odd: str) -> None:
    """A suggestion in no known form is shown as it came."""
    assert merged(odd) == odd + "\n"


SCALARS = st.from_regex(r"\A[a-z]{1,3}\Z")
TREES: st.SearchStrategy[object] = st.dictionaries(
    SCALARS,
    st.one_of(
        SCALARS, st.lists(SCALARS, min_size=1, max_size=3, unique=True), st.dictionaries(SCALARS, SCALARS, min_size=1)
    ),
    min_size=1,
    max_size=4,
)


@given(TREES, st.booleans())
def test_one_suggestion_means_what_it_meant(tree: object, flow: bool) -> None:
    """Merging a single suggestion changes its looks at most, whatever style it came in."""
    text = yaml.safe_dump(tree, default_flow_style=flow, sort_keys=False, width=10_000)
    if flow:
        text = "\n".join(yaml.safe_dump({k: v}, default_flow_style=True)[1:-2] for k, v in yaml.safe_load(text).items())
    assert yaml.safe_load(merged(text)) == yaml.safe_load(text)


@given(st.lists(st.text(st.sampled_from("ab:- \n{}[],\"'#\\"))))
def test_nonsense_is_no_crash(grants: list[str]) -> None:
    """Any text at all gives lines without newlines in them."""
    assert all("\n" not in line for line in merge(grants))
