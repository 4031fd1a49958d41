"""``sandbox split``: a component that other tools composed, as its parts and a policy that wires them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sandbox.cli.failure import CommandError

if TYPE_CHECKING:
    import argparse

    from sandbox.component import Buffer
    from sandbox.split import Split


def split(options: argparse.Namespace) -> int:
    """Write the parts and the policy of the component that ``options`` name. Raises ``CommandError``."""
    from sandbox.component import ComponentError, read_bytes
    from sandbox.report.draft import draft_program
    from sandbox.runtime.outcome import Status
    from sandbox.split import POLICY_FILE, SplitError
    from sandbox.split import split as take_apart

    try:
        data = read_bytes(options.path)
    except ComponentError as error:
        raise CommandError(Status.COMPONENT, str(error)) from None
    try:
        found = take_apart(data)
        _check(data, found)
    except (ComponentError, SplitError) as error:
        raise CommandError(Status.COMPONENT, f"{options.path} cannot be taken apart: {error}") from None
    policy = draft_program(found.policy, found.facts)
    # The policy comes last: where it is, its components are.
    files: dict[str, Buffer] = {**found.files, POLICY_FILE: policy.encode()}
    _check_target(options.output, options.path, files, force=options.force)
    _write(options.output, files)
    sys.stdout.write(_told(found, os.path.join(options.output, POLICY_FILE)))
    return 0


def _check(data: bytes, found: Split) -> None:
    """Refuse what Wasmtime does, the whole or a part by itself, since it may need what stands around it."""
    from sandbox.component import ComponentError
    from sandbox.guard.fit import exports_of
    from sandbox.guard.reflect import Unsupported
    from sandbox.runtime.engines import Engines, Settings
    from sandbox.split import SplitError

    engine = Engines().engine(Settings())
    parts: dict[str, Buffer] = {
        component.name: found.files[component.source or ""] for component in found.policy.components
    }
    for name, part in (("", data), *parts.items()):
        try:
            exports_of(engine, bytes(part))
        except (Unsupported, ComponentError) as error:
            raise SplitError(f"its part {name}: {error}" if name else str(error)) from None


def _check_target(directory: str, source: str, files: Mapping[str, Buffer], *, force: bool) -> None:
    """Refuse what nothing should be written to, before anything is."""
    try:
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            raise CommandError(2, f"{directory} is no directory")
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise CommandError(2, f"{directory} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    for name in files:
        path = os.path.join(directory, name)
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CommandError(2, f"{path} cannot be written: {error.strerror or error}") from None
        if not stat.S_ISREG(found.st_mode):
            raise CommandError(2, f"{path} is no regular file")
        if os.path.samestat(found, os.stat(source)):
            raise CommandError(2, f"{path} is the component that is taken apart")
        if not force:
            raise CommandError(2, f"{path} exists; --force overwrites it")


def _write(directory: str, files: Mapping[str, Buffer]) -> None:
    """Let all files appear, or none: a new directory at once, in one that is there each file whole."""
    try:
        if os.path.exists(directory):
            with _staged(directory, files) as fresh:
                for name in files:
                    os.replace(os.path.join(fresh, name), os.path.join(directory, name))
        else:
            with _staged(os.path.dirname(os.path.abspath(directory)), files) as fresh:
                os.rename(fresh, directory)
    except OSError as error:
        raise CommandError(125, f"{directory} cannot be written: {error.strerror or error}") from None


@contextmanager
def _staged(parent: str, files: Mapping[str, Buffer]) -> Iterator[str]:
    """A directory in ``parent`` with all files in it, which is removed in the end with what is still there."""
    fresh = os.path.join(parent, f".sandbox-{os.getpid()}.{os.urandom(4).hex()}")
    os.mkdir(fresh)
    try:
        for name, data in files.items():
            with open(os.path.join(fresh, name), "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        yield fresh
    finally:
        for name in files:
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(fresh, name))
        with suppress(FileNotFoundError):
            os.rmdir(fresh)


def _told(found: Split, policy: str) -> str:
    """What was written, for a terminal."""
    from sandbox.report.text import plain

    lines = [f"{plain(policy)} grants nothing yet, and runs {found.policy.run}"]
    for component in found.policy.components:
        servers = dict.fromkeys(wire.component for wire in component.imports)
        served = f", imports from {', '.join(servers)}" if servers else ""
        lines.append(f"  {component.name}: {component.source}, {found.facts[component.name].size:,} bytes{served}")
    if found.unused:
        count = "1 component" if found.unused == 1 else f"{found.unused:,} components"
        lines.append(f"  left out: {count} inside that nothing instantiates")
    return "\n".join(lines) + "\n"
