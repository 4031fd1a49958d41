"""Imports that other components serve: what is read, and what is refused before anything is linked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.policy.errors import PolicyError
from sandbox.policy.model import Wire
from tests.policy.policies import load_text


def faults_of(text: str) -> list[str]:
    """What is wrong with a policy, as a user sees it."""
    with pytest.raises(PolicyError) as caught:
        load_text(text)
    return str(caught.value).split("\n")


def imports_of(written: str) -> tuple[Wire, ...]:
    """The imports of a component whose ``imports`` key is followed by ``written``, beside two others."""
    return (
        load_text(f"version: 1\ncomponents:\n  app: {{imports: {written}}}\n  a: {{}}\n  b: {{}}").components[0].imports
    )


@pytest.mark.parametrize(
    ("written", "wires"),
    [
        ("{}", ()),
        ("{'x:y/z': a}", (Wire(interface="x:y/z", component="a"),)),
        ("{'x:y/z': {component: a}}", (Wire(interface="x:y/z", component="a"),)),
        ("{'x:y/z': {component: a, instance: shared}}", (Wire(interface="x:y/z", component="a"),)),
        (
            "{'x:y/z@1.0.0': {component: a, instance: own}, 'x:y/w': {component: a, instance: own, only: [f]}}",
            (
                Wire(interface="x:y/z@1.0.0", component="a", own=True),
                Wire(interface="x:y/w", component="a", own=True, only=("f",)),
            ),
        ),
        (
            "{'x:y/z@1.0.0': b, 'x:y/z@1.1.0': {component: a, only: ['[method]r.f', '[static]r.f', '[constructor]r']}}",
            (
                Wire(interface="x:y/z@1.0.0", component="b"),
                Wire(interface="x:y/z@1.1.0", component="a", only=("[method]r.f", "[static]r.f", "[constructor]r")),
            ),
        ),
    ],
)
def test_the_forms_of_an_import(written: str, wires: tuple[Wire, ...]) -> None:
    """A name, or a mapping; in the order of the file."""
    assert imports_of(written) == wires


_A_NAME = "a component's name: 1 to 63 of a-z, 0-9, _ and -, starting with a letter or digit"
_AN_INTERFACE = "must be an interface, as in 'cyber:payments/auth' or 'cyber:payments/auth@1.0.0'"
_A_FUNCTION = "must be a function's name as in WIT: 'validate-user', or '[method]account.close' for one of a resource"
_FORMS = "a component's name, or {component: name, instance: own, only: [function]}"
_NO_FUNCTION = "names no function, so that none could be called: name those that may be, or leave 'only' out"

ONE: list[tuple[str, str]] = [
    ("{'x:y/z': c}", "[\"x:y/z\"]: 'c' is no component of this policy"),
    ("{'x:y/z': ap}", "[\"x:y/z\"]: 'ap' is no component of this policy (did you mean 'app'?)"),
    ("{'x:y/z': {component: aa}}", "[\"x:y/z\"].component: 'aa' is no component of this policy (did you mean 'a'?)"),
    ("{'x:y/z': app}", '["x:y/z"]: a component cannot serve its own import'),
    ("{'x:y/z': {component: app}}", '["x:y/z"].component: a component cannot serve its own import'),
    ("{'x:y/z': }", f'["x:y/z"]: is empty: it must be {_FORMS}'),
    ("{'x:y/z': [a]}", f'["x:y/z"]: must be {_FORMS}, not a list'),
    ("{'x:y/z': {}}", '["x:y/z"].component: required key is missing'),
    ("{'x:y/z': {component: }}", f'["x:y/z"].component: is empty: it must be {_A_NAME}'),
    ("{'x:y/z': {component: a, instances: own}}", "[\"x:y/z\"].instances: unknown key (did you mean 'instance'?)"),
    (
        "{'x:y/z': {component: a, instance: shard}}",
        "[\"x:y/z\"].instance: must be 'shared' or 'own', not 'shard' (did you mean 'shared'?)",
    ),
    ("{'x:y/z': {component: a, only: []}}", f'["x:y/z"].only: {_NO_FUNCTION}'),
    ("{'x:y/z': {component: a, only: }}", f'["x:y/z"].only: {_NO_FUNCTION}'),
    ("{'x:y/z': {component: a, only: f}}", "[\"x:y/z\"].only: must be a list, not 'f'"),
    (
        "{'x:y/z': {component: a, only: [f, g, f]}}",
        '["x:y/z"].only[2]: names the same as only[0]: keep one of the two',
    ),
    (
        "{'x:y/z': {component: a, only: [Validate_User]}}",
        f"[\"x:y/z\"].only[0]: {_A_FUNCTION}, not 'Validate_User' (did you mean 'validate-user'?)",
    ),
    ("{'x:y/z': {component: a, only: ['[method]f']}}", f"[\"x:y/z\"].only[0]: {_A_FUNCTION}, not '[method]f'"),
    ("{'x:y/z': {component: a, only: ['*']}}", f"[\"x:y/z\"].only[0]: {_A_FUNCTION}, not '*'"),
    ("{z: a}", f".z: {_AN_INTERFACE}, not 'z'"),
    ("{'X:y/z': a}", f"[\"X:y/z\"]: {_AN_INTERFACE}, not 'X:y/z'"),
    (
        "{'x:y/z@1': a}",
        "[\"x:y/z@1\"]: '1' is no version: write all three numbers, as in '1.0.0', or leave it out with its @",
    ),
    (
        "{'x:y/z@': a}",
        "[\"x:y/z@\"]: '' is no version: write all three numbers, as in '1.0.0', or leave it out with its @",
    ),
    (
        "{'wasi:filesystem/types@0.2.3': a}",
        (
            "[\"wasi:filesystem/types@0.2.3\"]: interfaces of WASI are served by the sandbox, under 'grants', "
            "and by no component: remove this one"
        ),
    ),
]
"""An import and all that is said about it, after ``components.app.imports``."""


@pytest.mark.parametrize(("written", "message"), ONE)
def test_what_is_wrong_with_an_import(written: str, message: str) -> None:
    """One fault, in plain words, at the key or the value."""
    faults = faults_of(f"version: 1\ncomponents:\n  app: {{imports: {written}}}\n  a: {{}}\n")
    assert [fault.partition("imports")[2] for fault in faults] == [message]


def test_what_does_not_go_together_is_told_with_both_places() -> None:
    """An import that two keys mean, and one component asked for in two ways; each names the other's line."""
    assert faults_of(
        "version: 1\n"
        "components:\n"
        "  app:\n"
        "    imports:\n"
        "      'x:y/z@1.0.0': a\n"
        "      'x:y/w': {component: b, instance: own}\n"
        "      'x:y/z': a\n"
        "      'x:y/v': b\n"
        "      'x:y/u': {component: a, instance: own}\n"
        "  a: {}\n"
        "  b: {}\n"
    ) == [
        (
            "policy.yaml:5:7: components.app.imports[\"x:y/z@1.0.0\"]: is served twice, since 'x:y/z' means every "
            "version of it: keep one of the two (see line 7)"
        ),
        (
            "policy.yaml:8:7: components.app.imports[\"x:y/v\"]: asks for the shared instance of 'b', and the import "
            "of 'x:y/w' for its own one: a component has one instance of another, so say the same for both (see line 6)"
        ),
        (
            "policy.yaml:9:7: components.app.imports[\"x:y/u\"]: asks for its own instance of 'a', and the import of "
            "'x:y/z@1.0.0' for the shared one: a component has one instance of another, so say the same for both "
            "(see line 5)"
        ),
    ]


