"""From a policy file to a ``Policy``: what is read as what, and every sentence about what is wrong."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.policy.errors import Fault, PolicyError
from sandbox.policy.load import load_policy, parse_policy
from sandbox.policy.model import (
    Arguments,
    Clocks,
    ComponentPolicy,
    DeniedPeer,
    DirectoryGrant,
    Environment,
    Grants,
    InheritedVariable,
    Limits,
    Local,
    Peer,
    Place,
    Policy,
    Random,
    Sockets,
    Stdio,
    Stream,
)
from tests.policy.policies import DIGEST, FULL, POLICIES, load, load_text


def faults_of(text: str) -> list[str]:
    """What is wrong with a policy, as a user sees it."""
    with pytest.raises(PolicyError) as caught:
        load_text(text)
    return str(caught.value).split("\n")


def grants_of(text: str) -> Grants:
    """The grants of a component whose ``grants`` key is followed by ``text``."""
    return load_text(f"version: 1\ncomponents: {{a: {{grants: {text}}}}}").components[0].grants


def limits_of(text: str) -> Limits:
    """The limits of a component whose ``limits`` key is followed by ``text``."""
    return load_text(f"version: 1\ncomponents: {{a: {{limits: {text}}}}}").components[0].limits


# -- What is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("component", ["{}", "{grants: {}}", "{grants: }", "{grants: {}, limits: {}}", "{limits: }"])
def test_an_empty_component_is_granted_nothing(component: str) -> None:
    """Nothing written, nothing granted; the limits are the defaults."""
    assert load_text(f"version: 1\ncomponents: {{a: {component}}}").components == (ComponentPolicy(name="a"),)


@pytest.mark.parametrize(
    "family", ["filesystem", "stdio", "environment", "arguments", "clocks", "random", "sockets", "http"]
)
def test_a_family_with_nothing_under_it_is_not_granted(family: str) -> None:
    """A draft in which everything under a family is commented out grants none of it."""
    assert grants_of(f"{{{family}: }}") == Grants()


@pytest.mark.parametrize(
    "nothing",
    ["{filesystem: []}", "{stdio: {}}", "{clocks: {}}", "{sockets: {}}", "{sockets: {tcp: {}}}", "{http: []}"],
)
def test_an_empty_grant_grants_nothing(nothing: str) -> None:
    """An empty list or mapping is the same as none."""
    assert grants_of(nothing) == Grants()


def test_a_policy_with_every_key_is_read_whole() -> None:
    """Every key of the language, in the frozen policy."""
    assert load(FULL) == Policy(
        file="policy.yaml",
        directory="/policies",
        digest=f"sha256:{hashlib.sha256(json.dumps(FULL).encode()).hexdigest()}",
        components=(
            ComponentPolicy(
                name="report",
                source="../samples/report.wasm",
                digest=DIGEST,
                grants=Grants(
                    filesystem=(
                        DirectoryGrant(host="./invoices", guest="/in", access="read", hard_links=True),
                        DirectoryGrant(
                            host="~/out", guest="/out", access="write", excepted=("**/.git/**", "[!a]?.tmp")
                        ),
                    ),
                    stdio=Stdio(
                        stdin=Stream(mode="inherit"),
                        stdout=Stream(mode="capture"),
                        stderr=Stream(mode="file", path="errors.txt"),
                    ),
                    environment=Environment(
                        set=(("TZ", "UTC"), ("EMPTY", "")),
                        inherit=(InheritedVariable(name="LANG"), InheritedVariable(name="HOME", default="/")),
                    ),
                    arguments=Arguments(fixed=("--flag", "input.csv")),
                    clocks=Clocks(wall="coarse", monotonic="real"),
                    random=Random(seed=7),
                    sockets=Sockets(
                        connect=(
                            Peer(host="db.internal", ports=(5432, 5432)),
                            Peer(host="cache.internal", ports=(6379, 6379), private=True),
                        ),
                        listen=(Local(address="127.0.0.1", port=8080),),
                        send=(Peer(host="10.2.0.0/16", ports=(53, 54)),),
                        bind=(Local(address="::", port=0),),
                        dns=("*.example.com",),
                        deny=(
                            DeniedPeer(host="169.254.0.0/16"),
                            DeniedPeer(host="**.corp.example.com", ports=(443, 443)),
                        ),
                        audit_all=True,
                    ),
                ),
                limits=Limits(
                    memory=64 * 2**20,
                    deadline=5.0,
                    fuel=2_000_000_000,
                    output=1_000_000,
                    handles=100,
                    disk=0,
                    sockets=8,
                    sent=2**20,
                    received=2 * 2**20,
                    connect_time=2.0,
                    lookups=3,
                    lookup_bytes=1024,
                    events=10,
                ),
                deterministic=True,
            ),
            ComponentPolicy(name="auth"),
        ),
        run="report",
        places=load(FULL).places,
    )


def test_each_route_has_the_place_of_its_key_or_item() -> None:
    """An event names the line of the policy that would have to change; a route that is not there, its parent's."""
    policy = load_text(
        "version: 1\n"
        "components:\n"
        "  a:\n"
        "    grants:\n"
        "      filesystem:\n"
        "        - host: in\n"
        "          guest: /in\n"
        "          access: read\n"
    )
    assert policy.places == {
        "version": Place(line=1, column=1),
        "components": Place(line=2, column=1),
        "components.a": Place(line=3, column=3),
        "components.a.grants": Place(line=4, column=5),
        "components.a.grants.filesystem": Place(line=5, column=7),
        "components.a.grants.filesystem[0]": Place(line=6, column=11),
        "components.a.grants.filesystem[0].host": Place(line=6, column=11),
        "components.a.grants.filesystem[0].guest": Place(line=7, column=11),
        "components.a.grants.filesystem[0].access": Place(line=8, column=11),
    }
    assert policy.place("components.a.grants.filesystem[0].except[3]") == Place(line=6, column=11)
    assert policy.place("components.a.grants.stdio.stdout") == Place(line=4, column=5)


