"""What plans allow, asked request by request, without anything of the comparison; and small policies that overlap."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from sandbox.broker.names import Found
from sandbox.broker.rules import Names, Protocol, Rules
from sandbox.component import Export, Facts, Import
from sandbox.host import read_host
from sandbox.plan import Plan, Preopen, make_plan
from sandbox.policy.addresses import Address
from sandbox.policy.globs import Pattern
from sandbox.policy.load import parse_policy
from sandbox.policy.model import Limits, Policy, Sockets
from tests.policy.policies import GRANTS, LIMITS

FACTS = Facts(
    path="/c.wasm",
    kind="component",
    size=10,
    digest="sha256:" + "a" * 64,
    imports=(Import("wasi:sockets/tcp@0.2.3", "instance", None),),
    exports=(Export("wasi:cli/run@0.2.3", "instance"),),
)


def policy_of(grants: dict[str, Any], directory: str = "/p", **more: Any) -> Policy:
    data = {"version": 1, "components": {"c": {"grants": grants, **more}}}
    return parse_policy(json.dumps(data).encode(), file="p.yaml", directory=directory)


def plan_of(policy: Policy) -> Plan:
    """Raises ``PlanError``."""
    component = policy.components[0]
    return make_plan(policy, component, FACTS, read_host(component, policy.directory))


# Files: every guest path that a small alphabet makes, and what of the host it leads to.

NAMES = ("a", "b", "c")
GUEST_PATHS = tuple(path for depth in range(5) for path in itertools.product(NAMES, repeat=depth))

Reach = set[tuple[str, bool, bool]]
"""Host path, whether it may be written, and whether it may have several names."""


def reach(plan: Plan, path: tuple[str, ...]) -> Reach:
    """What a guest can get at by one guest path, asked of any directory that it is given."""
    found: Reach = set()
    for preopen in plan.preopens:
        guest = tuple(name for name in preopen.guest.split("/") if name)
        if preopen.host is not None and path[: len(guest)] == guest:
            found |= _asked(plan, preopen, path[len(guest) :])
    return found


def _asked(plan: Plan, preopen: Preopen, names: tuple[str, ...]) -> Reach:
    if any(Pattern.parse(glob).after(names)[0] for glob in preopen.excepted):
        return set()
    apart = {tuple(path.split("/")): number for path, number in preopen.inner}
    apart |= {tuple(path.split("/")): -1 for path in preopen.masked}
    deepest = max((path for path in apart if names[: len(path)] == path), key=len, default=None)
    if deepest is not None:
        number = apart[deepest]
        return set() if number < 0 else _asked(plan, plan.preopens[number], names[len(deepest) :])
    host = "/".join([str(preopen.host), *names])
    return {(host, preopen.writable, preopen.hard_links)}


def more_files(old: Plan, new: Plan) -> list[tuple[str, ...]]:
    """Guest paths by which ``new`` allows something that ``old`` does not."""
    return [path for path in GUEST_PATHS if _is_more(reach(old, path), reach(new, path))]


def _is_more(old: Reach, new: Reach) -> bool:
    return any(
        not any(host == host_ and write <= write_ and links <= links_ for host_, write_, links_ in old)
        for host, write, links in new
    )


def make_tree(root: Path) -> None:
    """Directories three deep, of two names, and a link to one of them."""
    for path in itertools.product("ab", repeat=3):
        root.joinpath(*path).mkdir(parents=True)
    (root / "link").symlink_to("a/b")


_HOSTS = [".", "link", "link/a", *("/".join(p) for depth in (1, 2, 3) for p in itertools.product("ab", repeat=depth))]
_GUESTS = ["/" + "/".join(p) for depth in (0, 1, 2, 3) for p in itertools.product("ab", repeat=depth)]
_GLOBS = ["a", "b", "c", "*", "**", "a/b", "a/*", "a/**", "*/b", "**/a", "**/b/c", "**/a/**", "?", "[ab]", "A", "b/a/c"]


@st.composite
def directory_grants(draw: st.DrawFn) -> dict[str, Any]:
    grant: dict[str, Any] = {
        "host": draw(st.sampled_from(_HOSTS)),
        "guest": draw(st.sampled_from(_GUESTS)),
        "access": draw(st.sampled_from(["read", "write"])),
    }
    if draw(st.integers(0, 5)) == 0:
        return grant | {"hard-links": "allow"}
    excepted = draw(st.lists(st.sampled_from(_GLOBS), max_size=2, unique=True))
    return grant | ({"except": excepted} if excepted else {})


def _distinct(grants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_guest = {grant["guest"]: grant for grant in grants}
    return list({grant["host"]: grant for grant in by_guest.values()}.values())


def filesystems() -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(directory_grants(), max_size=4).map(_distinct)


@st.composite
def filesystem_pairs(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two lists of grants of which the second is often the first but for a few steps, many of them narrowing ones."""
    old = draw(filesystems())
    if draw(st.integers(0, 4)) == 0:
        return old, draw(filesystems())
    new = [dict(grant) for grant in old]
    for _ in range(draw(st.integers(1, 3))):
        if not new:
            break
        at = draw(st.integers(0, len(new) - 1))
        step = draw(st.sampled_from(["drop", "read", "except", "unexcept", "move", "add", "shuffle", "links"]))
        if step == "drop":
            del new[at]
        elif step == "read":
            new[at] = new[at] | {"access": "read"}
        elif step == "except" and "hard-links" not in new[at]:
            glob = draw(st.sampled_from(_GLOBS))
            if glob not in new[at].get("except", []):
                new[at] = new[at] | {"except": [*new[at].get("except", []), glob]}
        elif step == "unexcept" and new[at].get("except"):
            new[at] = new[at] | {"except": new[at]["except"][1:]}
        elif step == "move":
            new[at] = new[at] | {draw(st.sampled_from(["host", "guest"])): draw(st.sampled_from(_HOSTS))}
            new[at]["guest"] = "/" + new[at]["guest"].strip("/.")
        elif step == "add":
            new.append(draw(directory_grants()))
        elif step == "shuffle":
            new = draw(st.permutations(new))
        elif step == "links":
            new[at].pop("hard-links", None)
    return old, _distinct(new)