def test_a_cycle_is_told_whole() -> None:
    """Its components in their order, at the import that closes it, with the lines of the others."""
    assert faults_of(
        "version: 1\n"
        "components:\n"
        "  app:\n"
        "    imports: {'x:y/ledger': ledger}\n"
        "  ledger:\n"
        "    imports:\n"
        "      'x:y/auth': {component: auth, instance: own}\n"
        "  auth:\n"
        "    imports: {'x:y/log': log, 'x:y/app': app}\n"
        "  log: {}\n"
    ) == [
        (
            'policy.yaml:9:31: components.auth.imports["x:y/app"]: closes a cycle, of which no component could be made '
            "before the others: app > ledger > auth > app (see lines 4 and 7)"
        )
    ]


def test_each_cycle_is_told_once() -> None:
    """Beside all else that is wrong; an import that leads back over two ways closes one cycle."""
    told = faults_of(
        "version: 1\n"
        "components:\n"
        "  a: {imports: {'x:y/b': b, 'x:y/c': c}}\n"
        "  b: {imports: {'x:y/c': c, 'x:y/z': nobody}}\n"
        "  c: {imports: {'x:y/a': a}}\n"
        "  d: {imports: {'x:y/e': e}}\n"
        "  e: {imports: {'x:y/d': d, 'x:y/e': e}}\n"
    )
    cycle = "closes a cycle, of which no component could be made before the others"
    assert told == [
        "policy.yaml:4:29: components.b.imports[\"x:y/z\"]: 'nobody' is no component of this policy",
        f'policy.yaml:5:17: components.c.imports["x:y/a"]: {cycle}: a > b > c > a (see lines 3 and 4)',
        f'policy.yaml:7:17: components.e.imports["x:y/d"]: {cycle}: d > e > d (see line 6)',
        'policy.yaml:7:29: components.e.imports["x:y/e"]: a component cannot serve its own import',
    ]


