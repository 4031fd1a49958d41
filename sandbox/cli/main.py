"""The command line: parses, calls, renders, exits. It decides nothing."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sandbox.audit.sink import LineSink
    from sandbox.plan import Plan
    from sandbox.runtime.outcome import Outcome
    from sandbox.runtime.process import WorkerProcess

EPILOG = """\
exit status: the component's own (0 to 255) when it ran to its end, else
  2 usage, 119 something was refused (--strict), 120 policy refused, 121 component refused,
  122 trap, 123 limit, 124 deadline, 125 the sandbox itself failed
"""


class _Failure(Exception):
    """Ends the command with an exit status and a message for standard error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of ``sandbox`` and ``python -m sandbox``."""
    try:
        status = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except _Failure as failure:
        if failure.message:
            _complain(failure.message)
        status = failure.status
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader of standard output is gone; nothing is left to be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 141
    sys.exit(status)


def _main(argv: list[str]) -> int:
    arguments: list[str] | None = None
    if "--" in argv and argv[:1] != ["call"]:
        cut = argv.index("--")
        argv, arguments = argv[:cut], argv[cut + 1 :]
    options = _parser().parse_args(argv)
    options.guest_arguments = arguments
    handler = {
        "run": _run,
        "call": _run,
        "inspect": _inspect,
        "init": _init,
        "schema": _schema,
    }[options.command]
    return handler(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandbox",
        description="Run untrusted WebAssembly components under a capability policy, every refusal audited.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run a component under a policy",
        usage="sandbox run [options] POLICY [-- ARGUMENT ...]\n       sandbox run [options] --policy POLICY COMPONENT.wasm [-- ARGUMENT ...]",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "target", metavar="POLICY | COMPONENT.wasm", help="the policy; with --policy, the component to run"
    )
    _run_options(run)

    call = commands.add_parser(
        "call",
        help="call a typed export of a component",
        usage="sandbox call [options] POLICY COMPONENT FUNCTION [ARGUMENT ...]",
        description="Calls FUNCTION (operations.add, or ns:package/interface#add) of the policy's COMPONENT with"
        " arguments in WAVE, and prints its result in WAVE.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    call.add_argument("target", metavar="POLICY")
    call.add_argument("called", metavar="COMPONENT")
    call.add_argument("function", metavar="FUNCTION")
    _run_options(call)
    call.add_argument("arguments", metavar="ARGUMENT", nargs=argparse.REMAINDER)

    inspect = commands.add_parser("inspect", help="show what a component is and asks for")
    inspect.add_argument("path", metavar="COMPONENT.wasm")
    inspect.add_argument("--json", action="store_true", help="as one JSON object")

    init = commands.add_parser("init", help="draft a policy for a component: all it could need, nothing granted")
    init.add_argument("path", metavar="COMPONENT.wasm")
    init.add_argument("--name", help="the component's name in the policy (default: after the file)")

    commands.add_parser("schema", help="print the JSON Schema of policies")
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", metavar="POLICY", help="the policy, where the target is a component's file")
    parser.add_argument("--component", metavar="NAME", help="which component of the policy, where it has several")
    parser.add_argument(
        "--audit",
        metavar="FILE",
        help="append the audit trail to FILE; '-' for standard error, 'fd:N' for a descriptor",
    )
    parser.add_argument("--plan", action="store_true", help="print what the run would get, and do not run")
    parser.add_argument("--strict", action="store_true", help="fail (119) if anything was refused")
    parser.add_argument("--json", action="store_true", help="report the outcome on standard error as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no report on standard error")


def _version() -> str:
    from sandbox import __version__

    return f"wasi-sandbox {__version__}"


def _run(options: argparse.Namespace) -> int:
    started = time.monotonic()
    from sandbox.runtime.process import WorkerProcess

    # The worker gets itself ready while this process makes its plan.
    worker = None if options.plan else WorkerProcess.fork()
    sink = None
    try:
        sink = _sink(options.audit) if options.audit is not None and not options.plan else None
        plan, outcome = _plan_and_run(options, worker, sink, started)
        if outcome is None:
            from sandbox.report.plan import plan_text

            sys.stdout.write(plan_text(plan))
            return 0
        return _finish(options, plan, outcome, sink)
    finally:
        if worker is not None:
            worker.kill()
            worker.close()
        if sink is not None:
            sink.close()


def _sink(audit: str) -> LineSink:
    from sandbox.audit.sink import SinkError, open_descriptor, open_path, open_stderr

    try:
        if audit == "-":
            return open_stderr()
        if audit.startswith("fd:"):
            if not audit[3:].isdecimal():
                raise _Failure(2, f"--audit {audit}: a descriptor is a number, as in fd:3")
            return open_descriptor(int(audit[3:]))
        return open_path(audit)
    except SinkError as error:
        raise _Failure(125, str(error)) from None


def _plan_and_run(
    options: argparse.Namespace, worker: WorkerProcess | None, sink: LineSink | None, started: float
) -> tuple[Plan, Outcome | None]:
    from sandbox.component import ComponentError
    from sandbox.plan import PlanError
    from sandbox.policy.errors import PolicyError
    from sandbox.runtime import session
    from sandbox.runtime.cache import Cache, CacheError, default_directory

    calls = options.command == "call"
    policy_path, source, name = options.target, None, options.component
    if calls:
        name = options.called
    elif options.policy is not None:
        policy_path, source = options.policy, options.target
    try:
        cache = Cache(default_directory())
        policy = session.cached_policy(policy_path, cache)
        component = session.choose(policy, name)
        file = options.audit if options.audit not in (None, "-") and not options.audit.startswith("fd:") else None
        writes = [("the audit trail", os.path.realpath(file))] if file else []
        plan = session.plan_of(
            policy, component, cache, source=source, arguments=options.guest_arguments, writes=writes
        )
        if worker is None:
            return plan, None
        call = session.resolve_call(plan, options.function, options.arguments) if calls else None
        outcome, _ = session.execute(
            plan,
            worker,
            cache,
            call=call,
            sink=sink,
            started=started,
            announce=_announce if sys.stderr.isatty() else None,
        )
    except PolicyError as error:
        raise _Failure(120, str(error)) from None
    except PlanError as error:
        raise _Failure(120 if error.about == "policy" else 121, str(error)) from None
    except ComponentError as error:
        raise _Failure(121, str(error)) from None
    except session.UsageError as error:
        raise _Failure(2, str(error)) from None
    except CacheError as error:
        raise _Failure(125, str(error)) from None
    return plan, outcome


def _announce(sentence: str) -> None:
    sys.stderr.write(f"sandbox: {sentence}\n")
    sys.stderr.flush()


def _finish(options: argparse.Namespace, plan: Plan, outcome: Outcome, sink: LineSink | None) -> int:
    """Report a run, and say what its exit status is."""
    status = outcome.exit_status
    if options.strict and outcome.how == "exited" and outcome.denied:
        status = 119
    if outcome.trail_failed is not None:
        _complain(f"the audit trail is not whole: {outcome.trail_failed}")
        status = 125
    if outcome.stdout is not None:
        _write(1, outcome.stdout)
    if outcome.stderr is not None:
        _write(2, outcome.stderr)
    if outcome.value is not None:
        from sandbox.report.text import escape

        sys.stdout.write(f"{escape(outcome.value)}\n")
        sys.stdout.flush()
    if options.json:
        from sandbox.report import json as report_json

        sys.stderr.write(
            report_json.outcome(
                component=plan.component,
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

    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    width = 100
    if sys.stderr.isatty():
        width = os.get_terminal_size(2).columns
    told = text.denials(outcome.events, color=color, width=width)
    line = text.outcome(
        component=plan.component,
        exit_status=status,
        bound=outcome.bound,
        seconds=outcome.usage.seconds,
        memory=outcome.usage.memory,
        refused=refused_calls(outcome.events),
    )
    why = ""
    if outcome.how != "exited" and outcome.bound is None and outcome.reason and outcome.how != "refused":
        why = "".join(f"sandbox: {text.escape(part)}\n" for part in outcome.reason.splitlines())
    sys.stderr.write(f"{told}{why}{line}")
    sys.stderr.flush()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _inspect(options: argparse.Namespace) -> int:
    from sandbox.report.inspect import inspect_data, inspect_text

    facts = _facts(options.path)
    if options.json:
        import json

        sys.stdout.write(json.dumps(inspect_data(facts), indent=2) + "\n")
    else:
        sys.stdout.write(inspect_text(facts))
    return 0


def _init(options: argparse.Namespace) -> int:
    from sandbox.report.draft import draft_policy, suggest_name

    facts = _facts(options.path)
    try:
        sys.stdout.write(draft_policy(facts, options.path, options.name or suggest_name(options.path)))
    except ValueError as error:
        raise _Failure(121, str(error)) from None
    return 0


def _facts(path: str):  # type: ignore[no-untyped-def] # noqa: ANN202
    from sandbox.component import ComponentError, read_component

    try:
        return read_component(path)
    except ComponentError as error:
        raise _Failure(121, str(error)) from None


def _schema(_: argparse.Namespace) -> int:
    import json

    from sandbox.policy.schema import policy_schema

    sys.stdout.write(json.dumps(policy_schema(), indent=2) + "\n")
    return 0


def _complain(message: str) -> None:
    from sandbox.report.text import escape

    for line in message.splitlines():
        sys.stderr.write(f"sandbox: {escape(line)}\n")
    sys.stderr.flush()
