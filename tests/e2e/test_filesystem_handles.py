"""What a guest can do to descriptors themselves: too many, dropped ones, wrong ones, long paths, large writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.audit.events import Event
from tests.e2e.components import Call, Drop, component
from tests.e2e.harness import (
    LEADS_OUT,
    UNGRANTED,
    Denial,
    Ran,
    Runner,
    directory,
    policy_data,
    read,
    write,
    write_policy,
)

T = "filesystem/types"
CALLS: list[Call | Drop] = [
    Call("directories", "filesystem/preopens", "get-directories", "i32"),
    Call("open", T, "[method]descriptor.open-at", "i32 i32 i32 i32 i32 i32 i32"),
    Call("stat", T, "[method]descriptor.stat-at", "i32 i32 i32 i32 i32"),
    Call("mkdir", T, "[method]descriptor.create-directory-at", "i32 i32 i32 i32"),
    Call("rmdir", T, "[method]descriptor.remove-directory-at", "i32 i32 i32 i32"),
    Call("unlink", T, "[method]descriptor.unlink-file-at", "i32 i32 i32 i32"),
    Call("readlink", T, "[method]descriptor.readlink-at", "i32 i32 i32 i32"),
    Call("symlink", T, "[method]descriptor.symlink-at", "i32 i32 i32 i32 i32 i32"),
    Call("rename", T, "[method]descriptor.rename-at", "i32 i32 i32 i32 i32 i32 i32"),
    Call("link", T, "[method]descriptor.link-at", "i32 i32 i32 i32 i32 i32 i32 i32"),
    Call("hash-at", T, "[method]descriptor.metadata-hash-at", "i32 i32 i32 i32 i32"),
    Call("write", T, "[method]descriptor.write", "i32 i32 i32 i64 i32"),
    Call("read", T, "[method]descriptor.read", "i32 i64 i64 i32"),
    Call("same-object", T, "[method]descriptor.is-same-object", "i32 i32", "i32"),
    Call("list", T, "[method]descriptor.read-directory", "i32 i32"),
    Drop("drop", T, "descriptor"),
    Drop("drop-list", T, "directory-entry-stream"),
]

DATA = """
(data (i32.const 1024) "file") (data (i32.const 1056) "secret/x") (data (i32.const 1072) "x")
(func $root (result i32) (call $directories (i32.const 0)) (i32.load (i32.load (i32.const 0))))
(func $open-file (param $root i32) (param $open i32) (param $flags i32)
  (call $open (local.get $root) (i32.const 1) (i32.const 1024) (i32.const 4) (local.get $open) (local.get $flags)
    (i32.const 16)))
(func $ok (call $same (i32.load8_u (i32.const 16)) (i32.const 0)))
(func $fails (param $code i32)
  (call $same (i32.load8_u (i32.const 16)) (i32.const 1)) (call $same (i32.load8_u (i32.const 20)) (local.get $code)))
(func $fails-close (param $code i32)
  (call $same (i32.load8_u (i32.const 16)) (i32.const 1)) (call $same (i32.load8_u (i32.const 17)) (local.get $code)))
