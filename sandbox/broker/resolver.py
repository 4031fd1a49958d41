"""Names looked up beside everything else: in a few threads, whose answers wake a poll."""

from __future__ import annotations

import os
from collections.abc import Callable
from threading import BoundedSemaphore, Lock, Thread

from sandbox.broker.names import Found, ResolverError

AT_ONCE = 4
"""Lookups that are with the host's resolver at once; a thread that it keeps counts until it comes back."""
IN_ALL = BoundedSemaphore(64)
"""The same for all runs of this process together, those that are over included: their threads may still be kept."""


class Resolver:
    """Looks up names by ``look_up``. Everything but the looking up happens in the thread that calls these methods."""

    def __init__(self, look_up: Callable[[str], Found]) -> None:
        self._look_up = look_up
        self._waiting: dict[int, str] = {}
        self._running = 0
        self._lock = Lock()
        self._answers: list[tuple[int, Found | ResolverError]] = []
        self._closed = False
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Readable when there are answers."""
        return self._woken

    def ask(self, key: int, name: str) -> None:
        """Have a name looked up; its answer will come under ``key``."""
        self._waiting[key] = name
        self._start()

    def forget(self, key: int) -> bool:
        """Ask no more for what has not been asked yet; whether it had not."""
        return self._waiting.pop(key, None) is not None

    def answers(self) -> list[tuple[int, Found | ResolverError]]:
        """What has come since the last time; the next lookups are started."""
        try:
            while os.read(self._woken, 4096):
                pass
        except BlockingIOError:
            pass
        with self._lock:
            answers, self._answers = self._answers, []
        self._running -= len(answers)
        self._start()
        return answers

    def close(self) -> None:
        """Wait for nobody: answers that are still to come are dropped by their threads."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._woken)
            os.close(self._waker)
        self._waiting.clear()

    def _start(self) -> None:
        while self._waiting and self._running < AT_ONCE:
            key = next(iter(self._waiting))
            name = self._waiting.pop(key)
            self._running += 1
            if not IN_ALL.acquire(blocking=False):
                self._post(key, ResolverError("temporary-resolver-failure"))
                continue
            try:
                # A daemon: a resolver that never answers must not keep the program from ending.
                Thread(target=self._run, args=(key, name), name="lookup", daemon=True).start()
            except RuntimeError:
                IN_ALL.release()
                self._post(key, ResolverError("temporary-resolver-failure"))

    def _run(self, key: int, name: str) -> None:
        answer: Found | ResolverError = ResolverError("permanent-resolver-failure")
        try:
            answer = self._look_up(name)
        except ResolverError as error:
            answer = error
        finally:
            IN_ALL.release()
            self._post(key, answer)

    def _post(self, key: int, answer: Found | ResolverError) -> None:
        with self._lock:
            if self._closed:
                return  # the pipe's number may be another file's by now
            self._answers.append((key, answer))
            try:
                os.write(self._waker, b"\0")
            except BlockingIOError:
                pass  # full: it wakes already
