"""Standard streams: where each mode reads from and writes to, and the one event of a stream that is not granted."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.plan import PlanError
from tests.e2e.harness import Ran, Runner, policy_data, probe_arguments, write_policy

ROOT = Path(__file__).resolve().parent.parent.parent
TALK = [["stdout", "out"], ["stdout", "more"], ["stderr", "err"], ["stderr", "worse"]]


def run(folder: Path, runner: Runner, stdio: dict[str, Any] | None, *commands: list[str], stdin: bytes = b"") -> Ran:
    path = write_policy(folder, policy_data(stdio=stdio))
    return runner.run(path, *probe_arguments(*commands), stdin=stdin)


def events(ran: Ran) -> list[tuple[str, str | None, str | None, str, str | None]]:
    """Capability, interface, function, reason and grant of each event but the last."""
    return [(e.capability, e.interface, e.function, e.reason, e.grant) for e in ran.outcome.events[:-1]]


STDIN = (
    "stdio.stdin",
    "wasi:cli/stdin@0.2.0",
    "get-stdin",
    "standard input is not granted; it is at its end",
    "stdio:\n  stdin: inherit",
)
STDOUT = (
    "stdio.stdout",
    "wasi:cli/stdout@0.2.0",
    "get-stdout",
    "standard output is not granted; what is written is thrown away",
    "stdio:\n  stdout: inherit",
)
STDERR = (
    "stdio.stderr",
    "wasi:cli/stderr@0.2.0",
    "get-stderr",
    "standard error is not granted; what is written is thrown away",
    "stdio:\n  stderr: inherit",
)


def versionless(found: list[tuple[str, str | None, str | None, str, str | None]]) -> list[Any]:
    """``events`` with every interface at version 0.2.0: the probe's adapter decides which one it asks for."""
    return [(c, i and i.partition("@")[0] + "@0.2.0", f, r, g) for c, i, f, r, g in found]


def as_module(event: tuple[str, str, str, str, str]) -> tuple[str, str, str, str, str]:
    """What a module calls that a component has a stream for."""
    capability, _, _, reason, grant = event
    function = "fd_read" if capability == "stdio.stdin" else "fd_write"
    return capability, "wasi_snapshot_preview1@0.2.0", function, reason, grant


@pytest.mark.parametrize("stdio", [None, {"stdin": "closed", "stdout": "closed", "stderr": "closed"}])
def test_streams_that_are_not_granted(tmp_path: Path, runner: Runner, stdio: dict[str, Any] | None, guest: str) -> None:
    """Output is thrown away and input at its end; each is told once, at its first use, however often it is used."""
    ran = run(tmp_path, runner, stdio, *TALK, ["stdin"], ["stdin"], stdin=b"unseen")
    assert (ran.outcome.how, ran.outcome.exit_status) == ("exited", 0)
    assert (ran.outcome.stdout, ran.outcome.stderr) == (None, None)
    expected = [STDOUT, STDERR, STDIN]
    assert sorted(versionless(events(ran))) == sorted(map(as_module, expected) if guest == "module" else expected)


@pytest.mark.usefixtures("guest")
def test_streams_that_are_not_used(tmp_path: Path, runner: Runner) -> None:
    """A component that imports the streams and uses none of them leaves no event."""
    assert events(run(tmp_path, runner, None, ["exit", "0"])) == []


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("mode", ["discard", "inherit"])
def test_granted_input_is_no_event(tmp_path: Path, runner: Runner, mode: str) -> None:
    """``discard`` is at its end, ``inherit`` what the caller gives; reading either is no denial."""
    ran = run(tmp_path, runner, {"stdin": mode, "stdout": "capture"}, ["stdin"], ["stdin"], stdin=b"12345")
    size = 0 if mode == "discard" else 5
    assert ran.lines == [f"stdin -> ok {size}", "stdin -> ok 0"]
    assert events(ran) == []


@pytest.mark.usefixtures("guest")
def test_discarded_output(tmp_path: Path, runner: Runner) -> None:
    """``discard`` accepts output and throws it away, which is what the policy says: no event."""
    ran = run(tmp_path, runner, {"stdout": "discard", "stderr": "discard"}, *TALK)
    assert (ran.outcome.stdout, ran.outcome.stderr, events(ran)) == (None, None, [])
    assert ran.outcome.usage.output > 0


