"""The options and arguments of each command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

STATUSES = """\
exit status: the component's own (0 to 255) when it ran to its end, else
  2 usage, 119 something was refused (--strict), 120 policy refused, 121 component refused,
  122 trap, 123 limit, 124 deadline, 125 the sandbox itself failed
"""

REVIEW_STATUSES = """\
exit status: 0 nothing to report, 1 something to report, 2 usage, or something could not be judged
"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """What ``argv`` asks for. Prints usage and exits (0 or 2) where it asks for help or makes no sense.

    For ``run`` and ``call`` the result has ``policy`` and ``source`` (paths), ``component`` (a name in the policy),
    ``function`` and ``arguments``, each ``None`` where it was not given.
    """
    # An option whose value may be left out would take the first path for it.
    argv = ["--fix=safe" if word == "--fix" else word for word in argv] if argv[:1] == ["lint"] else list(argv)
    given = None
    if argv[:1] == ["run"] and "--" in argv:
        cut = argv.index("--")
        argv, given = argv[:cut], argv[cut + 1 :]
    if argv[:1] == ["diff"] and "--" in argv:
        cut = argv.index("--")
        argv, given = argv[:cut], argv[cut + 1 :]
    parsers = _parsers()
    options = parsers[""].parse_args(argv)
    if options.command in ("run", "call"):
        _arrange(options, parsers[options.command], given)
    elif options.command == "diff":
        _arrange_diff(options, parsers["diff"], given)
    return options


def _arrange_diff(options: argparse.Namespace, parser: argparse.ArgumentParser, given: list[str] | None) -> None:
    named = [*options.policies, *(given or ())]
    options.old = options.new = None
    options.paths = []
    if options.git is not None:
        options.paths = named or ["."]
    elif len(named) == 2:
        options.old, options.new = named
    else:
        parser.error("two policies are compared: OLD NEW, or --git REVISION with policies or folders of them")


def _arrange(options: argparse.Namespace, parser: argparse.ArgumentParser, given: list[str] | None) -> None:
    options.source = options.function = None
    options.arguments = given
    if options.policy is None:
        options.policy = options.target
    else:
        options.source = options.target
    if options.command == "call":
        rest = list(options.rest)
        if options.source is None:
            if options.component is not None:
                parser.error("--component names the component where --policy names the policy")
            options.component = rest.pop(0) if rest else None
        options.function = rest.pop(0) if rest else None
        if options.function is None:
            parser.error("which function? it follows the component")
        for name in (options.component, options.function):
            if name is not None and name.startswith("-"):
                parser.error(f"options come before the policy: {name}")
        options.arguments = rest[1:] if rest[:1] == ["--"] else rest
    if options.plan and (options.strict or options.json or options.quiet):
        parser.error("--plan runs nothing, so there is nothing to report or to be strict about")


def _parsers() -> dict[str, argparse.ArgumentParser]:
    from sandbox import __version__

    top = argparse.ArgumentParser(
        prog="sandbox",
        description="Run untrusted WebAssembly components and modules under a policy, every refusal audited.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"wasi-sandbox {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run a component or module under a policy",
        usage="sandbox run [options] POLICY [-- ARGUMENT ...]\n"
        "       sandbox run [options] --policy POLICY COMPONENT.wasm [-- ARGUMENT ...]",
        description="Runs the component that POLICY names, or COMPONENT.wasm under it, with what is behind `--` as its"
        " arguments.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    run.add_argument("target", metavar="POLICY", help="the policy; with --policy, the component's file")
    _run_options(run)

    call = commands.add_parser(
        "call",
        help="call a typed export of a component or module",
        usage="sandbox call [options] POLICY COMPONENT FUNCTION [ARGUMENT ...]\n"
        "       sandbox call [options] --policy POLICY COMPONENT.wasm FUNCTION [ARGUMENT ...]",
        description="Calls FUNCTION (operations.add, or ns:package/interface#add) of the policy's COMPONENT with\n"
        "arguments in WAVE, and prints its result in WAVE.",
        epilog=STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _run_options(call)
    call.add_argument("target", metavar="POLICY", help="the policy; with --policy, the component's file")
    call.add_argument(
        "rest",
        metavar="COMPONENT FUNCTION ARGUMENT",
        nargs=argparse.REMAINDER,
        help="the component's name in the policy, its function, and the function's arguments",
    )

    inspect = commands.add_parser("inspect", help="show what a component or module is and asks for", allow_abbrev=False)
    inspect.add_argument("path", metavar="COMPONENT.wasm")
    inspect.add_argument("--json", action="store_true", help="as one JSON object")

    graph = commands.add_parser(
        "graph",
        help="draw the programs of a policy: who imports from whom, what each may do, and reach",
        description="Draws the components that POLICY wires together, with what each is granted and what it can reach\n"
        "through others in the end. The components themselves are not read.",
        epilog="exit status: 0, or 2 where there is nothing to draw: usage, or a policy that is refused\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    graph.add_argument("policy", metavar="POLICY")
    graph.add_argument(
        "--component", metavar="NAME", help="the program of this component alone (default: all programs)"
    )
    graph.add_argument(
        "--format",
        choices=("text", "mermaid", "svg", "json"),
        default="text",
        help="a tree (default), a flowchart in Mermaid, a picture, or data",
    )

    compose = commands.add_parser(
        "compose",
        help="link the components of a program into one that other runtimes run, without the guard",
        description="Writes the program that POLICY wires together as one ordinary component. Of the policy's grants,\n"
        "limits and audit nothing is in it; a function that `only` leaves out traps.",
        epilog="exit status: 0, else\n"
        "  2 usage, 120 policy refused, 121 component refused, 125 the program cannot be written\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    compose.add_argument("policy", metavar="POLICY")
    compose.add_argument(
        "--component", metavar="NAME", help="the program of this component (default: the policy's run, or its only one)"
    )
    compose.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="where to write it; '-' for standard output"
    )
    compose.add_argument("--force", action="store_true", help="overwrite FILE")

    split = commands.add_parser(
        "split",
        help="take a component apart that other tools composed, into its parts and a policy that wires them",
        description="Writes each component inside COMPONENT.wasm to a file of its own, and policy.yaml, which grants\n"
        "nothing and wires them as they were. What cannot be taken apart faithfully is refused.",
        epilog="exit status: 0, else\n  2 usage, 121 component refused, 125 the files cannot be written\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    split.add_argument("path", metavar="COMPONENT.wasm")
    split.add_argument(
        "-o", "--output", metavar="DIRECTORY", required=True, help="where to write them; made where there is none"
    )
    split.add_argument("--force", action="store_true", help="overwrite files of the same names in DIRECTORY")

    init = commands.add_parser(
        "init", help="draft a policy for a component or module: all it could need, nothing granted", allow_abbrev=False
    )
    init.add_argument("path", metavar="COMPONENT.wasm")
    init.add_argument("--name", help="the component's name in the policy (default: after the file)")

    diff = _review_commands(commands)
    commands.add_parser("schema", help="print the JSON Schema of policies", allow_abbrev=False)
    return {"": top, "run": run, "call": call, "diff": diff}


def _review_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """``lint``, ``rules``, ``explain``, ``lock`` and ``diff``; the parser of the last."""
    lint = commands.add_parser(
        "lint",
        help="look for what is too wide, or wrong, in policies",
        description="Looks at policies, and at the components that they name, which are read and never run.",
        epilog=REVIEW_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    lint.add_argument("paths", metavar="PATH", nargs="*", help="policies, or folders of them (default: this folder)")
    lint.add_argument("--format", choices=("text", "json", "sarif", "github", "junit"), default="text")
    lint.add_argument(
        "--min-severity",
        choices=("low", "medium", "high"),
        default="medium",
        help="the least severity that is shown, and that fails (default: medium)",
    )
    lint.add_argument(
        "--fix",
        choices=("safe", "unsafe"),
        help="mend what can be mended without changing what any run may do; with --fix=unsafe also what narrows it",
    )
    lint.add_argument("--output", metavar="FILE", help="write there instead of to standard output")
    lint.add_argument("--fail", action="store_true", help="exit 1 on findings with --format sarif, too")
    lint.add_argument("--docs", metavar="URL", help="where the rules' pages are, for --format sarif")

    commands.add_parser("rules", help="list the rules of lint", allow_abbrev=False)
    explain = commands.add_parser("explain", help="print the page of a rule of lint", allow_abbrev=False)
    explain.add_argument("rule", metavar="RULE")

    lock = commands.add_parser(
        "lock",
        help="record the digests and imports of the components that policies name",
        description="Writes sandbox.lock beside the policies: digest and imports of every component that they name.",
        epilog=REVIEW_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    lock.add_argument("paths", metavar="PATH", nargs="*", help="policies, or folders of them (default: this folder)")
    lock.add_argument("--check", action="store_true", help="write nothing; exit 1 where a component is another one")
    lock.add_argument("--format", choices=("text", "json"), default="text")

    diff = commands.add_parser(
        "diff",
        help="show which capabilities a change of policies gives and takes",
        usage="sandbox diff [options] OLD NEW\n       sandbox diff [options] --git REVISION [--] [PATH ...]",
        description="Compares two versions of a policy by what they grant; exits 1 where something was gained.",
        epilog=REVIEW_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    diff.add_argument("policies", metavar="POLICY", nargs="*", help="OLD NEW; with --git, policies or folders of them")
    diff.add_argument("--git", metavar="REVISION", help="compare the work tree with this revision")
    diff.add_argument("--format", choices=("text", "json", "markdown"), default="text")
    return diff


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", metavar="POLICY", help="the policy, where the target is a component's file")
    parser.add_argument(
        "--component", metavar="NAME", help="which component of the policy (default: its run, or its only one)"
    )
    parser.add_argument(
        "--audit",
        metavar="FILE",
        help="append the audit trail to FILE; '-' for standard error, 'fd:N' for a descriptor",
    )
    parser.add_argument("--plan", action="store_true", help="print what the run would get, and do not run")
    parser.add_argument("--strict", action="store_true", help="fail (119) if anything was refused")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true", help="report on standard error, as one JSON object")
    told.add_argument("--quiet", action="store_true", help="no report on standard error")
