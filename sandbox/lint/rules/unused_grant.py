"""A grant that the component has no use for, since it imports nothing that would need it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sandbox.component import Facts
from sandbox.lint.case import Case
from sandbox.lint.finding import Fix, Severity
from sandbox.lint.fixes import remove, replace_value
from sandbox.lint.needs import Needs, Part, writes_files
from sandbox.lint.rule import Problem, Rule
from sandbox.policy.hosts import network_of
from sandbox.policy.model import Clocks, Sockets

_DOES: dict[Part, str] = {
    "filesystem": "opens a directory",
    "stdio.stdin": "reads standard input",
    "stdio.stdout": "writes standard output",
    "stdio.stderr": "writes standard error",
    "environment": "reads environment variables",
    "arguments": "reads arguments",
    "clocks.wall": "reads the date and time",
    "clocks.monotonic": "measures time",
    "random": "takes random numbers",
    "sockets.tcp": "uses TCP",
    "sockets.udp": "uses UDP",
    "sockets.dns": "looks up names",
}


class _Grant(NamedTuple):
    """Something that is granted by itself."""

    route: tuple[str, ...]
    """Below ``grants``."""
    parts: Sequence[Part]
    """What it is for; it is unused if nothing asks for any of it."""
    severity: Severity | None = None
    alike: bool = True
    """Whether a run that does not use it is the same without it."""


def _check(case: Case) -> Iterator[Problem]:
    facts, needs = case.facts, case.needs
    if facts is None or needs is None:
        return
    for grant in (*_granted(case, facts), *_network(case.component.grants.sockets, facts, needs)):
        if not any(part in needs for part in grant.parts):
            does = " or ".join(_DOES[part] for part in grant.parts)
            message = f"the {facts.kind} imports nothing that {does}: it has no use for this grant"
            if facts.kind == "module" and grant.route == ("sockets",):
                message = (
                    "a module has no way to open a socket, so each run is refused: build a component, or remove this"
                )
            yield Problem(
                route=case.route("grants", *grant.route),
                on="key",
                message=message,
                severity=grant.severity,
                fix=_removal(case, grant.route, alike=grant.alike),
            )
    if facts.kind == "module" and "filesystem" in needs and not writes_files(facts):
        yield from _writes(case)
    if "sockets.dns" not in needs and case.component.grants.sockets is not None:
        yield from _names(case, case.component.grants.sockets, needs)


def _granted(case: Case, facts: Facts) -> Iterator[_Grant]:
    """What is granted beside the network. What only says that nothing is given, such as ``discard``, is left out."""
    grants, component = case.component.grants, facts.kind == "component"
    if grants.filesystem:
        # A module asks with functions of no family what any of its descriptors is.
        asks = not component or any(item.name.startswith("wasi:filesystem/preopens@") for item in facts.imports)
        yield _Grant(("filesystem",), ("filesystem",), alike=not asks)
    stdio = grants.stdio
    if stdio.stdin is not None and stdio.stdin.mode not in ("closed", "discard"):
        # The caller's own stream is handed over: what becomes of it is not for the policy alone to say.
        yield _Grant(("stdio", "stdin"), ("stdio.stdin",), alike=component and stdio.stdin.mode == "file")
    outputs: tuple[tuple[str, Part, object], ...] = (
        ("stdout", "stdio.stdout", stdio.stdout and stdio.stdout.mode),
        ("stderr", "stdio.stderr", stdio.stderr and stdio.stderr.mode),
    )
    for name, part, mode in outputs:
        if mode not in (None, "closed", "discard"):
            # A file is emptied by each run, and the caller finds what is captured, though it be nothing.
            yield _Grant(("stdio", name), (part,), alike=component and mode == "inherit")
    if grants.environment is not None and (grants.environment.set or grants.environment.inherit):
        yield _Grant(("environment",), ("environment",))
    if grants.arguments is not None and grants.arguments.fixed != ():
        # Who runs it may give it arguments, which is refused where none are granted.
        yield _Grant(("arguments",), ("arguments",), alike=grants.arguments.fixed is not None)
    yield from _clocks(grants.clocks, together=isinstance(case.data("grants", "clocks"), str))
    if grants.random is not None:
        yield _Grant(("random",), ("random",), "low" if grants.random.seed is not None else None)


def _clocks(clocks: Clocks, *, together: bool) -> Iterator[_Grant]:
    """``together``: one word grants both clocks, and is of use where either is."""
    wall: Severity | None = "low" if clocks.wall == "frozen" else None
    monotonic: Severity | None = "low" if clocks.monotonic == "frozen" else None
    if together:
        yield _Grant(("clocks",), ("clocks.wall", "clocks.monotonic"), wall)
        return
    if clocks.wall is not None:
        yield _Grant(("clocks", "wall"), ("clocks.wall",), wall)
    if clocks.monotonic is not None:
        yield _Grant(("clocks", "monotonic"), ("clocks.monotonic",), monotonic)


def _network(sockets: Sockets | None, facts: Facts, needs: Needs) -> Iterator[_Grant]:
    if sockets is None or not sockets.grants_something:
        return
    granted: tuple[tuple[str, Part, bool], ...] = (
        ("tcp", "sockets.tcp", bool(sockets.connect or sockets.listen)),
        ("udp", "sockets.udp", bool(sockets.send or sockets.bind)),
        ("dns", "sockets.dns", bool(sockets.dns)),
    )
    parts = [(name, part) for name, part, given in granted if given]
    if facts.kind == "module" or not any(part in needs for _, part in parts):
        # Where the network is granted, the guard serves it otherwise than where it is not.
        alike = facts.kind == "component" and not any(item.name.startswith("wasi:sockets/") for item in facts.imports)
        yield _Grant(("sockets",), [part for _, part in parts], alike=alike)
        return
    for name, part in parts:
        yield _Grant(("sockets", name), (part,))


def _writes(case: Case) -> Iterator[Problem]:
    """Directories that a module may write, and imports no function for."""
    for number, grant in enumerate(case.component.grants.filesystem):
        if grant.access == "write":
            route = case.route("grants", "filesystem", number, "access")
            message = "the module imports nothing that makes, changes or removes files: `read` is enough"
            edits = replace_value(case.document, route, "read", "read")
            fix = Fix(message="grant it for reading", edits=edits, safe=False) if edits else None
            yield Problem(route=route, message=message, fix=fix)


def _names(case: Case, sockets: Sockets, needs: Needs) -> Iterator[Problem]:
    """Peers by name, of which a component that looks up none never gets an address."""
    lists = (("tcp", "connect", "sockets.tcp", sockets.connect), ("udp", "send", "sockets.udp", sockets.send))
    for protocol, key, part, peers in lists:
        names = [number for number, peer in enumerate(peers) if network_of(peer.host) is None]
        if part not in needs or not names:
            continue
        others = f" (and {len(names) - 1:,} more in this list)" if len(names) > 1 else ""
        message = f"the component imports nothing that looks up names: it never gets an address for this one{others}"
        route = ("sockets", protocol, key, names[0])
        fix = _removal(case, route, alike=True) if len(names) == 1 else None
        yield Problem(route=case.route("grants", *route), message=message, fix=fix)


def _removal(case: Case, route: tuple[str | int, ...], *, alike: bool) -> Fix | None:
    """Remove a grant. What another binary would do with it is not known, so it is safe where one is pinned."""
    edits = remove(case.document, case.route("grants", *route))
    return (
        Fix(message="remove the grant", edits=edits, safe=alike and case.component.digest is not None)
        if edits
        else None
    )


RULE = Rule(
    id="unused-grant",
    summary="something is granted that the component cannot use",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="component",
)
