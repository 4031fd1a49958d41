"""``sandbox run`` and ``sandbox call``: a run, what is said about it, and its exit status."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from sandbox.cli.failure import CommandError
from sandbox.runtime.process import WorkerProcess, write_all

if TYPE_CHECKING:
    import argparse

    from sandbox.audit.sink import LineSink
    from sandbox.plan import Plan
    from sandbox.policy.model import Policy
    from sandbox.runtime.cache import Cache
    from sandbox.runtime.outcome import Outcome


def main(argv: list[str]) -> int:
    """Run what ``argv`` asks for; its exit status. Raises ``CommandError``."""
    started = time.monotonic()
    # The worker gets itself ready while this process reads options and policy, so it comes first.
    worker = None if {"--plan", "--help", "-h"}.intersection(argv) else WorkerProcess.fork()
    _end_in_order()
    sink = None
    try:
        from sandbox.cli.arguments import parse

        options = parse(argv)
        if options.plan:
            return _show_plan(options)
        worker = worker or WorkerProcess.fork()
        sink = None if options.audit is None else _open_sink(options.audit, worker)
        return _run(options, worker, sink, started)
    finally:
        if worker is not None:
            worker.kill()
            worker.close()
        if sink is not None:
            _close_sink(sink)


def _end_in_order() -> None:
    """Signals that ask a program to end interrupt the run, so that its worker and its trail are ended too."""

    def end(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end)


def _open_sink(audit: str, worker: WorkerProcess) -> LineSink:
    from sandbox.audit.sink import SinkError, open_descriptor, open_path, open_stderr

    try:
        if audit == "-":
            return open_stderr()
        if not audit.startswith("fd:"):
            return open_path(audit)
        number = audit[3:]
        if not (number.isascii() and number.isdecimal()):
            raise CommandError(2, f"--audit {audit}: a descriptor is a number, as in fd:3")
        if int(number) in (worker.end.fileno(), worker.diagnostics):
            raise SinkError(f"cannot write the audit trail to descriptor {number}: it is not open")
        return open_descriptor(int(number))
    except SinkError as error:
        raise CommandError(125, str(error)) from None


def _close_sink(sink: LineSink) -> None:
    from sandbox.audit.sink import SinkError

    try:
        sink.close()
    except SinkError as error:
        raise CommandError(125, str(error)) from None


def _show_plan(options: argparse.Namespace) -> int:
    from sandbox.report.plan import plan_text

    policy, cache = _policy(options, None)
    sys.stdout.write(plan_text(_plan(options, policy, cache, None)))
    return 0


def _run(options: argparse.Namespace, worker: WorkerProcess, sink: LineSink | None, started: float) -> int:
    try:
        policy, cache = _policy(options, sink)
        plan = _plan(options, policy, cache, sink)
        outcome = _execute(options, plan, cache, worker, sink, started)
    except CommandError as error:
        if not (options.json and error.events):
            raise
        from sandbox.report import json

        sys.stderr.write(
            json.outcome(
                component=error.events[0].component,
                how="refused",
                reason=error.message,
                exit_status=error.status,
                bound=None,
                seconds=time.monotonic() - started,
                memory=None,
                events=error.events,
            )
        )
        return error.status
    worker.stop()  # it goes while this process reports
    return _finish(options, plan, outcome)


def _policy(options: argparse.Namespace, sink: LineSink | None) -> tuple[Policy, Cache]:
    from sandbox.policy.errors import PolicyError
    from sandbox.runtime.cache import Cache, CacheError, default_directory
    from sandbox.runtime.session import cached_policy, record_refusal

    try:
        cache = Cache(default_directory())
        return cached_policy(options.policy, cache), cache
    except PolicyError as error:
        raise CommandError(120, str(error), record_refusal(error, options.policy, options.component, sink)) from None
    except CacheError as error:
        raise CommandError(125, str(error)) from None


def _plan(options: argparse.Namespace, policy: Policy, cache: Cache, sink: LineSink | None) -> Plan:
    from sandbox.component import ComponentError
    from sandbox.plan import PlanError
    from sandbox.runtime import session

    name = options.component
    try:
        component = session.choose(policy, name)
        name = component.name
        return session.plan_of(
            policy,
            component,
            cache,
            source=options.source,
            arguments=options.arguments if options.function is None else None,
            writes=session.written_to(sink),
        )
    except (PlanError, ComponentError) as error:
        events = session.record_refusal(error, options.policy, name, sink)
        status = 120 if isinstance(error, PlanError) and error.about == "policy" else 121
        raise CommandError(status, str(error), events) from None
    except session.UsageError as error:
        raise CommandError(2, str(error)) from None


def _execute(
    options: argparse.Namespace,
    plan: Plan,
    cache: Cache,
    worker: WorkerProcess,
    sink: LineSink | None,
    started: float,
) -> Outcome:
    from sandbox.runtime import session

    def prepare() -> None:
        from sandbox.audit.sink import SinkError

        try:
            if sink is not None:
                sink.prepare()
        except SinkError:
            pass  # the first event will say so

    try:
        call = None
        if options.function is not None:
            call = session.resolve_call(plan, options.function, options.arguments)
        outcome, _ = session.execute(
            plan,
            worker,
            cache,
            call=call,
            sink=sink,
            started=started,
            announce=_announce if sys.stderr.isatty() else None,
            meanwhile=prepare,
        )
    except session.UsageError as error:
        raise CommandError(2, str(error)) from None
    return outcome


CALM = "\x18\x1b\\\x1b[0m\x1b(B\r"
"""Ends whatever the guest began on the terminal: a half-written sequence, a string, colours, another character set."""


def _announce(sentence: str) -> None:
    from sandbox.report.text import escape, inert

    sys.stderr.write(inert(f"sandbox: {escape(sentence)}\n"))
    sys.stderr.flush()


def _finish(options: argparse.Namespace, plan: Plan, outcome: Outcome) -> int:
    """Report a run, and say what its exit status is."""
    status = outcome.exit_status
    if options.strict and outcome.how == "exited" and outcome.denied:
        status = 119
    if outcome.trail_failed is not None:
        from sandbox.cli.main import complain

        complain(f"the audit trail is not whole: {outcome.trail_failed}")
        status = 125
    if outcome.stdout:
        write_all(1, outcome.stdout)
    if outcome.stderr:
        write_all(2, outcome.stderr)
    if outcome.value is not None:
        from sandbox.report.text import escape

        sys.stdout.write(f"{escape(outcome.value)}\n")
        sys.stdout.flush()
    if options.json:
        from sandbox.report import json

        sys.stderr.write(
            json.outcome(
                component=plan.component,
                how=outcome.how,
                reason=outcome.reason,
                exit_status=status,
                bound=outcome.bound,
                seconds=outcome.usage.seconds,
                memory=outcome.usage.memory,
                events=outcome.events,
            )
        )
    elif not options.quiet:
        _report(plan, outcome, status)
    return status


def _report(plan: Plan, outcome: Outcome, status: int) -> None:
    """What was refused and how the run ended; nothing where there is nothing to say."""
    if outcome.how == "exited" and not outcome.denied:
        return
    from sandbox.report import text
    from sandbox.report.json import refused_calls

    terminal = sys.stderr.isatty()
    if terminal and "inherit" in (plan.stdout.mode, plan.stderr.mode):
        sys.stderr.write(CALM)
    width = os.get_terminal_size(2).columns if terminal else 100
    told = text.denials(outcome.events, color=terminal and not os.environ.get("NO_COLOR"), width=width)
    line = text.outcome(
        component=plan.component,
        exit_status=status,
        bound=outcome.bound,
        seconds=outcome.usage.seconds,
        memory=outcome.usage.memory,
        refused=refused_calls(outcome.events),
    )
    why = ""
    if outcome.how in ("trapped", "failed") and outcome.reason:
        why = "".join(f"sandbox: {text.escape(part)}\n" for part in outcome.reason.splitlines())
    # What never ran did not end either: the reason says it all.
    sys.stderr.write(told if outcome.how == "refused" else f"{told}{why}{line}")
    sys.stderr.flush()
