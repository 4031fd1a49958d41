"""What the supervisor makes of a worker that is no longer itself."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.audit.events import Event
from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache
from sandbox.runtime.outcome import Outcome
from sandbox.runtime.process import WorkerProcess
from sandbox.runtime.session import execute, plan_of
from sandbox.runtime.supervisor import ANSWERS, PASSING_FILES
from tests.e2e.harness import GUESTS, policy_data, write_policy


class Nonsense:
    """A worker that answers a job with what no worker says, or with what breaks off."""

    def __init__(self, real: Any, message: list[Any]) -> None:
        self.real, self.message = real, message

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def receive(self) -> list[Any] | None:
        found = self.real.receive()
        return None if found is None else self.message


@pytest.mark.parametrize(
    "message",
    [
        ["denied"],
        ["denied", 0.0, ["i", "f", "filesystem.read", False, 0], 999, 0, "", ""],
        ["denied", 0.0, ["i", "f", "filesystem.read", False, 0], 0, 77, "", ""],
        ["pair", 0.0, ["i", "f", "filesystem.write", False], 0, 0, "", "\udfff"],
        ["refused", 0.0, ["i", "f", "no.such", False], "", ""],
        ["ended", {}],
        ["ended", {"how": "x", "processor": 0.0, "memory": 0, "fuel": None}],
        ["ended", {"how": "exited", "status": "1", "processor": 0.0, "memory": 0, "fuel": None}],
        ["ended", {"how": "exited", "status": 256, "processor": 0.0, "memory": 0, "fuel": None}],
        ["ended", {"how": "exited", "processor": 0.0, "memory": 0, "fuel": None}],
        ["ended", {"how": "limit", "bound": "sockets", "processor": 0.0, "memory": 0, "fuel": None}],
        ["ended", {"how": "exited", "status": 1, "processor": None, "memory": 0, "fuel": None}],
        [],
        ["bound"],
        ["bound", 0.0, ["i", "f", "sockets", False], "no-such-limit", None],
        ["net", 0.0, ["i", "f", "sockets.tcp.connect", True], 1, "connect", {}],
        ["unfit"],
        ["unfit", "no instance", 0, None],
        ["unfit", "no wire", 0, "a:b/c"],
    ],
)
def test_a_worker_that_talks_nonsense(tmp_path: Path, message: list[Any]) -> None:
    """The run fails with a sentence and a whole trail; the supervisor goes on."""
    own = tmp_path / "cache"
    cache = Cache(own)
    policy = Policy.load(write_policy(tmp_path, policy_data()))
    real = WorkerProcess.spawn()
    try:
        worker: Any = Nonsense(real, message)
        outcome, reusable = execute(plan_of(policy, policy.components[0], cache), worker, cache, stdin=b"")
    finally:
        real.kill()
        real.close()
    assert (outcome.how, outcome.exit_status, reusable) == ("failed", 125, False)
    assert (outcome.reason or "").startswith("the worker said what no worker says (")
    assert [e.name for e in outcome.events][-1] == "ended"


@pytest.mark.parametrize("packet", [b"[", b"[" * 100_000, b"\xff", b'"denied"', b"{}", b"nul"])
def test_a_worker_that_sends_garbage(tmp_path: Path, packet: bytes) -> None:
    """So it does where the worker's packet is no message at all."""
    cache = Cache(tmp_path / "cache")
    policy = Policy.load(write_policy(tmp_path, policy_data()))
    real = WorkerProcess.spawn()
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker: Any = Garbled(real, theirs)
    try:
        mine.send(packet)
        mine.close()
        outcome, reusable = execute(plan_of(policy, policy.components[0], cache), worker, cache, stdin=b"")
    finally:
        real.kill()
        real.close()
        theirs.close()
    assert (outcome.how, outcome.exit_status, reusable) == ("failed", 125, False)
    assert outcome.reason == "the worker said what no worker says (ValueError)"
    assert [e.name for e in outcome.events] == ["ended"]


class Garbled(WorkerProcess):
    """A worker that is given jobs, and heard over another socket."""

    def __init__(self, real: WorkerProcess, heard: socket.socket) -> None:
        super().__init__(real.pid, heard, real.diagnostics)
        self.real = real

    def send(self, job: dict[str, Any] | bytes, descriptors: list[int]) -> None:
        self.real.send(job, descriptors)


