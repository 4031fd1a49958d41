"""Runs from their beginning: policy and component through the cache to a plan, a worker and an outcome."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sandbox.audit.trail import Trail, new_run
from sandbox.component import Facts, read_component
from sandbox.host import absolute, read_host
from sandbox.plan import Plan, make_plan
from sandbox.policy.codec import policy_from_data, policy_to_data
from sandbox.policy.file import policy_directory, read_policy_file
from sandbox.policy.model import ComponentPolicy, Policy
from sandbox.runtime.cache import Cache, identity, key
from sandbox.runtime.outcome import Outcome
from sandbox.runtime.supervisor import Call, Request, Supervisor

if TYPE_CHECKING:
    from sandbox.audit.sink import Sink
    from sandbox.runtime.process import WorkerProcess


class UsageError(Exception):
    """What the caller asks for does not fit the policy or the component; one sentence."""


def cached_policy(path: str | os.PathLike[str], cache: Cache) -> Policy:
    """The policy at ``path``; read by the parser only if these bytes were never found valid. Raises ``PolicyError``."""
    text = read_policy_file(path)
    import hashlib

    digest = f"sha256:{hashlib.sha256(text).hexdigest()}"
    file, directory = os.fspath(path), policy_directory(path)
    name = f"{key('policy', digest, file, directory, _language())}.policy"
    data = cache.read(name)
    if data is not None:
        try:
            return policy_from_data(data)
        except ValueError:
            pass  # a damaged file: read the policy itself
    from sandbox.policy.load import parse_policy

    policy = parse_policy(text, file=file, directory=directory)
    cache.write(name, policy_to_data(policy))
    return policy


def _language() -> list[object]:
    """The identity of the policy language's own sources: what an older version found valid is read again."""
    found: list[object] = []
    for name in ("policy", "source.py"):
        path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), name)
        names = sorted(os.listdir(path)) if os.path.isdir(path) else [""]
        for file in names:
            if file.endswith(".py") or not file:
                info = os.stat(os.path.join(path, file) if file else path)
                found.append([file, info.st_size, info.st_mtime_ns])
    return found


def cached_facts(path: str, cache: Cache) -> Facts:
    """The facts of the component at ``path``; read again unless the file is known to be unchanged. Raises ``ComponentError``."""
    known = identity(path)
    name = f"{key('facts', os.path.realpath(path), path, known)}.facts" if known else None
    if name is not None:
        try:
            return Facts.from_data(cache.read(name))
        except ValueError:
            pass
    facts = read_component(path)
    if name is not None and identity(path) == known:
        cache.write(name, facts.to_data())
    return facts


def choose(policy: Policy, name: str | None) -> ComponentPolicy:
    """The component of ``policy`` to run: the one named, or the only one. Raises ``UsageError``."""
    if name is None:
        if len(policy.components) == 1:
            return policy.components[0]
        names = ", ".join(c.name for c in policy.components)
        raise UsageError(f"{policy.file} has several components ({names}); say which one")
    for component in policy.components:
        if component.name == name:
            return component
    raise UsageError(f"{policy.file} has no component {name!r}")


def source_of(policy: Policy, component: ComponentPolicy, given: str | None) -> str:
    """The path of the component's file: the caller's, or the policy's. Raises ``UsageError`` where neither names one."""
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
    facts = cached_facts(source_of(policy, component, source), cache)
    host = read_host(component, policy.directory, str(cache.directory))
    return make_plan(policy, component, facts, host, arguments, writes)


def resolve_call(plan: Plan, name: str, arguments: Sequence[str]) -> Call:
    """The export that ``name`` means: ``operations.add`` (last name of an interface), ``add``, or ``ns:pkg/iface@1.0.0#add``.

    Raises ``UsageError`` where the component exports nothing of that name, or several things.
    """
    exports = [e.partition(" ")[::2] for e in plan.exports]
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


def _listed(exports: Sequence[tuple[str, str]]) -> str:
    return ", ".join(ascii(n)[1:-1] for _, n in exports) or "nothing that can be called"


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
) -> tuple[Outcome, bool]:
    """Run a plan in ``worker``: the outcome, and whether the worker can take another run."""
    if call is None and plan.run is None:
        raise UsageError(
            f"{plan.source} is no command (it does not export wasi:cli/run); call one of its functions instead"
        )
    trail = Trail(
        run=new_run(),
        policy=plan.policy,
        policy_digest=plan.policy_digest,
        digests={plan.component: plan.digest},
        limit=plan.limits.events,
        limit_line=plan.line(f"components.{plan.component}.limits.events"),
        sink=sink,
    )
    request = Request(
        call=call, stdin=stdin, started=time.monotonic() if started is None else started, announce=announce
    )
    supervisor = Supervisor(plan, worker, cache, trail, request)
    return supervisor.run(), supervisor.reusable
