"""The supervisor of a run: gives the worker its job, carries its output, keeps the trail, and ends it at its bounds.

It alone writes the trail and it alone decides when a run is over; whatever the worker does, including dying, is only
something that it observes.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from sandbox.audit.events import Happening
from sandbox.audit.trail import Trail
from sandbox.guard.sites import site_from_data
from sandbox.guard.state import DECOY, HARD_LINKS, OWNER, ROUTED
from sandbox.plan import Instance, Link, Plan, StreamPlan
from sandbox.policy.model import Sockets
from sandbox.runtime.cache import Cache
from sandbox.runtime.denials import explainer_of
from sandbox.runtime.engine import compiled_key, settings_of, shape_of, shapes_of, shims_key
from sandbox.runtime.outcome import Captured, How, Outcome, Status, Usage
from sandbox.runtime.process import WorkerProcess, written
from sandbox.runtime.stdio import PENDING, Name, Output, open_input

if TYPE_CHECKING:
    from sandbox.broker.network import Broker
    from sandbox.guard.shape import Shape

LAST_WORDS = 5.0
"""Seconds that a reader of the guest's output gets to take what is left of it once the deadline has passed."""
ANNOUNCED = 4 << 20
"""Bytes of a component from which on compiling takes long enough to say so."""
MEMORY_DEATHS = ("memory allocation of", "MemoryError", "annot allocate memory", "can't spawn worker thread")
"""What a worker says that dies for want of memory."""
BROKEN_CODE = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGTRAP)
"""Deaths that a damaged compiled component may be the cause of: it is made again for the next run."""
DENIALS = ("denied", "pair", "refused", "bound")
PASSING_FILES = 8
"""File descriptors that may be on their way to a worker, beside those of the sockets that a guest may have open."""
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
ANSWERS = 8192
"""Answers that wait for a worker to take them; one that lets more wait does not listen any more."""


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
    announce: Callable[[str], None] | None = None
    """Called with a sentence when something takes long."""
    meanwhile: Callable[[], None] | None = None
    """Called once the worker has its job: work that this process can do while the guest runs."""


@dataclass(slots=True)
class End:
    """How a run ended. ``report`` is the worker's, where it lived to give one."""

    how: How
    reason: str | None = None
    bound: str | None = None
    report: dict[str, Any] = field(default_factory=dict)
    instance: Instance | None = None
    """The instance that was refused, where it is known."""
    link: Link | None = None
    """Its import that does not fit what is to serve it, where that is why."""


STATUSES: dict[How, Status] = {
    "trapped": Status.TRAP,
    "limit": Status.LIMIT,
    "deadline": Status.DEADLINE,
    "refused": Status.COMPONENT,
    "failed": Status.FAILED,
}
ENDINGS: dict[How, str] = {
    "exited": "the component ended",
    "trapped": "the component trapped",
    "refused": "the component was refused",
    "failed": "the sandbox failed",
}


def _check_report(report: Any) -> None:
    """Raise ``ValueError`` for what no worker reports of the end of a run."""
    kinds: dict[str, Any] = {
        "how": lambda x: x in ("exited", "trapped", "limit", "refused", "usage"),
        "status": lambda x: type(x) is int and 0 <= x <= 255,
        "reason": lambda x: x is None or isinstance(x, str),
        "bound": lambda x: x in ("memory", "fuel"),
        "instance": lambda x: x is None or (type(x) is int and x >= 0),
        "member": lambda x: x is None or (type(x) is int and x >= 0),
        "inside": lambda x: type(x) is bool,
        "processor": lambda x: isinstance(x, (int, float)) and x >= 0,
        "memory": lambda x: type(x) is int and x >= 0,
        "fuel": lambda x: x is None or type(x) is int,
    }
    if not isinstance(report, dict) or any(n not in kinds or not kinds[n](x) for n, x in report.items()):
        raise ValueError("no report of a run")
    needed = {"exited": {"status"}, "limit": {"bound"}}.get(report.get("how", ""), set())
    if not {"how", "processor", "memory", "fuel"} | needed <= report.keys():
        raise ValueError("a report of a run with something missing")


@functools.cache
def _families() -> list[int]:
    """The versions of IP that this machine speaks."""
    found = []
    for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        try:
            socket.socket(family, socket.SOCK_DGRAM).close()
            found.append(version)
        except OSError:
            pass
    return found


def _paths(plan: Plan) -> list[str | None]:
    """The paths of a program's instances."""
    return [None] if plan.program is None else [instance.name for instance in plan.program.instances]


