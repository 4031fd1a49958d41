"""The package from Python: one run, many runs, many threads; what is kept between runs, and what never is."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sandbox
from sandbox import ComponentError, Outcome, PlanError, Policy, PolicyError, Sandbox, UsageError, run
from sandbox.audit.read import lines_of, read_trail
from sandbox.runtime.process import WorkerProcess
from tests.e2e.harness import PROBE, directory, policy_data, write_policy

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of the probe with standard grants, and ``/d`` to write."""
    (tmp_path / "d").mkdir()
    stdio = {"stdin": "inherit", "stdout": "capture", "stderr": "capture"}
    with Sandbox(write_policy(tmp_path, policy_data([directory(tmp_path / "d", "/d", "write")], stdio=stdio))) as box:
        yield box


def pids(box: Sandbox) -> list[int]:
    return [worker.pid for worker in box._workers.idle]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> set[str]:
    """Processes below this one, zombies included."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found.update((task / "children").read_text(encoding="ascii").split())
    return found


def test_one_run(tmp_path: Path) -> None:
    """``run`` takes a path or a policy and gives an outcome; nothing of it is left behind."""
    path = write_policy(tmp_path, policy_data())
    before = (descriptors(), children())
    for policy in (path, str(path), Policy.load(path)):
        outcome = sandbox.run(policy, arguments=["stdout", "hello"])
        assert (outcome.how, outcome.exit_status, outcome.stdout) == (
            "exited",
            0,
            b"hellostdout hello -> ok written=5\n",
        )
    assert (descriptors(), children()) == before


def test_outcome_is_frozen(box: Sandbox) -> None:
    """An outcome, its use of resources and its events are values that nobody changes."""
    outcome = box.run(arguments=["open-read", "/etc/passwd"])
    for value, field in ((outcome, "exit_status"), (outcome.usage, "output"), (outcome.events[0], "reason")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, field, 0)
    assert isinstance(outcome.events, tuple)
    assert outcome.denied
    assert not box.run(arguments=["stdout", "x"]).denied


def test_usage(box: Sandbox) -> None:
    """What a run used is told in seconds and bytes."""
    usage = box.run(arguments=["sleep", "30", "--", "stdout", "12345"]).usage
    assert 0.03 <= usage.seconds < 5
    assert usage.processor_seconds is not None
    assert 0 <= usage.processor_seconds < 0.5
    assert usage.memory is not None
    assert 64 * 1024 < usage.memory < 16 << 20
    assert usage.output == len("sleep 30 -> ok\n12345stdout 12345 -> ok written=5\n")
    assert usage.fuel is None


def test_a_worker_is_kept(box: Sandbox) -> None:
    """Runs one after the other share a worker; a trap, a refusal and an exit status leave it as good as before."""
    box.run(arguments=["stdout", "x"])
    (first,) = pids(box)
    for arguments in (["abort"], ["open-read", "/x"], ["exit", "1"], ["flood", "10"]):
        box.run(arguments=arguments)
        assert pids(box) == [first]


def test_a_killed_worker_is_replaced(box: Sandbox) -> None:
    """An idle worker that somebody killed costs the next run nothing but time."""
    box.run(arguments=["stdout", "x"])
    (first,) = pids(box)
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    outcome = box.run(arguments=["stdout", "x"])
    assert (outcome.how, outcome.exit_status) == ("exited", 0)
    (second,) = pids(box)
    assert second != first
    assert str(first) not in children()


def test_runs_are_apart(tmp_path: Path, box: Sandbox) -> None:
    """Nothing of one run is seen by the next in the same worker: memory, handles, input, arguments."""
    (tmp_path / "d" / "f").write_text("content")
    first = box.run(arguments=["hold", "a", "/d/f", "read", "--", "grow", "50", "--", "stdin"], stdin=b"first")
    assert first.stdout == b"hold a /d/f read -> ok\ngrow 50 -> ok mebibytes=50\nstdin -> ok 5\n"
    second = box.run(arguments=["release", "a", "--", "args", "--", "stdin"])
    assert (second.stdout or b"").splitlines() == [
        b"release a -> errno EBADF",
        b'args -> ok 7 "guest" "release" "a" "--" "args" "--" "stdin"',
        b"stdin -> ok 0",
    ]
    assert len(pids(box)) == 1


def test_limits_are_each_runs_own(tmp_path: Path) -> None:
    """What a run used up of its bounds is whole again in the next."""
    with Sandbox(write_policy(tmp_path, policy_data(limits={"memory": "64MiB"}))) as box:
        outcomes = [box.run(arguments=["grow", "200"]) for _ in range(4)]
        assert len(pids(box)) == 1
    assert [outcome.stdout for outcome in outcomes] == [b"grow 200 -> errno ENOMEM mebibytes=63\n"] * 4


def test_threads(box: Sandbox) -> None:
    """Eight threads run twenty times each; every outcome is its own run's, and workers are no more than threads."""
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(20):
            word = f"{number}-{turn}"
            outcome = box.run(arguments=["stdout", word, "--", "open-read", f"/none/{word}"], stdin=word.encode())
            said = f"{word}stdout {word} -> ok written={len(word)}\nopen-read /none/{word} -> errno EACCES\n"
            asked = [e.resource for e in outcome.events if e.name == "denied"]
            if (outcome.stdout, asked) != (said.encode(), [f"/none/{word}"]):
                wrong.append(outcome)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 <= len(pids(box)) <= 8


