"""What is charged to disk and handles; components and compiled code that change under a run; a suggested grant."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache
from sandbox.runtime.process import WorkerProcess
from sandbox.runtime.session import execute, plan_of
from sandbox.runtime.worker import HOST_FILES
from tests.e2e.components import Call, Drop, component
from tests.e2e.harness import GUESTS, Denial, Ran, Runner, directory, policy_data, snapshot, write_policy

T, S = "filesystem/types", "io/streams"
CALLS: list[Call | Drop] = [
    Call("directories", "filesystem/preopens", "get-directories", "i32"),
    Call("open", T, "[method]descriptor.open-at", "i32 i32 i32 i32 i32 i32 i32"),
    Call("to-read", T, "[method]descriptor.read-via-stream", "i32 i64 i32"),
    Call("to-write", T, "[method]descriptor.write-via-stream", "i32 i64 i32"),
    Call("data", S, "[method]input-stream.subscribe", "i32", "i32"),
    Call("wait", "io/poll", "[method]pollable.block", "i32"),
    Call("room", S, "[method]output-stream.check-write", "i32 i32"),
    Call("flush", S, "[method]output-stream.blocking-flush", "i32 i32"),
    Call("zeroes", S, "[method]output-stream.write-zeroes", "i32 i64 i32"),
    Call("blocking-zeroes", S, "[method]output-stream.blocking-write-zeroes-and-flush", "i32 i64 i32"),
    Call("splice", S, "[method]output-stream.splice", "i32 i32 i64 i32"),
    Call("blocking-splice", S, "[method]output-stream.blocking-splice", "i32 i32 i64 i32"),
    Drop("drop", T, "descriptor"),
]
OUT_OF_FILES = "no more files can be opened: this process's own bound on them is reached"
DATA = """
(data (i32.const 1024) "from") (data (i32.const 1032) "into")
(func $root (result i32) (call $directories (i32.const 0)) (i32.load (i32.load (i32.const 0))))
(func $ok (call $same (i32.load8_u (i32.const 16)) (i32.const 0)))
(func $opened (param $root i32) (param $name i32) (param $flags i32) (result i32)
  (call $open (local.get $root) (i32.const 1) (local.get $name) (i32.const 4) (i32.const 0) (local.get $flags)
    (i32.const 16))
  (call $ok) (i32.load (i32.const 20)))
