"""``sandbox compose``: a program of several components as one ordinary component, without its guard."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.cli.failure import CommandError
from sandbox.cli.main import complain

if TYPE_CHECKING:
    import argparse

    from sandbox.guard.reflect import Unsupported
    from sandbox.policy.model import ComponentPolicy, Policy
    from sandbox.program import Layout

STANDARD_OUTPUT = "-"


def compose(options: argparse.Namespace) -> int:
    """Write the program that ``options`` name. Raises ``CommandError``."""
    from sandbox.component import ComponentError, read_bytes
    from sandbox.policy.wiring import reach
    from sandbox.runtime.outcome import Status
    from sandbox.runtime.session import UsageError, source_of

    policy, component = _chosen(options)
    members = reach(policy, component.name)
    try:
        files = {c.name: source_of(policy, c, None) for c in policy.components if c.name in members}
    except UsageError as error:
        raise CommandError(Status.USAGE, str(error)) from None
    if not component.imports:
        raise CommandError(
            Status.USAGE,
            f"{policy.file}: {component.name} imports from no other component, so there is nothing to compose:"
            f" {files[component.name]} is all of it",
        )
    _check_target(options.output, files, force=options.force)
    try:
        data = {name: read_bytes(file) for name, file in files.items()}
    except ComponentError as error:
        raise CommandError(Status.COMPONENT, str(error)) from None
    layout = _layout(policy, component.name, files, data)
    whole = _linked(policy, layout, data)
    if options.output == STANDARD_OUTPUT:
        sys.stdout.buffer.write(whole)
    else:
        _write(options.output, whole)
    _warn(policy, layout, options.output)
    return 0


def _chosen(options: argparse.Namespace) -> tuple[Policy, ComponentPolicy]:
    from sandbox.policy.errors import PolicyError
    from sandbox.policy.load import load_policy
    from sandbox.runtime.outcome import Status
    from sandbox.runtime.session import UsageError, choose

    try:
        policy = load_policy(options.policy)
        return policy, choose(policy, options.component)
    except PolicyError as error:
        raise CommandError(Status.POLICY, str(error)) from None
    except UsageError as error:
        raise CommandError(Status.USAGE, str(error)) from None


def _layout(policy: Policy, name: str, files: Mapping[str, str], data: Mapping[str, bytes]) -> Layout:
    from sandbox.component import ComponentError, facts_of
    from sandbox.plan import PlanError
    from sandbox.program import lay_out, other_binaries
    from sandbox.runtime.outcome import Status

    try:
        facts = {member: facts_of(file, data[member]) for member, file in files.items()}
        layout, objections = lay_out(policy, name, facts)
        objections += other_binaries(policy, layout.members, facts)
        if objections:
            raise PlanError(policy, objections)
    except ComponentError as error:
        raise CommandError(Status.COMPONENT, str(error)) from None
    except PlanError as error:
        raise CommandError(Status.POLICY if error.about == "policy" else Status.COMPONENT, str(error)) from None
    return layout


def _linked(policy: Policy, layout: Layout, data: Mapping[str, bytes]) -> bytes:
    from sandbox.component import ComponentError
    from sandbox.guard.compose import compose as link
    from sandbox.guard.program import Instance, Wire
    from sandbox.guard.reflect import Unsupported
    from sandbox.runtime.engines import Engines, Settings
    from sandbox.runtime.outcome import Status

    parts = [
        Instance(
            name=instance.name,
            component=instance.member,
            wires=tuple(
                Wire(name=wire.name, instance=wire.instance, export=wire.export, only=wire.only)
                for wire in instance.links
            ),
        )
        for instance in layout.instances
    ]
    try:
        return link(Engines().engine(Settings()), [data[member] for member in layout.members], parts)
    except Unsupported as error:
        raise CommandError(Status.COMPONENT, _told(policy, layout, error)) from None
    except ComponentError as error:
        raise CommandError(Status.COMPONENT, str(error)) from None


def _told(policy: Policy, layout: Layout, error: Unsupported) -> str:
    """What the error says, behind the place of the component or import that it is about."""
    if error.instance is None:
        return str(error)
    instance = layout.instances[error.instance]
    route, other = f"components.{instance.path[-1]}.source", ""
    if error.name is not None:
        wire = {wire.name: wire for wire in instance.links}[error.name]
        route, other = wire.route, f" ({wire.component} is in line {policy.place(f'components.{wire.component}').line})"
    return f"{policy.file}:{policy.place(route).line}: {route}: {error}{other}"


def _check_target(path: str, files: Mapping[str, str], *, force: bool) -> None:
    """Refuse what nothing should be written to, before the work is done."""
    if path == STANDARD_OUTPUT:
        if os.isatty(1):
            raise CommandError(2, "a component is not written to a terminal; name a file, or send the output elsewhere")
        return
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise CommandError(2, f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(found.st_mode):
        raise CommandError(2, f"{path} is no regular file; '-' is standard output")
    if any(os.path.exists(file) and os.path.samestat(found, os.stat(file)) for file in files.values()):
        raise CommandError(2, f"{path} is one of the components that the program is made of")
    if not force:
        raise CommandError(2, f"{path} exists; --force overwrites it")


def _write(path: str, data: bytes) -> None:
    """Let the whole file appear at once, or nothing."""
    real = os.path.realpath(path)
    fresh = os.path.join(os.path.dirname(real), f".sandbox-{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(fresh, "xb") as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(fresh, real)
            except BaseException:
                os.unlink(fresh)
                raise
    except OSError as error:
        raise CommandError(125, f"{path} cannot be written: {error.strerror or error}") from None


def _warn(policy: Policy, layout: Layout, path: str) -> None:
    """Say what the program has lost of its policy."""
    name = "the program" if path == STANDARD_OUTPUT else path
    complain(
        f"{name} has no guard: whatever runs it gives its {len(layout.members)} components the same,"
        f" and of {policy.file} no grant, limit or audit holds in it"
    )
    if any(wire.only is not None for instance in layout.instances for wire in instance.links):
        complain("what `only` leaves out stays so: a call of it traps")
