"""Runs from their beginning: policy and component through the cache to a plan, a worker and an outcome."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sandbox.audit.events import Event, Happening
from sandbox.audit.trail import Trail, new_run
from sandbox.component import ComponentError, Facts, read_component
from sandbox.host import absolute, read_host
from sandbox.plan import Plan, PlanError, make_plan
from sandbox.policy.codec import policy_from_data, policy_to_data
from sandbox.policy.errors import PolicyError
from sandbox.policy.file import policy_directory, read_policy_file
from sandbox.policy.model import ComponentPolicy, Policy
from sandbox.runtime.cache import Cache, identity, key
from sandbox.runtime.outcome import Outcome, Status
from sandbox.runtime.supervisor import Call, Request, Supervisor

if TYPE_CHECKING:
    from sandbox.audit.sink import Sink
    from sandbox.runtime.process import WorkerProcess


class UsageError(Exception):
    """What the caller asks for does not fit the policy or the component; one sentence."""


def cached_policy(path: str | os.PathLike[str], cache: Cache) -> Policy:
    """The policy at ``path``; parsed only if these bytes were never found valid. Raises ``PolicyError``."""
    text = read_policy_file(path)
    digest = _digest(text)
    file, directory = os.fspath(path), policy_directory(path)
    name = f"{key('policy', digest, file, directory, _language())}.policy"
    try:
        policy = policy_from_data(cache.read(name))
        if (policy.digest, policy.file, policy.directory) == (digest, file, directory):
            return policy
    except ValueError:
        pass  # never kept, or damaged: read the policy itself
    from sandbox.policy.load import parse_policy

    policy = parse_policy(text, file=file, directory=directory)
    cache.write(name, policy_to_data(policy))
    return policy


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _language() -> list[object]:
    """The identity of the policy language's own sources: what an older version found valid is read again."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    policy = os.path.join(root, "policy")
    paths = [os.path.join(policy, name) for name in sorted(os.listdir(policy)) if name.endswith(".py")]
    found: list[object] = []
    for path in [*paths, os.path.join(root, "source.py")]:
        info = os.stat(path)
        found.append([path, info.st_size, info.st_mtime_ns])
    return found


def cached_facts(path: str, cache: Cache) -> Facts:
    """The facts of the component at ``path``; read again unless the file is known to be unchanged.

    Raises ``ComponentError``.
    """
    known = identity(path)
    if known is None:
        return read_component(path)
    recent = _recent.get(path)
    if recent is not None and recent[0] == known:
        return recent[1]
    name = f"{key('facts', os.path.realpath(path), path, known)}.facts"
    try:
        facts = Facts.from_data(cache.read(name))
    except ValueError:  # never kept, or damaged: read the component itself
        facts = read_component(path)
        if identity(path) != known:
            return facts
        cache.write(name, facts.to_data())
    if len(_recent) >= RECENT:
        _recent.clear()
    _recent[path] = known, facts
    return facts


RECENT = 256
"""Components whose facts this process keeps at hand."""
_recent: dict[str, tuple[list[int], Facts]] = {}


def choose(policy: Policy, name: str | None) -> ComponentPolicy:
    """The component of ``policy`` to run: the one named, else its ``run``, or the only one. Raises ``UsageError``."""
    if name is None:
        name = policy.run
    if name is None:
        if len(policy.components) == 1:
            return policy.components[0]
        names = ", ".join(c.name for c in policy.components)
        first = policy.components[0].name
        raise UsageError(
            f"{policy.file} has several components ({names}); say which one, or have the policy say `run: {first}`"
        )
    for component in policy.components:
        if component.name == name:
            return component
    names = ", ".join(c.name for c in policy.components)
    raise UsageError(f"{policy.file} has no component {name!r}; it has {names}")


def source_of(policy: Policy, component: ComponentPolicy, given: str | None) -> str:
    """The path of the component's file: the caller's, or the policy's. Raises ``UsageError`` if neither names one."""
    if given is not None:
        return given
    if component.source is None:
        raise UsageError(f"{policy.file} does not say where component {component.name!r} is; name its file")
    return absolute(component.source, policy.directory)