# What a plan says by itself: streams, variables, arguments, clocks, random numbers, limits.

_STRENGTH = {"denied": 0, "seeded": 1, "secure": 2}
_PRECISION = {None: 0, "frozen": 0, "coarse": 1, "real": 2}
CALLER = ("from", "the caller")


def more_rest(old: Policy, new: Policy) -> list[str]:
    """Fields of the plan of the one component of each that say more in the new one."""
    plans = [_plan_for_caller(policy) for policy in (old, new)]
    before, after = plans
    return [
        *(name for name in ("stdin", "stdout", "stderr") if not _reaches(after, name) <= _reaches(before, name)),
        *([] if _variables(after) <= _variables(before) else ["environment"]),
        *([] if _arguments(after) <= _arguments(before) else ["arguments"]),
        *(name for name in ("wall", "monotonic") if _precision(after, name) > _precision(before, name)),
        *([] if _STRENGTH[after.random] <= _STRENGTH[before.random] else ["random"]),
        *(
            limit.name
            for limit in dataclasses.fields(Limits)
            if limit.name != "events" and _bound(after, limit.name) > _bound(before, limit.name)
        ),
    ]


def _plan_for_caller(policy: Policy) -> Plan:
    component = policy.components[0]
    granted = component.grants.environment
    caller = {variable.name: "the caller's" for variable in granted.inherit} if granted is not None else {}
    host = dataclasses.replace(read_host(component, policy.directory), environment=caller)
    by_caller = component.grants.arguments is not None and component.grants.arguments.fixed is None
    return make_plan(policy, component, FACTS, host, arguments=CALLER if by_caller else None)


def _reaches(plan: Plan, name: str) -> set[tuple[str, str | None]]:
    stream = {"stdin": plan.stdin, "stdout": plan.stdout, "stderr": plan.stderr}[name]
    return {(stream.mode, stream.path)} - {("closed", None), ("discard", None)}