def program(wires: dict[str, list[str]], instance: str = "shared") -> str:
    """A policy in which each component imports from those that are listed, a line each."""
    lines = [
        f'"{name}": {{"imports": '
        + json.dumps({f"x:y/{other}": {"component": other, "instance": instance} for other in others})
        + "}"
        for name, others in wires.items()
    ]
    return "version: 1\ncomponents: {\n" + ",\n".join(lines) + "}"


def row(count: int) -> dict[str, list[str]]:
    """Components of which each imports from the next."""
    return {f"c{number}": [f"c{number + 1}"] if number + 1 < count else [] for number in range(count)}


def test_how_deep_a_program_may_be() -> None:
    """Sixteen components in a row are linked; of more the first import is the fault."""
    assert load_text(program(row(16))).components[15].imports == ()
    deep = "begins a chain of more than 16 components, which is as deep as a program may be"
    shown = " > ".join(f"c{number}" for number in range(17))
    assert faults_of(program(row(17))) == [f'policy.yaml:3:20: components.c0.imports["x:y/c1"]: {deep}: {shown}']
    assert faults_of(program(row(400))) == [
        f'policy.yaml:3:20: components.c0.imports["x:y/c1"]: {deep}: {shown}, 400 in all'
    ]


def test_how_many_components_a_program_may_have() -> None:
    """Thirty-one, with the one that is run; what it does not reach is not counted."""

    def star(count: int) -> dict[str, list[str]]:
        leaves = [f"l{number}" for number in range(count - 1)]
        return {"app": leaves} | {name: [] for name in leaves} | {"other": ["l0"]}

    assert len(load_text(program(star(31))).components) == 32
    assert faults_of(program(star(32))) == [
        (
            "policy.yaml:3:9: components.app.imports: makes a program of more than 31 components, "
            "which is as many as are linked into one"
        )
    ]


def test_how_many_instances_a_program_may_have() -> None:
    """Instances of one's own multiply along the chain; where all are shared there is one of each."""

    def layers(count: int) -> dict[str, list[str]]:
        wires: dict[str, list[str]] = {"app": ["a0", "b0"]}
        for number in range(count):
            below = [f"a{number + 1}", f"b{number + 1}"] if number + 1 < count else []
            wires |= {f"a{number}": below, f"b{number}": below}
        return wires

    # 1 + 2 + 4 + ... + 64 = 127, and with one layer more 255
    assert len(load_text(program(layers(6), "own")).components) == 13
    assert faults_of(program(layers(7), "own")) == [
        (
            "policy.yaml:3:9: components.app.imports: makes a program of more than 200 instances, "
            "which is as many as are made for one: let more of its imports be shared"
        )
    ]
    assert len(load_text(program(layers(7), "shared")).components) == 15


LARGE: dict[str, dict[str, Any]] = {
    "a ring": {f"c{n}": {f"x:y/c{(n + 1) % 3000}": f"c{(n + 1) % 3000}"} for n in range(3000)},
    "many rings": {f"c{n}": {"x:y/a": f"c{min(n + 1, 1799)}", "x:y/b": f"c{n // 2}"} for n in range(1800)},
    "names of nobody": {f"c{n}": {"x:y/z": f"d{n}"} for n in range(3000)},
    "one for all": {f"c{n}": {"x:y/z": "x"} for n in range(1000)}
    | {"x": {f"x:y/a{n}": {"component": f"y{n % 12}", "instance": "own"} for n in range(900)}}
    | {f"y{n}": {f"x:y/b{m}": {"component": f"y{m}", "instance": "own"} for m in range(n + 1, 12)} for n in range(12)},
    "a fan": {f"c{n}": {"x:y/z": "x"} for n in range(1000)}
    | {"x": {f"x:y/a{n}": f"y{n}" for n in range(1000)}}
    | {f"y{n}": {} for n in range(1000)},
    "a key that is hard to read": {"c": {"a" + "-1" * 120 + "!": "c"}},
}


@pytest.mark.parametrize("case", LARGE)
def test_no_policy_takes_long_to_refuse(case: str) -> None:
    """Every fault is of bounded size, and found before a reader loses patience, whatever the file holds."""
    data = {"version": 1, "components": {name: {"imports": said} for name, said in LARGE[case].items()}}
    with pytest.raises(PolicyError) as caught:
        load_text(json.dumps(data))
    assert 0 < len(caught.value.faults) <= 201
    assert max(len(str(fault)) for fault in caught.value.faults) < 1500
