"""Applying fixes to policy files, until there is none left to apply."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator

from sandbox.host import Machine
from sandbox.lint.finding import Finding
from sandbox.lint.fixes import apply, chosen
from sandbox.lint.linter import Linter
from sandbox.lint.paths import Found
from sandbox.policy.errors import PolicyError
from sandbox.policy.file import policy_directory, read_policy_file
from sandbox.policy.load import parse_policy

ROUNDS = 50
"""Rounds of linting and mending; each applies all fixes that do not overlap."""

_MARK = b"\xef\xbb\xbf"


class MendError(Exception):
    """A policy cannot be written. ``str`` is one sentence."""


def mend(found: Found, machine: Machine, *, unsafe: bool) -> Iterator[str]:
    """Apply the fixes of all findings, ``unsafe`` ones where asked for; a line on each. Raises ``MendError``."""
    linter = Linter(machine)
    for file in found.files:
        try:
            before = read_policy_file(file)
        except PolicyError:
            continue
        after, applied = mended(linter, before, file=file, unsafe=unsafe)
        if after != before:
            _write(file, before, after)
        for finding in applied:
            assert finding.fix is not None
            place = f"{file}:{finding.region.line}:{finding.region.column}"
            yield f"{place}: {finding.rule}: {finding.fix.message}"


def mended(linter: Linter, text: bytes, *, file: str, unsafe: bool) -> tuple[bytes, tuple[Finding, ...]]:
    """The policy ``text`` with every fix applied, and the findings that they mended."""
    directory = policy_directory(file)
    applied: list[Finding] = []
    for _ in range(ROUNDS):
        picked = chosen(linter.text(text, file=file, directory=directory), unsafe=unsafe)
        if not picked:
            break
        # Two that each leave something in a list may leave nothing in it together.
        for some in (picked, *((finding,) for finding in picked)):
            edited = _edited(text, some)
            if _loads(edited, file, directory):
                break
        else:
            break
        text = edited
        applied += some
    return text, tuple(applied)


def _edited(text: bytes, findings: tuple[Finding, ...]) -> bytes:
    mark, plain = (_MARK, text[len(_MARK) :]) if text.startswith(_MARK) else (b"", text)
    edits = [edit for finding in findings if finding.fix is not None for edit in finding.fix.edits]
    return mark + apply(plain.decode("utf-8"), edits).encode("utf-8")


def _loads(text: bytes, file: str, directory: str) -> bool:
    try:
        parse_policy(text, file=file, directory=directory)
    except PolicyError:
        return False
    return True


def _write(path: str, before: bytes, after: bytes) -> None:
    """Replace the file at once, where it still says what was read."""
    real = os.path.realpath(path)
    try:
        with tempfile.NamedTemporaryFile(dir=os.path.dirname(real), prefix=".sandbox-", delete=False) as file:
            try:
                os.fchmod(file.fileno(), stat.S_IMODE(os.stat(real).st_mode))
                file.write(after)
                file.flush()
                os.fsync(file.fileno())
                if read_policy_file(real) != before:
                    raise MendError(f"{path} changed while it was mended; try again")
                os.replace(file.name, real)
            except BaseException:
                os.unlink(file.name)
                raise
    except PolicyError as error:
        raise MendError(str(error)) from None
    except OSError as error:
        raise MendError(f"{path} cannot be written: {error.strerror}") from None