def test_nothing_leaks(box: Sandbox) -> None:
    """Neither descriptors nor processes add up, here or in the worker, over runs that end in every way."""

    def once() -> None:
        box.run(arguments=["stdout", "x", "--", "open-read", "/none", "--", "read", "/d/none"])
        box.run(arguments=["abort"])
        box.run(arguments=["exit", "1"], stdin=b"unread" * 1000)

    for _ in range(3):
        once()
    (worker,) = pids(box)

    def held() -> tuple[object, int, object]:
        return descriptors(), len(os.listdir(f"/proc/{worker}/fd")), children()

    # A thread of Wasmtime's may still be about to close the last file that it read ahead.
    samples = []
    for _ in range(20):
        samples.append(held())
        time.sleep(0.01)
    before = min(samples, key=lambda sample: sample[1])
    for _ in range(20):
        once()
    assert pids(box) == [worker]
    until = time.monotonic() + 10
    while held() != before and time.monotonic() < until:
        time.sleep(0.01)
    assert held() == before


def test_close(tmp_path: Path) -> None:
    """Closing ends the workers; later runs are refused; closing again does nothing."""
    box = Sandbox(write_policy(tmp_path, policy_data()))
    box.run(arguments=["stdout", "x"])
    (worker,) = pids(box)
    box.close()
    box.close()
    assert str(worker) not in children()
    with pytest.raises(UsageError, match=r"^the sandbox is closed$"):
        box.run(arguments=["stdout", "x"])


def test_close_during_a_run(tmp_path: Path) -> None:
    """A run that is going on when its sandbox is closed ends as it would have, and its worker with it."""
    box = Sandbox(write_policy(tmp_path, policy_data()))
    found: list[Outcome] = []
    thread = threading.Thread(target=lambda: found.append(box.run(arguments=["sleep", "400"])))
    before = children()
    thread.start()
    time.sleep(0.25)
    box.close()
    thread.join()
    assert [o.stdout for o in found] == [b"sleep 400 -> ok\n"]
    assert children() <= before


def test_forgotten(tmp_path: Path) -> None:
    """A sandbox that nobody holds any more takes its workers along."""
    before = (descriptors(), children())
    box = Sandbox(write_policy(tmp_path, policy_data()))
    box.run(arguments=["stdout", "x"])
    assert len(children() - before[1]) == 1
    del box
    gc.collect()
    assert (descriptors(), children()) == before


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_after_a_fork(box: Sandbox) -> None:
    """A forked process does not share its parent's workers; both go on."""
    box.run(arguments=["stdout", "x"])
    (mine,) = pids(box)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            none_yet = pids(box) == []
            outcome = box.run(arguments=["stdout", "child"])
            status = 0 if none_yet and outcome.stdout == b"childstdout child -> ok written=5\n" else 2
            box.close()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert box.run(arguments=["stdout", "x"]).how == "exited"
    assert pids(box) == [mine]