def _variables(plan: Plan) -> set[tuple[str, bool]]:
    """A variable of the caller's is worth one that is set as well."""
    found = {(name, value == "the caller's") for name, value in plan.environment or ()}
    return found | {(name, False) for name, _ in found}


def _arguments(plan: Plan) -> int:
    return 0 if plan.arguments is None else 2 if plan.arguments[1:] == CALLER else 1


def _precision(plan: Plan, name: str) -> int:
    return _PRECISION[plan.wall if name == "wall" else plan.monotonic]


def _bound(plan: Plan, name: str) -> float:
    value = dataclasses.asdict(plan.limits)[name]
    return float("inf") if value is None else float(value)


_REST = GRANTS.map(lambda grants: {key: v for key, v in grants.items() if key not in ("filesystem", "sockets")})


@st.composite
def rest_pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two components without directories and sockets; the second is the first but for a few keys."""
    component: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({"grants": _REST, "limits": LIMITS})
    old, other = draw(component), draw(component)
    new = {key: dict(value) for key, value in old.items()}
    for key in draw(st.lists(st.sampled_from(["grants", "limits"]), max_size=3)):
        names = sorted({*old[key], *other[key]})
        name = draw(st.sampled_from(names)) if names else None
        if name in other[key]:
            new[key][name] = other[key][name]
        elif name is not None:
            new[key].pop(name, None)
    return old, new


# The network: every request that a few hosts and ports make.

_PEER_HOSTS = [
    *("a.x.test", "b.x.test", "*.x.test", "**.x.test", "a.b.x.test", "*.b.x.test"),
    *("10.0.0.0", "10.0.0.1", "10.0.0.0/31", "10.0.0.2/31", "10.0.0.0/30", "8.8.8.8", "8.8.8.0/24", "0.0.0.0/0"),
    *("[2a00::]", "[2a00::]", "[2a00::/126]", "[2a00::5efe:a00:1]", "[2a00::/16]", "[::/0]"),
]
_DENIED_HOSTS = [*_PEER_HOSTS, "*.test", "**.test", "127.0.0.0/8", "169.254.0.0/16", "[64:ff9b::/96]", "[2a00::2/127]"]
_PORTS = ["1", "2", "3", "1-2", "2-3", "1-3", "1-65535", "1-2000", "4-65535"]
_LOCALS = ["127.0.0.1:1", "127.0.0.1:2", "0.0.0.0:1", "0.0.0.0:0", "127.0.0.1:0", "[::]:1", "[::1]:1", "10.0.0.1:1"]
_DNS = ["a.x.test", "b.x.test", "*.x.test", "**.x.test", "a.b.x.test"]

ADDRESSES: tuple[Address, ...] = tuple(
    map(
        ip_address,
        (
            *("10.0.0.0", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "8.8.8.8", "8.8.8.9", "9.9.9.9"),
            *("127.0.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::", "::1", "2a00::", "2a00::1", "2a00::2"),
            *("2a00::4", "2a00::5efe:a00:1", "2a00::5efe:a00:2", "64:ff9b::a00:1", "64:ff9b::808:808", "2b00::1"),
            *("::ffff:10.0.0.1", "::ffff:8.8.8.8", "fe80::1"),
        ),
    )
)
NAMES_ASKED = ("a.x.test", "b.x.test", "c.x.test", "a.b.x.test", "a.c.x.test", "x.test", "y.test")
PORTS_ASKED = (0, 1, 2, 3, 4, 2001)
PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp")


@st.composite
def peers(draw: st.DrawFn) -> list[Any]:
    found: dict[str, Any] = {}
    for _ in range(draw(st.integers(0, 3))):
        host, ports = draw(st.sampled_from(_PEER_HOSTS)), draw(st.sampled_from(_PORTS))
        private = "x.test" in host and draw(st.booleans())
        found[f"{host}:{ports}"] = {"to": f"{host}:{ports}", "private": True} if private else f"{host}:{ports}"
    return list(found.values())


@st.composite
def denials(draw: st.DrawFn) -> list[str]:
    hosts = draw(st.lists(st.sampled_from(_DENIED_HOSTS), max_size=2, unique=True))
    return [host + draw(st.sampled_from(["", "", *(f":{ports}" for ports in _PORTS)])) for host in hosts]


def sockets() -> st.SearchStrategy[dict[str, Any]]:
    listed = st.lists(st.sampled_from(_LOCALS), max_size=2, unique=True)
    return st.fixed_dictionaries(
        {},
        optional={
            "tcp": st.fixed_dictionaries({}, optional={"connect": peers(), "listen": listed}),
            "udp": st.fixed_dictionaries({}, optional={"send": peers(), "bind": listed}),
            "dns": st.lists(st.sampled_from(_DNS), max_size=2, unique=True),
            "deny": denials(),
        },
    )


_LISTS = (("tcp", "connect"), ("tcp", "listen"), ("udp", "send"), ("udp", "bind"), ("dns",), ("deny",))


@st.composite
def sockets_pairs(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two ``sockets``, the second often the first but for a list that is shorter, longer or another."""
    old = draw(sockets())
    if draw(st.integers(0, 5)) == 0:
        return old, draw(sockets())
    new = json.loads(json.dumps(old))
    other = draw(sockets())
    for _ in range(draw(st.integers(1, 2))):
        route = draw(st.sampled_from(_LISTS))
        at: Any = new
        for part in route[:-1]:
            at = at.setdefault(part, {})
            other_at: Any = other.get(part, {})
        other_at = other if len(route) == 1 else other.get(route[0], {})
        have, more = at.get(route[-1], []), other_at.get(route[-1], [])
        step = draw(st.sampled_from(["drop", "add", "replace", "reverse"]))
        if step == "drop":
            have = have[1:]
        elif step == "add":
            have = [*have, *(item for item in more if item not in have)]
        elif step == "replace" and have and more:
            have = [*have[1:], *(more[:1] if more[0] not in have else [])]
        elif step == "reverse":
            have = have[::-1]
        at[route[-1]] = have
    return old, new