def plan_of(
    policy: Policy,
    component: ComponentPolicy,
    cache: Cache,
    *,
    source: str | None = None,
    arguments: Sequence[str] | None = None,
    writes: Sequence[tuple[str, str]] = (),
) -> Plan:
    """The plan of one run. Raises ``UsageError``, ``ComponentError`` or ``PlanError``."""
    file = source_of(policy, component, source)
    facts = cached_facts(file, cache)
    if component.imports:
        return _program_of(policy, component, cache, facts, file, arguments, writes)
    host = read_host(component, policy.directory, cache.directory, policy=policy.file, source=file)
    return make_plan(policy, component, facts, host, arguments, writes)


def _program_of(
    policy: Policy,
    component: ComponentPolicy,
    cache: Cache,
    facts: Facts,
    file: str,
    arguments: Sequence[str] | None,
    writes: Sequence[tuple[str, str]],
) -> Plan:
    """The plan of a component with those that it imports from."""
    from sandbox.policy.wiring import reach
    from sandbox.program import make_program

    members = [c for name in reach(policy, component.name) for c in policy.components if c.name == name]
    files = {c.name: file if c.name == component.name else source_of(policy, c, None) for c in members}
    known = {c.name: facts if c.name == component.name else cached_facts(files[c.name], cache) for c in members}
    loose = {f"component {c.name}": files[c.name] for c in members if c.digest is None}
    hosts = {}
    for member in members:
        others = {what: path for what, path in loose.items() if what != f"component {member.name}"}
        hosts[member.name] = read_host(
            member,
            policy.directory,
            cache.directory,
            policy=policy.file,
            source=files[member.name],
            others=others if member.grants.filesystem else None,
        )
    return make_program(policy, component.name, known, hosts, arguments, writes)


def written_to(sink: Sink | None) -> list[tuple[str, str]]:
    """The file that a sink writes to, if it is one, for the plan to keep out of the guest's reach."""
    descriptor = getattr(sink, "fileno", lambda: None)()
    if not isinstance(descriptor, int) or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return []
    return [("the audit trail", os.readlink(f"/proc/self/fd/{descriptor}"))]


def check_streams(plan: Plan, sink: Sink | None) -> None:
    """Refuse a trail that goes where the component writes too: it could forge it. Raises ``UsageError``."""
    descriptor = getattr(sink, "fileno", lambda: None)()
    if not isinstance(descriptor, int):
        return
    trail = os.fstat(descriptor)
    streams = [s for m in plan.members for s in (("standard output", m.stdout, 1), ("standard error", m.stderr, 2))]
    for name, stream, number in streams:
        if stream.mode != "inherit":
            continue
        try:
            own = os.fstat(number)
        except OSError:
            continue
        if (own.st_dev, own.st_ino) == (trail.st_dev, trail.st_ino):
            raise UsageError(
                f"the audit trail and the component's {name} would go to the same place, where the component could"
                " forge events; give the trail a file or a descriptor of its own"
            )


def resolve_call(plan: Plan, name: str, arguments: Sequence[str]) -> Call:
    """The export that ``name`` means: ``operations.add``, ``add`` or ``ns:package/interface@1.0.0#add``.

    The first is a function of an interface by the interface's last name, the second one of the component itself. In a
    module, where any name may be a function's, it is just that.
    Raises ``UsageError`` where the component exports nothing of that name, or several things.
    """
    exports = [e.partition(" ")[::2] for e in plan.exports]
    if plan.kind == "module":
        if ("func", name) in exports:
            return Call(interface=None, function=name, arguments=tuple(arguments), shown=name)
        raise UsageError(f"the module exports no function {name!r}; it exports {_listed(exports)}")
    if "#" in name:
        interface, _, function = name.partition("#")
        if ("instance", interface) in exports:
            return Call(interface=interface, function=function, arguments=tuple(arguments), shown=name)
        raise UsageError(f"the component exports no interface {interface!r}; it exports {_listed(exports)}")
    if ("func", name) in exports:
        return Call(interface=None, function=name, arguments=tuple(arguments), shown=name)
    short, _, function = name.rpartition(".")
    found = [
        n for sort, n in exports if sort == "instance" and short and n.partition("@")[0].rpartition("/")[2] == short
    ]
    if len(found) > 1:
        raise UsageError(f"{short!r} may be any of {', '.join(found)}; write one of them, '#' and the function")
    if not found:
        raise UsageError(f"the component exports nothing called {name!r}; it exports {_listed(exports)}")
    return Call(interface=found[0], function=function, arguments=tuple(arguments), shown=name)