"""
"""Names are four bytes; results lie at 16. ``$opened`` opens a file that is there for reading (1) or writing (2)."""


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    """A directory with ``from``, which holds 1000 bytes, and ``into``, which is empty."""
    path = tmp_path / "granted"
    path.mkdir()
    (path / "from").write_bytes(b"f" * 1000)
    (path / "into").write_bytes(b"")
    return path


@pytest.fixture
def run(tmp_path: Path, granted: Path, runner: Runner) -> Callable[..., Ran]:
    """Runs a body with ``CALLS`` and ``DATA`` under a grant of ``granted``."""

    def run(body: str, access: str, limits: dict[str, object]) -> Ran:
        guest = tmp_path / "guest.wasm"
        guest.write_bytes(component(body, CALLS, data=DATA))
        data = policy_data([directory(granted, "/d", access)], source=guest, limits=limits)
        return runner.run(write_policy(tmp_path, data))

    return run


def full(size: str) -> str:
    return f"the bytes that may be written to files are used up ({size} bytes)"


@pytest.mark.parametrize("command", ["mkdir /d/NEW", "symlink from /d/NEW", "create /d/NEW", "link /d/from /d/NEW"])
def test_each_new_name_is_charged(granted: Path, probe: Callable[..., Ran], command: str) -> None:
    """A new directory, symbolic link, file or hard link costs 4,096 bytes: 8 KiB are two of them, and no third."""
    commands = [command.replace("NEW", name) for name in ("one", "two", "three")]
    ran = probe([directory(granted, "/d", "write", hard_links="allow")], *commands, limits={"disk": "8KiB"})
    assert ran.lines == [f"{commands[0]} -> ok", f"{commands[1]} -> ok", f"{commands[2]} -> errno ENOSPC"]
    resource = "/d/from -> /d/three" if command.startswith("link") else "/d/three"
    assert [(e.name, e.capability, e.resource, e.reason) for e in ran.outcome.events[:-1]] == [
        ("limit", "limits.disk", resource, full("8,192"))
    ]
    assert (ran.outcome.how, ran.outcome.bounds) == ("exited", ("limits.disk",))
    assert {p.name for p in granted.iterdir()} == {"from", "into", "one", "two"}


def test_what_is_there_already_costs_no_new_name(granted: Path, probe: Callable[..., Ran]) -> None:
    """Opening a file to create it, where it is there, is charged nothing, however often."""
    before = snapshot(granted)
    ran = probe([directory(granted, "/d", "write")], *["create /d/into"] * 5, limits={"disk": 1})
    assert (ran.lines, ran.denials) == (["create /d/into -> ok"] * 5, [])
    assert snapshot(granted) == before


def test_set_size_beyond_the_bound(granted: Path, probe: Callable[..., Ran]) -> None:
    """No file is made to look larger than all that may be written; one of just that size may be made."""
    commands = ["ftruncate /d/into 8193", "ftruncate /d/into 8192"]
    ran = probe([directory(granted, "/d", "write")], *commands, limits={"disk": "8KiB"})
    assert ran.lines == ["ftruncate /d/into 8193 -> errno ENOSPC", "ftruncate /d/into 8192 -> ok"]
    assert ran.denials == [Denial("limits.disk", "/d/into", full("8,192"))]
    assert (granted / "into").stat().st_size == 8192


@pytest.mark.parametrize(
    ("call", "source", "error", "written"),
    [
        ("zeroes", "", 20, b"\0" * 100),
        ("blocking-zeroes", "", 20, b"\0" * 100),
        ("splice", "(local.get $c)", 24, b"f" * 100),
        ("blocking-splice", "(local.get $c)", 24, b"f" * 100),
    ],
    ids=["zeroes", "blocking-zeroes", "splice", "blocking-splice"],
)
def test_every_way_to_write_to_a_stream_is_charged(
    run: Callable[..., Ran], granted: Path, call: str, source: str, error: int, written: bytes
) -> None:
    """Zeroes and spliced bytes count as written ones do: 60 bytes, not 41 more, then 40, and not one more."""

    def write(amount: int, refused: bool = False) -> str:
        room = "(call $wait (call $data (local.get $c))) (call $room (local.get $b) (i32.const 16)) (call $ok)"
        act = f"(call ${call} (local.get $b) {source} (i64.const {amount}) (i32.const 16))"
        if refused:
            closed = f"(call $same (i32.load8_u (i32.const {error})) (i32.const 1))"
            return f"{room} {act} (call $same (i32.load8_u (i32.const 16)) (i32.const 1)) {closed}"
        return f"{room} {act} (call $ok) (call $flush (local.get $b) (i32.const 16)) (call $ok)"

    ran = run(
        f"""
        (local.set $a (call $root))
        (call $to-write (call $opened (local.get $a) (i32.const 1032) (i32.const 2)) (i64.const 0) (i32.const 16))
        (call $ok) (local.set $b (i32.load (i32.const 20)))
        (call $to-read (call $opened (local.get $a) (i32.const 1024) (i32.const 1)) (i64.const 0) (i32.const 16))
        (call $ok) (local.set $c (i32.load (i32.const 20)))
        {write(60)} {write(41, refused=True)} {write(40)} {write(1, refused=True)}
        (i32.const 0)""",
        "write",
        {"disk": 100},
    )
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert ran.denials == [Denial("limits.disk", None, full("100"))] * 2
    assert ran.outcome.bounds == ("limits.disk",)
    assert (granted / "into").read_bytes() == written


def test_streams_of_dropped_descriptors_are_bounded(run: Callable[..., Ran]) -> None:
    """A file stays open while a stream of it lives, also without its descriptor: the process's own bound ends that."""
    handles = 8
    ran = run(
        f"""
        (local.set $a (call $root))
        (block $full (loop $more
          (call $open (local.get $a) (i32.const 1) (i32.const 1024) (i32.const 4) (i32.const 0) (i32.const 1)
            (i32.const 16))
          (br_if $full (i32.load8_u (i32.const 16)))
          (local.set $b (i32.load (i32.const 20)))
          (call $to-read (local.get $b) (i64.const 0) (i32.const 16)) (call $ok)
          (call $drop (local.get $b))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const {handles + HOST_FILES + 4})))
          unreachable))
        (if (i32.le_u (local.get $i) (i32.const {handles})) (then unreachable))
        (i32.const 0)""",
        "read",
        {"handles": handles},
    )
    assert (ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason) == ("exited", 0, None)
    assert [(e.name, e.capability, e.reason) for e in ran.outcome.events[:-1]] == [
        ("limit", "limits.handles", OUT_OF_FILES)
    ]
    assert ran.outcome.bounds == ("limits.handles",)


