"""A grant of a socket, a device or a FIFO, or of a directory that has some."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sandbox.lint.case import Case, HostUse
from sandbox.lint.exceptions import excepting, glob_of
from sandbox.lint.needs import named
from sandbox.lint.places import shown, spoken_for
from sandbox.lint.rule import Problem, Rule

_CONTROL = re.compile(
    r".*(?:docker|containerd|podman|crio|buildkitd|lxd|libvirt|snapd|cockpit|system_bus|session_bus).*"
    r"|(?:ssh-|gpg-|s\.gpg-)?agent.*|keyring.*|bus|x\d+|wayland-\d+|\.s\.pgsql\.\d+|mysqld?\.sock",
    re.DOTALL,
)
"""Names of sockets, in lower case, whose services do what they are told for whoever can connect."""
_SORTS = {"socket": "a socket", "device": "a device", "fifo": "a FIFO"}


def _check(case: Case) -> Iterator[Problem]:
    for use in case.uses:
        if spoken_for(case, use) is not None:
            continue
        if use.thing.kind in _SORTS:
            path = use.thing.real
            yield Problem(
                route=use.route,
                message=f"{shown(path, case.machine.home)} is {_SORTS[use.thing.kind]}, so a run is refused",
                severity="high" if _controls(path) else "medium",
            )
        elif use.directory:
            yield from _inside(case, use)


def _inside(case: Case, use: HostUse) -> Iterator[Problem]:
    root = use.thing.real.rstrip("/")
    found = [path for path, kind in use.contents if kind in ("socket", "device") and case.gives(use, f"{root}/{path}")]
    if not found:
        return
    controls = [path for path in found if _controls(path)]
    what = "sockets that control a service" if controls else "sockets or devices"
    how = "removed and replaced" if use.writable else "seen"
    yield Problem(
        route=use.route,
        message=f"the directory has {what}, which can be {how}: {named(controls or found)}",
        severity="high" if controls else "medium" if use.writable else "low",
        fix=excepting(case, use, [glob_of(path) for path in found]),
    )


def _controls(path: str) -> bool:
    return _CONTROL.fullmatch(path.rpartition("/")[2].lower()) is not None


RULE = Rule(
    id="grants-socket",
    summary="a socket or a device is granted, or the directory that it is in",
    severity="medium",
    confidence="high",
    check=_check,
    rests_on="machine",
)
