"""Programs that are refused before anything of them runs: with which sentence and status, and in which trail."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from wasmtime import wat2wasm

from sandbox.audit.read import lines_of, read_trail
from tests.e2e.harness import PROBE_MODULE, ROOT, Runner, directory
from tests.e2e.linked import CALL_GO, GO, LIB, WIRE, Linked, guest
from tests.guard import parts


@pytest.fixture
def linked(tmp_path: Path, runner: Runner) -> Linked:
    return Linked(tmp_path / "program", runner)


class Case(NamedTuple):
    """A program, and what is said of it."""

    components: Mapping[str, Mapping[str, Any]]
    status: int
    reasons: tuple[str, ...]
    ending: str = "the component was refused"
    component: str = "app"
    """Of the events, where the policy is not what is refused."""


def component(text: str = "") -> bytes:
    return bytes(wat2wasm(f"(component {text})"))


ASKS = parts.command(
    parts.auth_import(), (parts.VALIDATE,), "(drop (call $validate (i32.const 1024) (i32.const 3)))", data="ada"
)
APP = guest({"run": "(result i32) (call $go) (i32.const 0)"}, imports=[GO], calls=[CALL_GO])
LIBRARY = guest({"go": '(call $print (text "never"))'}, exports=GO)
AUTH = 'components.app.imports["bank:payments/auth"]'


def asking(auth: bytes, **more: Any) -> dict[str, dict[str, Any]]:
    return {"app": {"guest": ASKS, "imports": {"bank:payments/auth": "auth"}}, "auth": {"guest": auth, **more}}


def calling(app: Mapping[str, Any] | None = None, lib: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    return {"app": {"guest": APP, "imports": WIRE, **(app or {})}, "lib": {"guest": LIBRARY, **(lib or {})}}


MODULE = (
    "components.{}.source: a module has no interfaces that another component could serve, or import;"
    " make a component of it"
)
CASES = {
    "an export that is missing": Case(
        asking(component()),
        121,
        (
            (
                f"{AUTH}: app imports bank:payments/auth@1.0.0, and auth (line 1) cannot serve it:"
                " it exports no such interface"
            ),
        ),
    ),
    "a version that is too low": Case(
        asking(parts.auth("bank:payments/auth@0.9.0")),
        121,
        (
            (
                f"{AUTH}: app imports bank:payments/auth@1.0.0, and auth (line 1) cannot serve it:"
                " it exports bank:payments/auth@0.9.0, which is not compatible with it"
            ),
        ),
    ),
    "types that differ": Case(
        asking(parts.auth(function='(param "name" string) (result u8)')),
        121,
        (
            (
                "app, bank:payments/auth@1.0.0: validate-user: it imports func(name: string) -> bool,"
                " and app>auth exports func(name: string) -> u8 (auth is in line 1)"
            ),
        ),
    ),
    "an interface that nobody serves": Case(
        {"app": {"guest": APP, "imports": {"acme:other/lib": "lib"}}, "lib": {"guest": LIBRARY}},
        120,
        (
            f'components.app.imports["acme:other/lib"]: app does not import acme:other/lib; it imports {LIB}',
            (
                f"components.app.source: the component imports '{LIB}': it is not part of WASI;"
                " another component can serve it, by `imports` of the policy"
            ),
        ),
        "the policy was refused",
    ),
    "a module that is called": Case(
        calling(lib={"guest": PROBE_MODULE.read_bytes()}),
        121,
        (MODULE.format("lib"),),
    ),
    "a module that calls": Case(
        calling({"guest": PROBE_MODULE.read_bytes()}),
        121,
        (MODULE.format("app"),),
    ),
    "limits of another": Case(
        calling(lib={"limits": {"memory": "1MiB"}}),
        120,
        ("components.lib.limits: the limits of a program are those of the component that is run, app: set them there",),
        "the policy was refused",
    ),
    "input of another": Case(
        calling(lib={"stdio": {"stdin": "inherit"}}),
        120,
        (
            (
                "components.lib.grants.stdio.stdin: standard input goes to the component that is run, app, alone:"
                " remove the grant"
            ),
        ),
        "the policy was refused",
    ),
    "a circle": Case(
        calling(lib={"imports": {"acme:x/app": "app"}}),
        120,
        (
            (
                'components.lib.imports["acme:x/app"]: closes a cycle,'
                " of which no component could be made before the others: app > lib > app"
            ),
        ),
        "the policy was refused",
    ),
    "too few handles": Case(
        calling({"limits": {"handles": 4}}, {"filesystem": [directory(ROOT / d, f"/{d}") for d in ("docs", "tests")]}),
        120,
        (
            (
                "components.app.limits.handles: 4 handles are too few:"
                " the granted directories of all instances alone take 4"
            ),
        ),
        "the policy was refused",
    ),
    "an interface that no guard knows": Case(
        calling(
            lib={
                "guest": guest(
                    {"go": ""}, exports=GO, before='(import "wasi:io/new@0.2.12" (instance (export "f" (func))))'
                )
            }
        ),
        121,
        (
            (
                "components.lib.source: the component imports 'wasi:io/new@0.2.12':"
                " wasi:io has no interface new in WASI 0.2"
            ),
        ),
    ),
    "a function that no guard knows": Case(
        calling(
            lib={
                "guest": component(
                    '(import "wasi:cli/exit@0.2.0" (instance (export "explode" (func))))'
                    '(core module $m (func (export "go"))) (core instance $m (instantiate $m))'
                    '(func $go (canon lift (core func $m "go"))) (instance $e (export "go" (func $go)))'
                    f'(export "{LIB}" (instance $e))'
                )
            }
        ),
        121,
        ("app>lib: it imports explode of wasi:cli/exit@0.2.12, which is not WASI 0.2's",),
        component="lib",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_refused(linked: Linked, case: Case, tmp_path: Path) -> None:
    """Nothing runs; the command's status and the trail say why, each reason in an event of its own."""
    path, trail = linked.write(case.components), tmp_path / "trail"
    line = [sys.executable, "-m", "sandbox", "run", "--audit", str(trail), str(path)]
    done = subprocess.run(
        line,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
    )
    with open(trail, "rb") as file:
        *events, last = read_trail(lines_of(file))
    assert (done.returncode, done.stdout) == (case.status, ""), done.stderr
    assert tuple(e.reason for e in events) == case.reasons
    assert {(e.name, e.component) for e in events} == {
        ("refused", case.component if case.status == 121 else events[0].component)
    }
    assert (last.name, last.exit_status, last.reason.partition(":")[0]) == ("ended", case.status, case.ending)
    for reason in case.reasons:
        assert reason.rpartition(": ")[2].split()[0] in done.stderr