def test_a_component_that_changes_under_its_plan(tmp_path: Path, cache: Path) -> None:
    """The bytes that are compiled are those that were planned for, or nothing runs."""
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(component("(i32.const 0)", data='(data (i32.const 0) "planned")'))
    loaded = Policy.load(write_policy(tmp_path, policy_data(source=guest)))
    kept = Cache(cache)
    plan = plan_of(loaded, loaded.components[0], kept)
    guest.write_bytes(component("(i32.const 0)", data='(data (i32.const 0) "swapped")'))
    worker = WorkerProcess.spawn()
    try:
        outcome, _ = execute(plan, worker, kept, stdin=b"")
    finally:
        worker.kill()
        worker.close()
    reason = "the component changed while it was being read"
    assert (outcome.how, outcome.exit_status, outcome.reason) == ("refused", 121, reason)
    assert [(e.name, e.capability, e.exit_status) for e in outcome.events][-1:] == [("ended", "run", 121)]


def without_code(compiled: bytes) -> bytes:
    """A compiled component (an ELF file) of the same size, with zeroes for its code."""
    out = bytearray(compiled)
    table, count = struct.unpack_from("<Q", out, 0x28)[0], struct.unpack_from("<H", out, 0x3C)[0]
    for index in range(count):
        _, _, flags, _, offset, size = struct.unpack_from("<IIQQQQ", out, table + 64 * index)
        if flags & 4:  # executable
            out[offset : offset + size] = bytes(size)
    return bytes(out)


def test_corrupted_code_is_made_again(tmp_path: Path) -> None:
    """A run that crashes on compiled code that was corrupted on the disk fails, and the next one compiles anew."""
    own = tmp_path / "cache"
    own.mkdir(mode=0o700)
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(wat2wasm((GUESTS / "exit-with-code.wat").read_text(encoding="utf-8")))
    policy = write_policy(tmp_path, policy_data(source=guest))

    def run() -> tuple[str, int, str | None]:
        runner = Runner(own)  # a worker of its own, which has compiled nothing yet
        try:
            outcome = runner.run(policy).outcome
        finally:
            runner.close()
        return outcome.how, outcome.exit_status, outcome.reason

    assert run() == ("exited", 42, None)
    (compiled,) = own.glob("*.cwasm")
    whole = compiled.read_bytes()
    compiled.write_bytes(without_code(whole))
    how, status, reason = run()
    assert (how, status) == ("failed", 125)
    assert (reason or "").startswith("the worker ended unexpectedly (SIG")
    assert run() == ("exited", 42, None)
    assert compiled.read_bytes() == whole


@pytest.mark.usefixtures("guest")
def test_what_the_denial_of_a_file_suggests(tmp_path: Path, runner: Runner) -> None:
    """A refused file outside of all grants suggests its directory, for what the call meant to do, and no more."""
    policy = write_policy(tmp_path, policy_data())
    ran = runner.run(policy, "open-read", "/etc/passwd", "--", "open-write", "/etc/passwd")
    assert [(e.capability, e.resource, e.grant) for e in ran.outcome.events[:-1]] == [
        ("filesystem.read", "/etc/passwd", "filesystem:\n  - {host: /etc, guest: /etc, access: read}"),
        ("filesystem.write", "/etc/passwd", "filesystem:\n  - {host: /etc, guest: /etc, access: write}"),
    ]