def test_what_a_dead_worker_said_is_heard() -> None:
    """Also where it died with an answer unread, which the kernel tells before anything else."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        for number in range(3):
            theirs.send(f'["denied",{number}]'.encode())
        time.sleep(60)
        os._exit(0)
    theirs.close()
    worker = WorkerProcess(pid, mine, os.open(os.devnull, os.O_RDONLY))
    assert worker.answer(b"[]", [])
    poll = select.poll()
    poll.register(mine, select.POLLIN)
    assert poll.poll(10_000)
    time.sleep(0.1)  # all three are said in far less
    worker.kill()
    assert [worker.receive() for _ in range(4)] == [["denied", 0], ["denied", 1], ["denied", 2], None]
    worker.close()


SITE = ["wasi:sockets/udp@0.2.0", "f", "sockets.udp.send", True, 0]
BIND = {"object": 1, "protocol": "udp", "family": 4, "address": "127.0.0.1", "port": 0, "options": {}}
ELSEWHERE = {"object": 1, "address": "192.0.2.1", "port": 9}


class Scripted:
    """A worker whose messages are made up; ``last`` are those that are still in its socket when it is dead.

    The real one runs to its end, and the message that says so is never read: there is always one to receive.
    """

    def __init__(self, real: WorkerProcess, next_message: Callable[[int], list[Any]], last: list[list[Any]]) -> None:
        self.real, self.next_message, self.last = real, next_message, last
        self.listens = True
        self.answers: list[bytes] = []
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def answer(self, data: bytes, descriptors: list[int]) -> bool:
        for descriptor in descriptors:
            os.fstat(descriptor)
        if self.listens:
            self.answers.append(data)
        return self.listens

    def receive(self) -> list[Any] | None:
        if self.real.status is not None:
            return self.last.pop(0) if self.last else None
        self.count += 1
        return self.next_message(self.count)


def net(number: int, op: str, args: dict[str, Any]) -> list[Any]:
    return ["net", time.time(), SITE, number, op, args]


def run_scripted(
    tmp_path: Path,
    next_message: Callable[[int], list[Any]],
    last: list[list[Any]] | None = None,
    *,
    listens: bool = True,
    **limits: object,
) -> tuple[Outcome, Scripted]:
    sockets = {"udp": {"bind": ["127.0.0.1:0"], "send": ["127.0.0.1:9"]}, "audit": "all"}
    cache = Cache(tmp_path / "cache")
    data = policy_data(source=GUESTS / "sockets.wasm", arguments=["many-sockets", "1"], sockets=sockets, limits=limits)
    policy = Policy.load(write_policy(tmp_path, data))
    real = WorkerProcess.spawn()
    worker: Any = Scripted(real, next_message, last or [])
    worker.listens = listens
    try:
        outcome, reusable = execute(plan_of(policy, policy.components[0], cache), worker, cache, stdin=b"")
    finally:
        real.kill()
        real.close()
    assert not reusable
    return outcome, worker


def told(events: tuple[Event, ...]) -> list[tuple[str, str, str | None, int | None, int | None]]:
    return [(e.name, e.capability, e.resource, e.sent, e.received) for e in events]


@pytest.mark.parametrize(
    "message",
    [
        ["net"],
        ["net", 0.0, SITE, 1, "send"],
        ["net", "now", SITE, 1, "send", ELSEWHERE],
        ["net", 0.0, ["i", "f"], 1, "send", ELSEWHERE],
        net(1, "no-such", ELSEWHERE),
        net(1, "send", {**ELSEWHERE, "object": 0}),
        net(1, "send", {**ELSEWHERE, "address": "not one"}),
        net(1, "bind", {**BIND, "options": {"no-such": 1}}),
        net(1, "listen", {"object": 5, "backlog": 1}),
    ],
)
def test_a_worker_that_asks_for_nonsense(tmp_path: Path, message: list[Any]) -> None:
    """The run fails with a sentence and a whole trail, and its worker is dead."""
    outcome, worker = run_scripted(tmp_path, lambda _: message)
    assert (outcome.how, outcome.exit_status) == ("failed", 125)
    assert (outcome.reason or "").startswith("the worker said what no worker says (")
    assert worker.status is not None
    assert [e.name for e in outcome.events] == ["ended"]


def test_a_fault_of_the_worker(tmp_path: Path) -> None:
    """An error in the worker that no one expected ends the run, and is named."""
    outcome, worker = run_scripted(tmp_path, lambda _: ["fault", "send: KeyError: 1"])
    expected = "the worker failed in what the guard asked of it (send: KeyError: 1)"
    assert (outcome.how, outcome.exit_status, outcome.reason) == ("failed", 125, expected)
    assert worker.status is not None


def test_a_worker_that_takes_no_answers(tmp_path: Path) -> None:
    """Answers wait for it within a bound; then the run fails, and no descriptor that waited is left open."""
    run_scripted(tmp_path, lambda _: ["fault", ""])  # whatever is opened once and kept
    before = set(os.listdir("/proc/self/fd"))
    outcome, worker = run_scripted(
        tmp_path, lambda n: net(n, "bind", BIND) if n == 1 else net(n, "send", ELSEWHERE), listens=False
    )
    expected = "the worker does not take the answers to what it asks"
    assert (outcome.how, outcome.reason) == ("failed", expected)
    assert (worker.count, worker.answers) == (ANSWERS + 1, [])
    assert set(os.listdir("/proc/self/fd")) == before


def test_a_worker_that_takes_no_descriptors(tmp_path: Path) -> None:
    """Nor do more descriptors wait than a guest may have sockets: this process may have other runs to care for."""
    run_scripted(tmp_path, lambda _: ["fault", ""])  # whatever is opened once and kept
    before = set(os.listdir("/proc/self/fd"))
    most = 0

    def next_message(number: int) -> list[Any]:
        nonlocal most
        most = max(most, len(os.listdir("/proc/self/fd")) - len(before))
        object_ = (number + 1) // 2
        if number % 2:
            return net(number, "bind", {**BIND, "object": object_})
        return net(number, "closed", {"object": object_, "sent": 0, "received": 0})

    outcome, _ = run_scripted(tmp_path, next_message, listens=False, sockets=4)
    assert (outcome.how, outcome.reason) == ("failed", "the worker does not take the answers to what it asks")
    assert 4 + PASSING_FILES < most < 4 + PASSING_FILES + 16
    assert set(os.listdir("/proc/self/fd")) == before


def test_answers_that_waited(tmp_path: Path) -> None:
    """They go out in order once there is room."""
    script: list[Scripted] = []

    def next_message(number: int) -> list[Any]:
        if number == 4:
            script[0].listens = True
        return net(number, "send", ELSEWHERE) if number < 4 else ["compiled"] if number < 8 else ["fault", "over"]

    real = Scripted.__init__

    def remember(self: Scripted, *args: Any) -> None:
        real(self, *args)
        script.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scripted, "__init__", remember)
        outcome, worker = run_scripted(tmp_path, next_message, listens=False)
    assert outcome.reason == "the worker failed in what the guard asked of it (over)"
    refused = '{"state":"refused","error":"access-denied"}'
    assert worker.answers == [f'["net",{n},{refused}]'.encode() for n in (1, 2, 3)]


def test_a_flood_of_requests(tmp_path: Path) -> None:
    """A worker that asks without end keeps neither the deadline waiting nor the guest's output."""
    outcome, worker = run_scripted(tmp_path, lambda n: net(n, "send", ELSEWHERE), deadline="2s")
    assert outcome.how == "deadline"
    assert (outcome.stdout or b"").startswith(b"many-sockets ok open=1")
    assert 2 <= outcome.usage.seconds < 4
    assert len(worker.answers) == worker.count > 100


def test_what_is_still_heard_of_a_dead_worker(tmp_path: Path) -> None:
    """What it closed is told with its bytes; what it asked for is not served any more, and what it had is closed."""
    last = [
        net(3, "closed", {"object": 1, "sent": 5, "received": 6}),
        net(4, "send", ELSEWHERE),
        net(5, "bind", {**BIND, "object": 3}),
        ["bound", time.time(), SITE, "sent", "127.0.0.1:9"],
    ]
    messages = {1: net(1, "bind", BIND), 2: net(2, "bind", {**BIND, "object": 2})}
    outcome, _ = run_scripted(tmp_path, lambda n: messages.get(n, ["fault", "over"]), last)
    assert told(outcome.events) == [
        ("allowed", "sockets.udp.bind", "127.0.0.1:0", 5, 6),
        ("limit", "limits.sent", "127.0.0.1:9", None, None),
        ("allowed", "sockets.udp.bind", "127.0.0.1:0", None, None),
        ("ended", "run", None, None, None),
    ]
    assert outcome.bounds == ("limits.sent",)