CHAIN = """
version: 1
components:
  app: {source: app.wasm, imports: {"acme:x/lib": lib}}
  lib:
    source: lib.wasm
    imports:
      "bank:payments/auth": {component: auth, only: [ONLY]}
  auth: {source: auth.wasm}
run: app
"""
SERVER = "(auth is in line 8)"
MISFITS = {
    "another type": (
        "(result u8)",
        "validate-user",
        (
            "app>lib, bank:payments/auth@1.0.0: validate-user: it imports func(name: string) -> bool,"
            f" and app>lib>auth exports func(name: string) -> u8 {SERVER}"
        ),
    ),
    "no such function": (
        "(result bool)",
        "validate",
        (
            "app>lib may call validate of bank:payments/auth@1.0.0, but app>lib>auth exports no such function;"
            f" it exports validate-user {SERVER}"
        ),
    ),
}


@pytest.mark.parametrize(("result", "only", "reason"), MISFITS.values(), ids=MISFITS)
def test_where_what_does_not_fit_is(tmp_path: Path, runner: Runner, result: str, only: str, reason: str) -> None:
    """The event is the importer's, at the line of its import, and says where the other component is."""
    lib = guest({"go": ""}, exports=GO, before=parts.auth_import(parts.AUTH))
    for name, data in (("app", APP), ("lib", lib), ("auth", parts.auth(function=f'(param "name" string) {result}'))):
        (tmp_path / f"{name}.wasm").write_bytes(data)
    (tmp_path / "p.yaml").write_text(CHAIN.strip().replace("ONLY", only), encoding="utf-8")
    outcome = runner.run(tmp_path / "p.yaml").outcome
    refusal, _ = outcome.events
    said = (outcome.exit_status, refusal.name, refusal.component, refusal.path, refusal.policy_line, refusal.reason)
    assert said == (121, "refused", "lib", "app>lib", 7, reason)


def test_files_of_standard_streams(linked: Linked, tmp_path: Path) -> None:
    """A file of one component's stream is out of the others' reach, or the program is refused."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "in").touch()
    own = {"stdout": {"file": str(tmp_path / "data" / "log")}, "stdin": {"file": str(tmp_path / "data" / "in")}}
    one = {"stdout": {"file": str(tmp_path / "log")}}
    writes = [directory(tmp_path / "data", "/data", "write")]
    from sandbox.plan import PlanError

    def refusal(app: Mapping[str, Any], lib: Mapping[str, Any]) -> list[tuple[str, str]]:
        with pytest.raises(PlanError) as caught:
            linked.run(calling(app, lib))
        assert caught.value.about == "policy"
        return [(o.route, o.message) for o in caught.value.objections]

    reach = "{} lies in a directory that lib may write (/data), so it could change it"
    assert refusal({"stdio": own}, {"filesystem": writes}) == [
        ("components.app.grants.stdio.stdin", reach.format(tmp_path / "data" / "in")),
        ("components.app.grants.stdio.stdout", reach.format(tmp_path / "data" / "log")),
    ]
    assert refusal({"stdio": one}, {"stdio": one}) == [
        (
            "components.lib.grants.stdio.stdout",
            f"{tmp_path / 'log'} is what stdout of app uses already; one would overwrite the other",
        )
    ]
    path = linked.folder / "lib.wasm"
    assert refusal({"stdio": {"stdout": {"file": str(path)}}}, {}) == [
        ("components.app.grants.stdio.stdout", f"{path} is the file of component lib, which the output would overwrite")
    ]
