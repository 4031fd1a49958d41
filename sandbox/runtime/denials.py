"""From what a worker reports to what happened: who asked for what, why it was refused, what would grant it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sandbox.audit.events import Happening
from sandbox.audit.quote import yaml_scalar
from sandbox.guard.sites import Reason, Site, site_from_data
from sandbox.plan import Link, Plan, Preopen

MODULE = "wasi_snapshot_preview1"
"""The interface of modules, without the time that importing their vocabulary takes."""
NO_PREOPEN = 0xFFFF_FFFF

FIXED = {
    Reason.SPECIAL_FILE: "a device, FIFO or socket; only regular files and directories may be opened",
    Reason.HARD_LINK: "the file has several names, or would get one more;"
    " hard links are refused unless the grant allows them",
    Reason.ACROSS_GRANTS: "files are not moved or linked from one granted directory to another",
    Reason.LEADS_OUT: "the path leads out of the granted directory",
    Reason.MASKED: "another granted directory stands at this path",
    Reason.SYMBOLIC_LINK: "the path is or goes through a symbolic link, which this grant does not follow or make,"
    " because parts of it are excepted or granted apart",
    Reason.LINK_TARGET: "a symbolic link may only point below its own directory",
    Reason.ABOVE_GRANT: "a directory that is granted apart, or one above it, is not renamed",
    Reason.ABOVE_EXCEPTION: "the rename would take something out of what the policy excepts, or into it",
    Reason.KERNEL: "an interface of the kernel is mounted at this path or below it; it is never granted",
}

UNGRANTED = {
    "environment": ("the environment is not granted; the component got an empty one", "environment: {inherit: []}"),
    "arguments": ("arguments are not granted; the component got none", "arguments: inherit"),
    "clocks.wall": ("the wall clock is not granted; it stands still", "clocks:\n  wall: real"),
    "clocks.monotonic": ("the monotonic clock is not granted; it stands still", "clocks:\n  monotonic: real"),
    "random.secure": ("secure random numbers are not granted; the call trapped", "random: secure"),
    "random.insecure": ("random numbers are not granted; these are always the same", "random: secure"),
    "stdio.stdin": ("standard input is not granted; it is at its end", "stdio:\n  stdin: inherit"),
    "stdio.stdout": ("standard output is not granted; what is written is thrown away", "stdio:\n  stdout: inherit"),
    "stdio.stderr": ("standard error is not granted; what is written is thrown away", "stdio:\n  stderr: inherit"),
}

NETWORK = {"sockets": "sockets are not granted", "dns": "looking up names is not granted"}
"""Where the policy grants nothing of the network; where it does, the broker says more."""
NO_SOCKETS = "preview 1 opens no sockets, so there is none that this could be done with"
"""Of a module: no policy could grant what it has no way to ask for."""
NOT_YET = {
    "http": "HTTP is not granted, and no policy can grant it yet",
    "clocks": "time zones are served to no component",
}

PERMISSIONS = "the host's own permissions refuse it"
MAX_LINKS = 40
"""Symbolic links that a path may go through, as the kernel has it."""


def explainer_of(plan: Plan) -> Explainer:
    """Explains the messages of one run of ``plan``."""
    if plan.program is None:
        return Explainer(plan)
    preopens: list[Preopen] = []
    for member in plan.members:
        first = len(preopens)
        preopens += [
            replace(p, inner=tuple((path, number + first) for path, number in p.inner)) for p in member.preopens
        ]
    whole = replace(plan, preopens=tuple(preopens))
    bounds: set[str] = set()
    members = plan.members
    each = [
        Explainer(members[i.member], whole, i.name, bounds, {link.name: link for link in i.links})
        for i in plan.program.instances
    ]
    return ProgramExplainer(whole, each, [i.member for i in plan.program.instances], bounds)


class Explainer:
    """Explains what one component did."""

    def __init__(
        self,
        plan: Plan,
        program: Plan | None = None,
        path: str | None = None,
        bounds: set[str] | None = None,
        links: Mapping[str, Link] | None = None,
    ) -> None:
        """``program`` is the plan of the component that is run, with the directories of all; ``path`` that of this one
        in it, and ``links`` are what other components serve it.
        """
        self.plan = plan
        self.program = program or plan
        self.path = path
        self.links = links or {}
        self.root = f"components.{plan.component}"
        self.bounds: set[str] = set() if bounds is None else bounds
        """Bounds that were reached while the guest went on: ``limits.handles``, ``limits.disk``."""

    def member_of(self, _: Site) -> int:
        """The number of the component that a site is of."""
        return 0

    def happening(self, message: Sequence[Any]) -> Happening:
        """What ``denied``, ``pair``, ``refused`` or ``bound`` reports.

        Raises ``LookupError``, ``TypeError`` or ``ValueError`` for what no worker says.
        """
        kind, time = message[:2]
        site = site_from_data(message[2])
        if kind == "bound":
            return self._bound_of_sockets(site, time, message[3], message[4])
        if kind == "refused":
            return self._refused(site, time, message[3], message[4])
        return self._path(site, time, message)

    def stream(self, name: str, time: float | None = None) -> Happening:
        """The first use of a standard stream that the policy does not grant: of the component that is run."""
        if self.plan.kind == "module":
            function = "fd_read" if name == "stdin" else "fd_write"
            return self._ungranted(Site(MODULE, function, f"stdio.{name}"), time)
        interfaces = [n for n, _ in self.plan.interfaces if n.startswith(f"wasi:cli/{name}@")]
        return self._ungranted(
            Site(interfaces[0] if interfaces else f"wasi:cli/{name}", f"get-{name}", f"stdio.{name}"), time
        )

    def _ungranted(self, site: Site, time: float | None, resource: str | None = None) -> Happening:
        reason, grant = UNGRANTED[site.capability]
        return self._happening(site, time, reason, self._grants_line(site.capability), resource=resource, grant=grant)

    def _grants_line(self, capability: str) -> int | None:
        family = capability.partition(".")[0]
        return self.plan.line(f"{self.root}.grants.{family}")

    def _refused(self, site: Site, time: float, text: str, raw: str) -> Happening:
        if site.capability in UNGRANTED:
            return self._ungranted(site, time)
        if site.capability == "imports":
            return self._barred(site, time)
        if site.function == "get-directories":
            return self._bound(site, time, "handles", None, None)
        family = site.capability.partition(".")[0]
        if family == "sockets" and site.interface == MODULE:
            line = self.plan.line(f"{self.root}.grants.sockets")
            return self._happening(site, time, NO_SOCKETS, line)
        if family in NETWORK:
            resource, grant = _of_network(site, text, raw)
            reason = NETWORK[family]
            line = self.plan.line(f"{self.root}.grants.sockets")
            return self._happening(site, time, reason, line, resource=resource, grant=grant)
        line, resource = self._grants_line(site.capability), _text(text) or None
        return self._happening(site, time, NOT_YET[family], line, resource=resource)

    def _barred(self, site: Site, time: float) -> Happening:
        """A call of another component that the policy leaves out."""
        link = self.links[site.interface]
        allowed = ", ".join(link.only or ())
        reason = f"`only` allows {allowed} of this interface of {link.component}; the call trapped"
        return self._happening(site, time, reason, self.program.line(link.route))

    def _path(self, site: Site, time: float, message: Sequence[Any]) -> Happening:
        _, _, _, code, number, base, path = message[:7]
        writes, reason = bool(code & Reason.WRITES), Reason(code & ~Reason.WRITES)
        site = Site(site.interface, site.function, f"filesystem.{'write' if writes else 'read'}")
        if number == NO_PREOPEN:
            return self._bound(site, time, "disk", None, None)
        preopen = self.program.preopens[number]
        resource, resolved = _shown(preopen, base, path), _resolved(preopen, base, path)
        if message[0] == "pair":
            other, other_base, other_path = message[7:10]
            target = self.program.preopens[other]
            resource = f"{resource} -> {_shown(target, other_base, other_path)}"
            if reason is Reason.UNGRANTED and not preopen.decoy:
                path, resolved = other_path, None
            elif reason is Reason.NATIVE and self._native(preopen, base, path, writes)[1] == PERMISSIONS:
                preopen, base, path = target, other_base, other_path
        elif len(message) > 7:
            resource = f"{resource} -> {message[7]}"
        match reason:
            case Reason.UNGRANTED:
                return self._ungranted_path(site, time, resource, path, writes, preopen)
            case Reason.HANDLES:
                return self._bound(site, time, "handles", resource, resolved)
            case Reason.OUT_OF_FILES:
                why = "no more files can be opened: this process's own bound on them is reached"
                return self._bound(site, time, "handles", resource, resolved, why)
            case Reason.DISK:
                return self._bound(site, time, "disk", resource, resolved)
            case Reason.NATIVE:
                preopen, why, key, grant = self._native(preopen, base, path, writes)
            case Reason.EXCEPTED:
                inner = self._deciding(preopen, base, path)
                preopen = inner if inner.excepted else preopen
                why, key, grant = "the policy excepts this path", "except", None
            case Reason.HARD_LINK:
                grant = _with(preopen, "hard-links: allow") if not preopen.routed else None
                why, key = FIXED[reason], "hard-links"
            case _:
                why, key, grant = FIXED[reason], "", None
        route = f"{preopen.route}.{key}" if key else preopen.route
        if not self._owns(preopen):
            grant = None  # what it would need is its giver's
        return self._happening(
            site, time, why, self.program.line(route), resource=resource, resolved=resolved, grant=grant
        )

    def _owns(self, preopen: Preopen) -> bool:
        """Whether a directory is granted to this component, and not to one that handed it over."""
        return _grantee(preopen) == self.root

    def _ungranted_path(
        self, site: Site, time: float, resource: str, path: str, writes: bool, root: Preopen
    ) -> Happening:
        """What was asked for below ``root``, which is not granted."""
        whole, giver = os.path.normpath("/" + _text(path).strip("/")), _grantee(root)
        own = [p for p in self.program.preopens if _grantee(p) == giver and not p.decoy]
        around = [p.guest for p in own if _below(whole, p.guest)]
        line = self.program.line(f"{giver}.grants.filesystem")
        if around:
            reason = f"asked for below the root, which is not granted; {max(around, key=len)} is, by that name alone"
            return self._happening(site, time, reason, line, resource=resource)
        grant = _directory_grant(path, writes) if self._owns(root) else None
        reason = "no granted directory covers this path"
        return self._happening(site, time, reason, line, resource=resource, grant=grant)

    def _native(self, preopen: Preopen, base: str, path: str, writes: bool) -> tuple[Preopen, str, str, str | None]:
        """What Wasmtime or the host refused: the grant that decides, the reason, the key, and what would grant it."""
        if preopen.host is None:
            return preopen, "the root directory is not granted; the component sees an empty one", "", None
        if _outside(path):
            return preopen, "the path leads out of the granted directory", "host", None
        inner = self._deciding(preopen, base, path)
        if writes and not inner.writable:
            return inner, "the directory is granted for reading only", "access", _with(inner, "", access="write")
        if _linked_out(preopen.host, _text(base), _text(path)):
            return preopen, "a symbolic link leads out of the granted directory", "host", None
        return inner, PERMISSIONS, "host", None

    def _deciding(self, preopen: Preopen, base: str, path: str) -> Preopen:
        """The grant that decides a path, where another lies inside the one that the guest went through."""
        names = _names(f"{_text(base)}/{_text(path)}")
        inner = {_names(p): to for p, to in preopen.inner}
        for cut in range(len(names), 0, -1):
            if names[:cut] in inner:
                return self.program.preopens[inner[names[:cut]]]
        return preopen

    def _bound(
        self,
        site: Site,
        time: float,
        name: str,
        resource: str | None,
        resolved: str | None,
        reason: str | None = None,
    ) -> Happening:
        reasons = {
            "handles": f"{self.program.limits.handles} handles are open, which is all that the policy allows",
            "disk": f"the bytes that may be written to files are used up ({self.program.limits.disk:,} bytes)",
            "sockets": f"{self.program.limits.sockets} sockets are open, which is all that the policy allows",
            "sent": f"the bytes that may be sent over sockets are used up ({self.program.limits.sent:,} bytes)",
            "received": "the bytes that may be received over sockets are used up"
            f" ({self.program.limits.received:,} bytes)",
        }
        first = f"limits.{name}" not in self.bounds
        self.bounds.add(f"limits.{name}")
        return Happening(
            name="limit" if first else "denied",
            component=self.plan.component,
            capability=f"limits.{name}",
            reason=reason or reasons[name],
            interface=site.interface,
            function=site.function,
            resource=resource,
            resolved=resolved,
            line=self.program.line(f"components.{self.program.component}.limits.{name}"),
            time=time,
            path=self.path,
        )

    def _bound_of_sockets(self, site: Site, time: float, name: object, resource: object) -> Happening:
        if name not in ("sockets", "sent", "received") or not (resource is None or isinstance(resource, str)):
            raise ValueError("no bound that a worker reports")
        return self._bound(site, time, str(name), resource, None)

    def _happening(
        self,
        site: Site,
        time: float | None,
        reason: str,
        line: int | None,
        *,
        resource: str | None = None,
        resolved: str | None = None,
        grant: str | None = None,
    ) -> Happening:
        return Happening(
            name="denied",
            component=self.plan.component,
            capability=site.capability,
            reason=reason,
            interface=site.interface,
            function=site.function,
            resource=resource,
            resolved=resolved,
            line=line,
            grant=grant,
            time=time,
            path=self.path,
        )


class ProgramExplainer(Explainer):
    """Explains what the components of a program did, each by its own grants."""

    def __init__(self, plan: Plan, each: Sequence[Explainer], members: Sequence[int], bounds: set[str]) -> None:
        """``each``: of every instance; ``members``: the number of the component of each."""
        super().__init__(plan, bounds=bounds)
        self.each, self.members = each, members

    def member_of(self, site: Site) -> int:
        return self.members[site.instance]

    def happening(self, message: Sequence[Any]) -> Happening:
        return self.each[site_from_data(message[2]).instance].happening(message)

    def stream(self, name: str, time: float | None = None) -> Happening:
        return self.each[-1].stream(name, time)


def _grantee(preopen: Preopen) -> str:
    """Where the policy speaks of the component that a directory is granted to."""
    return preopen.route.partition(".grants")[0]


def _text(latin: str) -> str:
    return latin.encode("latin-1").decode("utf-8", "replace")


def _shown(preopen: Preopen, base: str, path: str) -> str:
    """A path as the guest meant it: the directory that it was relative to, and what it said."""
    base, path = _text(base), _text(path)
    if path.startswith("/"):
        return path
    if not path and not base:
        return preopen.guest
    return "/".join([preopen.guest.rstrip("/"), *(part for part in (base, path) if part)])


def _resolved(preopen: Preopen, base: str, path: str) -> str | None:
    """Where a path is on the host by its names alone; not said where ``..`` or a leading slash makes that a guess."""
    path = _text(path)
    if preopen.host is None or path.startswith("/") or ".." in path.split("/"):
        return None
    return os.path.normpath("/".join((preopen.host, _text(base), path)))


def _names(path: str) -> tuple[str, ...]:
    """The names in a path, ``.`` and ``..`` worked out."""
    out: list[str] = []
    for name in path.split("/"):
        if name == "..":
            del out[-1:]
        elif name not in ("", "."):
            out.append(name)
    return tuple(out)


def _linked_out(root: str, base: str, path: str) -> bool:
    """Whether a path leaves ``root`` by a symbolic link, be it only for a part of the way."""
    steps, at, links = [*base.split("/"), *path.split("/")][::-1], root, 0
    while steps and links < MAX_LINKS:
        name = steps.pop()
        if name in ("", "."):
            continue
        at = os.path.dirname(at) if name == ".." else f"{at.rstrip('/')}/{name}"
        if not _below(at, root):
            return True
        try:
            target = os.readlink(at)
        except (OSError, ValueError):
            continue
        if target.startswith("/"):
            return True
        links += 1
        at = os.path.dirname(at)
        steps += target.split("/")[::-1]
    return False


def _outside(path: str) -> bool:
    """Whether a path leads out of the directory that it is relative to by its own words."""
    if path.startswith("/"):
        return True
    depth = 0
    for name in path.split("/"):
        depth += -1 if name == ".." else 0 if name in ("", ".") else 1
        if depth < 0:
            return True
    return False


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _directory_grant(path: str, writes: bool) -> str:
    """The grant that would cover a path below the decoy root: its directory, never the root itself.

    Which directory of the host that would be is the author's to say; the same path is a guess that shows the form.
    """
    whole = "/" + _text(path).strip("/")
    normal = os.path.normpath(whole)
    parent = os.path.dirname(normal)
    directory = yaml_scalar(parent if parent != "/" else normal)
    return f"filesystem:\n  - {{host: {directory}, guest: {directory}, access: {'write' if writes else 'read'}}}"


def _with(preopen: Preopen, more: str, access: str | None = None) -> str:
    """A directory's grant, said again with something more in it."""
    access = access or ("write" if preopen.writable else "read")
    extra = f", {more}" if more else ""
    host, guest = yaml_scalar(preopen.written or preopen.host or ""), yaml_scalar(preopen.guest)
    return f"filesystem:\n  - {{host: {host}, guest: {guest}, access: {access}{extra}}}"


