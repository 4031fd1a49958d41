"""The supervisor of a run: gives the worker its job, carries its output, keeps the trail, and ends it at its bounds.

It alone writes the trail and it alone decides when a run is over; whatever the worker does, including dying, is only
something that it observes.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import time
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.audit.events import Happening
from sandbox.audit.trail import Trail
from sandbox.guard.sites import Site, site_from_data
from sandbox.plan import Plan, StreamPlan
from sandbox.runtime.cache import Cache, key, processor
from sandbox.runtime.denials import Explainer
from sandbox.runtime.engine import generator, library, shape_of
from sandbox.runtime.outcome import How, Outcome, Status, Usage
from sandbox.runtime.process import WorkerProcess

PIPE = 1 << 20
CHUNK = 1 << 16
PENDING = 1 << 18
"""Bytes of output held for a slow reader before the guest has to wait."""
LAST_WORDS = 5.0
"""Seconds that a reader of the guest's output gets to take what is left of it once the deadline has passed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A typed export to call: ``interface`` is ``None`` for a function of the component itself; arguments in WAVE."""

    interface: str | None
    function: str
    arguments: tuple[str, ...]
    shown: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What one run is to do, beside its plan."""

    call: Call | None = None
    stdin: bytes | None = None
    """What the guest reads where the policy says ``inherit``; ``None``: this process's own standard input."""
    started: float
    """When the run began, on the monotonic clock: the deadline counts from there."""
    announce: Any = None
    """Called with a sentence when something takes long."""