MOST_LISTED = 20
"""Exports that a message names."""


def _listed(exports: Sequence[tuple[str, str]]) -> str:
    more = f" and {len(exports) - MOST_LISTED:,} more" if len(exports) > MOST_LISTED else ""
    return ", ".join(ascii(n)[1:-1] for _, n in exports[:MOST_LISTED]) + more or "nothing that can be called"


def execute(
    plan: Plan,
    worker: WorkerProcess,
    cache: Cache,
    *,
    call: Call | None = None,
    stdin: bytes | None = None,
    sink: Sink | None = None,
    started: float | None = None,
    announce: Callable[[str], None] | None = None,
    meanwhile: Callable[[], None] | None = None,
) -> tuple[Outcome, bool]:
    """Run a plan in ``worker``: the outcome, and whether the worker can take another run. Raises ``UsageError``."""
    if call is None and plan.run is None:
        command = "_start" if plan.kind == "module" else "wasi:cli/run"
        raise UsageError(
            f"{plan.source} is no command (it does not export {command}); call one of its functions instead"
        )
    check_streams(plan, sink)
    trail = Trail(
        run=new_run(),
        policy=plan.policy,
        policy_digest=plan.policy_digest,
        digests={member.component: member.digest for member in plan.members},
        limit=plan.limits.events,
        limit_line=plan.line(f"components.{plan.component}.limits.events"),
        sink=sink,
    )
    request = Request(
        call=call,
        stdin=stdin,
        started=time.monotonic() if started is None else started,
        announce=announce,
        meanwhile=meanwhile,
    )
    supervisor = Supervisor(plan, worker, cache, trail, request)
    return supervisor.run(), supervisor.reusable


def record_refusal(
    error: PolicyError | PlanError | ComponentError, path: str, component: str | None, sink: Sink | None
) -> tuple[Event, ...]:
    """The trail of a run that was refused before it began: an event for each reason, and how it ended.

    ``component`` is the name of the component, where it is known. Returns the events.
    """
    digest = ""
    try:
        digest = error.policy.digest if isinstance(error, PlanError) else _digest(read_policy_file(path))
    except PolicyError:
        pass  # what cannot be read has none
    reasons: list[tuple[str, int | None]]
    if isinstance(error, PolicyError):
        status, what = Status.POLICY, "the policy was refused"
        reasons = [(f"{f.route}: {f.message}" if f.route else f.message, f.line) for f in error.faults]
    elif isinstance(error, PlanError):
        refused = error.about == "policy"
        status = Status.POLICY if refused else Status.COMPONENT
        what = "the policy was refused" if refused else "the component was refused"
        reasons = [(f"{o.route}: {o.message}" if o.route else o.message, o.line) for o in error.objections]
    else:
        status, what, reasons = Status.COMPONENT, "the component was refused", [(str(error), None)]
    trail = Trail(run=new_run(), policy=path, policy_digest=digest, digests={}, limit=len(reasons), sink=sink)
    name = component or "*"
    for reason, line in reasons:
        trail.record(Happening(name="refused", component=name, capability="run", reason=reason, line=line))
    ended = Happening(name="ended", component=name, capability="run", reason=what, exit_status=int(status))
    return trail.close(ended)