"""
"""Results lie at 16. ``$fails`` reads an error code behind a wide result, ``$fails-close`` behind an empty one."""
QUOTA, ACCESS, NAME_TOO_LONG, NO_SPACE = 6, 0, 18, 23


@pytest.fixture
def run(tmp_path: Path, runner: Runner) -> Callable[..., Ran]:
    """Runs a body with ``CALLS`` and ``DATA`` under one writable grant of a directory with ``file`` in it."""
    granted = tmp_path / "granted"
    (granted / "secret").mkdir(parents=True)
    (granted / "file").write_text("text")
    (granted / "secret" / "x").write_text("x")

    def run(body: str, data: str = "", limits: dict[str, object] | None = None, **more: object) -> Ran:
        guest = tmp_path / "guest.wasm"
        guest.write_bytes(component(body, CALLS, data=DATA + data))
        grants = [directory(granted, "/d", "write", **more)]
        return runner.run(write_policy(tmp_path, policy_data(grants, source=guest, limits=limits)))

    return run


def ended(ran: Ran) -> tuple[str, int, str | None]:
    return ran.outcome.how, ran.outcome.exit_status, ran.outcome.reason


EXITED = ("exited", 0, None)


def test_handles_beyond_the_bound(run: Callable[..., Ran]) -> None:
    """At the bound opening fails with ``quota``; what is dropped can be opened again, over and over; streams count."""
    ran = run(
        f"""
        (local.set $a (call $root))
        (loop $more
          (call $open-file (local.get $a) (i32.const 0) (i32.const 1)) (call $ok)
          (i32.store (i32.add (i32.const 2048) (i32.shl (local.get $i) (i32.const 2))) (i32.load (i32.const 20)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 6))))
        (call $open-file (local.get $a) (i32.const 0) (i32.const 1)) (call $fails (i32.const {QUOTA}))
        (call $list (local.get $a) (i32.const 16)) (call $fails (i32.const {QUOTA}))
        (call $drop (i32.load (i32.const 2048)))
        (call $list (local.get $a) (i32.const 16)) (call $ok) (local.set $b (i32.load (i32.const 20)))
        (call $open-file (local.get $a) (i32.const 0) (i32.const 1)) (call $fails (i32.const {QUOTA}))
        (call $drop-list (local.get $b))
        (local.set $i (i32.const 0))
        (loop $more
          (call $open-file (local.get $a) (i32.const 0) (i32.const 1)) (call $ok)
          (call $drop (i32.load (i32.const 20)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 2000))))
        (i32.const 0)""",
        limits={"handles": 8},
    )
    assert ended(ran) == EXITED
    full = "8 handles are open, which is all that the policy allows"
    where = ["/d/file", "/d", "/d/file"]
    assert ran.denials == [Denial("limits.handles", path, full) for path in where]
    assert ran.outcome.bounds == ("limits.handles",)


def test_use_after_drop(run: Callable[..., Ran]) -> None:
    """A dropped descriptor is no handle; nor is a number that never was one, or a handle of another type."""
    read_file = "(i32.const 0) (i32.const 1))"
    for body in (
        f"(call $drop (local.get $a)) (call $open-file (local.get $a) {read_file}",
        f"(call $open-file (i32.const 77) {read_file}",
        f"(call $list (local.get $a) (i32.const 16)) (call $open-file (i32.load (i32.const 20)) {read_file}",
        "(call $drop (local.get $a)) (call $drop (local.get $a))",
    ):
        ran = run(f"(local.set $a (call $root)) {body} (i32.const 0)")
        assert ran.outcome.how == "trapped"
        assert "handle index" in (ran.outcome.reason or "")
        assert ran.denials == []


def test_directories_again_and_again(run: Callable[..., Ran]) -> None:
    """Asking for the granted directories counts against the bound; beyond it the call traps, since it has no error."""
    ran = run("(loop $more (call $directories (i32.const 0)) (br $more)) (i32.const 0)", limits={"handles": 9})
    reason = "the granted directories were asked for again, beyond the bound on open handles"
    assert ended(ran) == ("trapped", 122, reason)
    assert ran.denials == [
        Denial("limits.handles", None, "9 handles are open, which is all that the policy allows"),
    ]
    ran = run(
        """
        (loop $more
          (call $directories (i32.const 0))
          (call $drop (i32.load (i32.load (i32.const 0))))
          (call $drop (i32.load offset=12 (i32.load (i32.const 0))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 1000))))
        (i32.const 0)""",
        limits={"handles": 9},
    )
    assert ended(ran) == EXITED
    assert ran.denials == []


def test_same_object(run: Callable[..., Ran]) -> None:
    """Two handles may be passed to one call, also the same one twice."""
    ran = run("""
        (local.set $a (call $root)) (local.set $b (call $root))
        (call $same (call $same-object (local.get $a) (local.get $a)) (i32.const 1))
        (call $same (call $same-object (local.get $a) (local.get $b)) (i32.const 1))
        (call $rename (local.get $a) (i32.const 1024) (i32.const 4) (local.get $a) (i32.const 1024) (i32.const 4)
          (i32.const 16)) (call $ok)
        (i32.const 0)""")
    assert ended(ran) == EXITED
    assert ran.denials == []


LONG = """
(local.set $a (call $root))
(memory.fill (i32.const 8192) (i32.const 97) (i32.const 6000))
(local.set $i (i32.const 0))
(loop $more
  (i32.store8 (i32.add (i32.const 8192) (i32.mul (local.get $i) (i32.const 2))) (i32.const 46))
  (i32.store8 offset=1 (i32.add (i32.const 8192) (i32.mul (local.get $i) (i32.const 2))) (i32.const 47))
  (local.set $i (i32.add (local.get $i) (i32.const 1)))
  (br_if $more (i32.lt_u (local.get $i) (i32.const 2500))))