def test_calls(tmp_path: Path) -> None:
    """``call`` gives the result in WAVE; an error case is status 1; what does not fit says so."""
    with Sandbox(ROOT / "policies" / "calculator.yaml") as box:
        assert box.call("calculator", "operations.add", "2", "-3").value == "-1"
        failed = box.call(None, "operations.divide", "1", "0")
        assert (failed.how, failed.exit_status, failed.value) == ("exited", 1, 'err("division by zero")')
        wrong = box.call(None, "operations.add", "2", "two")
        assert (wrong.how, wrong.exit_status, wrong.value) == ("failed", 2, None)
        assert wrong.reason is not None
        assert wrong.reason.startswith("argument 2, ")
        with pytest.raises(UsageError) as caught:
            box.call(None, "operation.add", "2", "3")
        expected = "the component exports nothing called 'operation.add'; it exports cyber:math/operations"
        assert str(caught.value) == expected
        with pytest.raises(UsageError, match=r"is no command \(it does not export wasi:cli/run\)"):
            box.run()


def test_refusals(tmp_path: Path) -> None:
    """What is refused before a run is an exception of its own kind, and in the trail."""
    audit = tmp_path / "trail.jsonl"
    with pytest.raises(PolicyError):
        Sandbox(write_policy(tmp_path, {"version": 1, "components": {}}, "empty.yaml"))
    text = tmp_path / "text.wasm"
    text.write_text("no component")
    missing = policy_data([directory(tmp_path / "missing", "/m")])
    with Sandbox(write_policy(tmp_path, missing), audit=audit) as box, pytest.raises(PlanError):
        box.run()
    with Sandbox(write_policy(tmp_path, policy_data(source=text)), audit=audit) as box, pytest.raises(ComponentError):
        box.run()
    with open(audit, "rb") as file:
        events = list(read_trail(lines_of(file)))
    assert [(e.name, e.component, e.policy_line, e.exit_status) for e in events] == [
        ("refused", "guest", 1, None),
        ("ended", "guest", None, 120),
        ("refused", "guest", None, None),
        ("ended", "guest", None, 121),
    ]
    assert events[0].reason == (
        f"components.guest.grants.filesystem[0].host: no directory at {tmp_path}/missing; it must exist before the run"
    )


def test_trail_file_is_shared_by_runs(tmp_path: Path) -> None:
    """Every run's events are in the file, and those of each run are numbered on their own."""
    audit = tmp_path / "trail.jsonl"
    with Sandbox(write_policy(tmp_path, policy_data()), audit=audit) as box:
        outcomes = [box.run(arguments=["open-read", f"/none/{n}"]) for n in range(3)]
    with open(audit, "rb") as file:
        assert list(read_trail(lines_of(file))) == [event for outcome in outcomes for event in outcome.events]
    assert len({outcome.run for outcome in outcomes}) == 3


def test_result_of_any_size(tmp_path: Path) -> None:
    """The answer of a call may be larger than any message."""
    import wasmtime

    guest = tmp_path / "large.wasm"
    guest.write_bytes(
        wasmtime.wat2wasm(
            """(component
  (core module $m (memory (export "memory") 8)
    (func (export "text") (result i32)
      (memory.fill (i32.const 64) (i32.const 120) (i32.const 400000))
      (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 400000)) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "text") (result string) (canon lift (core func $i "text") (memory (core memory $i "memory")))))"""
        )
    )
    with Sandbox(write_policy(tmp_path, policy_data(source=guest))) as box:
        assert box.call(None, "text").value == '"' + "x" * 400_000 + '"'


