"""``Sandbox``: one policy, run many times, with workers and compiled components kept warm between runs."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from sandbox.component import ComponentError
from sandbox.plan import Plan, PlanError
from sandbox.policy.model import Policy
from sandbox.runtime.cache import Cache, default_directory
from sandbox.runtime.outcome import Outcome
from sandbox.runtime.process import WorkerProcess
from sandbox.runtime.session import UsageError, choose, execute, plan_of, record_refusal, resolve_call, written_to

if TYPE_CHECKING:
    from sandbox.audit.sink import LineSink, Sink


PLANS = 256
"""Plans that a sandbox keeps."""


class _Workers:
    """Idle workers. Apart from its ``Sandbox``, so that they can be ended when that is forgotten."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[WorkerProcess] = []
        self.closed = False

    def take(self) -> WorkerProcess:
        """A worker of the caller's own. Raises ``UsageError`` after ``close``."""
        while True:
            with self.lock:
                if self.closed:
                    raise UsageError("the sandbox is closed")
                worker = self.idle.pop() if self.idle else None
            if worker is None:
                return WorkerProcess.spawn()
            fit = False
            try:
                fit = worker.alive() and worker.settle()
            finally:  # also where the wait was interrupted
                if not fit:
                    worker.kill()
                    worker.close()
            if fit:
                return worker

    def give(self, worker: WorkerProcess, reusable: bool) -> None:
        with self.lock:
            if reusable and not self.closed:
                self.idle.append(worker)
                return
        worker.kill()
        worker.close()

    def close(self) -> None:
        with self.lock:
            self.closed = True
            idle, self.idle = self.idle, []
        for worker in idle:
            worker.stop()
        for worker in idle:
            worker.kill()
            worker.close()

    def forget(self) -> None:
        """In a process that was forked: the idle workers are its parent's."""
        self.lock = threading.Lock()
        idle, self.idle = self.idle, []
        for worker in idle:
            worker.close()


_all: weakref.WeakSet[_Workers] = weakref.WeakSet()


def _forked() -> None:
    for workers in list(_all):
        workers.forget()


os.register_at_fork(after_in_child=_forked)


class Sandbox:
    """Runs the components of a policy. Safe to use from several threads: each run has a worker to itself.

    A worker is kept for the next run unless the run was killed, or read a standard input that it was not granted.
    Memory of one run is gone before the next begins: every run has a store, and so an instance of everything, of its
    own. A process that is forked starts workers of its own.

    A plan is made once for a component and its arguments: what the policy, the component's file, the environment and
    the granted directories were then holds for every later run. A new ``Sandbox`` looks again.
    """

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str],
        *,
        audit: str | os.PathLike[str] | Sink | None = None,
        cache: str | os.PathLike[str] | None = None,
    ) -> None:
        """``audit`` is a file that each run's trail is appended to, or a sink; ``cache`` a directory of the user's own.

        Raises ``PolicyError`` or ``CacheError``; ``SinkError`` where the trail cannot be written.
        """
        self.policy = policy if isinstance(policy, Policy) else Policy.load(policy)
        self._cache = Cache(default_directory() if cache is None else cache)
        self._owned: LineSink | None = None
        self._sink: Sink | None
        if audit is None or not isinstance(audit, (str, os.PathLike)):
            self._sink = audit
        else:
            from sandbox.audit.sink import open_path

            self._sink = self._owned = open_path(os.fspath(audit))
        self._plans: dict[tuple[str | None, str | None, tuple[str, ...] | None], Plan] = {}
        self._workers = _Workers()
        _all.add(self._workers)
        weakref.finalize(self, self._workers.close)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the idle workers and close the trail. A run that is still going on ends its own worker.

        Close a sandbox with a trail when its runs have ended: what they record afterwards is lost, and they say so.
        """
        self._workers.close()
        if self._owned is not None:
            self._owned.close()

    def plan(
        self,
        component: str | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] | None = None,
    ) -> Plan:
        """What a run of ``component`` would get. Raises ``UsageError``, ``ComponentError`` or ``PlanError``."""
        if isinstance(arguments, str) or not all(isinstance(a, str) for a in arguments or ()):
            raise UsageError("arguments are a list of strings")
        file = None if source is None else os.fspath(source)
        wanted = component, file, None if arguments is None else tuple(arguments)
        plan = self._plans.get(wanted)
        if plan is None:
            chosen = choose(self.policy, component)
            writes = written_to(self._sink)
            plan = plan_of(self.policy, chosen, self._cache, source=file, arguments=arguments, writes=writes)
            if len(self._plans) >= PLANS:
                self._plans.clear()
            self._plans[wanted] = plan
        return plan

    def run(
        self,
        component: str | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] | None = None,
        stdin: bytes = b"",
    ) -> Outcome:
        """Run a component's ``wasi:cli/run``.

        ``component`` may be left out where the policy has one, or says which it runs. ``source`` is a component's file
        to run in place of the one that the policy names; a ``digest`` in the policy holds for it too. ``stdin`` is what
        the component reads where the policy says ``stdin: inherit``. Raises ``UsageError``, ``ComponentError`` or
        ``PlanError`` where nothing is run; how a run ended is always an ``Outcome``.
        """
        started = time.monotonic()
        plan = self._plan(component, source, arguments)
        return self._execute(
            lambda worker: execute(plan, worker, self._cache, stdin=stdin, sink=self._sink, started=started)
        )

    def call(self, component: str | None, function: str, *arguments: str, stdin: bytes = b"") -> Outcome:
        """Call a typed export, ``operations.add``, with arguments in WAVE; ``value`` is then the result in WAVE.

        Raises as ``run`` does.
        """
        started = time.monotonic()
        if not all(isinstance(a, str) for a in arguments):
            raise UsageError("arguments are text in WAVE: '1', '\"a string\"', '[1, 2]'")
        plan = self._plan(component, None, None)
        call = resolve_call(plan, function, arguments)
        return self._execute(
            lambda worker: execute(plan, worker, self._cache, call=call, stdin=stdin, sink=self._sink, started=started)
        )

    def _plan(
        self, component: str | None, source: str | os.PathLike[str] | None, arguments: Sequence[str] | None
    ) -> Plan:
        """The plan of a run; where there is none, the trail says why."""
        try:
            return self.plan(component, source=source, arguments=arguments)
        except (PlanError, ComponentError) as error:
            if self._sink is not None:
                record_refusal(error, self.policy.file, choose(self.policy, component).name, self._sink)
            raise

    def _execute(self, run: Callable[[WorkerProcess], tuple[Outcome, bool]]) -> Outcome:
        worker = self._workers.take()
        reusable = False
        try:
            outcome, reusable = run(worker)
        finally:
            self._workers.give(worker, reusable)
        return outcome


def run(
    policy: Policy | str | os.PathLike[str],
    component: str | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    arguments: Sequence[str] | None = None,
    stdin: bytes = b"",
    audit: str | os.PathLike[str] | Sink | None = None,
) -> Outcome:
    """Run one component of ``policy`` once. See ``Sandbox.run``; to run many times, keep a ``Sandbox``."""
    with Sandbox(policy, audit=audit) as sandbox:
        return sandbox.run(component, source=source, arguments=arguments, stdin=stdin)