@pytest.mark.usefixtures("guest")
def test_captured_output(tmp_path: Path, runner: Runner) -> None:
    """``capture`` keeps each stream apart, byte for byte."""
    ran = run(tmp_path, runner, {"stdout": "capture", "stderr": "capture"}, ["stdout", "a\x1b[31m"], ["stderr", "b\n"])
    assert ran.outcome.stdout == b"a\x1b[31mstdout a\\x1b[31m -> ok written=6\nstderr b\\x0a -> ok written=2\n"
    assert ran.outcome.stderr == b"b\n"


@pytest.mark.usefixtures("guest")
def test_large_input(tmp_path: Path, runner: Runner) -> None:
    """Input larger than any pipe arrives whole."""
    ran = run(tmp_path, runner, {"stdin": "inherit", "stdout": "capture"}, ["stdin"], stdin=b"x" * 3_000_000)
    assert ran.lines == ["stdin -> ok 3000000"]


@pytest.mark.usefixtures("guest")
def test_nothing_is_left_for_the_next_run(tmp_path: Path, runner: Runner) -> None:
    """Input that one run did not read is not there for the next, in the same worker."""
    stdio = {"stdin": "inherit", "stdout": "capture"}
    run(tmp_path, runner, stdio, ["exit", "0"], stdin=b"left over")
    assert run(tmp_path, runner, stdio, ["stdin"]).lines == ["stdin -> ok 0"]
    assert run(tmp_path, runner, {"stdin": "closed", "stdout": "capture"}, ["stdin"]).lines == ["stdin -> ok 0"]
    assert run(tmp_path, runner, stdio, ["stdin"], stdin=b"new").lines == ["stdin -> ok 3"]


@pytest.mark.usefixtures("guest")
def test_files(tmp_path: Path, runner: Runner) -> None:
    """Files are made with mode 0600, emptied where they exist (which keeps their mode), and read from their start."""
    (tmp_path / "in").write_bytes(b"input")
    (tmp_path / "err").write_bytes(b"old and longer than what comes")
    (tmp_path / "err").chmod(0o640)
    names = {"stdin": {"file": "in"}, "stdout": {"file": "out"}, "stderr": {"file": "err"}}
    mask = os.umask(0o002)
    try:
        ran = run(tmp_path, runner, names, ["stdin"], ["stderr", "new"])
    finally:
        os.umask(mask)
    assert events(ran) == []
    assert (tmp_path / "out").read_bytes() == b"stdin -> ok 5\nstderr new -> ok written=3\n"
    assert (tmp_path / "err").read_bytes() == b"new"
    assert [stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("out", "err")] == [0o600, 0o640]


def refused(folder: Path, runner: Runner, stdio: dict[str, Any], **more: Any) -> list[str]:
    """The objections to a policy with ``stdio``: route below the component's grants, and message."""
    path = write_policy(folder, policy_data(more.get("filesystem", ()), stdio=stdio))
    with pytest.raises(PlanError) as caught:
        runner.run(path)
    return [f"{o.route.removeprefix('components.guest.grants.')}: {o.message}" for o in caught.value.objections]


def test_files_that_are_refused(tmp_path: Path, runner: Runner) -> None:
    """Links, what is no regular file, and places where nothing is are refused before the run, and not touched."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "link").symlink_to(target)
    os.mkfifo(tmp_path / "fifo")
    base = str(tmp_path)
    for stream in ("stdin", "stdout", "stderr"):
        assert refused(tmp_path, runner, {stream: {"file": "link"}}) == [
            f"stdio.{stream}: {base}/link is a symbolic link; name its target"
        ]
        assert refused(tmp_path, runner, {stream: {"file": "fifo"}}) == [
            f"stdio.{stream}: {base}/fifo is no regular file"
        ]
        assert refused(tmp_path, runner, {stream: {"file": "missing/file"}}) == [
            f"stdio.{stream}: {base}/missing/file cannot be opened: no directory holds it"
        ]
    assert refused(tmp_path, runner, {"stdin": {"file": "missing"}}) == [f"stdio.stdin: {base}/missing does not exist"]
    assert target.read_bytes() == b"precious"


def test_one_file_for_two_streams(tmp_path: Path, runner: Runner) -> None:
    """No file serves two streams, by whatever name: one would empty what the other reads, or write over it."""
    (tmp_path / "a").write_bytes(b"data")
    os.link(tmp_path / "a", tmp_path / "b")
    base = str(tmp_path)
    same = refused(tmp_path, runner, {"stdout": {"file": "new"}, "stderr": {"file": "./new"}})
    assert same == [f"stdio.stderr: {base}/new is what stdout uses already; one would overwrite the other"]
    linked = refused(tmp_path, runner, {"stdin": {"file": "a"}, "stdout": {"file": "b"}})
    assert linked == [f"stdio.stdout: {base}/b is what stdin uses already; one would overwrite the other"]
    assert (tmp_path / "a").read_bytes() == b"data"


def test_file_within_reach_of_the_guest(tmp_path: Path, runner: Runner) -> None:
    """A stream's file may not lie where the guest itself can write."""
    (tmp_path / "out").mkdir()
    filesystem = [{"host": "out", "guest": "/out", "access": "write"}]
    why = "lies in a directory that the guest may write (/out), so the guest could change it"
    found = refused(tmp_path, runner, {"stdout": {"file": "out/log"}}, filesystem=filesystem)
    assert found == [f"stdio.stdout: {tmp_path}/out/log {why}"]


