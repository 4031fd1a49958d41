"""Jobs and answers on the worker's channel: what belongs to which run, and what becomes of descriptors."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sandbox.runtime.channel import Channel
from sandbox.runtime.process import WorkerProcess, written


@pytest.fixture
def ends() -> Iterator[tuple[WorkerProcess, Channel]]:
    """The supervisor's end, as of a worker that is this process itself, and the worker's."""
    mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker = WorkerProcess(os.getpid(), mine, -1)
    yield worker, Channel(theirs)
    mine.close()
    theirs.close()


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def answer(number: int, **result: object) -> bytes:
    return json.dumps(["net", number, result]).encode()


def test_an_answer_with_a_descriptor(ends: tuple[WorkerProcess, Channel]) -> None:
    """It arrives whole, its descriptor a new one for the same file that no program started later inherits."""
    worker, channel = ends
    read, write = os.pipe()
    addresses = [f"2001:db8:{n:x}::ffff:ffff:ffff" for n in range(64)]
    assert worker.answer(answer(7, state="done", addresses=addresses), [read])
    assert worker.answer(answer(8, state="failed", error="timeout"), [])
    found = channel.reply(wait=True)
    assert found is not None
    number, result, descriptor = found
    assert (number, result) == (7, {"state": "done", "addresses": addresses})
    assert descriptor is not None
    assert os.fstat(descriptor) == os.fstat(read)
    assert not os.get_inheritable(descriptor)
    assert channel.reply(wait=False) == (8, {"state": "failed", "error": "timeout"}, None)
    assert channel.reply(wait=False) is None
    for each in (read, write, descriptor):
        os.close(each)


def test_answers_of_the_run_before(ends: tuple[WorkerProcess, Channel]) -> None:
    """What a run did not wait for is thrown away when the next job comes, descriptors and all; the job is whole."""
    worker, channel = ends
    before = descriptors()
    read, write = os.pipe()
    for number in range(3):
        assert worker.answer(answer(number, state="done"), [read] if number else [])
    job = {"key": "k", "network": None}
    worker.send(job, [write])
    os.close(read)
    received = channel.receive()
    assert received is not None
    assert received[0] == job
    assert os.fstat(received[1][0]) == os.fstat(write)
    assert channel.reply(wait=False) is None
    for each in (write, *received[1]):
        os.close(each)
    assert descriptors() == before


def test_a_worker_that_does_not_listen(ends: tuple[WorkerProcess, Channel]) -> None:
    """An answer never waits for room: there is none, and what was sent so far is in order."""
    worker, channel = ends
    sent = 0
    while worker.answer(answer(sent, state="done", addresses=["192.0.2.1"] * 64), []):
        sent += 1
    assert sent > 8
    got = []
    while (found := channel.reply(wait=False)) is not None:
        got.append(found[0])
    assert got == list(range(sent))


def test_a_worker_that_is_dead(ends: tuple[WorkerProcess, Channel]) -> None:
    """An answer to nobody is no error: that it is dead is found out by listening."""
    worker, channel = ends
    channel.end.close()
    assert worker.answer(answer(1, state="done"), [])
    assert worker.receive() is None


@pytest.mark.parametrize("wait", [True, False])
def test_a_supervisor_that_hung_up(wait: bool) -> None:
    """A worker that asks and has nobody left to answer ends at once; one that has no job yet ends in order."""
    program = f"""
import socket
from sandbox.runtime.channel import Channel
mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
mine.close()
channel = Channel(theirs)
assert channel.receive() is None
channel.reply(wait={wait})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (70, b"", b"")


def test_a_job_whose_descriptors_were_lost(ends: tuple[WorkerProcess, Channel]) -> None:
    """A job without its description is none: the worker ends rather than wait for another."""
    worker, channel = ends
    worker.end.send(b"job")
    assert channel.receive() is None


@pytest.mark.parametrize("size", [0, 20_000, 200_000])
def test_jobs_of_every_size(ends: tuple[WorkerProcess, Channel], size: int) -> None:
    """A job arrives as it was sent, with its descriptors; the same again is the same, and another is another."""
    worker, channel = ends
    before = descriptors()
    first, other = {"key": "k" * size, "seed": 1}, {"key": "k" * size, "seed": 2}
    for job in (first, first, other, written(first)):
        worker.send(job, [worker.end.fileno(), channel.fileno()])
        received = channel.receive()
        assert received is not None
        assert received[0] == (first if isinstance(job, bytes) else job)
        given = [os.fstat(d) for d in received[1]]
        assert given == [os.fstat(worker.end.fileno()), os.fstat(channel.fileno())]
        for each in received[1]:
            os.close(each)
    assert descriptors() == before
