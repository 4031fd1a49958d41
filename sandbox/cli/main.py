"""The command line: parses, calls, renders, exits. It decides nothing."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from sandbox.cli.failure import CommandError

if TYPE_CHECKING:
    import argparse

INTERRUPTED = 128
"""Exit status of a command that a signal ended, less the signal's number."""


def command() -> NoReturn:
    """Entry point of ``sandbox`` and ``python -m sandbox``: ``main`` in a process of its own.

    Such a process is over too soon for the collector to be worth its time, and taking the interpreter apart at the end
    would cost a tenth of a short run.
    """
    gc.disable()
    try:
        main()
    except SystemExit as end:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            pass
        os._exit(end.code if isinstance(end.code, int) else int(end.code is not None))


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The command with its arguments; ends in ``SystemExit``."""
    _open_standard_streams()
    try:
        status = _main(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except CommandError as failure:
        complain(failure.message)
        status = failure.status
    except KeyboardInterrupt:
        status = INTERRUPTED + signal.SIGINT
    except BrokenPipeError:
        # The reader of standard output is gone; nothing is left to be flushed to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = INTERRUPTED + signal.SIGPIPE
    except OSError as error:
        # Standard output is full, say: what it still holds is lost, and the run's trail stands.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            complain(f"what this has to say cannot be written: {error.strerror}")
        except OSError:
            pass
        status = 125
    sys.exit(status)


def complain(message: str) -> None:
    """Say what is wrong, on standard error, whatever is in it."""
    from sandbox.report.text import escape, inert

    sys.stderr.write(inert("".join(f"sandbox: {escape(line)}\n" for line in message.splitlines())))
    sys.stderr.flush()


def _main(argv: list[str]) -> int:
    if argv[:1] in (["run"], ["call"]):
        from sandbox.cli.run import main as run

        return run(argv)
    from sandbox.cli.arguments import parse

    options = parse(argv)
    command: Callable[[argparse.Namespace], int]
    command = getattr(import_module(f"sandbox.cli.{_MODULES[options.command]}"), options.command)
    return command(options)


_MODULES = {
    "inspect": "show",
    "init": "show",
    "schema": "show",
    "graph": "graph",
    "compose": "compose",
    "split": "split",
    "lint": "lint",
    "rules": "lint",
    "explain": "lint",
    "lock": "lock",
    "diff": "diff",
}
"""The module of each command that runs nothing; its function has the command's name."""


def _open_standard_streams() -> None:
    """Give a standard stream that is closed nothing to speak to.

    Else the next thing opened would get its number: the guest's output could end up in the audit trail.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, flags)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            stream = open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
