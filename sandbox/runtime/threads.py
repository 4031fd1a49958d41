"""The threads beside a worker's own: which of them may still do what a guest that is over asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

POOL = b"tokio-"
"""How the names of the threads of Wasmtime's pool begin. They have them before they do anything."""
PATIENCE = 0.5
"""Seconds that a run which is over waits for them."""
TASKS = "/proc/self/task"


class Threads:
    """This process's threads, by their numbers.

    A guest has something done by two kinds: the one that reads standard input, which Wasmtime starts, without a name
    of its own, when a guest first reads it; and those of its pool, which do what is asked of files. All others are
    known to be none of these, since they were started while no guest ran.
    """

    def __init__(self, main: int) -> None:
        """``main``: the number of the thread that guests run in."""
        self.main = str(main)
        self.idle: set[str] = {self.main}
        """Those that never do anything for a guest."""
        self.pool: set[str] = set()

    def ready(self) -> None:
        """Take note of the threads there are, before any guest runs."""
        for task in set(os.listdir(TASKS)) - self.idle:
            (self.pool if _in_pool(task) else self.idle).add(task)

    @contextmanager
    def no_guest_runs(self) -> Iterator[None]:
        """The threads that are started within do nothing for a guest."""
        before = set(os.listdir(TASKS))
        try:
            yield
        finally:
            self.idle |= set(os.listdir(TASKS)) - before

    def rest(self, *, pool: bool) -> None:
        """Wait until those that may have something to do for a guest sleep; ``pool``: with those of the pool.

        The reader of standard input may still have a read to make that the guest asked for, and whether it was made is
        what tells that the guest did.
        """
        patience = time.monotonic() + PATIENCE
        while any(_busy(task) for task in self.watched(pool)) and time.monotonic() < patience:
            time.sleep(0.0002)

    def watched(self, pool: bool) -> set[str]:
        found = set(os.listdir(TASKS))
        self.idle &= found  # a number may be another thread's one day
        self.pool &= found
        unknown = found - self.idle - self.pool
        # A thread without a name has the process's, which is then not to be taken for one of the pool's.
        if unknown and not _in_pool(self.main):
            named = {task for task in unknown if _in_pool(task)}
            self.pool |= named
            unknown -= named
        return unknown | self.pool if pool else unknown


def _in_pool(task: str) -> bool:
    try:
        with open(f"{TASKS}/{task}/comm", "rb") as file:
            return file.read(64).startswith(POOL)
    except OSError:
        return False  # it has ended


def _busy(task: str) -> bool:
    try:
        with open(f"{TASKS}/{task}/stat", "rb") as file:
            return file.read(1024).rpartition(b")")[2][1:2] != b"S"
    except OSError:
        return False