@pytest.mark.parametrize(
    ("written", "grants"),
    [
        ("{arguments: inherit}", Grants(arguments=Arguments(fixed=None))),
        ("{arguments: []}", Grants(arguments=Arguments(fixed=()))),
        ("{arguments: [inherit, '']}", Grants(arguments=Arguments(fixed=("inherit", "")))),
        ("{environment: {}}", Grants(environment=Environment())),
        ("{environment: {inherit: [A]}}", Grants(environment=Environment(inherit=(InheritedVariable(name="A"),)))),
        ("{environment: {inherit: [all]}}", Grants(environment=Environment(inherit=(InheritedVariable(name="all"),)))),
        ("{clocks: coarse}", Grants(clocks=Clocks(wall="coarse", monotonic="coarse"))),
        ("{clocks: {wall: real}}", Grants(clocks=Clocks(wall="real"))),
        ("{random: secure}", Grants(random=Random(seed=None))),
        ("{random: seeded}", Grants(random=Random(seed=0))),
        ("{random: {seed: 18446744073709551615}}", Grants(random=Random(seed=2**64 - 1))),
        ("{stdio: {stdin: closed}}", Grants(stdio=Stdio(stdin=Stream(mode="closed")))),
        (
            "{stdio: {stdin: {file: in.txt}, stderr: discard}}",
            Grants(stdio=Stdio(stdin=Stream(mode="file", path="in.txt"), stderr=Stream(mode="discard"))),
        ),
        (
            "{filesystem: [{host: '~', guest: /, access: read, except: []}]}",
            Grants(filesystem=(DirectoryGrant(host="~", guest="/", access="read"),)),
        ),
        (
            "{filesystem: [{host: ./$x, guest: '/a b', access: read, except: ['**', '[[]', '[]-]x', 'a/**/[a-c]?*']}]}",
            Grants(
                filesystem=(
                    DirectoryGrant(
                        host="./$x", guest="/a b", access="read", excepted=("**", "[[]", "[]-]x", "a/**/[a-c]?*")
                    ),
                )
            ),
        ),
    ],
)
def test_the_forms_of_a_grant(written: str, grants: Grants) -> None:
    """The short form of a key and its long form, and what an empty one means."""
    assert grants_of(written) == grants


@pytest.mark.parametrize("grants", ["{}", "{clocks: real, random: secure, sockets: {dns: [a.b]}}"])
def test_what_is_declared_deterministic(grants: str) -> None:
    """The declaration is read as it is, also where a grant contradicts it: the plan says so, with the component."""
    (component,) = load_text(f"version: 1\ncomponents: {{a: {{deterministic: true, grants: {grants}}}}}").components
    assert component == ComponentPolicy(name="a", grants=grants_of(grants), deterministic=True)
    (component,) = load_text("version: 1\ncomponents: {a: {deterministic: false}}").components
    assert component == ComponentPolicy(name="a")


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        ("{memory: 1MiB, deadline: 1ms}", Limits(memory=2**20, deadline=0.001)),
        ("{memory: 1TiB, deadline: 24h}", Limits(memory=2**40, deadline=86400.0)),
        ("{memory: 1048577}", Limits(memory=1048577)),
        ("{output: 0, disk: 0B}", Limits(output=0, disk=0)),
        ("{output: 3KB, disk: 3KiB}", Limits(output=3000, disk=3072)),
        ("{output: 2MB, disk: 2GB}", Limits(output=2_000_000, disk=2_000_000_000)),
        ("{output: 2GiB, disk: 1TB}", Limits(output=2**31, disk=10**12)),
        ("{deadline: 1500ms}", Limits(deadline=1.5)),
        ("{deadline: 2m}", Limits(deadline=120.0)),
        ("{fuel: 1, handles: 4, events: 1}", Limits(fuel=1, handles=4, events=1)),
        (
            "{fuel: 9_223_372_036_854_775_807, handles: 65536, events: 1000000}",
            Limits(fuel=2**63 - 1, handles=65536, events=1_000_000),
        ),
    ],
)
def test_sizes_durations_and_counts(written: str, limits: Limits) -> None:
    """KB is 1000 bytes and KiB 1024; a bound that is given exactly is allowed."""
    assert limits_of(written) == limits


def test_the_default_limits() -> None:
    """Every bound is in force where a policy does not speak of it, fuel aside."""
    assert limits_of("{}") == Limits(
        memory=536870912, deadline=60.0, fuel=None, output=67108864, handles=256, disk=268435456, events=1000
    )


# -- What is refused ------------------------------------------------------------------------------------------------