# The command line hands on its own streams.


def sandbox(policy: Path, *arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    line = [sys.executable, "-m", "sandbox", "run", "--quiet", str(policy), "--", *arguments]
    return subprocess.run(line, cwd=ROOT, check=False, timeout=30, **more)


@pytest.fixture
def inherit(tmp_path: Path) -> Path:
    return write_policy(tmp_path, policy_data(stdio={"stdin": "inherit", "stdout": "inherit", "stderr": "inherit"}))


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("source", ["pipe", "file", "nothing"])
def test_inherited_input(tmp_path: Path, inherit: Path, source: str) -> None:
    """The guest reads the command's own standard input, be it a pipe, a file or ``/dev/null``."""
    (tmp_path / "input").write_bytes(b"123")
    with open(tmp_path / "input", "rb") as file:
        choices: dict[str, dict[str, Any]] = {
            "pipe": {"input": b"123456"},
            "file": {"stdin": file},
            "nothing": {"stdin": subprocess.DEVNULL},
        }
        done = sandbox(inherit, "stdin", stdout=subprocess.PIPE, stderr=subprocess.PIPE, **choices[source])
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"stdin -> ok %d\n" % {"pipe": 6, "file": 3, "nothing": 0}[source]


@pytest.mark.usefixtures("guest")
def test_inherited_output(tmp_path: Path, inherit: Path) -> None:
    """The guest's output goes to the command's own streams: pipes, and files that are appended to where they stand."""
    done = sandbox(inherit, "stdout", "out", "--", "stderr", "err", input=b"", capture_output=True)
    assert (done.stdout, done.stderr) == (b"outstdout out -> ok written=3\nstderr err -> ok written=3\n", b"err")
    (tmp_path / "log").write_bytes(b"before\n")
    with open(tmp_path / "log", "ab") as log:
        sandbox(inherit, "stdout", "x", stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    assert (tmp_path / "log").read_bytes() == b"before\nxstdout x -> ok written=1\n"


@pytest.mark.usefixtures("guest")
def test_reader_that_goes_away(inherit: Path) -> None:
    """A reader that takes no more ends the output, not the guest."""
    read, write = os.pipe()
    os.close(read)
    done = sandbox(inherit, "flood", "3000000", "--", "exit", "0", stdin=subprocess.DEVNULL, stdout=write)
    os.close(write)
    assert done.returncode == 0


@pytest.mark.usefixtures("guest")
@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_closed_descriptors(tmp_path: Path, inherit: Path, descriptor: int) -> None:
    """A stream that is closed reads and writes nothing; above all not what was opened under its number since."""
    from sandbox.audit.read import lines_of, read_trail

    audit = tmp_path / "trail.jsonl"
    line = [sys.executable, "-m", "sandbox", "run", "--audit", str(audit), str(inherit), "--"]
    line += ["stdin", "--", "stdout", "forged", "--", "stderr", "forged"]
    done = subprocess.run(
        line,
        cwd=ROOT,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        preexec_fn=lambda: os.close(descriptor),
    )
    assert done.returncode == 0
    with open(audit, "rb") as file:
        assert [(e.name, e.exit_status) for e in read_trail(lines_of(file))] == [("ended", 0)]
    assert done.stderr == (b"" if descriptor == 2 else b"forged")
    said = b"stdin -> ok 0\nforgedstdout forged -> ok written=6\nstderr forged -> ok written=6\n"
    assert done.stdout == (b"" if descriptor == 1 else said)
