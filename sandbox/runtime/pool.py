"""``Sandbox``: one policy, run many times, with workers and compiled components kept warm between runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from sandbox.component import ComponentError
from sandbox.plan import Plan
from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache, default_directory
from sandbox.runtime.outcome import Outcome
from sandbox.runtime.process import WorkerProcess
from sandbox.runtime.session import UsageError, choose, execute, plan_of, resolve_call

if TYPE_CHECKING:
    from sandbox.audit.sink import LineSink, Sink

__all__ = ["ComponentError", "Sandbox", "run"]


class Sandbox:
    """Runs the components of a policy. Safe to use from several threads: each run has a worker to itself.

    A worker is kept for the next run unless the run was killed. Memory of one run is gone before the next begins: every
    run has a store, and so an instance of everything, of its own.
    """

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str],
        *,
        audit: str | os.PathLike[str] | Sink | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        """``audit`` is a file that every run's trail is appended to, or a sink; ``cache`` a directory of the user's own.

        Raises ``PolicyError`` or ``CacheError``; ``SinkError`` where the trail cannot be written.
        """
        self.policy = policy if isinstance(policy, Policy) else Policy.load(policy)
        self._cache = Cache(default_directory() if cache is None else cache)
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._closed = False
        self._owned: LineSink | None = None
        self._trail_path: str | None = None
        self._sink: Sink | None
        if audit is None or not isinstance(audit, (str, os.PathLike)):
            self._sink = audit
        else:
            from sandbox.audit.sink import open_path

            self._trail_path = os.path.realpath(audit)
            self._sink = self._owned = open_path(os.fspath(audit))

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the idle workers and close the trail. A run that is still going on ends its own worker."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.kill()
            worker.close()
        if self._owned is not None:
            self._owned.close()

    def plan(self, component: str | None = None, *, arguments: Sequence[str] | None = None) -> Plan:
        """What a run of ``component`` would get. Raises ``UsageError``, ``ComponentError`` or ``PlanError``."""
        writes = [("the audit trail", self._trail_path)] if self._trail_path else []
        chosen = choose(self.policy, component)
        return plan_of(self.policy, chosen, self._cache, arguments=arguments, writes=writes)

    def run(
        self, component: str | None = None, *, arguments: Sequence[str] | None = None, stdin: bytes = b""
    ) -> Outcome:
        """Run a component's ``wasi:cli/run``.

        ``component`` may be left out where the policy has one. ``stdin`` is what the component reads where the policy
        says ``stdin: inherit``. Raises ``UsageError``, ``ComponentError`` or ``PlanError`` where nothing is run; how a
        run ended is always an ``Outcome``.
        """
        started = time.monotonic()
        plan = self.plan(component, arguments=arguments)
        return self._execute(
            lambda worker: execute(plan, worker, self._cache, stdin=stdin, sink=self._sink, started=started)
        )

    def call(self, component: str | None, function: str, *arguments: str, stdin: bytes = b"") -> Outcome:
        """Call a typed export, ``operations.add``, with arguments in WAVE; the outcome's ``value`` is the result in WAVE."""
        started = time.monotonic()
        plan = self.plan(component)
        call = resolve_call(plan, function, arguments)
        return self._execute(
            lambda worker: execute(plan, worker, self._cache, call=call, stdin=stdin, sink=self._sink, started=started)
        )

    def _execute(self, run: Callable[[WorkerProcess], tuple[Outcome, bool]]) -> Outcome:
        with self._lock:
            if self._closed:
                raise UsageError("the sandbox is closed")
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = WorkerProcess.spawn()
        reusable = False
        try:
            outcome, reusable = run(worker)
        finally:
            with self._lock:
                kept = reusable and not self._closed
                if kept:
                    self._idle.append(worker)
            if not kept:
                worker.kill()
                worker.close()
        return outcome


def run(
    policy: Policy | str | os.PathLike[str],
    component: str | None = None,
    *,
    arguments: Sequence[str] | None = None,
    stdin: bytes = b"",
    audit: str | os.PathLike[str] | Sink | None = None,
) -> Outcome:
    """Run one component of ``policy`` once. See ``Sandbox.run``; to run many times, keep a ``Sandbox``."""
    with Sandbox(policy, audit=audit) as sandbox:
        return sandbox.run(component, arguments=arguments, stdin=stdin)