def more_network(old: Sockets, new: Sockets) -> list[str]:
    """Requests that ``new`` allows, or answers, and ``old`` does not."""
    return [request for request, before, after in _verdicts(Rules(old), Rules(new)) if after and not before]


def _verdicts(old: Rules, new: Rules) -> Iterator[tuple[str, bool, bool]]:
    known: list[Names] = [{}]
    for name in NAMES_ASKED:
        before, after = old.lookup(name), new.lookup(name)
        yield f"look up {name}", before.allowed, after.allowed
        for alias in (None, "a.x.test", "a.b.x.test", "y.test") if after.allowed else ():
            if before.allowed:
                found = Found(ADDRESSES, alias)
                told = (set(rules.answer(name, v, found).addresses) for rules, v in ((old, before), (new, after)))
                first, second = told
                yield f"be told {second - first} for {name}, {alias}", second <= first, True
            # A run under the new policy knows a name only after it was looked up.
            known.append({address: {name: alias} for address in ADDRESSES})
    for address, port, protocol in itertools.product(ADDRESSES, PORTS_ASKED, PROTOCOLS):
        for names in known:
            yield (
                f"{protocol} {address}:{port} as {next(iter(names.values()), None)}",
                old.peer(protocol, address, port, names).allowed,
                new.peer(protocol, address, port, names).allowed,
            )
        yield (
            f"serve {protocol} {address}:{port}",
            old.local(protocol, address, port).allowed,
            new.local(protocol, address, port).allowed,
        )
        yield (
            f"bind {protocol} {address}:{port}",
            old.bind(protocol, address, port).allowed,
            new.bind(protocol, address, port).allowed,
        )
    for address in ADDRESSES:
        for names in known:
            yield (
                f"literal {address} as {next(iter(names.values()), None)}",
                old.literal(address, names).allowed,
                new.literal(address, names).allowed,
            )