(i32.store8 (i32.const 13192) (i32.const 120))
"""
"""``./`` 2500 times and then ``x`` at 8192: 5001 bytes that name ``x``."""
PATH = "(i32.const 8192) (i32.const 5001)"


X, FILE = "(i32.const 1072) (i32.const 1)", "(i32.const 1024) (i32.const 4)"
TOO_LONG_ANYWHERE = [
    f"(call $open (local.get $a) (i32.const 1) {PATH} (i32.const 0) (i32.const 1) (i32.const 16)) $wide",
    f"(call $symlink (local.get $a) {X} {PATH} (i32.const 16)) $narrow",
    f"(call $symlink (local.get $a) {PATH} {X} (i32.const 16)) $narrow",
]
TOO_LONG_WHERE_ROUTED = [
    f"(call $unlink (local.get $a) {PATH} (i32.const 16)) $narrow",
    f"(call $mkdir (local.get $a) {PATH} (i32.const 16)) $narrow",
    f"(call $rmdir (local.get $a) {PATH} (i32.const 16)) $narrow",
    f"(call $readlink (local.get $a) {PATH} (i32.const 16)) $wide",
    f"(call $rename (local.get $a) {PATH} (local.get $a) {X} (i32.const 16)) $narrow",
    f"(call $rename (local.get $a) {FILE} (local.get $a) {PATH} (i32.const 16)) $narrow",
]


@pytest.mark.parametrize("routed", [False, True])
def test_long_paths(run: Callable[..., Ran], routed: bool) -> None:
    """A path that cannot be told whole is an error, never a shorter path, and nothing is recorded.

    Where nothing is routed Wasmtime itself takes longer paths, of more than the 4096 bytes that the guard keeps.
    """
    calls = TOO_LONG_ANYWHERE + (TOO_LONG_WHERE_ROUTED if routed else [])
    body = LONG + "".join(f"{call} (i32.const {NAME_TOO_LONG}))" for call in calls)
    body = body.replace("$wide", "(call $fails").replace("$narrow", "(call $fails-close")
    ran = run(body + "(i32.const 0)", **({"excepted": ["secret"]} if routed else {}))
    assert ended(ran) == EXITED
    assert ran.denials == []


def test_hash_of_what_is_excepted(run: Callable[..., Ran]) -> None:
    """The hash of an excepted file is refused; the entry's own name, which the listing shows too, is answered."""
    ran = run(
        f"""
        (local.set $a (call $root))
        (call $hash-at (local.get $a) (i32.const 0) (i32.const 1056) (i32.const 8) (i32.const 16))
        (call $same (i32.load8_u (i32.const 16)) (i32.const 1))
        (call $same (i32.load8_u (i32.const 24)) (i32.const {ACCESS}))
        (call $hash-at (local.get $a) (i32.const 1) (i32.const 1056) (i32.const 6) (i32.const 16))
        (call $same (i32.load8_u (i32.const 16)) (i32.const 1))
        (call $hash-at (local.get $a) (i32.const 0) (i32.const 1056) (i32.const 6) (i32.const 16)) (call $ok)
        (i32.const 0)""",
        excepted=["secret"],
    )
    assert ended(ran) == EXITED
    excepted = "the policy excepts this path"
    assert ran.denials == [read("/d/secret/x", excepted), read("/d/secret", excepted)]