def _of_network(site: Site, text: str, raw: str) -> tuple[str | None, str | None]:
    """What a guest named of the network, where it named something, and the YAML that would grant it."""
    from sandbox.broker.names import normalise
    from sandbox.broker.rules import address_grant, local_grant, name_grant
    from sandbox.policy.addresses import parse, shown

    if site.address:
        named = _address(raw)
        if named is None:
            return None, None
        address, port = parse(named[0]), named[1]
        _, protocol, act = site.capability.split(".")
        of = local_grant if act in ("bind", "listen") else address_grant
        return shown(address, port), of("udp" if protocol == "udp" else "tcp", address, port)
    written = _text(text)
    if site.capability != "dns.resolve" or not written:
        return written or None, None
    try:
        name = normalise(written)
    except ValueError:
        return written, None
    return written, name_grant(name) if isinstance(name, str) else None


def _address(raw: str) -> tuple[str, int] | None:
    """Address and port of the flattened ``ip-socket-address`` (or an option of one) that a guest passed."""
    data = raw.encode("latin-1")
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]
    if len(words) == 13 and words.pop(0) == 0:
        return None
    if len(words) != 12:
        return None
    family, port, *rest = words
    if family == 0:
        return ".".join(str(x & 0xFF) for x in rest[:4]), port & 0xFFFF
    groups = ":".join(f"{x & 0xFFFF:x}" for x in rest[1:9])
    return groups + (f"%{rest[9] & 0xFFFFFFFF}" if rest[9] else ""), port & 0xFFFF