class _Output:
    """One output stream on its way from the guest to where the policy sends it."""

    def __init__(self, name: str, stream: StreamPlan, descriptor: int) -> None:
        self.name, self.mode, self.granted = name, stream.mode, stream.granted
        self.source, self.write_end = os.pipe2(os.O_CLOEXEC)
        try:
            import fcntl

            fcntl.fcntl(self.source, 1031, PIPE)  # F_SETPIPE_SZ
        except OSError:
            pass
        os.set_blocking(self.source, False)
        self.open = True
        self.captured = bytearray()
        self.pending = bytearray()
        self.used = False
        self.count = 0
        self.target: int | None = None
        self.owned = False
        self.chunk = CHUNK
        if stream.mode == "inherit":
            self.target = descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                self.chunk = select.PIPE_BUF  # a pipe that is ready takes that much without blocking
        elif stream.path is not None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            self.target = os.open(stream.path, flags, 0o600)
            self.owned = True

    def read(self, room: int) -> bool:
        """Take what the guest wrote; ``False`` once more than ``room`` bytes came."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return True
        if not data:
            self.finish()
            return True
        self.used = True
        kept = data[:room]
        self.count += len(kept)
        if self.mode == "capture":
            self.captured += kept
        elif self.target is not None:
            self.pending += kept
        return len(kept) == len(data)

    def write(self) -> None:
        assert self.target is not None
        try:
            written = os.write(self.target, self.pending[: self.chunk])
        except BlockingIOError:
            return
        except OSError:
            # The reader is gone: so is the guest's, as in any pipeline.
            self.pending.clear()
            self.finish()
            return
        del self.pending[:written]

    def finish(self) -> None:
        if self.open:
            self.open = False
            os.close(self.source)

    def release(self) -> None:
        self.finish()
        if self.owned and self.target is not None:
            os.close(self.target)
            self.target = None


class _Ended(Exception):
    """The run is over: by its own end, a bound, or a failure."""

    def __init__(
        self, how: How, *, reason: str | None = None, bound: str | None = None, report: dict[str, Any] | None = None
    ) -> None:
        super().__init__(how)
        self.how, self.reason, self.bound, self.report = how, reason, bound, report or {}


class Supervisor:
    """Supervises one run of ``plan`` in ``worker``. After ``run``, ``reusable`` says whether the worker can take another."""

    def __init__(self, plan: Plan, worker: WorkerProcess, cache: Cache, trail: Trail, request: Request) -> None:
        self.plan, self.worker, self.cache, self.trail, self.request = plan, worker, cache, trail, request
        self.explainer = Explainer(plan)
        self.outputs: list[_Output] = []
        self.expires = request.started + plan.limits.deadline
        self.phase = "starting"
        self.reusable = False
        self.retired = False
        self.told: set[str] = set()
        self.stdin: int | None = None

    def run(self) -> Outcome:
        ended = self._run()
        for output in self.outputs:
            output.release()
        return self._outcome(ended)

    # The course of a run.

    def _run(self) -> _Ended:
        try:
            self._course()
        except _Ended as caught:
            ended = caught
        except OSError as error:
            said = f"{error.strerror}: {error.filename}" if error.filename else str(error)
            ended = _Ended("failed", reason=said)
        self._close_write_ends()
        if not ended.report:
            self.worker.kill()
        self._last_messages()
        self._last_output(ended)
        self._unread_stdin()
        # Wasmtime remembers the end of standard input as long as its process lives, so no later read would be seen.
        self.reusable = self.worker.status is None and not self.retired
        return ended

    def _course(self) -> None:
        """Everything up to the end of the run, which is raised as ``_Ended``."""
        job_key, shape = self._key()
        descriptors = self._streams()
        job = self._job(job_key)
        try:
            if not self.cache.path(f"{job_key}.cwasm").exists():
                self._compile(job_key, shape)
            self._sites(job_key)
            self.phase = "running"
            self.worker.send(job, descriptors)
        except BrokenPipeError:
            self._died("starting")
        self._close_write_ends()
        self._attend()

    def _close_write_ends(self) -> None:
        """The worker has its own: with these closed, its death is the end of the output."""
        for output in self.outputs:
            if output.write_end >= 0:
                os.close(output.write_end)
                output.write_end = -1

    def _key(self) -> tuple[str, dict[str, object]]:
        shape = shape_of(self.plan).to_data()
        fuel = self.plan.limits.fuel is not None
        return key(self.plan.digest, shape, fuel, library(), generator(), processor()), shape

    def _compile(self, job_key: str, shape: dict[str, object]) -> None:
        self.phase = "compiling"
        if self.request.announce is not None and self.plan.size > 4 << 20:
            self.request.announce(
                f"compiling {self.plan.component} ({self.plan.size / 1e6:.0f} MB), once; later runs start at once"
            )
        job = {
            "do": "compile",
            "source": self.plan.source,
            "digest": self.plan.digest,
            "shape": shape,
            "fuel": self.plan.limits.fuel is not None,
            "key": job_key,
            "cache": str(self.cache.directory),
        }
        self.worker.send(job, [])
        poll = select.poll()
        poll.register(self.worker.end, select.POLLIN)
        while True:
            if not poll.poll(self._left()):
                raise self._deadline()
            message = self.worker.receive()
            if message is None:
                self._died("compiling")
            elif message[0] == "compiled":
                return
            elif message[0] == "refused":
                raise _Ended("refused", reason=message[1], report={"compiled": False})
            elif message[0] == "broken":
                raise _Ended("failed", reason=message[1])

    def _sites(self, job_key: str) -> None:
        data = self.cache.read(f"{job_key}.sites")
        if data is None:
            raise _Ended("failed", reason="the cache of compiled components changed while it was being used")
        sites: list[Site] = [site_from_data(s) for s in data]
        self.explainer.sites = tuple(sites)

    def _job(self, job_key: str) -> dict[str, Any]:
        plan, limits = self.plan, self.plan.limits
        call = self.request.call
        decoy = self.cache.path("empty")
        decoy.mkdir(mode=0o500, exist_ok=True)
        return {
            "do": "run",
            "key": job_key,
            "cache": str(self.cache.directory),
            "decoy": str(decoy),
            "preopens": [asdict(p) for p in plan.preopens],
            "environment": plan.environment,
            "arguments": plan.arguments,
            "stdin": self._stdin_mode(),
            "memory": limits.memory,
            "fuel": limits.fuel,
            "handles": limits.handles,
            "disk": limits.disk,
            "seed": plan.seed,
            "run": plan.run,
            "call": None if call is None else asdict(call),
        }

    def _stdin_mode(self) -> str:
        if not self.plan.stdin.granted:
            return "closed"
        return "inherit" if self.plan.stdin.mode == "inherit" and self.request.stdin is None else "given"

    def _streams(self) -> list[int]:
        """The file descriptors that the worker gets as standard input, output and error."""
        plan = self.plan
        if plan.stdin.mode == "file" and plan.stdin.path is not None:
            stdin = os.open(plan.stdin.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            if not stat.S_ISREG(os.fstat(stdin).st_mode):
                os.close(stdin)
                raise OSError(f"{plan.stdin.path} is not a regular file, so it cannot be standard input")
        else:
            # An empty file shows by its access time whether it was read.
            stdin = os.memfd_create("stdin", os.MFD_CLOEXEC)
            if plan.stdin.mode == "inherit" and self.request.stdin:
                data = memoryview(self.request.stdin)
                while data:
                    data = data[os.write(stdin, data) :]
            os.utime(stdin, ns=(0, 1))
        self.stdin = stdin
        self.outputs = [_Output("stdout", plan.stdout, 1), _Output("stderr", plan.stderr, 2)]
        return [stdin, self.outputs[0].write_end, self.outputs[1].write_end]

    # Watching the worker.

    def _left(self) -> int:
        """Milliseconds to the deadline, rounded up."""
        return max(0, int((self.expires - time.monotonic()) * 1000) + 1)

    def _attend(self) -> None:
        """Carry messages and output until the run ends, which is raised as ``_Ended``."""
        end = self.worker.end.fileno()
        while True:
            if time.monotonic() >= self.expires:
                raise self._deadline()
            poll = select.poll()
            poll.register(end, select.POLLIN)
            self._watch(poll)
            ready = dict(poll.poll(self._left()))
            self._move(ready)
            if end in ready:
                self._message(self.worker.receive())

    def _watch(self, poll: select.poll) -> None:
        for output in self.outputs:
            if output.open and len(output.pending) < PENDING:
                poll.register(output.source, select.POLLIN)
            if output.pending and output.target is not None:
                poll.register(output.target, select.POLLOUT)

    def _move(self, ready: dict[int, int]) -> None:
        for output in self.outputs:
            if output.open and output.source in ready:
                room = self.plan.limits.output - sum(o.count for o in self.outputs)
                full = not output.read(room)
                if output.used and not output.granted and output.name not in self.told:
                    self.told.add(output.name)
                    self.trail.record(self.explainer.stream(output.name, time.time()))
                if full:
                    raise self._limit("output", f"more than {self.plan.limits.output:,} bytes of output")
            if output.pending and output.target in ready:
                output.write()

    def _message(self, message: list[Any] | None) -> None:
        if message is None:
            self._died("running")
            return
        match message[0]:
            case "denied" | "pair" | "refused":
                self.trail.record(self.explainer.happening(message))
            case "ended":
                self._report(message[1])
            case "missing":
                raise _Ended("failed", reason="the compiled component vanished from the cache")
            case _:
                raise _Ended("failed", reason=str(message[1]))

    def _report(self, report: dict[str, Any]) -> None:
        how, reason = report["how"], report.get("reason")
        if how == "limit":
            limit = self._limit(report["bound"], reason or "")
            limit.report = report
            raise limit
        if how == "trapped" and self._memory_is_full(report):
            limit = self._limit("memory", f"the component trapped with its memory used up ({reason})")
            limit.report = report
            raise limit
        if how == "usage":
            raise _Ended("failed", reason=reason, report=report)
        raise _Ended(how, reason=reason, report=report)

    def _memory_is_full(self, report: dict[str, Any]) -> bool:
        """Whether a trap is what a program does that was refused memory: all but a sixteenth of it is in use."""
        return report.get("memory", 0) >= self.plan.limits.memory - self.plan.limits.memory // 16

    def _limit(self, name: str, reason: str) -> _Ended:
        self.explainer.bounds.add(f"limits.{name}")
        self.trail.record(
            Happening(
                name="limit",
                component=self.plan.component,
                capability=f"limits.{name}",
                reason=reason,
                line=self.plan.line(f"components.{self.plan.component}.limits.{name}"),
            )
        )
        return _Ended("limit", reason=reason, bound=f"limits.{name}")

    def _deadline(self) -> _Ended:
        reason = f"{self.plan.limits.deadline:g} seconds were up while the component was {self.phase}"
        ended = self._limit("deadline", reason)
        ended.how = "deadline"
        return ended

    def _died(self, doing: str) -> None:
        """The worker is gone without a word: say why, as far as its death tells."""
        status = self.worker.wait()
        said = self.worker.said()
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if "memory allocation of" in said or "MemoryError" in said or "annot allocate memory" in said:
            raise self._limit("memory", f"the worker ran out of memory while {self.phase}")
        if number in (signal.SIGKILL, signal.SIGXCPU):
            raise self._limit(
                "memory", f"the worker was killed by the system while {self.phase}, most likely for its memory"
            )
        name = signal.Signals(number).name if number else f"status {os.waitstatus_to_exitcode(status)}"
        raise _Ended(
            "failed", reason=f"the worker ended unexpectedly ({name}) while {doing}: {said or 'it said nothing'}"
        )

    def _last_messages(self) -> None:
        """Denials that were decided before the worker was killed are still in its socket."""
        if self.worker.status is None:
            return
        while (message := self.worker.receive()) is not None:
            if message[0] in ("denied", "pair", "refused"):
                self.trail.record(self.explainer.happening(message))

    def _last_output(self, ended: _Ended) -> None:
        """What was written before the end. A reader that takes nothing is not waited for much longer than the deadline."""
        until = max(self.expires, time.monotonic()) + LAST_WORDS
        try:
            while any(o.open or o.pending for o in self.outputs) and time.monotonic() < until:
                poll = select.poll()
                self._watch(poll)
                self._move(dict(poll.poll(200)))
        except _Ended as limit:
            if ended.how == "exited":
                ended.how, ended.reason, ended.bound = limit.how, limit.reason, limit.bound
            for output in self.outputs:
                output.finish()

    def _unread_stdin(self) -> None:
        if self.stdin is None:
            return
        read = os.fstat(self.stdin).st_atime_ns
        _close(self.stdin)
        self.stdin = None
        if not self.plan.stdin.granted and read:
            self.trail.record(self.explainer.stream("stdin", read / 1e9))
            self.retired = True

    def _outcome(self, ended: _Ended) -> Outcome:
        report = ended.report
        usage = Usage(
            seconds=time.monotonic() - self.request.started,
            processor_seconds=report.get("processor"),
            memory=report.get("memory"),
            fuel=report.get("fuel"),
            output=sum(o.count for o in self.outputs),
        )
        statuses = {
            "trapped": Status.TRAP,
            "limit": Status.LIMIT,
            "deadline": Status.DEADLINE,
            "refused": Status.COMPONENT,
            "failed": Status.FAILED,
        }
        status = int(report["status"]) if ended.how == "exited" else int(statuses[ended.how])
        if report.get("how") == "usage":
            status = int(Status.USAGE)
        if ended.how == "refused":
            self.trail.record(
                Happening(
                    name="refused",
                    component=self.plan.component,
                    capability="run",
                    reason=ended.reason or "",
                    line=self.plan.line(f"components.{self.plan.component}.source"),
                )
            )
        words = {"exited": "the component ended", "trapped": "the component trapped", "failed": "the sandbox failed"}
        events = self.trail.close(
            Happening(
                name="ended",
                component=self.plan.component,
                capability="run",
                reason=": ".join(x for x in (words.get(ended.how), ended.reason) if x),
                exit_status=status,
            )
        )
        captured = {o.name: bytes(o.captured) if o.mode == "capture" else None for o in self.outputs}
        return Outcome(
            how=ended.how,
            exit_status=status,
            reason=ended.reason,
            bound=ended.bound,
            bounds=tuple(sorted(self.explainer.bounds)),
            value=report.get("value"),
            stdout=captured.get("stdout"),
            stderr=captured.get("stderr"),
            usage=usage,
            events=events,
            run=self.trail.run,
            trail_failed=self.trail.failed,
        )


def _close(descriptor: int) -> None:
    try:
        os.close(descriptor)
    except OSError:
        pass
