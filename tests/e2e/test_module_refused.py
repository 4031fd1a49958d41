"""Modules that are not for preview 1 as it is: refused before anything runs, with the first import that is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.events import Event
from sandbox.audit.read import lines_of, read_trail
from tests.e2e.harness import ROOT, Runner, policy_data, write_policy
from tests.e2e.modules import imports, module

REBUILD = "rebuild it for wasm32-wasip1"
START = '(memory (export "memory") 1) (func (export "_start"))'


def trail(path: Path) -> list[Event]:
    with open(path, "rb") as file:
        return list(read_trail(lines_of(file)))


def sandbox(policy: Path, audit: Path) -> tuple[int, str, str]:
    line = [sys.executable, "-m", "sandbox", "run", "--audit", str(audit), str(policy)]
    done = subprocess.run(line, cwd=ROOT, check=False, capture_output=True, timeout=60, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            '(import "wasi_unstable" "fd_write" (func (param i32 i32 i32 i32) (result i32)))',
            f"the module imports wasi_unstable.fd_write: wasi_unstable is the snapshot before preview 1; {REBUILD}",
        ),
        (
            '(import "wasix_32v1" "thread_spawn_v2" (func (param i32 i32) (result i32)))',
            (
                "the module imports wasix_32v1.thread_spawn_v2: it is part of WASIX, which goes beyond preview 1;"
                f" {REBUILD}"
            ),
        ),
        (
            '(import "wasi" "thread-spawn" (func (param i32) (result i32)))',
            (
                "the module imports wasi.thread-spawn: wasi is the proposal for threads, which are not served;"
                f" {REBUILD}, without threads"
            ),
        ),
        (
            '(import "wasi_ephemeral_nn" "load" (func (param i32) (result i32)))',
            (
                "the module imports wasi_ephemeral_nn.load: it is an experiment beside WASI preview 1, which is not"
                f" served; {REBUILD} without it"
            ),
        ),
        (
            imports("fd_write")
            + '(import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32)))'
            + '(import "wasi_snapshot_preview1" "sock_connect" (func (param i32 i32 i32) (result i32)))',
            (
                "the module imports wasi_snapshot_preview1.sock_open (and 1 more that nothing serves): it is no"
                f" function of WASI preview 1 but another runtime's extension; {REBUILD}"
            ),
        ),
        (
            '(import "env" "memory" (memory 1))',
            f"the module imports env.memory: a module has its own memory here; {REBUILD}, without threads",
        ),
        (
            '(import "gojs" "syscall/js.valueGet" (func (param i32)))',
            (
                "the module imports gojs.syscall/js.valueGet: it is for a JavaScript host; build the program with"
                " GOOS=wasip1 GOARCH=wasm"
            ),
        ),
    ],
    ids=["wasi_unstable", "wasix", "threads", "ephemeral", "extension", "env", "go"],
)
def test_dialects(tmp_path: Path, fields: str, sentence: str) -> None:
    """Each dialect is refused by name: status 121, a sentence that says what to do, and the refusal in the trail."""
    text = fields + (START if "(memory" not in fields else '(export "memory" (memory 0)) (func (export "_start"))')
    audit, policy = tmp_path / "trail.jsonl", write_policy(tmp_path, policy_data(source=module(tmp_path, text)))
    assert sandbox(policy, audit) == (121, "", f"sandbox: {policy}:1: components.guest.source: {sentence}\n")
    events = trail(audit)
    assert [(e.name, e.capability, e.policy_line, e.exit_status) for e in events] == [
        ("refused", "run", 1, None),
        ("ended", "run", None, 121),
    ]
    assert events[0].reason == f"components.guest.source: {sentence}"


@pytest.mark.parametrize(
    ("memory", "sentence"),
    [
        (
            "",
            (
                "the module exports no memory by the name of `memory`, which WASI preview 1 reads and writes; export"
                " its memory"
            ),
        ),
        (
            '(memory (export "memory") i64 1)',
            "the module exports a memory with 64-bit addresses, and those of WASI preview 1 have 32; " + REBUILD,
        ),
        (
            '(memory (export "memory") 1 1 shared)',
            (
                "the module exports a memory that threads share, and WASI preview 1 knows no threads; rebuild it"
                " without them"
            ),
        ),
    ],
    ids=["none", "64-bit", "shared"],
)
def test_memories_that_preview_1_cannot_use(tmp_path: Path, memory: str, sentence: str) -> None:
    """WASI needs a plain memory of the module's own, exported as ``memory``."""
    text = imports("fd_write") + memory + '(func (export "_start"))'
    audit, policy = tmp_path / "trail.jsonl", write_policy(tmp_path, policy_data(source=module(tmp_path, text)))
    assert sandbox(policy, audit) == (121, "", f"sandbox: {policy}:1: components.guest.source: {sentence}\n")
    assert [(e.name, e.exit_status) for e in trail(audit)] == [("refused", None), ("ended", 121)]


SIGNATURES = [
    '(import "wasi_snapshot_preview1" "fd_write" (func (param i32)))',
    '(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32)))',
    '(import "wasi_snapshot_preview1" "fd_seek" (func (param i32 i32 i32 i32) (result i32)))',
    '(import "wasi_snapshot_preview1" "proc_exit" (func (param i32) (result i32)))',
]


@pytest.mark.parametrize("fields", SIGNATURES, ids=["parameters", "result", "64 bits", "proc_exit"])
def test_imports_of_another_type(tmp_path: Path, runner: Runner, fields: str) -> None:
    """An import whose type is not the function's refuses the module, with Wasmtime's reason."""
    ran = runner.run(write_policy(tmp_path, policy_data(source=module(tmp_path, fields + START))))
    outcome = ran.outcome
    assert (outcome.how, outcome.exit_status, outcome.stdout) == ("refused", 121, b"")
    assert "types incompatible" in (outcome.reason or "")
    assert [(e.name, e.exit_status) for e in outcome.events] == [("refused", None), ("ended", 121)]


def test_sockets_are_not_granted(tmp_path: Path) -> None:
    """A policy that grants sockets to a module is refused: preview 1 opens none."""
    grants: dict[str, Any] = {"sockets": {"tcp": {"connect": ["example.com:443"]}}}
    policy = write_policy(tmp_path, policy_data(source=module(tmp_path, imports("fd_write") + START), **grants))
    status, stdout, stderr = sandbox(policy, tmp_path / "trail.jsonl")
    assert (status, stdout) == (120, "")
    assert stderr == (
        f"sandbox: {policy}:1: components.guest.grants.sockets: a module has no way to open a socket: WASI preview 1"
        " has none; remove the grant, or build a component\n"
    )
