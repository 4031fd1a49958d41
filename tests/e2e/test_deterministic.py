"""What is declared deterministic: the same results in each run, of what it is granted and of its own instructions."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

from sandbox import Sandbox
from tests.e2e.harness import ROOT, Runner, policy_data, probe_arguments, write_policy

FIXED: dict[str, Any] = {"clocks": "frozen", "random": "seeded"}

OPEN = """
  (func (export "divided") (param f32 f32) (result i32)
    (i32.reinterpret_f32 (f32.div (local.get 0) (local.get 1))))
  (func (export "passed-on") (param i64) (result i64)
    (i64.reinterpret_f64 (f64.add (f64.reinterpret_i64 (local.get 0)) (f64.const 1))))
  (func (export "demoted") (param i64) (result i32)
    (i32.reinterpret_f32 (f32.demote_f64 (f64.reinterpret_i64 (local.get 0)))))
  (func (export "lanes") (param f32) (result i64)
    (i64x2.extract_lane 0 (f32x4.div (f32x4.splat (local.get 0)) (f32x4.splat (local.get 0)))))
  (func (export "truncated") (param f32) (result i32)
    (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (local.get 0)))))
  (func (export "swizzled") (param i32) (result i32)
    (i8x16.extract_lane_u 0 (i8x16.relaxed_swizzle (i8x16.splat (i32.const 7)) (i8x16.splat (local.get 0)))))
"""
"""The fields of a module that shows what WebAssembly leaves open: the bits of a NaN, and what relaxed SIMD gives."""

CALLS: dict[tuple[str, ...], int] = {
    ("divided", "0", "0"): 0x7FC00000,
    ("passed-on", str(0x7FF4000000000001)): 0x7FF8000000000000,
    ("demoted", str(0x7FF4000000000001)): 0x7FC00000,
    ("lanes", "0"): 0x7FC000007FC00000,
    ("truncated", "3e9"): 0x7FFFFFFF,
    ("swizzled", "16"): 0,
}
"""Calls of them, each with the one result that it has where it is declared deterministic."""

LEFT_OPEN = [0xFFC00000, 0x7FFC000000000001, 0x7FE00000, 0xFFC00000FFC00000, 0x80000000, 7]
"""What the processors of one kind, x86-64, give otherwise."""


def source(folder: Path, kind: str) -> Path:
    """The module of ``OPEN``, or a component of it."""
    types = {"i32": "s32", "i64": "s64", "f32": "f32"}
    lifted = []
    for line in OPEN.replace("\n   ", "").splitlines():
        if "(export " in line:
            name, declared = line.split('"')[1], line.partition("(result ")
            takes = declared[0].partition("(param ")[2].partition(")")[0].split()
            parameters = " ".join(f'(param "p{n}" {types[t]})' for n, t in enumerate(takes))
            lifted.append(
                f'(func (export "{name}") {parameters} (result {types[declared[2][:3]]})'
                f' (canon lift (core func $m "{name}")))'
            )
    inner = "\n".join(lifted)
    path = folder / "open.wasm"
    text = f"(component (core module $c {OPEN}) (core instance $m (instantiate $c)) {inner})"
    path.write_bytes(wat2wasm(text if kind == "component" else f"(module {OPEN})"))
    return path


def declared(data: dict[str, Any], value: bool = True) -> dict[str, Any]:
    """A policy whose one component is declared deterministic."""
    (component,) = data["components"].values()
    component["deterministic"] = value
    return data


@pytest.mark.parametrize("kind", ["component", "module"])
def test_what_instructions_leave_open(tmp_path: Path, kind: str) -> None:
    """Each NaN has the same bits, and relaxed SIMD one result: compiled and from the cache, beside code without."""
    data = policy_data(source=source(tmp_path, kind), **FIXED)

    def results(value: bool) -> list[int]:
        with Sandbox(write_policy(tmp_path, declared(data, value))) as box:
            outcomes = [box.call(None, *call) for call in CALLS]
        assert [o.reason for o in outcomes] == [None] * len(CALLS)
        widths = [0xFFFFFFFF if expected <= 0xFFFFFFFF else 0xFFFFFFFFFFFFFFFF for expected in CALLS.values()]
        return [int(o.value or "") & width for o, width in zip(outcomes, widths, strict=True)]

    others = [results(False)]
    assert [results(True), results(True)] == [list(CALLS.values())] * 2
    others.append(results(False))
    if platform.machine() == "x86_64":
        assert others == [LEFT_OPEN] * 2


@pytest.mark.usefixtures("guest")
def test_what_it_is_granted(tmp_path: Path, runner: Runner) -> None:
    """Clocks, random numbers, variables, arguments and files are in each run as they were in the one before."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("text")
    directories = [{"host": "in", "guest": "/in", "access": "read"}]
    policy = write_policy(tmp_path, declared(policy_data(directories, environment={"set": {"A": "b"}}, **FIXED)))
    arguments = probe_arguments("clock", "sleep 5", "clock", "random", "random", "env", "read /in/file")
    one, other = (runner.run(policy, *arguments) for _ in range(2))
    assert one.lines == other.lines
    assert [line.partition(" -> ")[2].split()[0] for line in one.lines if " -> " in line] == ["ok"] * 7
    assert (one.outcome.exit_status, one.denials, other.denials) == (0, [], [])


@pytest.mark.usefixtures("guest")
def test_grants_that_contradict_it(tmp_path: Path) -> None:
    """The run is refused with every contradiction, and nothing runs."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(json.dumps(declared(policy_data(stdio={"stdout": "inherit"}, clocks={"wall": "real"})), indent=1))
    line = [sys.executable, "-m", "sandbox", "run", str(policy), "--", "stdout", "x"]
    done = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, encoding="utf-8", timeout=60)
    places = {
        name: next(n for n, text in enumerate(policy.read_text().splitlines(), 1) if f'"{name}"' in text)
        for name in ("wall", "random")
    }
    kind = "module" if ".m.wasm" in policy.read_text() else "component"
    tail = f"from run to run, and the policy declares the {kind} deterministic; write"
    route, remedy = "components.guest.grants", "or remove `deterministic`"
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (
        120,
        "",
        [
            (
                f"sandbox: {policy}:{places['wall']}: {route}.clocks.wall: a real clock differs {tail}"
                f" `wall: frozen`, {remedy}"
            ),
            (
                f"sandbox: {policy}:{places['random']}: {route}.random: secure random numbers differ {tail}"
                f" `random: seeded`, {remedy}"
            ),
        ],
    )
