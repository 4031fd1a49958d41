"""Every interface of WASI 0.2, in every release, goes through the guard; what is imported and never called runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.component import read_component
from sandbox.wasi import known_interfaces
from tests.e2e.components import IMPORTS, Call, Drop, component
from tests.e2e.harness import Denial, Runner, directory, policy_data, write_policy

VERSIONS = [f"0.2.{patch}" for patch in range(13)]
NOTHING_GRANTED: dict[str, Any] = dict.fromkeys(["stdio", "environment", "arguments", "clocks", "random"])


def test_all_interfaces_are_imported(tmp_path: Path) -> None:
    """The component of these tests imports exactly the interfaces that the sandbox knows."""
    (tmp_path / "guest.wasm").write_bytes(component())
    imports = {i.name for i in read_component(str(tmp_path / "guest.wasm")).imports}
    assert imports == {f"{name}@0.2.12" for name, _ in known_interfaces()}


@pytest.mark.parametrize("version", VERSIONS)
def test_unused_imports_run(version: str, runner: Runner, tmp_path: Path) -> None:
    """A component that imports all of WASI 0.2 and calls nothing runs under an empty grant, with nothing to record."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(component(version=version))
    ran = runner.run(write_policy(tmp_path, policy_data(source=guest, **NOTHING_GRANTED)))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == []


@pytest.mark.parametrize("version", ["0.2.0", "0.2.6", "0.2.12"])
def test_unused_imports_run_when_granted(version: str, runner: Runner, tmp_path: Path) -> None:
    """So does it where everything that can be granted is."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(component(version=version))
    (tmp_path / "data").mkdir()
    grants = [directory(tmp_path / "data", "/a", "write", excepted=["x"]), directory("/usr", "/usr")]
    ran = runner.run(write_policy(tmp_path, policy_data(grants, source=guest)))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == []


def one_interface(name: str) -> str:
    """The text of one import with what it needs of others: their types, and none of their functions."""
    chunks = re.split(r"\n(?=\(type \$ty-)", IMPORTS.partition("\n(type $ty-")[2])
    chunks = ["(type $ty-" + c.removeprefix("(type $ty-") for c in chunks]
    index = next(i for i, c in enumerate(chunks) if c.startswith(f"(type $ty-{name}@VERSION"))
    return "\n".join(chunks[: index + 1])


@pytest.mark.parametrize("name", [name for name, _ in known_interfaces()])
def test_each_interface_last(name: str, runner: Runner, tmp_path: Path) -> None:
    """Each interface goes through the guard with those before it alone, so that none leans on one after it."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(component(imports=one_interface(name)))
    ran = runner.run(write_policy(tmp_path, policy_data(source=guest, **NOTHING_GRANTED)))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == []


def test_two_releases_at_once(runner: Runner, tmp_path: Path) -> None:
    """A component may import one interface in two releases; what it reaches through either is guarded."""
    calls: list[Call | Drop] = [
        Call("directories", "filesystem/preopens", "get-directories", "i32"),
        Call("open", "filesystem/types", "[method]descriptor.open-at", "i32 i32 i32 i32 i32 i32 i32"),
        Drop("drop", "filesystem/types", "descriptor"),
    ]
    older = re.sub(r"(\$[^\s()\"]+)", lambda m: m[1] + "-older", IMPORTS).replace("VERSION", "0.2.1")
    body = """
    (call $directories (i32.const 0))
    (call $open (i32.load (i32.load (i32.const 0))) (i32.const 0)
      (i32.const 64) (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 16))
    (call $same (i32.load8_u (i32.const 16)) (i32.const 1))
    (call $same (i32.load8_u (i32.const 20)) (i32.const 0))
    (i32.const 0)"""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(component(body, calls, data='(data (i32.const 64) "etc")', imports=IMPORTS + older))
    ran = runner.run(write_policy(tmp_path, policy_data(source=guest)))
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == [Denial("filesystem.read", "/etc", "no granted directory covers this path")]