def test_large_writes(run: Callable[..., Ran], tmp_path: Path) -> None:
    """A list of two megabytes is written and read back in one call; one beyond the disk's bound is not begun."""
    ran = run(
        f"""
        (local.set $a (call $root))
        (call $open-file (local.get $a) (i32.const 0) (i32.const 3)) (call $ok)
        (local.set $b (i32.load (i32.const 20)))
        (memory.fill (i32.const 100000) (i32.const 65) (i32.const 2000000))
        (call $write (local.get $b) (i32.const 100000) (i32.const 2000000) (i64.const 0) (i32.const 16)) (call $ok)
        (local.set $c (i32.load (i32.const 24)))
        (call $write (local.get $b) (i32.const 100000) (i32.const 2000000) (i64.const 2000000) (i32.const 16))
        (call $same (i32.load8_u (i32.const 16)) (i32.const 1))
        (call $same (i32.load8_u (i32.const 24)) (i32.const {NO_SPACE}))
        (i32.const 0)""",
        limits={"disk": "3MB"},
    )
    assert ended(ran) == EXITED
    used_up = "the bytes that may be written to files are used up (3,000,000 bytes)"
    assert ran.denials == [Denial("limits.disk", "/d/file", used_up)]
    written = (tmp_path / "granted" / "file").read_bytes()
    assert len(written) > 0
    assert set(written) == {65}


def test_list_longer_than_memory(run: Callable[..., Ran]) -> None:
    """A list or path that does not lie in the guest's own memory traps; it never reaches the guard."""
    for body in (
        "(call $write (local.get $a) (i32.const 100) (i32.const 0x7fffffff) (i64.const 0) (i32.const 16))",
        "(call $unlink (local.get $a) (i32.const 0xfffffff0) (i32.const 8) (i32.const 16))",
        "(call $unlink (local.get $a) (i32.const 0) (i32.const 0xffffffff) (i32.const 16))",
    ):
        ran = run(f"(local.set $a (call $root)) {body} (i32.const 0)")
        assert ran.outcome.how == "trapped"
        assert (ran.outcome.reason or "").endswith("content out-of-bounds")
        assert ran.denials == []


def test_names(probe: Callable[..., Ran], tmp_path: Path) -> None:
    """Names of control characters, newlines, beyond ASCII or of 255 bytes are names like any other, in events too."""
    granted = tmp_path / "granted"
    granted.mkdir()
    names = [
        "new\nline",
        "\x1b[31mred",
        "tab\tand\x7f",
        "日本語",
        "a b",
        '"quoted"',
        "back\\slash",
        "n" * 255,
        "é" * 127,
    ]
    commands: list[list[str]] = []
    for name in names:
        commands += [["write", f"/d/{name}", "x"], ["read", f"/d/{name}"], ["read", f"/{name}"]]
        commands += [["read", f"@/d@../{name}"], ["unlink", f"/d/{name}"]]
    too_long = "n" * 256
    ran = probe(
        [directory(granted, "/d", "write")], *commands, ["create", f"/d/{too_long}"], ["read", f"/d/{too_long}"]
    )
    results = [line.rpartition(" -> ")[2] for line in ran.lines]
    each = ["ok written=1", 'ok 1 "x"', "errno EACCES", "errno EPERM", "ok"]
    assert results == each * len(names) + ["errno ENAMETOOLONG"] * 2
    assert ran.denials == [
        denial for name in names for denial in (read(f"/{name}", UNGRANTED), read(f"/d/../{name}", LEADS_OUT))
    ]
    assert list(granted.iterdir()) == []


def test_grant_would_grant(probe: Callable[..., Ran], tmp_path: Path) -> None:
    """The line and the YAML of an event are those of the grant that decides, also where another was gone through."""
    (tmp_path / "data" / "sub").mkdir(parents=True)
    grants = [directory(tmp_path / "data", "/a", "write"), directory(tmp_path / "data" / "sub", "/b")]
    ran = probe(grants, "write /a/sub/x y", "rename /a/x /x")
    first, second, _ = ran.outcome.events
    assert isinstance(first, Event)
    assert (first.resource, first.grant) == (
        "/a/sub/x",
        f"filesystem:\n  - {{host: {tmp_path}/data/sub, guest: /b, access: write}}",
    )
    assert (second.resource, second.grant) == ("/a/x -> /x", "filesystem:\n  - {host: /x, guest: /x, access: write}")
    assert ran.denials == [
        write("/a/sub/x", "the directory is granted for reading only"),
        write("/a/x -> /x", UNGRANTED),
    ]
