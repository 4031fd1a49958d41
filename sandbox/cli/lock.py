"""``sandbox lock``: writes down what the components beside policies are, or compares them with what was written."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sandbox.cli.failure import CommandError
from sandbox.cli.main import complain

if TYPE_CHECKING:
    import argparse


def lock(options: argparse.Namespace) -> int:
    """0: all is locked, or agrees with its lock; 1: something differs; 2: something could not be judged."""
    from sandbox.lint import locking
    from sandbox.report.locks import locks_json, locks_text
    from sandbox.report.text import plain

    folders = locking.folders(options.paths or ["."])
    if not folders:
        where = plain(", ".join(options.paths)) or "this folder"
        raise CommandError(2, f"no policy was found in {where}: a policy is a YAML file with `components`")
    surveyor = locking.Surveyor()
    settle = locking.compare if options.check else locking.lock
    accounts = [settle(surveyor.survey(folder)) for folder in folders]
    if options.format == "json":
        sys.stdout.write(locks_json(accounts))
    else:
        sys.stdout.write(locks_text(accounts))
        for account in accounts:
            for fault in account.survey.faults:
                complain(plain(fault))
    outcomes = {account.outcome for account in accounts}
    if "refused" in outcomes:
        return 2
    return 1 if outcomes & {"differs", "missing"} else 0