def fresh(code: str, **more: Any) -> str:
    """What ``code`` prints in an interpreter of its own."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60, **more
    )
    return done.stdout


HEAVY = {"wasmtime", "pydantic", "yaml", "structlog", "subprocess", "asyncio", "argparse", "socket", "dataclasses"}


def test_importing_costs_nothing() -> None:
    """``import sandbox`` loads none of what it rests on."""
    code = "import sys; before = set(sys.modules); import sandbox; print(*sorted(set(sys.modules) - before))"
    assert HEAVY.intersection(fresh(code).split()) == set()


def loaded_by_a_run(tmp_path: Path, cache: Path, *options: str) -> tuple[set[str], set[str]]:
    """The modules that ``sandbox run`` loads, second time: in the supervisor, and in the worker."""
    policy = write_policy(tmp_path, policy_data(stdio={"stdin": "discard", "stdout": "discard", "stderr": "discard"}))
    os.utime(policy)
    code = f"""
import json, os, sys
import sandbox.runtime.worker as worker, sandbox.cli.main as cli
out = {str(tmp_path / "modules")!r}
def note(name):
    with open(out + name, "w") as file:
        json.dump(sorted(sys.modules), file)
send = worker.Channel.send
def noting(self, *message):
    if message[0] == "ended":
        note(".worker")
    send(self, *message)
worker.Channel.send = noting
try:
    cli.main({["run", *options, str(policy), "--", "stdout", "x"]!r})
except SystemExit as end:
    assert end.code == 0, end.code