COMPONENT: dict[str, list[tuple[str, str]]] = {
    "source": [
        ("source: 5", "source: must be a path, not the number 5: put it in quotes: '5'"),
        ("source: ''", "source: must be a path, not an empty string"),
        ("source:", "source: is empty: it must be a path"),
        ('source: "a\\nb"', "source: must not contain the character U+000A"),
        ('source: "a\\u202eb"', "source: must not contain the character U+202E"),
        (
            "source: ~bob/a.wasm",
            "source: only ~ and ~/ stand for a home directory; write './~bob/a.wasm' for that name itself",
        ),
        (
            "source: $HOME/a.wasm",
            "source: variables are not expanded; write ~/ for the home directory, or './$HOME/a.wasm'",
        ),
        ("source: [a]", "source: must be a path, not a list"),
    ],
    "deterministic": [
        ("deterministic: yes", "deterministic: must be true or false, not 'yes' (did you mean 'true'?)"),
        ("deterministic:", "deterministic: is empty: it must be true or false"),
        ("deterministic: 1", "deterministic: must be true or false, not the number 1"),
        ("determinstic: true", "determinstic: unknown key (did you mean 'deterministic'?)"),
    ],
    "digest": [
        (
            f"digest: md5:{'0' * 32}",
            f"digest: must be 'sha256:' and 64 lower-case hexadecimal digits, not 'md5:{'0' * 32}'",
        ),
        (
            f"digest: sha256:{'A' * 64}",
            "digest: must be 'sha256:' and 64 lower-case hexadecimal digits: this one has upper-case digits",
        ),
        ("digest: sha256:12", "digest: must be 'sha256:' and 64 lower-case hexadecimal digits, not 2"),
        (
            f"digest: sha256:{'g' * 64}",
            "digest: must be 'sha256:' and 64 lower-case hexadecimal digits: 'g' is no such digit",
        ),
        ("digest:", "digest: is empty: it must be 'sha256:' and 64 lower-case hexadecimal digits"),
    ],
    "keys": [
        ("grant: {}", "grant: unknown key (did you mean 'grants'?)"),
        ("Limits: {}", "Limits: unknown key (did you mean 'limits'?)"),
        ("memory: 1MiB", "memory: unknown key"),
        ("grants: []", "grants: must be a mapping, not a list"),
        ("limits: 5s", "limits: must be a mapping, not '5s'"),
        ("imports:", "imports: is empty: write {} or remove the key"),
    ],
    "imports": [
        (
            "imports: {clock: a}",
            (
                "imports.clock: must be an interface, as in 'cyber:payments/auth' or 'cyber:payments/auth@1.0.0', "
                "not 'clock'"
            ),
        ),
    ],
    "memory": [
        (
            "limits: {memory: 64mib}",
            (
                "limits.memory: must be a size, in bytes or as in '64MiB' (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), "
                "not '64mib' (did you mean '64MiB'?)"
            ),
        ),
        (
            "limits: {memory: 64Mi}",
            (
                "limits.memory: must be a size, in bytes or as in '64MiB' (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), "
                "not '64Mi' (did you mean '64MiB'?)"
            ),
        ),
        (
            "limits: {memory: 1.5GiB}",
            (
                "limits.memory: must be a size, in bytes or as in '64MiB' (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), "
                "not '1.5GiB'"
            ),
        ),
        (
            "limits: {memory: true}",
            (
                "limits.memory: must be a size, in bytes or as in '64MiB' (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), "
                "not true"
            ),
        ),
        (
            "limits: {memory: }",
            (
                "limits.memory: is empty: it must be a size, in bytes or as in '64MiB' "
                "(B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)"
            ),
        ),
        ("limits: {memory: 64}", "limits.memory: must be at least 1MiB, not 64"),
        ("limits: {memory: 512KiB}", "limits.memory: must be at least 1MiB, not 512KiB"),
        ("limits: {memory: 2TiB}", "limits.memory: must be at most 1TiB, not 2TiB"),
        ("limits: {output: -1}", "limits.output: must be at least 0B, not -1"),
        ("limits: {disk: 1025TiB}", "limits.disk: must be at most 1024TiB, not 1025TiB"),
    ],
    "deadline": [
        (
            "limits: {deadline: 5}",
            (
                "limits.deadline: is a number without a unit: it must be a duration, as in '500ms', '5s', '2m' or '1h' "
                "(did you mean '5s'?)"
            ),
        ),
        (
            "limits: {deadline: 0.5}",
            "limits.deadline: is a number without a unit: it must be a duration, as in '500ms', '5s', '2m' or '1h'",
        ),
        (
            "limits: {deadline: 5 minutes}",
            (
                "limits.deadline: must be a duration, as in '500ms', '5s', '2m' or '1h', not '5 minutes' "
                "(did you mean '5m'?)"
            ),
        ),
        (
            "limits: {deadline: 1.5s}",
            "limits.deadline: must be a duration, as in '500ms', '5s', '2m' or '1h', not '1.5s'",
        ),
        ("limits: {deadline: 0s}", "limits.deadline: must be at least 1ms, not 0s"),
        ("limits: {deadline: 25h}", "limits.deadline: must be at most 24h, not 25h"),
    ],
    "counts": [
        ("limits: {fuel: 0}", "limits.fuel: must be at least 1, not 0"),
        ("limits: {fuel: }", "limits.fuel: is empty: it must be a whole number"),
        ("limits: {fuel: 1e9}", "limits.fuel: must be a whole number, not the number 1000000000.0"),
        ("limits: {fuel: true}", "limits.fuel: must be a whole number, not true"),
        ("limits: {handles: 3}", "limits.handles: must be at least 4, not 3"),
        ("limits: {handles: 65537}", "limits.handles: must be at most 65536, not 65537"),
        ("limits: {events: '10'}", "limits.events: must be a whole number, not '10'"),
        ("limits: {event: 10}", "limits.event: unknown key (did you mean 'events'?)"),
    ],
}
"""What is wrong with a component: its text, and what is said after the file, the place and ``components.a.``."""


@pytest.mark.parametrize(
    ("written", "message"), [case for cases in COMPONENT.values() for case in cases], ids=lambda text: text[:60]
)
def test_what_is_wrong_with_a_component(written: str, message: str) -> None:
    """One fault, in plain words, at the key."""
    faults = faults_of(f"version: 1\ncomponents:\n  a:\n    {written}\n")
    assert [fault.partition(": ")[2] for fault in faults] == [f"components.a.{message}"]


_NOT_ALL = "the whole environment is never granted: name the variables, as in {inherit: [LANG]}"

