"""From policy, component and host to a plan: what exactly a run gets, or every reason why there is none.

A pure function of values. The plan says everything that the runtime needs, so that nothing downstream reads the policy,
the environment or the machine again.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sandbox.component import Facts
from sandbox.host import Directory, File, Host
from sandbox.policy.globs import Pattern
from sandbox.policy.model import ClockMode, ComponentPolicy, DirectoryGrant, Limits, Policy, Sockets, Stream
from sandbox.wasi import Refused, classify

MAX_PREOPENS = 128
DECOY = "/"


@dataclass(frozen=True, kw_only=True, slots=True)
class Preopen:
    """One directory that the guest gets. Its index among the preopens is its number for the guard and in events."""

    guest: str
    host: str | None
    """Real path; ``None`` for the decoy root, an empty read-only directory below which everything is refused."""
    writable: bool
    hard_links: bool = False
    excepted: tuple[str, ...] = ()
    """Globs relative to this directory: its grant's own, and what is left of those of grants around it."""
    inner: tuple[tuple[str, int], ...] = ()
    """Paths below this directory that another preopen decides: path relative to it, index of that preopen."""
    masked: tuple[str, ...] = ()
    """Paths below it at which the guest sees another preopen, so that what lies there on the host is not granted."""
    kernel: tuple[str, ...] = ()
    """Paths below it at which an interface of the kernel (``/proc``) is mounted, which is never granted."""
    route: str
    """Where the policy grants it."""
    written: str = ""
    """The host directory as the policy writes it."""

    @property
    def decoy(self) -> bool:
        return self.host is None

    @property
    def routed(self) -> bool:
        """Whether each path is resolved by the host before Wasmtime sees it."""
        return self.cut or bool(self.kernel)

    @property
    def cut(self) -> bool:
        """Whether the policy leaves parts of the directory out, or hands them to another grant."""
        return bool(self.excepted or self.inner or self.masked)