def _with_sockets(plan: Plan) -> Plan:
    """The plan, where nothing of the network is granted with a family that says so: all is refused by it."""
    return plan if plan.sockets is not None else replace(plan, sockets=Sockets())


def _member(plan: Plan, shape: Shape) -> dict[str, Any]:
    """What a job has of each component."""
    return {
        "source": plan.source,
        "digest": plan.digest,
        "shape": shape.to_data(),
        "arguments": plan.arguments or [],
        "environment": [text for pair in plan.environment or () for text in pair],
        "streams": [plan.stdin.granted, plan.stdout.granted, plan.stderr.granted],
    }


JOBS = 256
_jobs: dict[int, tuple[Plan, str, bytes]] = {}
"""What is the same in every job of a plan, by the plan's identity; the plan is kept along, so that it stays one."""


class Supervisor:
    """Supervises one run of ``plan`` in ``worker``. ``reusable`` then says whether the worker can take another."""

    def __init__(self, plan: Plan, worker: WorkerProcess, cache: Cache, trail: Trail, request: Request) -> None:
        self.plan, self.worker, self.cache, self.trail, self.request = plan, worker, cache, trail, request
        self.explainer = explainer_of(plan)
        self.outputs: list[Output] = []
        self.expires = request.started + plan.limits.deadline
        self.phase: Literal["starting", "compiling", "running"] = "starting"
        self.reusable = False
        self.concluded = False
        self.told: set[str] = set()
        self.stdin: int | None = None
        self.answer: int | None = None
        self.brokers: dict[int, Broker] = {}
        """By component of a program."""
        self.homes: dict[int, Broker] = {}
        """Which of them knows a socket: the one of the component that was the first to do something with it."""
        self.answers: deque[tuple[bytes, list[int]]] = deque()
        """Answers that the worker has no room for yet, with descriptors of their own."""
        self.waiting = 0
        """Descriptors among them."""
        self.deaf = False
        """Whether it let more wait than any worker would."""

    def run(self) -> Outcome:
        """Run to the end. What interrupts this (``KeyboardInterrupt``) ends the run and its trail, and goes on."""
        try:
            try:
                end = self._course()
            except OSError as error:
                end = End("failed", f"{error.strerror}: {error.filename}" if error.filename else str(error))
            read_stdin = self._settle(end)
            value = self._value(end)
            # Wasmtime remembers the end of standard input as long as its process lives: no later read would be seen.
            self.reusable = self.worker.status is None and not read_stdin
            return self._outcome(end, value)
        except BaseException as interruption:
            self._interrupted(interruption)
            raise
        finally:
            self._release()

    # The course of a run.

    def _course(self) -> End:
        """Everything up to the end of the run."""
        descriptors = self._open_streams()
        if self.request.call is not None:
            self.answer = os.memfd_create("answer", os.MFD_CLOEXEC)
            descriptors.append(self.answer)
        descriptors += [output.write_end for output in self.outputs if output.member]
        try:
            self.worker.send(self._job(), descriptors)
        except (BrokenPipeError, ConnectionResetError):
            return self._died()
        finally:
            for output in self.outputs:
                output.close_write_end()  # the worker has its own: its death is then the end of the output
        self.phase = "running"
        if any(member.uses_sockets for member in self.plan.members):
            # Not before: the guest starts meanwhile.
            from sandbox.broker.lookups import Spent
            from sandbox.broker.network import Broker

            spent, paths = Spent(), _paths(self.plan)
            for number, member in enumerate(self.plan.members):
                of = _with_sockets(member)
                self.brokers[number] = Broker(of, self._record, self._reply, spent=spent, paths=paths)
        if self.request.meanwhile is not None:
            self.request.meanwhile()
        return self._attend()

    def _settle(self, end: End) -> bool:
        """Bring a run that is over to rest; whether the guest read standard input that it was not granted."""
        if not end.report:
            self.worker.kill()
        self._last_messages()
        self._close_broker()
        self._last_output(end)
        return self._read_of_closed_stdin()

    def _interrupted(self, interruption: BaseException) -> None:
        """End the run and complete its trail, where that was not done yet."""
        self.worker.kill()
        if self.concluded:
            return
        self.concluded = True
        self._last_messages()
        self._close_broker()
        status = int(Status.FAILED)
        if isinstance(interruption, KeyboardInterrupt):
            status = 128 + signal.SIGINT
        elif isinstance(interruption, SystemExit) and isinstance(interruption.code, int):
            status = interruption.code
        self.trail.close(self._ended(f"the run was interrupted ({type(interruption).__name__})", status))

    def _close_broker(self) -> None:
        """Nothing is answered any more; the sockets that are still with the brokers are closed."""
        brokers, self.brokers = self.brokers, {}
        self.homes.clear()
        for broker in brokers.values():
            broker.close()
            self.explainer.bounds |= broker.bounds
        while self.answers:
            for descriptor in self.answers.popleft()[1]:
                os.close(descriptor)

    def _release(self) -> None:
        self._close_broker()
        for output in self.outputs:
            output.release()
        for descriptor in (self.stdin, self.answer):
            if descriptor is not None:
                os.close(descriptor)
        self.stdin = self.answer = None

    def _job(self) -> bytes:
        """The job as the worker reads it. What does not differ from run to run of a plan is written once."""
        decoy = self.cache.path("empty")
        try:
            os.mkdir(decoy, 0o500)
        except FileExistsError:
            pass
        kept = _jobs.get(id(self.plan))
        if kept is None or kept[0] is not self.plan or kept[1] != decoy:
            if len(_jobs) >= JOBS:
                _jobs.clear()
            kept = _jobs[id(self.plan)] = self.plan, decoy, written(self._constant(decoy))
        rest = {"stdin": self._stdin_mode(), "call": None if self.request.call is None else asdict(self.request.call)}
        return kept[2][:-1] + b"," + ENCODE(rest).encode()[1:]

    def _constant(self, decoy: str) -> dict[str, Any]:
        """What is the same in every job of a plan."""
        plan, limits = self.plan, self.plan.limits
        flags = (
            (DECOY if p.decoy else 0) | (ROUTED if p.routed else 0) | (HARD_LINKS if p.hard_links else 0) | n << OWNER
            for n, member in enumerate(plan.members)
            for p in member.preopens
        )
        instances = plan.program.instances if plan.program is not None else ()
        shape = shape_of(plan)
        members = zip(plan.members, shapes_of(plan), strict=True)
        return {
            "key": compiled_key(plan),
            "cache": self.cache.directory,
            "kind": plan.kind,
            "members": [_member(member, of) for member, of in members],
            "instances": [asdict(instance) for instance in instances],
            "owners": [instance.member for instance in instances] or [0],
            "shims": shims_key(settings_of(plan)) if plan.kind == "module" else None,
            "wall": shape.wall,
            "monotonic": shape.monotonic,
            "random": shape.random,
            "counts_writes": shape.counts_writes,
            "initialize": plan.initialize,
            "decoy": decoy,
            "preopens": [
                {name: getattr(p, name) for name in p.__slots__} for member in plan.members for p in member.preopens
            ],
            "flags": "".join(map(chr, flags)),
            "environment": plan.environment,
            "arguments": plan.arguments,
            "memory": limits.memory,
            "fuel": limits.fuel,
            "deterministic": settings_of(plan).deterministic,
            "handles": limits.handles,
            "disk": limits.disk,
            "seed": plan.seed,
            "seeds": [member.seed for member in plan.members],
            "network": self._network(),
            "run": plan.run,
        }

    def _network(self) -> dict[str, Any] | None:
        limits, granted = self.plan.limits, [m.sockets for m in self.plan.members if m.uses_sockets]
        if not granted and self.plan.program is None:
            return None
        return {
            "families": _families() if granted else [],
            "sockets": limits.sockets,
            "sent": limits.sent,
            "received": limits.received,
            "judge_peers": any(sockets.deny or sockets.audit_all for sockets in granted if sockets is not None),
        }

    def _stdin_mode(self) -> Literal["closed", "inherit", "empty", "given"]:
        stdin, given = self.plan.stdin, self.request.stdin
        if not stdin.granted:
            return "closed"
        if stdin.mode == "inherit" and given is None:
            return "inherit"
        return "given" if stdin.path is not None or (stdin.mode == "inherit" and given) else "empty"

    def _open_streams(self) -> list[int]:
        """The file descriptors that the worker gets as standard input, output and error."""
        plan = self.plan
        self.stdin = open_input(plan.stdin, self.request.stdin)
        for number, member in enumerate(plan.members):
            streams: tuple[tuple[Name, StreamPlan, int], ...] = (
                ("stdout", member.stdout, 1),
                ("stderr", member.stderr, 2),
            )
            for name, stream, descriptor in streams:
                self.outputs.append(Output(name, stream, descriptor, number))
        return [self.stdin, *(output.write_end for output in self.outputs if not output.member)]

    # Watching the worker.

    def _attend(self) -> End:
        """Carry messages and output until the run ends."""
        messages = self.worker.end.fileno()
        while True:
            left = self.expires - time.monotonic()
            if left <= 0:
                return self._deadline()
            poll = select.poll()
            poll.register(messages, select.POLLIN | (select.POLLOUT if self.answers else 0))
            self._watch(poll)
            for broker in self.brokers.values():
                broker.watch(poll)
                patience = broker.patience()
                left = left if patience is None else min(left, patience)
            ready = dict(poll.poll(int(left * 1000) + 1))
            end = self._move(ready)
            if end is None and self.brokers:
                end = self._serve(ready)
            # One message at a time: a worker that sends them in floods does not keep all else waiting.
            if end is None and ready.get(messages, 0) & ~select.POLLOUT:
                end = self._message()
            if end is not None:
                return end

    def _watch(self, poll: select.poll) -> None:
        for output in self.outputs:
            output.watch(poll)

    def _move(self, ready: dict[int, int]) -> End | None:
        """Carry the output that is ready; the end of a run that wrote too much."""
        for output in self.outputs:
            if output.readable(ready):
                within = output.read(self.plan.limits.output - sum(o.count for o in self.outputs))
                # Of the streams of a program's other components the worker tells: it knows which instance used one.
                if output.used and not output.granted and not output.member and output.name not in self.told:
                    self.told.add(output.name)
                    self.trail.record(self.explainer.stream(output.name, time.time()))
                if not within:
                    for other in self.outputs:
                        other.stop()
                    return self._limit("output", f"more than {self.plan.limits.output:,} bytes of output")
            if output.writable(ready):
                output.write()
                # Others may write to the same place, which has room for one of them.
                ready = {d: event for d, event in ready.items() if d != output.target}
        return None

    def _serve(self, ready: dict[int, int]) -> End | None:
        """Go on with what the brokers wait for; the end of a run whose worker takes no answers."""
        for broker in self.brokers.values():
            broker.handle(ready)
        while self.answers and self.worker.answer(*self.answers[0]):
            for descriptor in self.answers.popleft()[1]:
                os.close(descriptor)
                self.waiting -= 1
        if not self.deaf:
            return None
        self.worker.kill()
        return End("failed", "the worker does not take the answers to what it asks")

    def _record(self, happening: Happening) -> None:
        self.trail.record(happening)

    def _reply(self, number: int, result: dict[str, Any], descriptors: list[int]) -> None:
        """Answer a request of the worker's. The descriptors stay the caller's."""
        data = ENCODE(["net", number, result]).encode()
        if not self.answers and self.worker.answer(data, descriptors):
            return
        # Descriptors that wait are this process's, which may have other runs to care for.
        most = self.plan.limits.sockets + PASSING_FILES
        self.deaf = self.deaf or len(self.answers) >= ANSWERS or self.waiting + len(descriptors) > most
        if not self.deaf:
            self.answers.append((data, [os.dup(d) for d in descriptors]))
            self.waiting += len(descriptors)

    def _message(self) -> End | None:
        """Take a message; one that makes no sense comes of a worker that is no longer itself."""
        try:
            message = self.worker.receive()
            return self._died() if message is None else self._take(message)
        except (LookupError, TypeError, ValueError) as error:
            self.worker.kill()
            return End("failed", f"the worker said what no worker says ({type(error).__name__})")

    def _take(self, message: list[Any]) -> End | None:
        kind = message[0]
        if kind in DENIALS:
            self.trail.record(self.explainer.happening(message))
            return None
        match kind:
            case "net":
                self._request(message)
                return None
            case "fault":
                self.worker.kill()
                return End("failed", f"the worker failed in what the guard asked of it ({message[1]})")
            case "compiling":
                self.phase = "compiling"
                if self.request.announce is not None and self.plan.size >= ANNOUNCED:
                    size = f"{self.plan.size / 1e6:.0f} MB"
                    self.request.announce(f"compiling {self.plan.component} ({size}), once; later runs start at once")
                return None
            case "compiled":
                self.phase = "running"
                return None
            case "idle":
                return None  # of the run before, where whoever gave this worker did not wait for it
            case "ended":
                return self._reported(message[1])
            case "unfit":
                return self._unfit(*message[1:])
        return End("failed", str(message[1]))

    def _unfit(self, reason: str, number: int | None, name: str | None) -> End:
        """The end of a run that the worker did not begin. Raises ``LookupError`` for an instance that there is not."""
        end = End("refused", str(reason), report={"how": "unfit"})
        if number is not None:
            instances = () if self.plan.program is None else self.plan.program.instances
            end.instance = dict(enumerate(instances))[number]
            end.link = None if name is None else {link.name: link for link in end.instance.links}[name]
        return end

    def _request(self, message: list[Any]) -> None:
        if not self.brokers:
            raise ValueError("the policy grants no sockets")
        _, when, data, number, op, args = message
        site = site_from_data(data)
        if len(self.brokers) == 1:
            self.brokers[0].request(when, site, number, op, args)
            return
        # Who was handed a socket by another component can do with it what that one may; so with whom it accepts.
        thing = args["object"]
        home = self.homes.get(thing) or self.homes.get(args.get("listener"))
        broker = home or self.brokers[self.explainer.member_of(site)]
        broker.request(when, site, number, op, args)
        if broker.holds(thing):
            self.homes[thing] = broker
        else:
            self.homes.pop(thing, None)

    def _reported(self, report: dict[str, Any]) -> End:
        _check_report(report)
        how, reason = report["how"], report.get("reason")
        if how == "limit":
            end = self._limit(report["bound"], reason or "")
        elif how == "trapped" and self._memory_is_full(report):
            end = self._limit("memory", f"the component trapped with its memory used up ({reason})")
        else:
            end = End("failed" if how == "usage" else how, self._blamed(report))
        end.report = report
        return end

    def _blamed(self, report: dict[str, Any]) -> str | None:
        """Why a run ended, and of which component of a program that came, as far as it is known."""
        reason: str | None = report.get("reason")
        program, member = self.plan.program, report.get("member")
        if program is None:
            return reason
        instance = None if report.get("instance") is None else program.instances[report["instance"]]
        if report["how"] == "exited":
            other = instance is not None and instance is not program.instances[-1]
            return f"{instance.name} ended the program" if instance is not None and other else None
        if instance is not None:
            return f"in {instance.name}: {reason}"
        if member is not None:
            place = "in" if report.get("inside") else "in a call of"
            return f"{place} {self.plan.members[member].component}: {reason}"
        return reason

    def _memory_is_full(self, report: dict[str, Any]) -> bool:
        """Whether a trap is what a program does that was refused memory: all but a sixteenth of it is in use."""
        limit = self.plan.limits.memory
        return int(report["memory"]) >= limit - limit // 16

    def _limit(self, name: str, reason: str) -> End:
        self.explainer.bounds.add(f"limits.{name}")
        self.trail.record(
            Happening(
                name="limit",
                component=self.plan.component,
                capability=f"limits.{name}",
                reason=reason,
                line=self.plan.line(f"components.{self.plan.component}.limits.{name}"),
                path=_paths(self.plan)[-1],
            )
        )
        return End("limit", reason, f"limits.{name}")

    def _deadline(self) -> End:
        end = self._limit(
            "deadline", f"the deadline of {self.plan.limits.deadline:g} s passed while the component was {self.phase}"
        )
        end.how = "deadline"
        return end

    def _died(self) -> End:
        """The worker is gone without a word: say why, as far as its death tells."""
        status = self.worker.kill()  # dead or about to be: it has let go of its socket
        said = self.worker.said()
        if any(sign in said for sign in MEMORY_DEATHS):
            return self._limit("memory", f"the worker ran out of memory while {self.phase}")
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        death = signal.Signals(number).name if number else f"status {os.waitstatus_to_exitcode(status)}"
        if number in BROKEN_CODE:
            self._forget_compiled()
        if number == signal.SIGKILL:
            said = said or "somebody killed it, or the machine ran out of memory"
        return End("failed", f"the worker ended unexpectedly ({death}) while {self.phase}: {said or 'it said nothing'}")

    def _forget_compiled(self) -> None:
        names = [compiled_key(self.plan) + suffix for suffix in (".sites", ".module", ".cwasm")]
        if self.plan.kind == "module":
            shims = shims_key(settings_of(self.plan))
            names += [shims + suffix for suffix in (".shims", ".base.cwasm", ".shim.cwasm")]
        for name in names:
            try:
                os.unlink(self.cache.path(name))
            except OSError:
                pass

    # After the end.

    def _last_messages(self) -> None:
        """Denials that were decided before the worker was killed are still in its socket."""
        if self.worker.status is None:
            return
        while True:
            try:
                message = self.worker.receive()
                if message is None:
                    return
                if message[0] in DENIALS:
                    self.trail.record(self.explainer.happening(message))
                elif message[0] == "net" and message[4] == "closed":
                    self._request(message)  # what else was asked for comes too late
            except (LookupError, TypeError, ValueError):
                continue  # never a message; what comes after it may be one

    def _last_output(self, end: End) -> None:
        """What was written before the end. Its reader is not waited for much longer than the deadline."""
        until = max(self.expires, time.monotonic()) + LAST_WORDS
        while True:
            if end.report:
                self._drain(end)
            if not any(output.busy for output in self.outputs) or time.monotonic() >= until:
                break
            poll = select.poll()
            self._watch(poll)
            self._carry(dict(poll.poll(200)), end)
        failed = next((output.failed for output in self.outputs if output.failed), None)
        if failed is not None and end.how == "exited":
            end.how, end.reason = "failed", failed

    def _drain(self, end: End) -> None:
        """Take what a guest that is over left in its pipes. All of it is there: who still has them open writes nothing.

        What is held for a slow reader stays within its bound.
        """
        for output in self.outputs:
            while output.open and len(output.pending) < PENDING:
                before = output.count
                self._carry({output.source: select.POLLIN}, end)
                if output.count == before:
                    output.stop()

    def _carry(self, ready: dict[int, int], end: End) -> None:
        """Carry output of a run that is over: too much of it is how it ended then, unless it ended badly already."""
        limit = self._move(ready)
        if limit is not None and end.how == "exited":
            end.how, end.reason, end.bound = limit.how, limit.reason, limit.bound

    def _read_of_closed_stdin(self) -> bool:
        if self.stdin is None or self.plan.stdin.granted:
            return False
        read = int(os.fstat(self.stdin).st_atime_ns)
        if not read:
            return False
        self.trail.record(self.explainer.stream("stdin", read / 1e9))
        return True

    def _value(self, end: End) -> str | None:
        """The result of a call. The worker held all of it in its bounded memory."""
        if self.answer is None or end.how != "exited":
            return None
        size = os.fstat(self.answer).st_size
        return os.pread(self.answer, size, 0).decode("utf-8", "replace") if size else None

    def _outcome(self, end: End, value: str | None) -> Outcome:
        report = end.report
        status = int(report["status"]) if end.how == "exited" else int(STATUSES[end.how])
        if report.get("how") == "usage":
            status = int(Status.USAGE)
        if end.how == "refused":
            self.trail.record(self._refused(end))
        ending = None if report.get("how") == "usage" else ENDINGS.get(end.how)
        reason = ": ".join(part for part in (ending, end.reason) if part)
        self.concluded = True
        events = self.trail.close(self._ended(reason, status))
        captured = tuple(
            Captured(self.plan.members[o.member].component, o.name, bytes(o.captured))
            for o in self.outputs
            if o.mode == "capture"
        )
        own = {name: data for component, name, data in captured if component == self.plan.component}
        return Outcome(
            how=end.how,
            exit_status=status,
            reason=end.reason,
            bound=end.bound,
            bounds=tuple(sorted(self.explainer.bounds)),
            value=value,
            stdout=own.get("stdout"),
            stderr=own.get("stderr"),
            captured=captured,
            usage=Usage(
                seconds=time.monotonic() - self.request.started,
                processor_seconds=report.get("processor"),
                memory=report.get("memory"),
                fuel=report.get("fuel"),
                output=sum(o.count for o in self.outputs),
            ),
            events=events,
            run=self.trail.run,
            trail_failed=self.trail.failed,
        )

    def _refused(self, end: End) -> Happening:
        """Of an import that does not fit what serves it, the event is at the import, and says where that is."""
        component, path, reason = self.plan.component, _paths(self.plan)[-1], end.reason or ""
        if end.instance is not None:
            component, path = end.instance.path[-1], end.instance.name
        route = f"components.{component}.source"
        if end.link is not None:
            served_by, route = end.link.component, end.link.route
            reason = f"{reason} ({served_by} is in line {self.plan.line(f'components.{served_by}')})"
        return Happening(
            name="refused",
            component=component,
            capability="run",
            reason=reason,
            line=self.plan.line(route),
            path=path,
        )

    def _ended(self, reason: str, status: int) -> Happening:
        return Happening(
            name="ended",
            component=self.plan.component,
            capability="run",
            reason=reason,
            exit_status=status,
            path=_paths(self.plan)[-1],
        )