GRANTS: dict[str, list[tuple[str, str]]] = {
    "families": [
        ("network: []", "network: unknown key"),
        ("filesytem: []", "filesytem: unknown key (did you mean 'filesystem'?)"),
        ("filesystem: /in", "filesystem: must be a list, not '/in'"),
        ("filesystem: {}", "filesystem: must be a list, not a mapping"),
        ("filesystem: [/in]", "filesystem[0]: must be a mapping, not '/in'"),
        ("filesystem: [null]", "filesystem[0]: is empty: write {} or remove the key"),
        ("stdio: inherit", "stdio: must be a mapping, not 'inherit'"),
    ],
    "stdio": [
        (
            "stdio: {stdout: yes}",
            "stdio.stdout: must be 'closed', 'inherit', 'discard' or 'capture', or {file: path}, not 'yes'",
        ),
        (
            "stdio: {stdout: inherti}",
            (
                "stdio.stdout: must be 'closed', 'inherit', 'discard' or 'capture', or {file: path}, not 'inherti' "
                "(did you mean 'inherit'?)"
            ),
        ),
        (
            "stdio: {stdin: capture}",
            "stdio.stdin: must be 'closed', 'inherit' or 'discard', or {file: path}, not 'capture'",
        ),
        (
            "stdio: {stderr: }",
            "stdio.stderr: is empty: it must be 'closed', 'inherit', 'discard' or 'capture', or {file: path}",
        ),
        (
            "stdio: {stderr: [a]}",
            "stdio.stderr: must be 'closed', 'inherit', 'discard' or 'capture', or {file: path}, not a list",
        ),
        ("stdio: {stderr: {}}", "stdio.stderr.file: required key is missing"),
        ("stdio: {stderr: {file: ''}}", "stdio.stderr.file: must be a path, not an empty string"),
        ("stdio: {stderr: {file: a, mode: b}}", "stdio.stderr.mode: unknown key"),
        ("stdio: {sdtin: closed}", "stdio.sdtin: unknown key (did you mean 'stdin'?)"),
    ],
    "environment": [
        ("environment: [A]", "environment: must be a mapping, not a list"),
        ("environment: LANG", "environment: must be a mapping, not 'LANG'"),
        ("environment: inherit", f"environment: {_NOT_ALL}"),
        ("environment: all", f"environment: {_NOT_ALL}"),
        ("environment: '*'", f"environment: {_NOT_ALL}"),
        ("environment: {inherit: inherit}", f"environment.inherit: {_NOT_ALL}"),
        ("environment: {inherit: all}", f"environment.inherit: {_NOT_ALL}"),
        ("environment: {inherit: '*'}", f"environment.inherit: {_NOT_ALL}"),
        ("environment: {inherit: [LANG, '*']}", f"environment.inherit[1]: {_NOT_ALL}"),
        ("environment: {inherit: [{name: '*', default: ''}]}", f"environment.inherit[0].name: {_NOT_ALL}"),
        ("environment: {inherit: LANG}", "environment.inherit: must be a list, not 'LANG'"),
        ("environment: {set: }", "environment.set: is empty: write {} or remove the key"),
        ("environment: {inherit: }", "environment.inherit: is empty: write [] or remove the key"),
        (
            "environment: {set: {A: 1}}",
            "environment.set.A: must be a string, not the number 1: put it in quotes: '1'",
        ),
        (
            "environment: {set: {A: true}}",
            "environment.set.A: must be a string, not true: put it in quotes: 'true'",
        ),
        ("environment: {set: {A: }}", "environment.set.A: is empty: it must be a string"),
        ('environment: {set: {A: "b\\0"}}', "environment.set.A: must not contain the character U+0000"),
        (
            "environment: {set: {'A=b': c}}",
            (
                "environment.set[\"A=b\"]: 'A=b' is not the name of a variable: "
                "letters, digits and _, not starting with a digit"
            ),
        ),
        (
            "environment: {inherit: ['A=b']}",
            (
                "environment.inherit[0]: 'A=b' is not the name of a variable: "
                "letters, digits and _, not starting with a digit"
            ),
        ),
        (
            "environment: {inherit: [1]}",
            "environment.inherit[0]: must be the name of a variable, or {name: NAME, default: value}, not the number 1",
        ),
        (
            "environment: {inherit: [{name: A}]}",
            "environment.inherit[0].default: required key is missing",
        ),
        (
            "environment: {inherit: [{name: A, default: 1}]}",
            "environment.inherit[0].default: must be a string, not the number 1: put it in quotes: '1'",
        ),
        (
            "environment: {set: {A: b}, inherit: [B, A]}",
            "environment.inherit[1]: 'A' is also in 'set': it can have one value",
        ),
        (
            "environment: {inherit: [A, B, {name: A, default: b}]}",
            "environment.inherit[2]: 'A' is already inherited by inherit[0]",
        ),
    ],
    "arguments": [
        (
            "arguments: all",
            "arguments: must be 'inherit', or a list of strings, not 'all'",
        ),
        ("arguments: {}", "arguments: must be 'inherit', or a list of strings, not a mapping"),
        ("arguments: [-n, 5]", "arguments[1]: must be a string, not the number 5: put it in quotes: '5'"),
        ('arguments: ["\\0"]', "arguments[0]: must not contain the character U+0000"),
    ],
    "clocks": [
        (
            "clocks: reel",
            (
                "clocks: must be 'real', 'coarse' or 'frozen', or {wall: ..., monotonic: ...}, not 'reel' "
                "(did you mean 'real'?)"
            ),
        ),
        (
            "clocks: 1",
            "clocks: must be 'real', 'coarse' or 'frozen', or {wall: ..., monotonic: ...}, not the number 1",
        ),
        ("clocks: {wall: }", "clocks.wall: is empty: it must be 'real', 'coarse' or 'frozen'"),
        (
            "clocks: {monotonic: 1ms}",
            "clocks.monotonic: must be 'real', 'coarse' or 'frozen', not '1ms'",
        ),
        ("clocks: {walls: real}", "clocks.walls: unknown key (did you mean 'wall'?)"),
    ],
    "random": [
        ("random: true", "random: must be 'secure' or 'seeded', or {seed: number}, not true"),
        (
            "random: secured",
            "random: must be 'secure' or 'seeded', or {seed: number}, not 'secured' (did you mean 'secure'?)",
        ),
        ("random: {}", "random.seed: required key is missing"),
        ("random: {seed: -1}", "random.seed: must be at least 0, not -1"),
        (
            "random: {seed: 18446744073709551616}",
            "random.seed: must be at most 18446744073709551615, not 18446744073709551616",
        ),
        ("random: {seed: abc}", "random.seed: must be a whole number, not 'abc'"),
    ],
}
"""What is wrong with a grant: its text, and what is said after the file, the place and ``components.a.grants.``."""