note(".supervisor")
"""
    for _ in range(2):
        fresh(code, env={**os.environ, "SANDBOX_CACHE": str(cache)})
    found = (json.loads((tmp_path / f"modules.{who}").read_text()) for who in ("supervisor", "worker"))
    supervisor, worker = ({m.partition(".")[0] for m in modules} for modules in found)
    return supervisor, worker


def test_a_repeated_run_loads_little(tmp_path: Path, cache: Path) -> None:
    """A policy that was found valid needs no parser; only a trail needs structlog; only the worker needs Wasmtime."""
    supervisor, worker = loaded_by_a_run(tmp_path, cache)
    heavy = {"pydantic", "yaml", "structlog", "wasmtime", "asyncio", "subprocess", "threading"}
    assert heavy & supervisor == set()
    assert heavy & worker == {"wasmtime"}
    supervisor, worker = loaded_by_a_run(tmp_path, cache, "--audit", str(tmp_path / "trail.jsonl"))
    assert {"pydantic", "yaml", "structlog", "wasmtime"} & supervisor == {"structlog"}


def test_damaged_cache(tmp_path: Path, cache: Path) -> None:
    """Files of the cache that were cut short, emptied or replaced are made anew; the run knows nothing of it."""
    own = tmp_path / "cache"
    own.mkdir(mode=0o700)
    environment = {**os.environ, "SANDBOX_CACHE": str(own)}
    policy = write_policy(tmp_path, policy_data(stdio={"stdout": "inherit"}))
    line = [sys.executable, "-m", "sandbox", "run", "--quiet", str(policy), "--", "stdout", "ok"]

    def run() -> tuple[int, bytes]:
        done = subprocess.run(line, cwd=ROOT, env=environment, check=False, capture_output=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    expected = (0, b"okstdout ok -> ok written=2\n")
    assert run() == expected
    whole = {path.name: path.read_bytes() for path in own.iterdir() if path.is_file()}
    assert sorted(name.rpartition(".")[2] for name in whole) == ["cwasm", "facts", "policy", "sites"]
    for name, data in whole.items():
        for damage in (b"", data[: len(data) // 2], b'{"size": 1}'):
            (own / name).write_bytes(damage)
            assert run() == expected, (name, damage[:20])
            assert (own / name).read_bytes() == data
    for name in whole:
        (own / name).unlink()
        assert run() == expected


def test_two_processes_compile_at_once(tmp_path: Path) -> None:
    """Runs that find nothing compiled may start together; each ends well, and one set of files is left."""
    own = tmp_path / "cache"
    environment = {**os.environ, "SANDBOX_CACHE": str(own)}
    policy = write_policy(tmp_path, policy_data(stdio={"stdout": "inherit"}))
    line = [sys.executable, "-m", "sandbox", "run", "--quiet", str(policy), "--", "stdout", "ok"]
    started = [subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE) for _ in range(4)]
    assert [process.communicate()[0] for process in started] == [b"okstdout ok -> ok written=2\n"] * 4
    assert [process.returncode for process in started] == [0] * 4
    kinds = sorted(path.suffix for path in own.iterdir())
    assert kinds == ["", ".cwasm", ".facts", ".policy", ".sites"]


def test_spawned_workers_are_isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has no environment of the caller's, no descriptor but its own, and no module from where it starts."""
    monkeypatch.setenv("SECRET", "hunter2")
    (tmp_path / "json.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    held = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(held, True)
    worker = WorkerProcess.spawn()
    try:
        until = time.monotonic() + 10
        maps = ""
        while "libwasmtime" not in maps and time.monotonic() < until:
            time.sleep(0.02)
            maps = Path(f"/proc/{worker.pid}/maps").read_text(encoding="utf-8")
        assert "libwasmtime" in maps
        assert b"SECRET" not in Path(f"/proc/{worker.pid}/environ").read_bytes()
        own = {f"/proc/{worker.pid}/task", f"/proc/{worker.pid}/statm"}
        expected = {"/dev/null", "pipe", "socket", "anon_inode", *own}
        found: set[str] = set()
        while found != expected and time.monotonic() < until:  # what it loads is opened for a moment
            names = (os.readlink(f"/proc/{worker.pid}/fd/{n}") for n in os.listdir(f"/proc/{worker.pid}/fd"))
            try:
                found = {name.partition(":")[0] for name in names}
            except FileNotFoundError:
                continue
        assert found == expected
    finally:
        os.close(held)
        worker.kill()
        worker.close()


def test_another_file_for_a_component(tmp_path: Path) -> None:
    """``source`` runs another file under a component's policy, where its digest is not pinned to another."""
    other = tmp_path / "other.wasm"
    shutil.copy(PROBE, other)
    policy = write_policy(tmp_path, policy_data(source=tmp_path / "missing.wasm"))
    outcome = run(policy, "guest", source=other, arguments=["stdout", "x"])
    assert (outcome.how, outcome.stdout) == ("exited", b"xstdout x -> ok written=1\n")
    data = policy_data(source=PROBE)
    data["components"]["guest"]["digest"] = f"sha256:{'0' * 64}"
    with pytest.raises(PlanError, match="the component is another one"):
        run(write_policy(tmp_path, data), source=other)


def test_corrupted_compiled_component(tmp_path: Path) -> None:
    """A compiled component whose bytes went bad may end one run; it is made again for the next."""
    own = tmp_path / "cache"
    own.mkdir(mode=0o700)
    policy = write_policy(tmp_path, policy_data())
    with Sandbox(policy, cache=own) as box:
        assert box.run(arguments=["stdout", "x"]).how == "exited"
    (compiled,) = own.glob("*.cwasm")
    data = bytearray(compiled.read_bytes())
    middle = slice(len(data) // 4, len(data) * 3 // 4)
    data[middle] = bytes(b ^ 0x5A for b in data[middle])
    compiled.write_bytes(data)
    with Sandbox(policy, cache=own) as box:
        assert box.run(arguments=["stdout", "x"]).how in ("exited", "failed", "trapped", "refused")
    with Sandbox(policy, cache=own) as box:
        assert box.run(arguments=["stdout", "x"]).how == "exited"


def test_arguments_of_another_kind(box: Sandbox) -> None:
    """A string is no list of arguments, and what is called with is text."""
    with pytest.raises(UsageError, match=r"^arguments are a list of strings$"):
        box.run(arguments="--in")
    with pytest.raises(UsageError, match=r"^arguments are text in WAVE"):
        box.call("guest", "run.run", 1)  # type: ignore[arg-type]
