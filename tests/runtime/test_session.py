"""Names of exports, choices of components, and the trails of runs that never began."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from sandbox.component import ComponentError, Export, Facts, ModuleFacts
from sandbox.host import Host
from sandbox.plan import Plan, make_plan
from sandbox.policy.errors import PolicyError
from sandbox.policy.load import parse_policy
from sandbox.runtime.denials import _address
from sandbox.runtime.session import UsageError, choose, record_refusal, resolve_call, source_of
from sandbox.runtime.supervisor import Call

POLICY = b"version: 1\ncomponents:\n  a: {source: ./a.wasm}\n  b: {}\n"
LOADED = parse_policy(POLICY, file="p.yaml", directory="/p")


def plan_with(*exports: tuple[str, str]) -> Plan:
    facts = Facts.from_data(
        {"path": "/a", "kind": "component", "size": 1, "digest": "sha256:" + "0" * 64, "imports": [],
         "exports": [list(e) for e in exports], "module": None}
    )  # fmt: skip
    return make_plan(LOADED, LOADED.components[0], facts, Host())


INTERFACES = (("a:b/ops@1.0.0", "instance"), ("a:b/ops@2.0.0", "instance"), ("a:b/io", "instance"), ("go", "func"))


@pytest.mark.parametrize(
    ("name", "interface", "function"),
    [
        ("io.read", "a:b/io", "read"),
        ("go", None, "go"),
        ("a:b/ops@2.0.0#add", "a:b/ops@2.0.0", "add"),
        ("a:b/io#read", "a:b/io", "read"),
    ],
)
def test_names_of_exports(name: str, interface: str | None, function: str) -> None:
    """An export is named by its function, by its interface's last name, or in full."""
    found = resolve_call(plan_with(*INTERFACES), name, ["1", "2"])
    assert found == Call(interface=interface, function=function, arguments=("1", "2"), shown=name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "ops.add",
            "'ops' may be any of a:b/ops@1.0.0, a:b/ops@2.0.0; write one of them, '#' and the function",
        ),
        ("x.add", f"the component exports nothing called 'x.add'; it exports {', '.join(n for n, _ in INTERFACES)}"),
        ("stop", f"the component exports nothing called 'stop'; it exports {', '.join(n for n, _ in INTERFACES)}"),
        ("a:b/x#f", f"the component exports no interface 'a:b/x'; it exports {', '.join(n for n, _ in INTERFACES)}"),
    ],
)
def test_names_that_mean_nothing(name: str, message: str) -> None:
    """A name that means nothing, or several things, is refused with what there is."""
    with pytest.raises(UsageError) as caught:
        resolve_call(plan_with(*INTERFACES), name, [])
    assert str(caught.value) == message


def test_nothing_to_call() -> None:
    """A component without exports has nothing to call."""
    with pytest.raises(UsageError) as caught:
        resolve_call(plan_with(), "f", [])
    assert str(caught.value) == "the component exports nothing called 'f'; it exports nothing that can be called"


def module_with(*exports: str) -> Plan:
    functions = tuple(Export(name, "func") for name in exports)
    facts = Facts(
        path="/m.wasm",
        kind="module",
        size=1,
        digest="sha256:" + "0" * 64,
        imports=(),
        exports=(*functions, Export("memory", "memory")),
        module=ModuleFacts(memory="plain", start=False),
    )
    return make_plan(LOADED, LOADED.components[0], facts, Host())


@pytest.mark.parametrize("name", ["add", "io.read", "a:b/io#read", ""])
def test_functions_of_a_module(name: str) -> None:
    """Any name may be a function's, and is taken as it is."""
    plan = module_with("_start", "_initialize", "add", "io.read", "a:b/io#read", "")
    expected = Call(interface=None, function=name, arguments=("1",), shown=name)
    assert resolve_call(plan, name, ["1"]) == expected