@pytest.mark.parametrize(
    ("written", "message"), [case for cases in GRANTS.values() for case in cases], ids=lambda text: text[:60]
)
def test_what_is_wrong_with_a_grant(written: str, message: str) -> None:
    """One fault, in plain words, at the key."""
    faults = faults_of(f"version: 1\ncomponents:\n  a:\n    grants:\n      {written}\n")
    assert [fault.partition(": ")[2] for fault in faults] == [f"components.a.grants.{message}"]


DIRECTORY = [
    ("guest: /a, access: read", "host: required key is missing"),
    ("host: a, access: read", "guest: required key is missing"),
    ("host: a, guest: /a", "access: required key is missing"),
    ("host: '', guest: /a, access: read", "host: must be a path, not an empty string"),
    ("host: ~, guest: /a, access: read", "host: a bare ~ says 'nothing' in YAML: put it in quotes"),
    ('host: "a\\tb", guest: /a, access: read', "host: must not contain the character U+0009"),
    (
        "host: ~bob, guest: /a, access: read",
        "host: only ~ and ~/ stand for a home directory; write './~bob' for that name itself",
    ),
    (
        "host: '${DATA}', guest: /a, access: read",
        "host: variables are not expanded; write ~/ for the home directory, or './${DATA}'",
    ),
    ("host: a, guest: '', access: read", "guest: must be a path, not an empty string"),
    ('host: a, guest: "/a\\e", access: read', "guest: must not contain the character U+001B"),
    ("host: a, guest: a, access: read", "guest: must be absolute and normalised: write '/a' instead of 'a'"),
    ("host: a, guest: //a, access: read", "guest: must be absolute and normalised: write '/a' instead of '//a'"),
    ("host: a, guest: /a/, access: read", "guest: must be absolute and normalised: write '/a' instead of '/a/'"),
    (
        "host: a, guest: /a/./b, access: read",
        "guest: must be absolute and normalised: write '/a/b' instead of '/a/./b'",
    ),
    (
        "host: a, guest: /a/../b, access: read",
        "guest: must be absolute and normalised: write '/b' instead of '/a/../b'",
    ),
    ("host: a, guest: /.., access: read", "guest: must be absolute and normalised: write '/' instead of '/..'"),
    ("host: a, guest: /a, access: rw", "access: must be 'read' or 'write', not 'rw'"),
    ("host: a, guest: /a, access: wirte", "access: must be 'read' or 'write', not 'wirte' (did you mean 'write'?)"),
    ("host: a, guest: /a, access: ", "access: is empty: it must be 'read' or 'write'"),
    ("host: a, guest: /a, access: read, exept: []", "exept: unknown key (did you mean 'except'?)"),
    ("host: a, guest: /a, access: read, hard_links: allow", "hard_links: unknown key (did you mean 'hard-links'?)"),
    ("host: a, guest: /a, access: read, excepted: []", "excepted: unknown key (did you mean 'except'?)"),
    ("host: a, guest: /a, access: read, hard-links: true", "hard-links: must be 'allow' or 'refuse', not true"),
    (
        "host: a, guest: /a, access: read, hard-links: allow, except: [x]",
        "hard-links: 'allow' cannot stand beside 'except': a hard link is another name for the excepted file",
    ),
    ("host: a, guest: /a, access: read, except: x", "except: must be a list, not 'x'"),
    ("host: a, guest: /a, access: read, except: ", "except: is empty: write [] or remove the key"),
]
EXCEPT = [
    ("''", "must be a path, not an empty string"),
    ("5", "must be a path, not the number 5: put it in quotes: '5'"),
    ("/a", "must be relative to the granted directory: '/a' starts with '/'"),
    ("a/", "must not end in '/': 'a' already covers the directory and all below it"),
    ("../a", "'../a' has a segment '..', which no path in the directory has"),
    ("a/./b", "'a/./b' has a segment '.', which no path in the directory has"),
    ("a//b", "'a//b' has an empty segment, which no path in the directory has"),
    ("a**", "'a**': '**' must be a whole segment, as in 'a/**/b'"),
    ("'***'", "'***': '**' must be a whole segment, as in 'a/**/b'"),
    ("'**/**/a'", "'**/**/a': '**/**' is the same as '**'"),
    ("'a\\b'", "'a\\b': '\\' escapes nothing here; write '?' to match any one character"),
    ("'[a'", "'[a': '[' is not closed; write '[[]' for the character itself"),
    ("'a[]'", "'a[]': '[' is not closed; write '[[]' for the character itself"),
    ("'[!]'", "'[!]': '[' is not closed; write '[[]' for the character itself"),
    ("'[a/b]'", "'[a/b]': '[' is not closed; write '[[]' for the character itself"),
    ("'[^a]'", "'[^a]': a class is negated with '!': write '[!'"),
    ("'[a][z-b]'", "'[a][z-b]': the range 'z-b' is empty"),
]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        *DIRECTORY,
        *((f"host: a, guest: /a, access: read, except: [b, {glob}]", f"except[1]: {said}") for glob, said in EXCEPT),
    ],
    ids=lambda text: text[-60:],
)
def test_what_is_wrong_with_a_directory(written: str, message: str) -> None:
    """One fault, in plain words, at the key."""
    faults = faults_of(f"version: 1\ncomponents: {{a: {{grants: {{filesystem: [{{{written}}}]}}}}}}")
    assert [fault.partition(": ")[2] for fault in faults] == [f"components.a.grants.filesystem[0].{message}"]