def preopen_from_data(data: Mapping[str, Any]) -> Preopen:
    """The preopen whose ``dataclasses.asdict`` went through JSON as ``data``."""
    return Preopen(
        guest=data["guest"],
        host=data["host"],
        writable=data["writable"],
        hard_links=data["hard_links"],
        excepted=tuple(data["excepted"]),
        inner=tuple((path, number) for path, number in data["inner"]),
        masked=tuple(data["masked"]),
        kernel=tuple(data["kernel"]),
        route=data["route"],
        written=data["written"],
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPlan:
    """A standard stream: ``mode`` as in the policy, ``closed`` where it does not grant it; ``path`` absolute."""

    mode: str
    granted: bool
    path: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    component: str
    policy: str
    policy_digest: str
    kind: Literal["component", "module"]
    """A component of WASI 0.2, or a core module of preview 1."""
    source: str
    """Path of the component or module, as found."""
    digest: str
    size: int
    preopens: tuple[Preopen, ...]
    stdin: StreamPlan
    stdout: StreamPlan
    stderr: StreamPlan
    environment: tuple[tuple[str, str], ...] | None
    arguments: tuple[str, ...] | None
    """Argument 0 included; ``None``: not granted."""
    wall: ClockMode | None
    monotonic: ClockMode | None
    random: Literal["secure", "seeded", "denied"]
    seed: int
    sockets: Sockets | None
    """``None`` where the policy grants nothing of the network: then every use of it is refused by the guard alone."""
    limits: Limits
    interfaces: tuple[tuple[str, str], ...]
    """Each interface that is imported, and what stands behind it (see ``behind``).

    Of a module: ``wasi_snapshot_preview1`` and ``guard``, or nothing.
    """
    exports: tuple[str, ...]
    """Sort and name of each export that may be called: ``instance wasi:cli/run@0.2.0``, ``func add``."""
    run: str | None
    """The export that ``run`` calls."""
    initialize: bool
    """Whether a module exports ``_initialize``, which is called once before any other of its functions."""
    deterministic: bool
    """Whether the policy declares it so: nothing granted differs from run to run, nor do NaNs and relaxed SIMD."""
    lines: Mapping[str, int] = field(default_factory=dict)
    """Route -> line of the policy, for the routes that events name."""
    program: Program | None = None
    """The rest of the program, where other components serve what this one imports."""

    @property
    def members(self) -> tuple[Plan, ...]:
        """The plans of all components that run: this one is number 0."""
        return (self,) if self.program is None else (self, *self.program.others)

    def line(self, route: str) -> int | None:
        """The policy's line for a route below this component's, or for its nearest ancestor."""
        while route not in self.lines:
            cut = max(route.rfind("."), route.rfind("["))
            if cut < 0:
                return None
            route = route[:cut]
        return self.lines[route]

    @property
    def uses_sockets(self) -> bool:
        """Whether the component imports sockets, and is granted some of the network."""
        return any(by == "broker" for _, by in self.interfaces)

    @property
    def counts_writes(self) -> bool:
        return any(p.writable for p in self.preopens)


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """An import of an instance that another instance serves."""

    name: str
    """As the component imports it: ``bank:payments/auth@1.0.0``."""
    component: str
    """The component that serves it."""
    instance: int
    """The number of the instance of that."""
    export: str
    """As that one exports it; its version may be higher."""
    only: tuple[str, ...] | None = None
    """The functions of it that may be called; ``None``: all."""
    route: str = ""
    """Where the policy says so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One instance of a component in a program."""

    path: tuple[str, ...]
    """The components from the one that is run to this one: ``("app", "ledger", "auth")``."""
    member: int
    """The number of its component's plan."""
    links: tuple[Link, ...] = ()

    @property
    def name(self) -> str:
        """``app>ledger>auth``"""
        return ">".join(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """The components that a component imports from, and how they are wired. Each keeps to its own plan."""

    others: tuple[Plan, ...]
    """The plans of the other components. The limits of a program are those of the component that is run."""
    instances: tuple[Instance, ...]
    """Each behind those that serve it; the last is of the component that is run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objection:
    """Why there is no plan. ``about`` says whose fault it is: the policy's (or the caller's), or the component's."""

    about: str
    route: str
    line: int | None
    message: str


class PlanError(Exception):
    """No plan: every objection at once."""

    def __init__(self, policy: Policy, objections: Sequence[Objection]) -> None:
        self.policy, self.objections = policy, tuple(objections)
        super().__init__("\n".join(_text(policy, o) for o in objections))

    @property
    def about(self) -> str:
        """``component`` if nothing is wrong with the policy itself."""
        return "component" if all(o.about == "component" for o in self.objections) else "policy"


def _text(policy: Policy, o: Objection) -> str:
    place = f"{policy.file}:{o.line}: " if o.line else f"{policy.file}: "
    return f"{place}{o.route}: {o.message}" if o.route else f"{place}{o.message}"


class _Planner:
    def __init__(
        self,
        policy: Policy,
        component: ComponentPolicy,
        facts: Facts,
        host: Host,
        served: Mapping[str, str] | None = None,
    ) -> None:
        self.policy, self.component, self.facts, self.host = policy, component, facts, host
        self.served = served or {}
        self.objections: list[Objection] = []
        self.root = f"components.{component.name}"

    def object(self, route: str, message: str, about: str = "policy") -> None:
        line = self.policy.place(route).line if route else None
        self.objections.append(Objection(about=about, route=route, line=line, message=message))

    def plan(self, arguments: Sequence[str] | None, writes: Sequence[tuple[str, str]]) -> Plan:
        interfaces = self.interfaces()
        preopens = self.preopens()
        self.written_by_host(preopens, writes)
        self.read_by_host(preopens)
        self.stream_files(writes)
        self.determinism()
        grants = self.component.grants
        stdio = grants.stdio
        plan = Plan(
            component=self.component.name,
            policy=self.policy.file,
            policy_digest=self.policy.digest,
            kind=self.facts.kind,
            source=self.facts.path,
            digest=self.facts.digest,
            size=self.facts.size,
            preopens=preopens,
            stdin=self.stream("stdin", stdio.stdin, preopens),
            stdout=self.stream("stdout", stdio.stdout, preopens),
            stderr=self.stream("stderr", stdio.stderr, preopens),
            environment=self.environment(),
            arguments=self.arguments(arguments),
            wall=grants.clocks.wall,
            monotonic=grants.clocks.monotonic,
            random="denied" if grants.random is None else "secure" if grants.random.seed is None else "seeded",
            seed=(grants.random.seed or 0) if grants.random else 0,
            sockets=self.sockets(),
            limits=self.component.limits,
            interfaces=interfaces,
            exports=self.exports(),
            run=self.facts.run_export,
            initialize=self.facts.kind == "module" and self.facts.exports_function("_initialize"),
            deterministic=self.component.deterministic,
            lines={r: p.line for r, p in self.policy.places.items() if r == self.root or r.startswith(self.root + ".")},
        )
        if self.component.limits.handles <= len(preopens):
            self.object(
                f"{self.root}.limits.handles",
                f"{self.component.limits.handles} handles are too few:"
                f" the granted directories alone take {len(preopens)}",
            )
        if plan.sockets is not None and plan.sockets.listen and self.component.limits.sockets < 2:
            self.object(
                f"{self.root}.limits.sockets",
                "1 socket is too few to accept connections: the listening one takes it",
            )
        if self.objections:
            raise PlanError(self.policy, self.objections)
        return plan

    def interfaces(self) -> tuple[tuple[str, str], ...]:
        pinned = self.component.digest
        if pinned is not None and pinned != self.facts.digest:
            self.object(
                f"{self.root}.digest",
                f"the {self.facts.kind} is another one: the policy pins {pinned}, the file is {self.facts.digest}",
                "component",
            )
        if self.facts.kind == "module":
            return self.module_interfaces()
        out = []
        imports_sockets = any(item.name.startswith("wasi:sockets/") for item in self.facts.imports)
        served = imports_sockets and self.sockets() is not None
        for item in self.facts.imports:
            if item.name in self.served:
                by = self.served[item.name]
                out.append((item.name, f"component {by}" if by else "types"))
                continue
            known = _classified(item.name)
            if isinstance(known, Refused) or item.kind != "instance":
                reason = known.reason if isinstance(known, Refused) else "it is not an interface"
                self.object(f"{self.root}.source", f"the component imports {item.name!a}: {reason}", "component")
                continue
            out.append((item.name, behind(item.name, sockets=served)))
        return tuple(out)

    def module_interfaces(self) -> tuple[tuple[str, str], ...]:
        # A component's run does without this room.
        from sandbox.preview1 import MODULE, imports_preview1, objections

        for sentence in objections(self.facts):
            self.object(f"{self.root}.source", f"the module {sentence}", "component")
        if self.sockets() is not None:
            self.object(
                f"{self.root}.grants.sockets",
                "a module has no way to open a socket: WASI preview 1 has none; remove the grant, or build a component",
            )
        return ((MODULE, "guard"),) if imports_preview1(self.facts) else ()

    def sockets(self) -> Sockets | None:
        granted = self.component.grants.sockets
        return granted if granted is not None and granted.grants_something else None

    def exports(self) -> tuple[str, ...]:
        """Interfaces of WASI that a host would call (HTTP handlers) are left out: nothing serves them."""
        if self.facts.kind == "module":
            own = ("_start", "_initialize")
            return tuple(f"func {e.name}" for e in self.facts.exports if e.kind == "func" and e.name not in own)
        return tuple(
            f"{e.kind} {e.name}"
            for e in self.facts.exports
            if e.kind in ("instance", "func") and (not e.name.startswith("wasi:") or e.name == self.facts.run_export)
        )

    def preopens(self) -> tuple[Preopen, ...]:
        grants = self.component.grants.filesystem
        found: list[tuple[int, DirectoryGrant, Directory]] = []
        for number, grant in enumerate(grants):
            route = f"{self.root}.grants.filesystem[{number}]"
            directory = self.host.directories[grant.host]
            if directory.real is None:
                self.object(f"{route}.host", f"no directory at {directory.absolute}; it must exist before the run")
                continue
            if directory.kernel:
                self.object(
                    f"{route}.host",
                    f"{directory.real} is on {directory.kernel}, an interface of the kernel, through which"
                    f" a {self.facts.kind} could read or change this and other processes; copy what it needs into a"
                    " directory of its own",
                )
            cache = self.host.cache
            if cache and grant.access == "write" and (_below(cache, directory.real) or _below(directory.real, cache)):
                self.object(f"{route}.access", f"writable, and it covers the sandbox's cache of compiled code, {cache}")
            found.append((number, grant, directory))
        if len(found) > MAX_PREOPENS:
            self.object(f"{self.root}.grants.filesystem", f"more than {MAX_PREOPENS} directories")
        if found and not self.host.knows_mounts:
            self.object(
                f"{self.root}.grants.filesystem",
                "no directory can be granted: /proc/self/mountinfo, which says what is mounted in it, cannot be read",
            )
        index = {number: at for at, (number, _, _) in enumerate(found)}
        out = []
        for number, grant, directory in found:
            route = f"{self.root}.grants.filesystem[{number}]"
            inner, masked = [], []
            for other, other_grant, other_directory in found:
                if other == number:
                    continue
                if other_directory.ancestors[0] == directory.ancestors[0]:
                    if other < number:
                        self.object(
                            f"{route}.host",
                            f"the same directory as filesystem[{other}] grants ({directory.real}); grant it once",
                        )
                    continue
                if directory.ancestors[0] in other_directory.ancestors:
                    depth = other_directory.ancestors.index(directory.ancestors[0])
                    path = "/".join(_last(other_directory.real or "", depth))
                    inner.append((path, index[other]))
                    if grant.hard_links or other_grant.hard_links:
                        self.object(
                            f"{route}.hard-links"
                            if grant.hard_links
                            else f"{self.root}.grants.filesystem[{other}].hard-links",
                            f"cannot be allowed where filesystem[{other}] is inside filesystem[{number}]:"
                            " a hard link would be a way around the narrower grant",
                        )
                if _below(other_grant.guest, grant.guest) and other_grant.guest != grant.guest:
                    masked.append(other_grant.guest[len(grant.guest.rstrip("/")) + 1 :])
            inner_paths = {p for p, _ in inner}
            preopen = Preopen(
                guest=grant.guest,
                host=directory.real,
                writable=grant.access == "write",
                hard_links=grant.hard_links,
                excepted=self.excepted(number, grant, directory, found),
                inner=tuple(inner),
                masked=tuple(m for m in masked if m not in inner_paths),
                kernel=directory.interfaces,
                route=route,
                written=grant.host,
            )
            if preopen.routed and directory.aliases_names:
                self.object(
                    f"{route}.host",
                    f"{directory.real} is on a file system that knows files by several spellings of a name,"
                    " so neither `except` nor a grant inside this one can be enforced there",
                )
            if preopen.cut and directory.mounts:
                more = f", and at {len(directory.mounts) - 1} more" if len(directory.mounts) > 1 else ""
                self.object(
                    f"{route}.host",
                    f"a file system is mounted inside, at {_joined(directory.real or '', directory.mounts[0])}{more}:"
                    " it may show the same files by other names, so neither `except` nor another grant inside this one"
                    " can be enforced; grant what is mounted there apart from the rest",
                )
            out.append(preopen)
        if not any(p.guest == DECOY for p in out):
            out.append(Preopen(guest=DECOY, host=None, writable=False, route=f"{self.root}.grants"))
        return tuple(out)

    def excepted(
        self,
        number: int,
        grant: DirectoryGrant,
        directory: Directory,
        found: Sequence[tuple[int, DirectoryGrant, Directory]],
    ) -> tuple[str, ...]:
        """The globs of a grant, and what those of grants around it except below it: a denial holds on every path."""
        out = list(grant.excepted)
        for other, around, outer in found:
            if not around.excepted or outer.ancestors[0] not in directory.ancestors[1:]:
                continue
            names = _last(directory.real or "", directory.ancestors.index(outer.ancestors[0]))
            for glob in around.excepted:
                below = Pattern.parse(glob).below(names)
                if below is None:
                    self.object(
                        f"{self.root}.grants.filesystem[{number}].host",
                        f"{directory.real} lies in what filesystem[{other}] excepts with {glob!a};"
                        " remove one of the two",
                    )
                    continue
                out += [g for g in below if g not in out]
        return tuple(out)

    def written_by_host(self, preopens: Sequence[Preopen], writes: Sequence[tuple[str, str]]) -> None:
        """Nothing that the host writes for a run (its trail, above all) may lie where the guest can write."""
        for what, path in writes:
            for p in preopens:
                if _can_write(p, path):
                    self.object(
                        f"{p.route}.access", f"writable, and it holds {what}, {path}, which the guest could change"
                    )

    def read_by_host(self, preopens: Sequence[Preopen]) -> None:
        """A run may not change what the next run will be: the policy, or the component that the policy names."""
        pinned = self.component.digest is not None
        own = () if pinned else self.host.source
        for what, paths in (("policy", self.host.policy), (self.facts.kind, own), *self.host.others):
            remedy = "`except` it" if what == "policy" else "`except` it, or pin its `digest`"
            for path in paths:
                thing = f"the {what}'s own file" if path == paths[-1] else f"a symbolic link to the {what}"
                for p in preopens:
                    if _can_write(p, path):
                        self.object(
                            f"{p.route}.access",
                            f"writable, and it holds {thing}, {path}, which the guest could change for the next run;"
                            f" grant a directory without it, or {remedy}",
                        )

        for path in self.host.code:
            for p in preopens:
                inside = p.writable and p.host is not None and _below(p.host, path)
                if inside or _can_write(p, path):
                    self.object(
                        f"{p.route}.access",
                        f"writable, and it covers the sandbox's own code, {path}, which the guest could change for the"
                        " next run; grant a directory without it, or `except` it",
                    )

    def stream(self, name: str, stream: Stream | None, preopens: Sequence[Preopen]) -> StreamPlan:
        if stream is None or stream.mode == "closed":
            return StreamPlan(mode="closed", granted=False)
        if stream.path is None:
            return StreamPlan(mode=stream.mode, granted=True)
        path = self.host.files[stream.path].real
        for p in preopens:
            if p.writable and p.host is not None and _below(path, p.host):
                self.object(
                    f"{self.root}.grants.stdio.{name}",
                    f"{path} lies in a directory that the guest may write ({p.guest}), so the guest could change it",
                )
        return StreamPlan(mode="file", granted=True, path=path)

    def stream_files(self, writes: Sequence[tuple[str, str]]) -> None:
        """Files of standard streams are regular ones, each used by one stream, and by nobody else."""
        stdio = self.component.grants.stdio
        seen: list[tuple[str, File]] = []
        for name, stream in (("stdin", stdio.stdin), ("stdout", stdio.stdout), ("stderr", stdio.stderr)):
            if stream is None or stream.path is None:
                continue
            route, file = f"{self.root}.grants.stdio.{name}", self.host.files[stream.path]
            faults = {
                "link": "is a symbolic link; name its target",
                "other": "is no regular file",
                "no directory": "cannot be opened: no directory holds it",
                "nothing": "does not exist" if name == "stdin" else "",
                "file": "",
            }
            if faults[file.kind]:
                self.object(route, f"{file.real} {faults[file.kind]}")
            for other, taken in seen:
                if taken.real == file.real or (file.identity is not None and taken.identity == file.identity):
                    self.object(route, f"{file.real} is what {other} uses already; one would overwrite the other")
            for what, path in writes:
                if path == file.real:
                    self.object(route, f"{file.real} is {what}, which is for nobody else to read or write")
            for what, paths in (("policy", self.host.policy), (self.facts.kind, self.host.source)):
                if name != "stdin" and file.real in paths:
                    self.object(route, f"{file.real} is the {what}'s own file, which the output would overwrite")
            cache = self.host.cache
            if cache and name != "stdin" and _below(file.real, cache):
                self.object(route, f"{file.real} lies in the sandbox's cache of compiled code")
            seen.append((name, file))

    def determinism(self) -> None:
        """What is declared deterministic is granted nothing that differs from run to run beside its inputs."""
        if not self.component.deterministic:
            return
        grants, declared = self.component.grants, f"the policy declares the {self.facts.kind} deterministic"
        clocks = {}
        for name, mode in (("wall", grants.clocks.wall), ("monotonic", grants.clocks.monotonic)):
            if mode in ("real", "coarse"):
                # One word for both clocks is one grant.
                own = f"{self.root}.grants.clocks.{name}" in self.policy.places
                clocks[f"clocks.{name}" if own else "clocks"] = mode
        for route, mode in clocks.items():
            self.object(
                f"{self.root}.grants.{route}",
                f"a {mode} clock differs from run to run, and {declared};"
                f" write `{route.removeprefix('clocks.')}: frozen`, or remove `deterministic`",
            )
        if grants.random is not None and grants.random.seed is None:
            self.object(
                f"{self.root}.grants.random",
                f"secure random numbers differ from run to run, and {declared};"
                " write `random: seeded`, or remove `deterministic`",
            )
        if self.sockets() is not None:
            self.object(
                f"{self.root}.grants.sockets",
                f"what comes over the network differs from run to run, and {declared};"
                " remove the grant (a file can bring in what it fetches), or remove `deterministic`",
            )

    def environment(self) -> tuple[tuple[str, str], ...] | None:
        granted = self.component.grants.environment
        if granted is None:
            return None
        out = dict(granted.set)
        for number, variable in enumerate(granted.inherit):
            value = self.host.environment.get(variable.name, variable.default)
            if value is None:
                self.object(
                    f"{self.root}.grants.environment.inherit[{number}]",
                    f"{variable.name} is not set here;"
                    f" write {{name: {variable.name}, default: ...}} if it may be missing",
                )
            elif _unencodable(value):
                self.object(
                    f"{self.root}.grants.environment.inherit[{number}]", f"{variable.name} is not valid UTF-8 here"
                )
            else:
                out[variable.name] = value
        return tuple(out.items())

    def arguments(self, given: Sequence[str] | None) -> tuple[str, ...] | None:
        granted = self.component.grants.arguments
        if granted is None:
            if given:
                self.object(
                    f"{self.root}.grants.arguments",
                    "the policy grants no arguments, so none can be given; `arguments: inherit` passes them on",
                )
            return None
        if granted.fixed is not None and given:
            self.object(f"{self.root}.grants.arguments", "the policy fixes the arguments, so none can be given")
        arguments = granted.fixed if granted.fixed is not None else tuple(given or ())
        for argument in arguments:
            if "\0" in argument or _unencodable(argument):
                self.object(
                    f"{self.root}.grants.arguments", f"an argument is not text that a {self.facts.kind} can be given"
                )
        return (self.component.name, *arguments)


def behind(interface: str, *, sockets: bool = False) -> str:
    """What serves an interface of WASI 0.2: ``wasmtime`` itself, the ``guard`` before it, or nothing (``refused``).

    Where the policy grants ``sockets`` and the component imports them, the ``broker`` serves them: the guard's own
    sockets, over those that the supervisor makes. Then streams and pollables are the guard's as well.
    """
    base = interface.partition("@")[0]
    if base.startswith("wasi:sockets/"):
        return "broker" if sockets else "refused"
    if base.startswith(("wasi:http/", "wasi:clocks/timezone")):
        return "refused"
    if sockets and base.startswith(("wasi:io/", "wasi:cli/std")):
        return "guard"
    if base.startswith(("wasi:filesystem/", "wasi:clocks/", "wasi:random/", "wasi:cli/environment", "wasi:cli/exit")):
        return "guard"
    return "wasmtime"


_classified = functools.lru_cache(maxsize=1024)(classify)


def _unencodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _below(path: str, directory: str) -> bool:
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def _joined(directory: str, path: str) -> str:
    return f"{directory.rstrip('/')}/{path}"


def _can_write(preopen: Preopen, path: str) -> bool:
    """Whether a guest may change what is at a real path through ``preopen`` itself, not one inside it."""
    if not preopen.writable or preopen.host is None or not _below(path, preopen.host):
        return False
    relative = path[len(preopen.host) :].strip("/")
    if any(_below(relative, apart) for apart in (*(p for p, _ in preopen.inner), *preopen.masked)):
        return False
    return not any(Pattern.parse(glob).after(relative.split("/"))[0] for glob in preopen.excepted)


def _last(path: str, count: int) -> list[str]:
    return path.split("/")[-count:]


def make_plan(
    policy: Policy,
    component: ComponentPolicy,
    facts: Facts,
    host: Host,
    arguments: Sequence[str] | None = None,
    writes: Sequence[tuple[str, str]] = (),
    served: Mapping[str, str] | None = None,
) -> Plan:
    """The plan of one run.

    ``arguments`` are the caller's, without argument 0; ``writes`` are the real paths that the host itself will write
    during the run, each with a phrase that says what it is; ``served`` are the imports that other components serve,
    with the name of each. Raises ``PlanError`` with every objection.
    """
    return _Planner(policy, component, facts, host, served).plan(arguments, writes)