@pytest.mark.parametrize("name", ["_start", "_initialize", "memory", "io.add", "io#add"])
def test_what_is_no_function_of_a_module(name: str) -> None:
    """What the sandbox itself calls cannot be called, nor what is no function."""
    with pytest.raises(UsageError) as caught:
        resolve_call(module_with("_start", "_initialize", "add", "b\x1b"), name, [])
    assert str(caught.value) == f"the module exports no function {name!r}; it exports add, b\\x1b"


def test_choice_of_a_component() -> None:
    """The component named, or the only one; its file is the caller's, or the policy's."""
    a, b = LOADED.components
    assert choose(LOADED, "b") is b
    for name, message in (
        (None, "p.yaml has several components (a, b); say which one, or have the policy say `run: a`"),
        ("c", "p.yaml has no component 'c'; it has a, b"),
    ):
        with pytest.raises(UsageError) as caught:
            choose(LOADED, name)
        assert str(caught.value) == message
    assert source_of(LOADED, a, None) == "/p/a.wasm"
    assert source_of(LOADED, a, "x.wasm") == "x.wasm"
    with pytest.raises(UsageError) as caught:
        source_of(LOADED, b, None)
    assert str(caught.value) == "p.yaml does not say where component 'b' is; name its file"


def test_the_component_that_a_policy_runs() -> None:
    """``run`` decides where the caller names none; whom the caller names is run all the same."""
    policy = dataclasses.replace(LOADED, run="b")
    a, b = policy.components
    assert [choose(policy, name) for name in (None, "a", "b")] == [b, a, b]
    with pytest.raises(UsageError) as caught:
        choose(policy, "c")
    assert str(caught.value) == "p.yaml has no component 'c'; it has a, b"


def test_trail_of_a_refused_policy(tmp_path: Path) -> None:
    """Each fault is an event with its line; the policy's digest is that of its bytes."""
    path = tmp_path / "p.yaml"
    path.write_bytes(b"version: 1\ncomponents:\n  a: {x: 1}\n  b: {y: 1}\n")
    with pytest.raises(PolicyError) as caught:
        parse_policy(path.read_bytes(), file=str(path), directory=str(tmp_path))
    *refused, ended = record_refusal(caught.value, str(path), None, None)
    assert [(e.name, e.policy_line, e.reason.partition(":")[0]) for e in refused] == [
        ("refused", 3, "components.a.x"),
        ("refused", 4, "components.b.y"),
    ]
    assert (ended.name, ended.exit_status, ended.reason) == ("ended", 120, "the policy was refused")
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert [e.policy_digest for e in (*refused, ended)] == [digest] * 3


def test_trail_of_a_refused_component(tmp_path: Path) -> None:
    """A component that cannot be read is one event; a policy that is gone meanwhile has no digest."""
    error = ComponentError("not WebAssembly", "/a.wasm")
    refused, ended = record_refusal(error, str(tmp_path / "gone"), "a", None)
    assert (refused.name, refused.component, refused.reason, refused.policy_digest) == ("refused", "a", str(error), "")
    assert (ended.exit_status, ended.reason) == (121, "the component was refused")


def words(*values: int) -> str:
    return b"".join(v.to_bytes(8, "little") for v in values).decode("latin-1")


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        (words(0, 443, 10, 2, 0, 1, *[0] * 6), ("10.2.0.1", 443)),
        (words(1, 53, 0, 0x2001, 0xDB8, 0, 0, 0, 0, 0, 1, 0), ("2001:db8:0:0:0:0:0:1", 53)),
        (words(1, 53, 0, 0xFE80, 0, 0, 0, 0, 0, 0, 1, 3), ("fe80:0:0:0:0:0:0:1%3", 53)),
        (words(1, 0, 443, 10, 2, 0, 1, *[0] * 6), ("10.2.0.1", 443)),
        (words(0, *[0] * 12), None),
        (words(1, 2, 3), None),
        ("", None),
    ],
)
def test_addresses(raw: str, address: tuple[str, int] | None) -> None:
    """What a guest passed as an address is read as one; what is none is not."""
    assert _address(raw) == address