def test_a_guest_path_can_be_granted_once() -> None:
    """The second of two grants for one guest path is the fault."""
    assert faults_of(
        "version: 1\n"
        "components:\n"
        "  a:\n"
        "    grants:\n"
        "      filesystem:\n"
        "        - {host: a, guest: /a, access: read}\n"
        "        - {host: b, guest: /b, access: read}\n"
        "        - {host: c, guest: /a, access: write}\n"
    ) == ["policy.yaml:8:21: components.a.grants.filesystem[2].guest: '/a' is already granted by filesystem[0]"]


WHOLE = {
    "empty": ("", ["policy.yaml:1:1: the file is empty: a policy is a mapping with 'version' and 'components'"]),
    "list": (
        "- version: 1",
        ["policy.yaml:1:1: the file holds a list: a policy is a mapping with 'version' and 'components'"],
    ),
    "no keys": (
        "{}",
        ["policy.yaml:1:1: version: required key is missing", "policy.yaml:1:1: components: required key is missing"],
    ),
    "run": (
        "version: 1\nrun: ap\ncomponents: {app: {}, auth: {}}",
        ["policy.yaml:2:1: run: 'ap' is no component of this policy (did you mean 'app'?)"],
    ),
    "run of none": (
        "version: 1\nrun:\ncomponents: {app: {}}",
        [
            (
                "policy.yaml:2:1: run: is empty: it must be a component's name: "
                "1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"
            )
        ],
    ),
    "run of two": (
        "version: 1\nrun: [app]\ncomponents: {app: {}}",
        [
            (
                "policy.yaml:2:1: run: must be a component's name: "
                "1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not a list"
            )
        ],
    ),
    "no components": (
        "version: 1\ncomponents: {}",
        ["policy.yaml:2:1: components: names no component: a policy grants something to at least one"],
    ),
    "null components": (
        "version: 1\ncomponents:",
        ["policy.yaml:2:1: components: is empty: write {} or remove the key"],
    ),
    "null component": (
        "version: 1\ncomponents: {a: }",
        ["policy.yaml:2:14: components.a: is empty: write {} or remove the key"],
    ),
    "name": (
        f"version: 1\ncomponents: {{A b: {{}}, -x: {{}}, {'a' * 64}: {{}}, é: {{}}}}",
        [
            (
                'policy.yaml:2:14: components["A b"]: must be a component\'s name: '
                "1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not 'A b'"
            ),
            (
                "policy.yaml:2:23: components.-x: must be a component's name: "
                "1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not '-x'"
            ),
            (
                f"policy.yaml:2:31: components.{'a' * 64}: must be a component's name: "
                f"1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not '{'a' * 57}...'"
            ),
            (
                'policy.yaml:2:101: components["é"]: must be a component\'s name: '
                "1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit, not 'é'"
            ),
        ],
    ),
    "version 2": (
        "version: 2\ncomponents: {a: {grants: {files: []}}}",
        ["policy.yaml:1:1: version: must be 1, the only version of the language, not the number 2"],
    ),
    "version true": (
        "version: true\ncomponents: {a: {}}",
        ["policy.yaml:1:1: version: must be 1, the only version of the language, not true"],
    ),
    "version 1.0": (
        "version: 1.0\ncomponents: {a: {}}",
        ["policy.yaml:1:1: version: must be 1, the only version of the language, not the number 1.0"],
    ),
    "version text": (
        "version: '1'\ncomponents: {a: {}}",
        ["policy.yaml:1:1: version: must be 1, the only version of the language, not '1'"],
    ),
    "unknown key": (
        "version: 1\ncomponent: {a: {}}",
        [
            "policy.yaml:1:1: components: required key is missing",
            "policy.yaml:2:1: component: unknown key (did you mean 'components'?)",
        ],
    ),
    "syntax": (
        "version: 1\ncomponents: {a: {}\n",
        ["policy.yaml:3:1: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}'"],
    ),
    "duplicate key": (
        "version: 1\ncomponents: {a: {}}\nversion: 1",
        ["policy.yaml:3:1: version: duplicate key, first given on line 1"],
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_is_wrong_with_a_policy_as_a_whole(case: str) -> None:
    """The file, the place, the route and the sentence, one fault a line."""
    text, faults = WHOLE[case]
    assert faults_of(text) == faults


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    """Faults of the text, of single values and between values come together, each once."""
    assert faults_of(
        "version: 1\n"
        "components:\n"
        "  report:\n"
        "    soruce: a.wasm\n"
        "    grants:\n"
        "      filesystem:\n"
        "        - {host: a, guest: /a, access: rw}\n"
        "        - {host: b, guest: /a}\n"
        "        - *shared\n"
        "      http: ['GET https://a.example/']\n"
        "      stdio: {stdin: closed, stdin: inherit}\n"
        "    limits: {deadline: 5, handles: 010}\n"
    ) == [
        "policy.yaml:4:5: components.report.soruce: unknown key (did you mean 'source'?)",
        "policy.yaml:7:32: components.report.grants.filesystem[0].access: must be 'read' or 'write', not 'rw'",
        "policy.yaml:8:11: components.report.grants.filesystem[1].access: required key is missing",
        "policy.yaml:8:21: components.report.grants.filesystem[1].guest: '/a' is already granted by filesystem[0]",
        (
            "policy.yaml:9:11: components.report.grants.filesystem[2]: aliases (*shared) are not allowed: "
            "write the value out"
        ),
        (
            "policy.yaml:10:7: components.report.grants.http: http is not enforced yet, so this grant is refused "
            "rather than ignored: remove it, and the guest is refused every request"
        ),
        "policy.yaml:11:30: components.report.grants.stdio.stdin: duplicate key, first given on line 11",
        (
            "policy.yaml:12:14: components.report.limits.deadline: is a number without a unit: "
            "it must be a duration, as in '500ms', '5s', '2m' or '1h' (did you mean '5s'?)"
        ),
        (
            "policy.yaml:12:36: components.report.limits.handles: a number must not start with 0: "
            "remove the zero, write 0o for octal, or quote it"
        ),
    ]


def test_very_many_faults_are_cut_and_counted() -> None:
    """A file that is no policy at all does not bury the terminal."""
    keys = "\n".join(f"key{number}: 1" for number in range(1000))
    faults = faults_of(f"version: 1\ncomponents: {{a: {{}}}}\n{keys}\n")
    assert (len(faults), faults[199], faults[200]) == (
        201,
        "policy.yaml:202:1: key199: unknown key",
        "policy.yaml:203:1: 800 more faults from here on",
    )


def test_a_key_named_like_a_form_keeps_its_own_route() -> None:
    """Names that pydantic's locations use for themselves mean nothing special in a policy."""
    assert faults_of(
        "version: 1\ncomponents: {a: {'[key]': 1, '(text)': 2, grants: {random: {'(text)': 3, seed: 1}}}}"
    ) == [
        'policy.yaml:2:18: components.a["[key]"]: unknown key',
        'policy.yaml:2:30: components.a["(text)"]: unknown key',
        'policy.yaml:2:61: components.a.grants.random["(text)"]: unknown key',
    ]


# -- What is not enforced yet ---------------------------------------------------------------------------------------

_REQUESTS = [
    (
        "https://a.example/",
        "must be a method and a URL, as in 'GET https://api.example.com/v1/*', not 'https://a.example/'",
    ),
    (
        "get https://a.example/",
        "the method must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, not 'get' (did you mean 'GET'?)",
    ),
    (
        "CONNECT https://a.example/",
        "the method must be one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, not 'CONNECT'",
    ),
    ("GET ftp://a.example/", "'ftp://a.example/': a URL starts with 'https://' or 'http://'"),
    ("GET a.example/", "'a.example/': a URL starts with 'https://' or 'http://'"),
    (
        "GET https://a.example",
        "'https://a.example' has no path: write '/' after the host, '/**' for everything below it",
    ),
    (
        "GET https://a.example/?q=1",
        "'https://a.example/?q=1': write the URL without '?' and '#'; any query may be sent",
    ),
    ("GET https://u:p@a.example/", "'https://u:p@a.example/': a URL must not hold a user name or password"),
    ("GET https://*.com/", "'*.com' would grant every host in 'com': name a domain below it"),
    ("GET https://a.example:0/", "a port is a number from 1 to 65535, not 0"),
    (
        "GET https://a.example/a/../b",
        "'https://a.example/a/../b': the path must be normalised: no '.', '..' or empty segment",
    ),
    (
        "GET https://a.example//b",
        "'https://a.example//b': the path must be normalised: no '.', '..' or empty segment",
    ),
    (
        "GET https://a.example/**/b",
        "'https://a.example/**/b': '*' stands for a whole segment, '**' for all that follow, at the end",
    ),
    (
        "GET https://a.example/a*",
        "'https://a.example/a*': '*' stands for a whole segment, '**' for all that follow, at the end",
    ),
    (
        "GET https://a.example/é",
        "'https://a.example/é': 'é' has characters that must be percent-encoded, in upper case",
    ),
    (
        "GET https://a.example/%2Fb",
        "'https://a.example/%2Fb': '%2Fb' encodes a slash, dot, backslash or control character",
    ),
]


@pytest.mark.parametrize(("request_", "message"), _REQUESTS)
def test_what_is_not_enforced_yet_is_checked_all_the_same(request_: str, message: str) -> None:
    """A fault in such a grant is told beside the sentence that refuses the grant."""
    faults = faults_of(f"version: 1\ncomponents: {{a: {{grants: {{http: ['{request_}']}}}}}}")
    told = [fault.partition(": ")[2] for fault in faults if "not enforced yet" not in fault]
    assert (len(faults), told) == (2, [f"components.a.grants.http[0]: {message}"])


def test_a_valid_grant_that_is_not_enforced_has_that_one_fault() -> None:
    """The whole syntax is accepted; what is missing is told once."""
    written = "['GET https://api.example.com/v1/*', 'POST http://127.0.0.1:8080/**', 'PUT https://*.a.com/a%20b/']"
    faults = faults_of(f"version: 1\ncomponents: {{a: {{grants: {{http: {written}}}}}}}")
    assert [fault.partition(", so")[0] for fault in faults] == [
        "policy.yaml:2:27: components.a.grants.http: http is not enforced yet"
    ]


def test_what_is_wrong_with_several_imports() -> None:
    """All of it is told at once, each at its key."""
    assert faults_of(
        "version: 1\ncomponents:\n  app: {imports: {'a:b/c': auht, 'a:b/d@1.0.0': app, 'a:b/e': 1}}\n  auth: {}\n"
    ) == [
        (
            "policy.yaml:3:19: components.app.imports[\"a:b/c\"]: 'auht' is no component of this policy "
            "(did you mean 'auth'?)"
        ),
        'policy.yaml:3:34: components.app.imports["a:b/d@1.0.0"]: a component cannot serve its own import',
        (
            'policy.yaml:3:54: components.app.imports["a:b/e"]: must be a component\'s name, '
            "or {component: name, instance: own, only: [function]}, not the number 1"
        ),
    ]


# -- Files ----------------------------------------------------------------------------------------------------------


def test_a_policy_file_is_named_as_the_caller_did_and_its_directory_is_real(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths start from the directory of the file, wherever the process goes afterwards."""
    text = b"version: 1\ncomponents: {a: {}}\n"
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p.yaml").write_bytes(text)
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    directory = os.path.realpath(tmp_path / "real")
    for path in ("link/p.yaml", Path("real/p.yaml"), tmp_path / "real" / "p.yaml"):
        policy = Policy.load(path)
        assert (policy.file, policy.directory) == (os.fspath(path), directory)
        assert policy.digest == f"sha256:{hashlib.sha256(text).hexdigest()}"
    monkeypatch.chdir(tmp_path / "real")
    assert Policy.load("p.yaml").directory == directory


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path) -> None:
    """A missing file, a directory, a FIFO and an impossible name end with a sentence; none blocks."""
    os.mkfifo(tmp_path / "fifo")
    said = {
        "none.yaml": "cannot be read: No such file or directory",
        ".": "cannot be read: Is a directory",
        "fifo": "cannot be read: it is not a regular file",
        "a\0b": "cannot be read: the path holds a NUL character",
    }
    for name, message in said.items():
        path = f"{tmp_path}/{name}"
        with pytest.raises(PolicyError) as caught:
            load_policy(path)
        assert caught.value.faults == (Fault(file=path, line=1, column=1, route="", message=message),)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Not cut, and not read beyond the bound."""
    (tmp_path / "p.yaml").write_bytes(b"version: 1\ncomponents: {a: {}}\n" + b"#" * 2**20)
    with pytest.raises(PolicyError) as caught:
        load_policy(tmp_path / "p.yaml")
    assert str(caught.value) == f"{tmp_path}/p.yaml:1:1: the file is larger than 1048576 bytes"


# -- How faults look ------------------------------------------------------------------------------------------------


def test_a_fault_is_one_line_whatever_it_names() -> None:
    """Escapes, line ends and reordering marks in names reach no terminal."""
    fault = Fault(file="a\nb", line=1, column=2, route='x["\x1b[2J"]', message="not '\u202e\r'", hint="\x07")
    assert str(fault) == "a\\nb:1:2: x[\"\\x1b[2J\"]: not '\\u202e\\r' (did you mean '\\x07'?)"


def test_an_error_holds_its_faults_and_can_be_sent_to_another_process() -> None:
    """``faults`` is the tuple that was given; the text is one fault a line."""
    faults = (
        Fault(file="p", line=1, column=1, route="", message="first"),
        Fault(file="p", line=2, column=3, route="a.b", message="second", hint="c"),
    )
    error = pickle.loads(pickle.dumps(PolicyError(faults)))
    assert (error.faults, str(error)) == (faults, "p:1:1: first\np:2:3: a.b: second (did you mean 'c'?)")


# -- Any input ------------------------------------------------------------------------------------------------------


def faults_in(text: bytes) -> tuple[Fault, ...] | None:
    """What is wrong with ``text``; ``None`` if it is a policy."""
    try:
        parse_policy(text, file="policy.yaml", directory="/policies")
    except PolicyError as error:
        return error.faults
    return None


@given(POLICIES)
@settings(deadline=None)
def test_generated_policies_load(data: dict[str, Any]) -> None:
    """Whatever is valid loads, has its components in order and a place for every route."""
    policy = load(data)
    assert [component.name for component in policy.components] == list(data["components"])
    assert all(policy.places[f"components.{component.name}"] for component in policy.components)


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_no_bytes_make_loading_fail_otherwise(text: bytes) -> None:
    """Any bytes are a policy or a ``PolicyError`` with at least one fault."""
    assert faults_in(text) != ()


_REPORT = ("components", "report")
_GRANTS = (*_REPORT, "grants")
_ROUTES: list[tuple[str | int, ...]] = [
    ("version",),
    ("components",),
    _REPORT,
    *((*_REPORT, key) for key in FULL["components"]["report"]),
    *((*_GRANTS, key) for key in FULL["components"]["report"]["grants"]),
    *((*_REPORT, "limits", key) for key in FULL["components"]["report"]["limits"]),
    *((*_GRANTS, "stdio", key) for key in ("stdin", "stdout", "stderr")),
    *((*_GRANTS, "environment", key) for key in ("set", "inherit")),
    *((*_GRANTS, "filesystem", 0, key) for key in ("host", "guest", "access", "except")),
    (*_GRANTS, "sockets", "tcp"),
    (*_GRANTS, "sockets", "dns"),
    (*_GRANTS, "random", "seed"),
]
_WORDS = st.sampled_from(
    ["a", "read", "inherit", "(text)", "[key]", "tcp", "connect", "to", "a.b:1", "5s", "GET http://a/"]
)
_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.sampled_from(_ROUTES), _ANY)
@settings(deadline=None)
def test_no_value_anywhere_makes_loading_fail_otherwise(route: tuple[str | int, ...], value: Any) -> None:
    """Any value at any key makes a policy or faults, each with a place in the file and one line of text."""
    data: Any = copy.deepcopy(FULL)
    place = data
    for part in route[:-1]:
        place = place[part]
    place[route[-1]] = value
    faults = faults_in(json.dumps(data, ensure_ascii=False, default=str).encode("utf-8", "replace"))
    assert faults != ()
    assert all(str(fault).startswith("policy.yaml:1:") and str(fault).isprintable() for fault in faults or ())


def test_webassembly_in_place_of_a_policy(tmp_path: Path) -> None:
    """Who forgets the policy is told so, not that the file is no text."""
    (tmp_path / "guest.wasm").write_bytes(b"\0asm\1\0\0\0")
    with pytest.raises(PolicyError) as raised:
        Policy.load(tmp_path / "guest.wasm")
    expected = "this is WebAssembly; name a policy first (`sandbox init` drafts one)"
    assert [(f.line, f.message) for f in raised.value.faults] == [(1, expected)]
